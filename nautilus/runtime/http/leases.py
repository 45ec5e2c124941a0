"""WebSockets that end with the key or the session by which they were opened.

A request is let in anew each time; a WebSocket is let in once, and may stay for days. So it is held under its `Lease`,
and twice a second each lease is looked at, however many WebSockets there are under it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from nautilus.policy.keys import Lease, Principal
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.http.websocket import POLICY

if TYPE_CHECKING:
    from nautilus.core.counters import Counters
    from nautilus.runtime.auditing import Recorder
    from nautilus.runtime.http.access import AccessRules

LOOK_SECONDS = 0.5
REVOKED = "access.revoked"
"""Reason of the close frame; its code is 1008."""
_SPARE = 16


class Held(Protocol):
    """A protocol that speaks over what was a request's connection."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """None, or closing: it has ended."""
        ...

    def leave(self, code: int, reason: str, /) -> None:
        """Say that it closes, and close it."""
        ...


class _Lot:
    """The WebSockets of one lease."""

    __slots__ = ("most", "name", "open")

    def __init__(self, name: str) -> None:
        self.name = name
        self.open: list[Held] = []
        self.most = _SPARE

    def add(self, held: Held) -> None:
        """Those that have ended are dropped as often as their number has doubled."""
        if len(self.open) >= self.most:
            self.open = [each for each in self.open if _lives(each)]
            self.most = 2 * len(self.open) + _SPARE
        self.open.append(held)


class Leases:
    """Those of one application, over all its ports; used in the thread of its loop.

    Parameters
    ----------
    rules
        Say whether a lease has ended.
    counters
        Take how many WebSockets were ended.
    audit
        Takes whose, in one record for each lease; None: nothing does.
    """

    def __init__(self, rules: AccessRules, counters: Counters, audit: Recorder | None = None) -> None:
        self._rules = rules
        self._counters = counters
        self._ended = counters.counter("access.websockets_ended")
        self._audit = audit
        self._lots: dict[Lease, _Lot] = {}
        self._timer: asyncio.TimerHandle | None = None

    def hold(self, principal: Principal, held: Held) -> None:
        """End it with the lease of who has opened it."""
        lease = principal.lease
        if lease is None:
            return
        lot = self._lots.get(lease)
        if lot is None:
            lot = self._lots[lease] = _Lot(principal.name)
        lot.add(held)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def close(self) -> None:
        """Look after nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._lots.clear()

    def _look(self) -> None:
        now_ns = wall_ns()
        for lease in [lease for lease in self._lots if not self._rules.lasts(lease, now_ns)]:
            self._end(self._lots.pop(lease))
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look) if self._lots else None

    def _end(self, lot: _Lot) -> None:
        found = [each for each in lot.open if _lives(each)]
        for each in found:
            each.leave(POLICY, REVOKED)
        self._counters.add(self._ended, len(found))
        if found and self._audit is not None:
            self._audit.say(lot.name, "CLOSE", b"websockets=%d" % len(found), POLICY)


def _lives(held: Held) -> bool:
    transport = held.transport
    return transport is not None and not transport.is_closing()


__all__ = ["LOOK_SECONDS", "REVOKED", "Leases"]
