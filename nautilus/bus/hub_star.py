"""The star of an active hub: what publishes, and what sends again. Each life of a hub as the hub has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import zmq

from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.base import replay_endpoint
from nautilus.bus.publisher import Publisher
from nautilus.bus.replayer import Archive, Replayer
from nautilus.bus.ring import RingWriter
from nautilus.core.counters import Counters
from nautilus.model.records import Records


class HubStar(Protocol):
    """What a hub opens when it becomes active.

    Attributes
    ----------
    endpoint, replay : what was bound last, of the star and of its replayer: TCP, where it has any.
    socket : readable when a reader asks for something.
    touched : holds `socket` while it may not be empty.
    """

    endpoint: str
    replay: str
    touched: set[zmq.Socket[bytes]]

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """See the class."""
        ...

    def publish(self, records: Records) -> int:
        """See `Publisher.publish`."""
        ...

    def poll(self, now_ns: int) -> int:
        """Send the heartbeat that is due, take in subscriptions; when to call again at the latest."""
        ...

    def answer(self) -> bool:
        """Do some of what readers ask for; whether there is more of it."""
        ...

    def last_sequences(self) -> dict[int, int]:
        """{stream: sequence of its last record}."""
        ...

    def close(self) -> None:
        """Say where the streams ended, and close."""
        ...

    def fall_silent(self) -> None:
        """Close without a last word: there is another hub."""
        ...


OpenStar = Callable[[int, Sequence[Archive]], HubStar]
"""(epoch, frames of the hub before) -> its star. See `HubStar`."""


class ServedStar:
    """A publisher and the replayer beside it, once `serve` was called: what each `HubStar` has.

    Attributes
    ----------
    publisher, replayer : both.
    """

    publisher: Publisher
    replayer: Replayer

    def serve(
        self,
        context: zmq.Context[Any],
        publisher: Publisher,
        clock: Callable[[], int],
        frames: FrameBuffer | RingWriter,
        archives: Sequence[Archive],
        counters: Counters | None = None,
    ) -> None:
        """Send again what this publisher keeps in `frames`, at the `replay_endpoint` of each of its endpoints.

        The publisher is left open where that cannot be.
        """
        self.publisher = publisher
        self.replayer = Replayer(
            context,
            tuple(map(replay_endpoint, publisher.endpoints)),
            epoch=publisher.epoch,
            clock=clock,
            frames=frames,
            archives=archives,
            earlier=(publisher.earlier,),
            counters=counters,
        )
        self.endpoint, self.replay = publisher.endpoints[-1], self.replayer.endpoint
        self.socket, self.touched = self.replayer.socket, self.replayer.touched
        self.publish = publisher.publish
        self.poll = publisher.poll
        self.answer = self.replayer.poll
        self.last_sequences = publisher.last_sequences

    def fall_silent(self) -> None:
        """See `HubStar`."""
        self.publisher.socket.close(0)
        self.replayer.close()


class PlainStar(ServedStar):
    """A star that keeps its last frames in memory: a `HubStar`.

    Parameters
    ----------
    endpoints
        Of the star.
    archives
        Where else to look for frames.
    options
        Further arguments of the `Publisher`.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoints: tuple[str, ...],
        *,
        epoch: int,
        clock: Callable[[], int],
        archives: Sequence[Archive] = (),
        **options: Any,
    ) -> None:
        buffer = FrameBuffer()
        publisher = Publisher(context, endpoints, epoch=epoch, clock=clock, buffer=buffer, **options)
        try:
            self.serve(context, publisher, clock, buffer, archives)
        except BaseException:
            publisher.socket.close()
            raise

    def close(self) -> None:
        """See `HubStar`."""
        self.publisher.close()
        self.replayer.close()
