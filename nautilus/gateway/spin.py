"""A worker that looks for a while before it sleeps: waking a core that sleeps takes longer than a request."""

from __future__ import annotations

import asyncio

from nautilus.runtime.clock import monotonic_ns


class Spin:
    """Told of a request, it keeps the loop looking for so long; what comes meanwhile finds it awake.

    It is told of all but those that are answered by the bytes of their heads alone (`nautilus.core.hit_lane`).

    Parameters
    ----------
    spin_us
        From a request on. A core is busy for so long that others might have used.
    """

    def __init__(self, spin_us: int) -> None:
        self._for_ns = spin_us * 1_000
        self._until_ns = 0
        self._looks = False

    def __call__(self, now_ns: int) -> None:
        """A request has come."""
        self._until_ns = now_ns + self._for_ns
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        # A loop with something to call does not wait for its sockets: it asks them, and goes on.
        if monotonic_ns() < self._until_ns:
            asyncio.get_running_loop().call_soon(self._look)
        else:
            self._looks = False
