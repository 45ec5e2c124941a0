"""The star: one publisher of packed records, any number of subscribers, over any transport.

Guarantees
----------
- Records of a stream (one kind of one instrument) arrive in order, each at most once in an epoch of the publisher.
- What is missing is known: a frame that skips numbers, or a heartbeat whose last number was not reached, is a gap. A
  lost tail is therefore seen one heartbeat after connection and reader work.
- With a replayer (`replay`) what is missing is asked for, and what came after it held back until it is there; so is the
  end of an earlier life of the publisher. What nobody has any more is lost, counted and told (`on_gap`). Without a
  replayer it is so at once.
- A subscriber answers for a stream from `joined` on: where its image stands (`images`), its first frame, where the
  first heartbeat said it stood, or number 1 where the stream began later than that. So per stream, at all times::

      last settled = joined - 1 + delivered + conflated + snapshotted + lost + unknown

- A slow reader never slows the publisher or other readers; what becomes of its records is its `policy`.

- With a ring (`ring`) frames come through shared memory; over ZeroMQ where there is none, or its writer is gone or
  silent, and back. Both may carry at once: what comes twice is dropped, what neither brought is asked for.

What is decided of each record stands in `nautilus.bus.recovery`, what is handed out in `nautilus.bus.star_reader`; here
are the transports. Nothing here waits, starts a thread or raises for what came over the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from os import PathLike
from typing import Any

import zmq

from nautilus.bus.base import HEARTBEAT, checked_endpoints, layout_of, new_socket, topic_bytes
from nautilus.bus.compression import Compression, check_compression
from nautilus.bus.conflation import Policy
from nautilus.bus.multicast import MulticastReader
from nautilus.bus.multicast_wire import KEY_MAGIC
from nautilus.bus.native_sockets import receive
from nautilus.bus.recovery import NEVER
from nautilus.bus.redial import Redial
from nautilus.bus.requests import EVERY, Request, pack_request
from nautilus.bus.ring import RingReader
from nautilus.bus.star_reader import Batch, Marked, StarReader, flags_of_batch
from nautilus.core.clock import now_ns as machine_ns
from nautilus.core.counters import Counters
from nautilus.model.topics import Topic

NOBLOCK = int(zmq.NOBLOCK)
TURN = 4096
"""Frames that a slow reader takes in at a time."""
ATTACH_NS = 100_000_000
"""Between looks for a ring that is not there."""
SILENT_BEATS = 3
"""Heartbeats that do not come through the ring before frames are taken over ZeroMQ as well."""
STEADY_BEATS = 3
"""Heartbeats that come through the ring before they are taken from there alone."""
RING, ZMQ = "ring", "zmq"
PULSE_MS, SILENCE_MS, CONNECT_MS = 25, 100, 100
"""Over TCP with a replayer: between signs of life of the replayer, how long none may come, of the star neither, and how
long an attempt to connect takes."""


class Subscriber(StarReader):
    """A reader of the star.

    Parameters
    ----------
    context
        With two I/O threads (`make_context`).
    endpoints
        Of the publisher, to dial; whether it is there yet does not matter. None: whatever is given to `feed`.
    topics
        To subscribe to.
    clock
        Platform time in nanoseconds.
    instruments
        Only these; None: all.
    on_gap
        Called with (topic, stream, first, last) for each gap, before the frame that showed it is handed out.
    on_epoch
        Called with (epoch before, epoch) when the publisher has a new life, once the earlier one is closed.
    high_water
        Frames that may wait here.
    counters
        Table to keep ``star.delivered`` and so on in.
    positions
        Table to keep `positions()` in, for others to compare (`nautilus.bus.positions`).
    replay
        Endpoint of the replayer (`nautilus.bus.base.replay_endpoint`), or of that of each hub; None: there is none.
    images
        Begin each stream with an image of it; needs a replayer.
    ring
        File of the ring that the publisher writes, on this host; None: everything comes over ZeroMQ.
    multicast
        Takes what the hub sends by multicast, in place of a ring; needs a replayer. It is closed with this.
    on_way
        Called with (way before, way, cause) when frames come by another way: "ring", "multicast", "zmq".
    patience_ns
        Between two looks at the ring: frames gather there meanwhile, unless they fill a quarter of it. At most
        `heartbeat_ns` counts. 0: each is told of at once.
    compression
        "lz4": ask that what comes over ZeroMQ be compressed (`nautilus.bus.compression`).
    policy, capacity
        For a slow reader, see `nautilus.bus.conflation`; the records that it lets wait.
    heartbeat_ns
        Of the publisher.
    timer
        Time for retries and deadlines: the machine's.
    recovery
        Further arguments of `Recovery`.

    Attributes
    ----------
    delivered, lost, duplicates, unknown, conflated, snapshotted, recovered
        Records: handed out; missing for good; seen before and dropped; of a layout not known here; replaced by newer
        ones; that an image stands for; got by replay (they are among the delivered).
    gaps, epochs, malformed, stale, ends_unknown
        Gaps; new lives of the publisher; frames that are none; frames of an earlier life; lives of which nobody could
        say where they ended, so that what they lost last is not known.
    damaged
        Compressed frames that cannot be read; they are among the malformed.
    disconnected
        It left the star because it was too slow.
    way
        By which frames come: "ring", "multicast" or "zmq".
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoints: str | Sequence[str] | None,
        topics: Sequence[Topic],
        *,
        clock: Callable[[], int],
        instruments: Sequence[int] | None = None,
        on_gap: Callable[[Topic, int, int, int], None] | None = None,
        on_epoch: Callable[[int, int], None] | None = None,
        high_water: int = 10_000,
        counters: Counters | None = None,
        positions: Counters | None = None,
        replay: str | Sequence[str] | None = None,
        images: bool = False,
        ring: str | PathLike[str] | None = None,
        multicast: MulticastReader | None = None,
        on_way: Callable[[str, str, str], object] | None = None,
        patience_ns: int = 0,
        compression: Compression = "",
        policy: Policy = "queue",
        capacity: int = 65_536,
        heartbeat_ns: int = 20_000_000,
        timer: Callable[[], int] = machine_ns,
        **recovery: Any,
    ) -> None:
        super().__init__(
            clock=clock,
            timer=timer,
            on_gap=on_gap,
            on_epoch=on_epoch,
            counters=counters,
            positions=positions,
            images=images,
            policy=policy,
            capacity=capacity,
            heartbeat_ns=heartbeat_ns,
            asks=replay is not None,
            **recovery,
        )
        self.touched: set[zmq.Socket[bytes]] = set()
        """Holds a socket while it may not be empty: to be looked at itself before the host waits for its descriptor."""
        self.due_ns = 0
        """When `poll` is to be called again at the latest, by `timer`."""
        self.gathers_until_ns = NEVER
        """Until then nobody tells of a frame, by `timer`: the host comes round by itself, and asks `ripe`."""
        self.asks_by: Callable[[Sequence[Request]], object] | None = None
        """Takes what it asks for to the replayer, where ZeroMQ does not reach that; the answers are fed."""
        self._mark = check_compression(compression)
        self.way = ZMQ
        # Heartbeats wait in the ring too, and have to be heard of well before three of them count as missing.
        self._patience_ns = min(patience_ns, heartbeat_ns)
        self._on_way = on_way
        self._closed = False
        self._multicast = multicast
        # What there is beside ZeroMQ: one of the two.
        self._ring: RingReader | MulticastReader | None = multicast
        self._ring_beat, self._ring_beats, self._ring_ns, self._attach_ns = 0, 0, 0, 0
        self._ring_due_ns = 0
        self._arrived = 0
        self._tcp: list[str] = []
        silence_ns = max(SILENCE_MS * 1_000_000, 5 * heartbeat_ns)
        self._redial = Redial(silence_ns)
        self.socket = new_socket(context, zmq.SUB)
        self._replies: zmq.Socket[bytes] | None = None
        self.sockets = [self.socket]
        try:
            self.socket.setsockopt(zmq.RCVHWM, high_water)
            for topic in sorted(topics, key=lambda topic: layout_of(topic).kind):
                self._take_up(topic, instruments)
            if multicast is not None and (ring is not None or replay is None):
                raise ValueError(
                    "multicast with a ring, or without a replayer; expected the one or the other, and a replayer"
                )
            if ring is not None:
                self._ring = RingReader(ring, doorbell=True, patient=self._patience_ns > 0)
                if self._ring.alive and self._ring.rings:
                    self.way = RING
                    self._ring_ns = timer()
            if self.way == ZMQ:
                self._listen()
            for endpoint in checked_endpoints(endpoints or ()):
                if self.asks and endpoint.startswith("tcp:"):
                    self._tcp.append(endpoint)
                    self.socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
                self.socket.connect(endpoint)
            if replay is not None:
                self._replies = new_socket(context, zmq.DEALER)
                self.sockets.append(self._replies)
                self._replies.setsockopt(zmq.SNDHWM, 1_000)
                replayers = checked_endpoints(replay)
                # Of several hubs one answers: what is asked of another one is asked again, but not of who is gone.
                self._replies.setsockopt(zmq.IMMEDIATE, len(replayers) > 1)
                for endpoint in replayers:
                    if endpoint.startswith("tcp:"):
                        # A queue that is never full, for the reason that `Redial` gives; what comes was asked for.
                        self._replies.setsockopt(zmq.RCVHWM, 0)
                        self._replies.setsockopt(zmq.HEARTBEAT_IVL, PULSE_MS)
                        self._replies.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)
                        self._replies.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
                    self._replies.connect(endpoint)
        except BaseException:
            for socket in self.sockets:
                socket.close()
            if self._ring is not None:
                self._ring.close()
            raise

    # What it reads.

    def subscribe(self, topic: Topic, instruments: Sequence[int] | None = None) -> None:
        """Take another topic, or more instruments of one; None: all of them."""
        fresh, covered = self._take_up(topic, instruments)
        if self.way == ZMQ:
            for stream in fresh:
                self.socket.setsockopt(zmq.SUBSCRIBE, self._prefix(stream))
            for stream in covered:
                self.socket.setsockopt(zmq.UNSUBSCRIBE, self._prefix(stream))

    def unsubscribe(self, topic: Topic, instruments: Sequence[int] | None = None) -> None:
        """Take a topic no longer, or these instruments of it no longer; those of an "all" cannot be taken out.

        Raises
        ------
        TopicError
            It is not subscribed to in this way.
        """
        for stream in self._give_up(topic, instruments):
            if self.way == ZMQ:
                self.socket.setsockopt(zmq.UNSUBSCRIBE, self._prefix(stream))

    # What comes.

    def fileno(self) -> int:
        """Descriptor that is readable when the ring has something, once `arm` was called; -1: there is no ring."""
        return -1 if self._ring is None else self._ring.fileno()

    def arm(self) -> bool:
        """To be called before the host waits. False: there is something to `drain` that no descriptor will tell of."""
        if self._out or self._queue:
            return False
        if self._ring is None:
            return True
        if self.gathers_until_ns != NEVER:
            if 0 < self.gathers_until_ns - self._timer() <= self._patience_ns:  # else it is over, or the clock was set
                return True
            self.gathers_until_ns = NEVER
        return self._ring.arm()

    def ripe(self, now_ns: int) -> bool:
        """Whether frames have gathered long enough to be taken by a host that is awake for another reason, by `timer`.

        Half the time is enough for that: so it is not woken for them as well.
        """
        if self.gathers_until_ns - now_ns > self._patience_ns // 2 or self._ring is None:
            return False
        return self._ring.lag > 0

    def drain(self, limit: int = 64, ready: Container[Any] | None = None) -> list[Batch]:
        """What has come, at most `limit` frames of each way: (topic, records of one stream, read-only), in order.

        An image or what else has flags is `Marked`. A limit whose frames fit into the processor's cache is quicker than
        a larger one. With a policy for slow readers all that has come is taken in, and up to `limit` batches given.
        `ready` holds the sockets that a poll found readable, and the others are not looked at; None: it is not known.
        """
        if not self._closed:
            if self._replies is not None and (ready is None or self._replies in ready):
                self._take_replies()
            room = limit if self._queue is None else TURN
            if self._ring is not None:
                self._take_ring(room)
            if ready is None or self.socket in ready or self._freshness.ripe:
                self._take_socket(room)
            if self._tcp:
                self._watch_socket(self._timer())
            if self._freshness.ripe and self.socket not in self.touched and not (self._ring and self._ring.lag):
                self._freshness.prove()
            if self.requests or self.waits or self.is_timed:
                self.poll(self._timer())
            elif self._multicast is None and not self._tcp and self._ring is not None:
                self.due_ns = self._ring_due_ns
        if self._queue is not None:
            out = self._hand_out_queue(limit)
            if self.disconnected and not self._closed:
                self.close()
            return out
        self._tally.write()
        out, self._out = self._out, []
        return out

    def poll(self, now_ns: int) -> int:
        """Ask for what is missing, give up what is past its deadline; when to call again at the latest, by `timer`."""
        self.due_ns = (
            NEVER if self._closed else min(self.tick(now_ns), self._watch_ring(now_ns), self._watch_socket(now_ns))
        )
        if self._multicast is not None and not self._closed:
            self._ask_for_key(self._multicast, now_ns)
        if self.requests and self._replies is not None and not self._closed:
            requests, self.requests = self.requests, []
            if self.asks_by is not None:
                self.asks_by(requests)
                return self.due_ns
            self.touched.add(self._replies)
            # What finds no room is asked again when it is due.
            with suppress(zmq.Again):
                for request in requests:
                    self._replies.send(pack_request(request), NOBLOCK)
        return self.due_ns

    def close(self) -> None:
        """Close the sockets and leave the ring; what waits in them is dropped."""
        if self._closed:
            return
        self._closed = True
        self._leave()
        self.touched.clear()
        for socket in self.sockets:
            socket.close()
        if self._ring is not None:
            self._ring.close()

    def _take_socket(self, limit: int) -> None:
        """Take in what waits in the socket, at most so many frames."""
        direct, socket, out = self._direct, self.socket, self._out
        self.touched.add(socket)
        while limit > 0:
            before = direct.delivered
            taken, other = receive(direct, socket, out, limit)
            self.delivered += direct.delivered - before
            self._arrived += taken
            limit -= taken + 1
            if other is None:
                if limit >= 0:
                    self.touched.discard(socket)
                return
            self._arrived += 1
            self._take_other(other, asked=True)

    def _watch_socket(self, now_ns: int) -> int:
        """Dial anew where nothing comes over TCP; when to look again."""
        if self.way != ZMQ or not self._tcp:
            return NEVER
        if self._redial.look(self._arrived, now_ns) and self.socket not in self.touched:
            self.touched.add(self.socket)
            for endpoint in self._tcp:
                self.socket.disconnect(endpoint)
                self.socket.connect(endpoint)
        return self._redial.due_ns()

    def _take_replies(self) -> None:
        socket = self._replies
        assert socket is not None
        self.touched.discard(socket)
        for number in range(TURN):
            try:
                frame = socket.recv(NOBLOCK)
            except zmq.Again:
                return
            if number == TURN - 1:
                self.touched.add(socket)
            if frame[:4] == KEY_MAGIC:
                self.malformed += self._multicast is None or not self._multicast.take_key(frame)
                continue
            self.feed(frame, "replay")

    def _ask_for_key(self, multicast: MulticastReader, now_ns: int) -> None:
        """Ask for the key of multicast where that is not known: of the replayer, whatever way else is taken."""
        assert self._replies is not None
        question = multicast.question(now_ns)
        if question:
            self.touched.add(self._replies)
            with suppress(zmq.Again):
                self._replies.send(question, NOBLOCK)

    # The ring.

    def _take_ring(self, limit: int) -> None:
        ring = self._ring
        assert ring is not None
        patient = self._patience_ns > 0 and self.way == RING
        if patient:
            assert isinstance(ring, RingReader)
            ring.hush()
        frames = ring.drain(limit)
        now_ns = self._timer()
        if patient:
            # Where none had come the next one is told of at once: it may be the only one for long.
            self.gathers_until_ns = now_ns + self._patience_ns if 0 < len(frames) < limit else NEVER
        if frames:
            before = self._beats
            self._judge(frames, asked=False)
            if self._beats != before:
                # Steady: one after the other within the time of some.
                steady = now_ns - self._ring_ns <= SILENT_BEATS * self._heartbeat_ns
                self._ring_beats = self._ring_beats + 1 if steady else 1
                self._ring_ns = now_ns
        self._ring_due_ns = self._watch_ring(now_ns)

    def _watch_ring(self, now_ns: int) -> int:
        """Take frames by the way by which they come; when to look again."""
        ring = self._ring
        if ring is None:
            return NEVER
        silent_ns = self._ring_ns + SILENT_BEATS * self._heartbeat_ns
        if self.way != ZMQ:
            if ring.rings and (now_ns <= silent_ns or ring.lag):
                return max(silent_ns, now_ns + self._heartbeat_ns)
            cause = "the ring has no slot" if not ring.rings else f"{ring.name} is silent"
            self._go(ZMQ, cause if ring.alive else "the ring's writer is gone")
            self._listen()
            self._ring_beats = 0
        elif self._ring_beats >= STEADY_BEATS and now_ns <= silent_ns and not ring.lag and ring.rings:
            self._go(ring.way, f"{ring.name} is steady")
            self._listen(False)
            return self._ring_ns + SILENT_BEATS * self._heartbeat_ns
        if not ring.epoch and now_ns >= self._attach_ns:
            self._attach_ns = now_ns + ATTACH_NS
            ring.attach()
        return now_ns + ATTACH_NS

    def _go(self, way: str, cause: str) -> None:
        before, self.way = self.way, way
        if self._on_way is not None:
            self._on_way(before, way, cause)

    def _listen(self, listen: bool = True) -> None:
        """Take frames over ZeroMQ, or no longer."""
        option = zmq.SUBSCRIBE if listen else zmq.UNSUBSCRIBE
        for stream in self._wanted():
            self.socket.setsockopt(option, self._prefix(stream))
        # The heartbeat last: when the publisher takes it in, it has taken in the others.
        self.socket.setsockopt(option, bytes((HEARTBEAT ^ self._mark,)))

    def _prefix(self, stream: int) -> bytes:
        """What to subscribe to for a stream, or a whole kind."""
        kind, instrument = stream >> 32 ^ self._mark, stream & EVERY
        return bytes((kind,)) if instrument == EVERY else topic_bytes(kind, instrument)


__all__ = ["Batch", "Marked", "Subscriber", "flags_of_batch"]
