"""Sends again, to readers of the star that ask: records of a stream, images, the ends of earlier epochs.

It is the hub's, over a ROUTER beside the XPUB, polled by the hub's thread. A turn does a bounded amount of work, so
that what is live never waits long for it. Where records are looked for, in this order: the publisher's last frames,
older ones and those of earlier epochs in `archives` (the star's journal on disk, the ring of an earlier life), then the
image of the stream, which stands for all that is gone.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Protocol

import zmq
from zmq.backend import Socket as BackendSocket

from nautilus.bus.backlog import Backlog, FrameBuffer
from nautilus.bus.base import (
    BY_KIND,
    HEADER,
    MAGIC,
    FrameFlag,
    checked_endpoints,
    flagged,
    flags_of,
    new_socket,
    topic_bytes,
)
from nautilus.bus.multicast_wire import parse_key_request
from nautilus.bus.positions import Ended
from nautilus.bus.reading import may_read, user_of
from nautilus.bus.requests import Answer, Operation, Request, Status, matches, pack_answer, parse_request
from nautilus.bus.ring import RingWriter
from nautilus.bus.ring_backlog import EarlierRing, RingBacklog
from nautilus.bus.snapshots import Snapshots, folds
from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters

NOBLOCK = int(zmq.NOBLOCK)
EVENTS = int(zmq.EVENTS)
POLLIN = int(zmq.POLLIN)
SNAPSHOT, REPLAYED = int(FrameFlag.SNAPSHOT), int(FrameFlag.REPLAYED)
COUNTED: Final = ("requests", "replayed", "images", "refused", "malformed_requests", "gone")
JOBS: Final = 4_096
"""Requests under way; more are dropped, and asked again by who asked."""
JOBS_OF_ONE: Final = 256
"""Of one reader."""
PORTION: Final = 16
"""Spent on one request before another one has its turn. A frame costs 1, and 1 more for each 4 KiB."""
LOOK: Final = 128
"""A look at the publisher's frames costs no more than so much."""
BLOCKED: Final = 1
"""What it costs to find that a peer takes nothing."""
MOST_FRAMES: Final = 4_096
"""Frames for one request; the rest is asked for anew."""


class Archive(Protocol):
    """Frames that were kept elsewhere, of any epoch."""

    def find(self, epoch: int, stream: int, first: int, last: int) -> Iterator[bytes | None]:
        """Frames of a stream that hold something of these records; now and then None, where other work may be done."""
        ...

    def ends(self) -> dict[int, dict[int, int]]:
        """{epoch: {stream: last sequence}} of what it has."""
        ...


class _Job:
    """One request under way."""

    __slots__ = ("frames", "peer", "unsent")

    def __init__(self, peer: bytes, frames: Iterator[bytes | None]) -> None:
        self.peer = peer
        self.frames = frames
        self.unsent: bytes | None = None


class Replayer:
    """Answers requests for what was published.

    Parameters
    ----------
    context
        With two I/O threads (`make_context`).
    endpoint
        To bind, see `nautilus.bus.base.replay_endpoint`; `endpoint` then tells what was bound, of several the last.
    epoch
        Of the publisher.
    clock
        Platform time in nanoseconds.
    frames
        What the publisher keeps of its last frames: its ring, or its buffer. What an earlier life left in the ring is
        looked at as well.
    archives
        Where else to look, in this order.
    earlier
        Where earlier epochs ended, as far as others than the archives know it.
    counters
        Table to keep ``replay.requests`` and so on in.
    budget
        What one `poll` may spend: 1 for a frame that is taken in or sent, and 1 more for each 4 KiB that is sent.

    Attributes
    ----------
    key_of : (nonce) -> the answer to who asks for the key of multicast; None: there is none.
    requests, replayed, images, refused, malformed_requests, gone
        Requests; frames sent again; images sent; requests beyond what may be under way, or that were not granted; what
        was no request; requests for records of which some are nowhere any more.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoint: str | Sequence[str],
        *,
        epoch: int,
        clock: Callable[[], int],
        frames: FrameBuffer | RingWriter,
        archives: Sequence[Archive] = (),
        earlier: Sequence[Ended] = (),
        counters: Counters | None = None,
        budget: int = 512,
    ) -> None:
        self.epoch = epoch
        self.requests = self.replayed = self.images = self.refused = self.malformed_requests = self.gone = 0
        self.snapshots = Snapshots()
        self.touched: set[zmq.Socket[bytes]] = set()
        """Holds `socket` while it may not be empty: to be looked at itself before the host waits for its descriptor."""
        self._clock = clock
        self._archives: tuple[Archive, ...] = tuple(archives)
        self._earlier = [each for each in earlier if each.epoch]
        self._backlog: Backlog | RingBacklog
        if isinstance(frames, RingWriter):
            self._backlog = RingBacklog(frames, self.snapshots.fold, self._on_missed)
            if frames.earlier is not None:
                self._archives = (EarlierRing(frames.earlier), *self._archives)
        else:
            self._backlog = Backlog(frames, epoch, self.snapshots.fold, self._on_missed)
        if not self._backlog.complete:
            self.snapshots.missed()
        self.key_of: Callable[[int], bytes] | None = None
        self._budget = budget
        self._behind = False
        self._jobs: deque[_Job] = deque()
        self._by_peer: Counter[bytes] = Counter()
        self._tally = Tally(counters, "replay", self, COUNTED)
        self.socket = new_socket(context, zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.SNDHWM, 1_000)
        self._get: Callable[[int], int] = BackendSocket.get.__get__(self.socket)
        try:
            bound = []
            for each in checked_endpoints(endpoint):
                self.socket.bind(each)
                bound.append(self.socket.getsockopt_string(zmq.LAST_ENDPOINT))
            self.endpoint = bound[-1]
        except BaseException:
            self.socket.close()
            raise

    @property
    def busy(self) -> bool:
        """There is more to do than the last `poll` did: call it again soon."""
        return bool(self._jobs) or self._behind

    def poll(self) -> bool:
        """Take in requests and do some of the work; `busy`.

        Call it whenever `socket` is readable, and often enough for it to follow the publisher: at least whenever a
        heartbeat is due.
        """
        looked = self._backlog.look(self._backlog.at_once)
        self._behind = looked == self._backlog.at_once
        self.snapshots.tend()
        budget = self._budget - min(looked, LOOK)
        self.touched.add(self.socket)
        for _ in range(64):
            if not self._get(EVENTS) & POLLIN:
                self.touched.discard(self.socket)
                break
            self._take(self.socket.recv_multipart(NOBLOCK, copy=False))
        blocked = 0
        while budget > 0 and blocked < len(self._jobs):
            spent = self._work(self._jobs.popleft())
            budget -= spent
            blocked = 0 if spent > BLOCKED else blocked + 1
        self._tally.write()
        return self.busy

    def close(self) -> None:
        """Close the socket; who is waiting asks again, elsewhere or in vain."""
        self._tally.write()
        self._jobs.clear()
        self.touched.clear()
        self._backlog.close()
        self.socket.close()

    # Requests.

    def _take(self, parts: list[zmq.Frame]) -> None:
        request = parse_request(parts[1].bytes) if len(parts) == 2 else None
        if request is None:
            if not self._give_key(parts):
                self.malformed_requests += 1
            return
        self.requests += 1
        peer = parts[0].bytes
        asked = request.streams if request.operation == Operation.SNAPSHOT else (request.stream,)
        kinds = () if request.operation == Operation.END else {stream >> 32 for stream in asked}
        granted = may_read(self.socket, user_of(parts[1]), kinds)
        if len(self._jobs) >= JOBS or self._by_peer[peer] >= JOBS_OF_ONE or not granted:
            self.refused += 1
            return
        self._by_peer[peer] += 1
        self._jobs.append(_Job(peer, self._frames(request)))

    def _give_key(self, parts: list[zmq.Frame]) -> bool:
        """Answer who asks for the key of multicast and may read all that goes by it; whether that is what was asked."""
        nonce = parse_key_request(parts[1].bytes) if self.key_of is not None and len(parts) == 2 else None
        if nonce is None or self.key_of is None:
            return False
        self.requests += 1
        if len(self._jobs) < JOBS and may_read(self.socket, user_of(parts[1]), BY_KIND):
            peer = parts[0].bytes
            self._by_peer[peer] += 1
            self._jobs.append(_Job(peer, iter((self.key_of(nonce),))))
        else:
            self.refused += 1
        return True

    def _frames(self, request: Request) -> Iterator[bytes | None]:
        # What was published before the request came is to be found.
        mark = self._backlog.mark()
        while not self._backlog.reached(mark):
            yield None
        if request.operation == Operation.REPLAY:
            yield from self._replay(request)
        elif request.operation == Operation.SNAPSHOT:
            yield from self._images(request)
        elif request.epoch < self.epoch:
            yield self._end(request)
        # Who closes this life has heard of a later one: its hub knows where this one ended, and is asked next.

    def _work(self, job: _Job) -> int:
        """Send some frames of a request, and put it at the end where there are more; what that cost."""
        spent = BLOCKED
        while spent < PORTION:
            frame = job.unsent
            if frame is None:
                try:
                    frame = next(job.frames)
                except StopIteration:
                    self._end_job(job)
                    return spent + 1
            if frame is None:
                spent += PORTION
                break
            try:
                self.socket.send_multipart((job.peer, frame), NOBLOCK)
            except zmq.Again:  # it reads slowly; so it waits
                job.unsent = frame
                break
            except zmq.ZMQError:  # it has gone
                self._end_job(job)
                return spent + 1
            job.unsent = None
            spent += 1 + (len(frame) >> 12)
        self.touched.add(self.socket)
        self._jobs.append(job)
        return spent

    def _end_job(self, job: _Job) -> None:
        self._by_peer[job.peer] -= 1
        if not self._by_peer[job.peer]:
            del self._by_peer[job.peer]

    def _replay(self, request: Request) -> Iterator[bytes | None]:
        _, number, epoch, stream, first, last, _ = request
        if epoch > self.epoch:  # of the hub that has replaced this one, where nothing is lost
            yield self._answer(Answer(Operation.REPLAY, number, epoch, stream, first, first - 1))
            return
        begin, cursor, sent = 0, first, 0
        for frame in self._search(epoch, stream, first, last):
            if frame is None:
                yield None
                continue
            at, beyond = span_of(frame)
            if not begin:
                begin = max(at, first)
                if begin > first:
                    self.gone += 1
                    if epoch == self.epoch and folds(stream >> 32):
                        image = self._image(stream)
                        if image is not None:
                            # It stands for what follows, too.
                            yield image
                            cursor = last + 1
                            break
                cursor = begin
            if at > cursor:
                break
            if beyond <= cursor:
                continue
            yield flagged(frame, flags_of(frame) | REPLAYED)
            self.replayed += 1
            cursor = beyond
            sent += 1
            if sent >= MOST_FRAMES:
                break
        if not begin:
            self.gone += 1
            begin = cursor = last + 1
            image = self._image(stream) if epoch == self.epoch and folds(stream >> 32) else None
            if image is not None:
                yield image
        yield self._answer(Answer(Operation.REPLAY, number, epoch, stream, begin, cursor - 1, Status.KNOWN))

    def _search(self, epoch: int, stream: int, first: int, last: int) -> Iterator[bytes | None]:
        """Frames with something of these records, in order as far as there are any.

        Each source may have a part of them: of those that go on where the last one ended, the quickest.
        """
        finds: list[Callable[[int, int], Iterator[bytes | None]]] = []
        if epoch == self.epoch:
            finds.append(partial(self._backlog.find, stream))
        finds += [partial(archive.find, epoch, stream) for archive in self._archives]
        cursor = first
        while cursor <= last:
            best: tuple[int, bytes, Iterator[bytes | None]] | None = None
            for find in finds:
                frames = find(cursor, last)
                for frame in frames:
                    if frame is None:
                        yield None
                        continue
                    begins = max(span_of(frame)[0], cursor)
                    if best is None or begins < best[0]:
                        best = begins, frame, frames
                    break
                if best is not None and best[0] == cursor:
                    break
            if best is None:
                return
            cursor, frame, frames = best
            yield frame
            cursor = max(cursor, span_of(frame)[1])
            for frame in frames:
                if frame is not None:
                    begins, beyond = span_of(frame)
                    if begins > cursor:  # another one may have what is between
                        break
                    cursor = max(cursor, beyond)
                yield frame

    def _images(self, request: Request) -> Iterator[bytes | None]:
        for stream in self.snapshots.streams():
            if matches(request.streams, stream):
                image = self._image(stream)
                if image is not None:
                    yield image
        status = Status.KNOWN | (Status.COMPLETE if self.snapshots.complete else Status(0))
        yield self._answer(Answer(Operation.SNAPSHOT, request.number, self.epoch, status=status))

    def _image(self, stream: int) -> bytes | None:
        found = self.snapshots.image(stream)
        if found is None:
            return None
        self.images += 1
        as_of, records = found
        layout = BY_KIND[stream >> 32]
        header = HEADER.pack(
            topic_bytes(layout.kind, stream & 0xFFFFFFFF),
            MAGIC,
            layout.kind,
            layout.version,
            layout.record_size,
            len(records),
            self.epoch,
            stream,
            as_of,
            self._clock(),
        )
        return flagged(header, SNAPSHOT) + records.tobytes()

    def _end(self, request: Request) -> bytes:
        known = self.ends()
        lasts = known.get(request.epoch)
        later = min((epoch for epoch in (*known, self.epoch) if epoch > request.epoch), default=0)
        status = Status(0) if lasts is None else Status.KNOWN
        rows = tuple((lasts or {}).items())
        return self._answer(Answer(Operation.END, request.number, request.epoch, 0, 0, 0, status, later, rows))

    def ends(self) -> dict[int, dict[int, int]]:
        """{epoch: {stream: last sequence}} of earlier epochs, from all that know of them."""
        found: dict[int, dict[int, int]] = {}
        told = [{each.epoch: each.lasts} for each in self._earlier]
        for ends in (*told, *(archive.ends() for archive in self._archives)):
            for epoch, lasts in ends.items():
                if epoch < self.epoch:
                    known = found.setdefault(epoch, {})
                    for stream, last in lasts.items():
                        known[stream] = max(last, known.get(stream, 0))
        return found

    def _answer(self, answer: Answer) -> bytes:
        return pack_answer(answer, self._clock())

    def _on_missed(self, frames: int) -> None:
        self.snapshots.missed()


def span_of(frame: bytes) -> tuple[int, int]:
    """First sequence of a frame, and the one behind its last."""
    first = int.from_bytes(frame[40:48], "little")
    return first, first + int.from_bytes(frame[20:24], "little")
