"""Who has been let in before, by the words that were shown; the rules are in `nautilus.runtime.http.access`."""

from collections.abc import Iterable
from typing import Any

class AccessBase:
    """The common part of `nautilus.runtime.http.access.AccessRules`."""

    _keys: Any
    _known: dict[tuple[tuple[bytes, bytes | None], str | None, bool], Any]

    def __init__(self, keys: Any) -> None: ...
    def admit(
        self,
        exchange_method: str,
        target: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        now_ns: int,
        *,
        scope: str | None = None,
        certificate: str = "",
        tls: bool = False,
    ) -> Any:
        """Who asks; HttpError where a rule is broken.

        Parameters
        ----------
        target
            Path and query as they were sent.
        now_ns
            The machine's clock (nanoseconds since the epoch), not a monotonic one: time stamps are told by it.
        scope
            What is asked for takes; None: `read` for GET and HEAD, `trade` for what changes something.
        certificate
            Common name of the client's certificate, verified; "": it has shown none.
        tls
            It came over TLS.
        """

class RulesAccessBase:
    """The common part of `nautilus.gateway.data_path.RulesAccess`."""

    def __init__(self, rules: AccessBase) -> None: ...
    def admit(self, exchange: Any, scope: str) -> Any:
        """Let a request in; HttpError where not."""
