"""The mesh over Redis Streams: a carrier beside the sockets (`nautilus.bus.carriers`).

A process has three streams, which are read in this order, as one consumer of one group; others add to them::

    {process}.critical                    lane u: FLASH_CRASH and URGENT
    {process}.priority                    HIGH
    nautilus-{process}-hybrid-streams     NORMAL and LOW
    group {process}-hybrid-group, consumer hybrid-{process}-engine

An entry has the sender (`s`), the lane (`l`), the life of the instance (`e`) and the frame (`f`). It is acknowledged
once the mesh has taken the frame in: `receive` gave it out, and was called again. What a connection or a life that is
gone has read and not acknowledged is claimed by the next one. What is added twice, or claimed again after it was taken,
the mesh knows: whatever this carrier does, nothing is doubled; and what it loses the sender still holds.

A stream is kept to about `most_entries`, and what has been acknowledged is trimmed away. Every `beat_ns` a process says
that it reads (`nautilus-{process}-hybrid-present`, which lapses) and asks whether those do that it may send to; so a
server that hangs is found, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import hiredis

from nautilus.bus.carriers import REDIS
from nautilus.bus.envelope import URGENT
from nautilus.bus.redis_link import Lines, RedisLink, pack
from nautilus.bus.routing import CLIENTS
from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters
from nautilus.core.mesh_wire import head_of
from nautilus.model.enums import Priority

BEAT_NS = 50_000_000
SILENCE_NS = 150_000_000
PRESENT_MS = 1_000
MOST_ENTRIES = 10_000
"""Of a stream, about."""
BATCH = 256
"""Entries of a stream in one reply."""
HOLD = 4_096
"""Frames that wait here for the mesh until no more are fetched."""
UNDER_WAY = 8
"""Commands without a reply until frames are gathered: the reply that is to come sends them on."""
CLAIM = 512
OUT_LIMIT = 1 << 24
"""Bytes that wait for the server."""
COUNTED = ("sent", "received", "claimed", "refused", "foreign", "errors", "connections")
_BEAT, _SET, _GROUP, _CLAIMED, _READ = "beat", "set", "group", "claimed", "read"


class Names(NamedTuple):
    """What belongs to a process in Redis."""

    critical: str
    priority: str
    normal: str
    group: str
    consumer: str
    present: str

    @property
    def streams(self) -> tuple[str, str, str]:
        """In the order in which they are read."""
        return self.critical, self.priority, self.normal


def names_of(process: str) -> Names:
    """The names of a process."""
    return Names(
        f"{process}.critical",
        f"{process}.priority",
        f"nautilus-{process}-hybrid-streams",
        f"{process}-hybrid-group",
        f"hybrid-{process}-engine",
        f"nautilus-{process}-hybrid-present",
    )


class RedisCarrier:
    """The carrier of one process; of one thread, which it never keeps waiting.

    Parameters
    ----------
    url
        Of the mesh's Redis.
    process
        Name of this process on the mesh.
    clock
        Nanoseconds.
    life
        Of the instance: what others of its name left in the server is not looked at.
    counters
        Table to keep ``redis.sent`` and so on in.
    most_entries
        Of each stream, about; older ones are trimmed.

    Attributes
    ----------
    sent, received, claimed, refused, foreign, errors, connections
        Frames taken for sending; given out; of those, claimed from an earlier life or connection; not taken; of
        another instance. Errors that the server answered with; connections made.
    """

    name = "redis"
    path = REDIS
    most_bytes = OUT_LIMIT // 2
    on_demand = False

    def __init__(
        self,
        url: str,
        process: str,
        clock: Callable[[], int],
        *,
        life: str = "",
        counters: Counters | None = None,
        most_entries: int = MOST_ENTRIES,
        beat_ns: int = BEAT_NS,
        silence_ns: int = SILENCE_NS,
    ) -> None:
        self.process = process
        self.sent = self.received = self.claimed = self.refused = self.errors = self.connections = self.foreign = 0
        self._life = life
        self._names = names_of(process)
        self._clock = clock
        self._beat_ns = beat_ns
        self._silence_ns = silence_ns
        self._most = most_entries
        self._tally = Tally(counters, "redis", self, COUNTED)
        self._writer = RedisLink(url, out_limit=OUT_LIMIT, on_open=self._on_writer, on_lost=self._on_lost)
        self._reader = RedisLink(url, on_open=self._on_reader, on_lost=self._on_lost)
        self._lines = Lines((self._writer, self._reader), beat_ns // 2)
        self._inbox: tuple[deque[tuple[str, bytes, str, str, bytes]], ...] = (deque(), deque(), deque())
        self._waiting = 0
        self._given: list[list[bytes]] = [[], [], []]
        """Ids of entries of each stream that `receive` gave out last."""
        self._held: set[tuple[int, bytes]] = set()
        """Entries read and not acknowledged."""
        self._targets: dict[str, Names] = {}
        self._present: dict[str, bool] = {}
        self._reading = False
        self._proven = False
        """On this connection the server has taken a word that this process reads, and answered."""
        self._asked_ns = 0
        """When the question was asked that has no answer yet; 0: there is none."""
        self._beat_due_ns = 0
        self._asked: tuple[str, ...] = ()
        self._read = pack(
            *("XREADGROUP", "GROUP", self._names.group, self._names.consumer, "COUNT", BATCH, "BLOCK", 0, "STREAMS"),
            *self._names.streams,
            *(">", ">", ">"),
        )
        self._index = {stream.encode(): at for at, stream in enumerate(self._names.streams)}

    # As the mesh calls it.

    @property
    def cause(self) -> str:
        """Why it is not healthy; "": it is."""
        if not self._writer.open or not self._reader.open:
            return self._writer.cause or self._reader.cause
        if not self._proven:
            return "the server has not answered yet"
        # Who was not there to ask, or to hear, says nothing of the server.
        if self._asked_ns and self._clock() - self._asked_ns > self._silence_ns:
            return "the server does not answer"
        return ""

    @property
    def healthy(self) -> bool:
        """The server answers."""
        return not self.cause

    def watch(self, peers: Iterable[str]) -> None:
        """Ask from now on whether these processes read here."""
        for peer in peers:
            self._present.setdefault(peer, False)

    def usable(self, peer: str) -> bool:
        """Whether the server answers, and the process reads here."""
        if peer not in self._present:
            self._present[peer] = False
            self._beat_due_ns = 0
        if self._asked_ns or self._clock() >= self._beat_due_ns:
            self._work(self._clock())
        return self._present[peer] and not self.cause

    def send(self, peer: str, lane: str, frame: bytes) -> bool:
        """Add a frame to a stream of the process; False where the server is not connected or takes no more."""
        target = self._targets.get(peer)
        if target is None:
            target = self._targets[peer] = names_of(peer)
        stream = target.critical if lane == URGENT else target.priority if _is_high(frame) else target.normal
        writer = self._writer
        # A client makes its streams, and takes them with it: one that is late makes none for who has gone.
        only = ("NOMKSTREAM",) if peer.startswith(CLIENTS) else ()
        fields = "s", self.process, "l", lane, "e", self._life, "f", frame
        command = pack("XADD", stream, *only, "MAXLEN", "~", self._most, "*", *fields)
        if not writer.send(None, command, later=len(writer.waiting) > UNDER_WAY):
            self.refused += 1
            return False
        self.sent += 1
        if writer.unsent:
            self._watch_lines()
        return True

    def receive(self, limit: int) -> list[tuple[str, str, bytes]]:
        """At most `limit` frames, the critical first; those that it gave out before are acknowledged."""
        self._acknowledge()
        self._work(self._clock())
        out: list[tuple[str, str, bytes]] = []
        if not self._waiting:
            return out
        for at, entries in enumerate(self._inbox):
            given = self._given[at]
            while entries and len(out) < limit:
                sender, identity, lane, _, frame = entries.popleft()
                given.append(identity)
                out.append((sender, lane, frame))
        self._waiting -= len(out)
        self.received += len(out)
        self._read_on()
        self._watch_lines()
        return out

    def forget(self, peer: str) -> None:
        """Ask no longer whether it reads here."""
        self._present.pop(peer, None)
        self._targets.pop(peer, None)

    def fileno(self) -> int:
        """Readable when `receive` has something to do, and from time to time; the same one for ever."""
        return self._lines.fileno()

    def close(self) -> None:
        """Acknowledge what was taken, and hang up."""
        self._acknowledge()
        if self._writer.open:
            gone = [self._names.present]
            if self.process.startswith(CLIENTS):
                gone += self._names.streams  # nobody of this name comes back
            self._writer.send(None, pack("DEL", *gone))
            self._writer.flush()
        self._tally.write()
        self._writer.close()
        self._reader.close()
        self._lines.close()

    # The two connections.

    def _work(self, now_ns: int) -> None:
        writer, reader = self._writer, self._reader
        writer.tick(now_ns)
        if writer.open:
            reader.tick(now_ns)
        for tag, reply in writer.read():
            self._take(tag, reply)
        for tag, reply in reader.read():
            self._take(tag, reply)
        if now_ns >= self._beat_due_ns:
            self._beat_due_ns = now_ns + self._beat_ns
            self._beat(now_ns)
        if writer.unsent:
            writer.flush()
        self._read_on()
        self._watch_lines()

    def _watch_lines(self) -> None:
        """What waits here, and what was given out and is to be acknowledged, wakes the host too."""
        self._lines.watch(more=self._waiting > 0 or (self._writer.open and any(self._given)))

    def _on_writer(self) -> None:
        self.connections += 1
        self._beat_due_ns = self._asked_ns = 0

    def _on_reader(self) -> None:
        self._prepare()
        self._beat_due_ns = 0

    def _prepare(self) -> None:
        """Make the group, and claim what others have read and not acknowledged."""
        names = self._names
        for stream in names.streams:
            self._reader.send(_GROUP, pack("XGROUP", "CREATE", stream, names.group, "0", "MKSTREAM"), later=True)
        for stream in names.streams:
            self._claim(stream, b"0-0")
        self._reader.flush()

    def _claim(self, stream: str, start: bytes) -> None:
        command = pack(
            "XAUTOCLAIM", stream, self._names.group, self._names.consumer, "0", start, "COUNT", CLAIM
        )  # fmt: skip
        self._reader.send((_CLAIMED, stream), command, later=True)

    def _on_lost(self, cause: str) -> None:
        self._reading = self._proven = False
        self._asked_ns = 0
        for peer in self._present:
            self._present[peer] = False
        # One server is behind both: what befell one connection is soon found with the other.
        for link in (self._writer, self._reader):
            if link.open:
                link.lose(cause)

    def _read_on(self) -> None:
        """Ask for more, once what was claimed is in and there is room."""
        reader = self._reader
        if reader.open and not self._reading and not reader.waiting and self._waiting < HOLD:
            self._reading = reader.send(_READ, self._read)

    def _beat(self, now_ns: int) -> None:
        writer = self._writer
        if not writer.open:
            return
        if self._asked_ns and now_ns - self._asked_ns > 4 * self._silence_ns:
            writer.lose("the server does not answer")
            return
        if _BEAT not in writer.waiting:
            # As long as this process reads, and no longer.
            if self._reader.open:
                writer.send(_SET, pack("SET", self._names.present, "1", "PX", PRESENT_MS), later=True)
            self._asked = tuple(self._present)
            keys = [names_of(peer).present for peer in self._asked] or [self._names.present]
            if writer.send(_BEAT, pack("MGET", *keys)):
                self._asked_ns = now_ns
        self._tally.write()

    def _take(self, tag: object, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError):
            self._take_error(tag, str(reply))
            return
        if tag == _READ:
            self._reading = False
            for stream, entries in reply or ():
                self._take_entries(self._index[stream], entries)
        elif tag == _SET:
            self._proven = True
        elif tag == _BEAT:
            self._asked_ns = 0
            for peer, value in zip(self._asked, reply, strict=False):
                if peer in self._present:
                    self._present[peer] = value is not None
        elif isinstance(tag, tuple):
            stream = tag[1]
            start, entries = reply[0], reply[1]
            before = self._waiting
            self._take_entries(self._index[stream.encode()], entries)
            self.claimed += self._waiting - before
            if start != b"0-0":
                self._claim(stream, start)
                self._reader.flush()

    def _take_error(self, tag: object, error: str) -> None:
        if tag == _GROUP and error.startswith("BUSYGROUP"):
            return
        self.errors += 1
        if error.startswith("NOGROUP"):
            # The server has begun anew, without what it had.
            if tag == _READ:
                self._reading = False
                self._prepare()
            return
        # It is loading, full, or wants a password: nothing goes over it until that is over.
        self._writer.lose(error, refused=True)
        self._reader.lose(error, refused=True)

    def _take_entries(self, at: int, entries: Any) -> None:
        inbox, held = self._inbox[at], self._held
        for entry in entries:
            if entry is None or entry[1] is None:
                continue  # trimmed since
            identity, fields = entry
            if (at, identity) in held:
                continue  # claimed again by another connection of this life
            try:
                _, sender, _, lane, _, life, _, frame = fields
                if life != self._life.encode():
                    self.foreign += 1
                    self._given[at].append(identity)
                    continue
                item = (sender.decode(), identity, lane.decode(), "", frame)
            except (ValueError, UnicodeDecodeError):
                self.errors += 1
                self._given[at].append(identity)  # never again
                continue
            held.add((at, identity))
            inbox.append(item)
            self._waiting += 1

    def _acknowledge(self) -> None:
        """The mesh has taken in what was given out. Where the server is gone, that is told when it is back."""
        names, writer = self._names, self._writer
        if not writer.open:
            return
        for at, given in enumerate(self._given):
            if given:
                stream = names.streams[at]
                writer.send(None, pack("XACK", stream, names.group, *given), later=True)
                trim = pack("XTRIM", stream, "MINID", "~", given[-1])
                writer.send(None, trim, later=len(writer.waiting) > UNDER_WAY)
                self._held.difference_update((at, identity) for identity in given)
                given.clear()


def _is_high(frame: bytes) -> bool:
    """Whether a frame of the normal lane begins with something of priority HIGH."""
    head = head_of(frame)
    return head is not None and head[1] == Priority.HIGH
