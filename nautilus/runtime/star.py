"""The ends of the star in a process: the hub's, with what readers ask for anew, and a reader's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import zmq

from nautilus.bus import Publisher, Subscriber
from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.base import replay_endpoint
from nautilus.bus.positions import CAPACITY as POSITIONS
from nautilus.bus.replayer import Replayer
from nautilus.core.counters import Counters
from nautilus.model.topics import Topic
from nautilus.runtime.buslog import BusLog
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.paths import mirror_of

if TYPE_CHECKING:
    from nautilus.runtime.plan import Plan


class Hub:
    """The publisher, and the replayer beside it.

    Attributes
    ----------
    due_ns : when `poll` is to be called at the latest, on the machine's clock; 0: there is more to do.
    """

    def __init__(
        self,
        plan: Plan,
        process: str,
        context: zmq.Context[Any],
        epoch: int,
        clock: Callable[[], int],
        counters: Counters,
    ) -> None:
        self.due_ns = 0
        self._mirror = mirror_of(plan, process, counters)
        buffer = FrameBuffer()
        self._publisher = Publisher(
            context,
            plan.star,
            epoch=epoch,
            clock=clock,
            counters=counters,
            positions=Counters(POSITIONS, plan.positions_of(process)),
            buffer=buffer,
            tap=self._mirror.offer if self._mirror is not None else None,
        )
        self.publish = self._publisher.publish
        self.last_sequences = self._publisher.last_sequences
        try:
            self._replayer = Replayer(
                context,
                replay_endpoint(plan.star),
                epoch=epoch,
                clock=clock,
                frames=buffer,
                earlier=[self._publisher.earlier],
                counters=counters,
            )
        except BaseException:
            self._publisher.close()
            raise

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """Readable when a reader asks for something."""
        return self._replayer.socket

    @property
    def touched(self) -> set[zmq.Socket[bytes]]:
        """Holds `socket` while it may not be empty."""
        return self._replayer.touched

    def poll(self) -> None:
        """Send the heartbeat that is due, and do some of what readers ask for."""
        due_ns = self._publisher.poll(wall_ns())
        self.due_ns = 0 if self._replayer.poll() else due_ns

    def answer(self) -> None:
        """A reader asks for something: do some of it."""
        if self._replayer.poll():
            self.due_ns = 0

    def close(self) -> None:
        """Say where the streams ended, and close the sockets."""
        self._replayer.close()
        self._publisher.close()
        if self._mirror is not None:
            self._mirror.close()


def subscribe(
    plan: Plan,
    process: str,
    context: zmq.Context[Any],
    topics: Sequence[Topic],
    clock: Callable[[], int],
    counters: Counters,
    log: BusLog,
) -> Subscriber:
    """A reader of these topics, which begins with images of their streams."""
    return Subscriber(
        context,
        plan.star,
        topics,
        clock=clock,
        on_gap=log.on_star_gap,
        on_epoch=log.on_star_epoch,
        counters=counters,
        positions=Counters(POSITIONS, plan.positions_of(process)),
        replay=replay_endpoint(plan.star),
        images=True,
    )
