"""Requests whose bytes have come before, answered from memory without an exchange."""

from typing import Any

from nautilus.core.counters import Counters
from nautilus.core.http_access import RulesAccessBase
from nautilus.core.http_link import LaneBase

HEADS: int
"""So many different heads are known; then all are forgotten."""
HEAD_BYTES: int
"""A longer head goes the ordinary way."""

class Known:
    """What is known of a request by its head."""

class HitLane(LaneBase):
    """Answers a request whose head came twice before and was answered from memory, while the answer is still fresh.

    Parameters
    ----------
    requests
        Index of the counter of the gateway's requests.
    access
        Who may ask; None: every request goes the ordinary way.
    refuses
        The error by which it says that somebody may not.

    Attributes
    ----------
    app : nothing is answered here while it is `stopping`; None: there is none.
    """

    app: Any

    def __init__(
        self, counters: Counters, requests: int, access: RulesAccessBase | None, refuses: type[Exception]
    ) -> None: ...
    def __len__(self) -> int:
        """Heads that are known."""
