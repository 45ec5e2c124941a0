"""What carries frames of the mesh where ZeroMQ does not: the seam, and which messages may take which way.

A frame of the mesh may travel over any carrier, late and twice: both ends of a stream put things in order and drop what
came before. So a change of carrier loses nothing and doubles nothing, and a carrier promises nothing but to try.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

ZMQ: Final = 1
REDIS: Final = 2
HTTP: Final = 4
RING: Final = 8
ALL: Final = 0xFF
"""Any path, one at a time: the first that is usable."""
AT_ONCE: Final = 0x100
"""While ZeroMQ does not reach the peer: over every usable path that is allowed, at once."""
EVERY_PATH: Final = ALL | AT_ONCE
"""For what must get through (cancel, kill): all paths, at once where the usual one is gone."""


class Carrier(Protocol):
    """A way for frames beside the sockets of the mesh, in both directions.

    All of it is called by the host's thread and must not wait: a carrier with slow calls has a thread of its own and
    queues. Nothing raises for what the network does.

    Attributes
    ----------
    name : for logs and states: "redis", "http".
    path : the bit by which messages allow it: `REDIS`, `HTTP`.
    most_bytes : of a frame; what is longer does not go over it.
    on_demand : whether `usable` costs something, so that it is asked only of peers that ZeroMQ does not reach.
    """

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> int: ...

    @property
    def most_bytes(self) -> int: ...

    @property
    def on_demand(self) -> bool: ...

    def usable(self, peer: str) -> bool:
        """Whether what is sent to this process now has a good chance to arrive."""

    def send(self, peer: str, lane: str, frame: bytes) -> bool:
        """Take a frame for a process, lane "u" or "n"; False: it was not taken, and is offered again later."""

    def receive(self, limit: int) -> list[tuple[str, str, bytes]]:
        """At most `limit` frames that came: (process that sent it, lane, frame), in the order of each sender."""

    def forget(self, peer: str) -> None:
        """Keep nothing of a process that is not coming back; should it be spoken to again, it is known anew."""

    def fileno(self) -> int:
        """A descriptor that is readable while `receive` has something; -1: there is none, it is to be looked at."""

    def close(self) -> None:
        """Give up what it holds; called once, by the mesh."""


def ways(carriers: Iterable[Carrier], paths: int) -> list[Carrier]:
    """The carriers that a message may take, out of those that are usable, in the order in which they are tried."""
    return [carrier for carrier in carriers if carrier.path & paths]
