"""The star over Redis Streams: a mirror beside the publisher, and readers that take over where ZeroMQ is gone.

The mirror copies whole frames, heartbeats too, into one stream, `nautilus-{hub}-hybrid-streams`, in a thread of its
own: the publisher leaves each frame in a bounded queue and goes on. A reader's process has a group on it,
`{process}-hybrid-group`, as whose consumer `hybrid-{process}-engine` it reads, from a little before the time when it
last heard of the publisher. Frames have their epoch, stream and sequence, so a subscriber is fed whatever comes: what
it had before it drops, what it lacks it finds.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import hiredis

from nautilus.bus.redis_carrier import BEAT_NS, PRESENT_MS, SILENCE_NS, names_of
from nautilus.bus.redis_link import Lines, RedisLink, pack
from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters

MOST_FRAMES = 65_536
"""Kept in the stream, about; and queued for it."""
PIECE = 256
"""Frames added in one go, and read in one reply."""
UNDER_WAY = 4_096
"""Frames sent and not answered until the mirror waits for the server."""
BACK_MS = 500
"""So much before its last sign of the publisher a reader begins."""
_TIME, _BEAT, _READ, _GROUP = "time", "beat", "read", "group"


class StarMirror:
    """Copies what a publisher sends into Redis.

    Parameters
    ----------
    url
        Of the star's Redis.
    hub
        Process of the publisher.
    clock
        Nanoseconds.
    life
        Of the instance.
    counters
        Table to keep ``redis.star_mirrored`` and so on in.

    Attributes
    ----------
    mirrored, missed : frames that the server took; that found no room, as it was slow or away.
    """

    def __init__(
        self,
        url: str,
        hub: str,
        clock: Callable[[], int],
        *,
        life: str = "",
        counters: Counters | None = None,
        most_frames: int = MOST_FRAMES,
    ) -> None:
        self.star_mirrored = self.star_missed = 0
        self._names = names_of(hub)
        self._clock = clock
        self._life = life.encode()
        self._most = most_frames
        self._queue: deque[bytes] = deque()
        self._tally = Tally(counters, "redis", self, ("star_mirrored", "star_missed"))
        self._link = RedisLink(url)
        self._lines = Lines((self._link,), BEAT_NS)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._sleeps = False
        self._closing = False
        self._beat_due_ns = 0
        self._thread = threading.Thread(target=self._run, name="redis-star", daemon=True)

    def start(self) -> None:
        """Begin; `offer` may have been called before."""
        self._thread.start()

    def offer(self, frame: bytes) -> None:
        """Take a frame of the publisher; of the publisher's thread, which it does not keep waiting."""
        if len(self._queue) >= self._most:
            self.star_missed += 1
            return
        self._queue.append(frame)
        if self._sleeps:
            self._sleeps = False
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Copy what waits, if the server takes it, and end the thread."""
        self._closing = True
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join()
        self._link.close()
        self._lines.close()
        os.close(self._wake)
        self._tally.write()

    def _run(self) -> None:
        link, queue = self._link, self._queue
        while True:
            self._turn(self._clock())
            if self._closing and (not link.open or not (queue or link.waiting)):
                return
            # Said before it is looked once more whether there is anything: a frame that comes in between wakes it.
            self._sleeps = True
            if queue and link.open and len(link.waiting) < UNDER_WAY:
                self._sleeps = False
                continue
            select.select([self._wake, self._lines.fileno()], [], [], 0.05)
            self._sleeps = False
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)

    def _turn(self, now_ns: int) -> None:
        link, queue = self._link, self._queue
        link.tick(now_ns)
        for tag, reply in link.read():
            if isinstance(reply, hiredis.ReplyError):
                link.lose(str(reply), refused=True)
                break
            if tag == _BEAT:
                self._beat_due_ns = now_ns + BEAT_NS
        if link.open:
            if now_ns >= self._beat_due_ns and _BEAT not in link.waiting:
                link.send(_BEAT, pack("SET", self._names.present, self._life, "PX", PRESENT_MS), later=True)
                self._tally.write()
            name, life, most = self._names.normal, self._life, self._most
            for _ in range(min(PIECE, len(queue))):
                if len(link.waiting) >= UNDER_WAY:
                    break
                frame = queue[0]
                if not link.send(None, pack("XADD", name, "MAXLEN", "~", most, "*", "e", life, "f", frame), later=True):
                    break
                queue.popleft()
                self.star_mirrored += 1
            link.flush()
        self._lines.watch()


class StarReader:
    """Reads what a mirror has copied, while it is wanted; of one thread, which it never keeps waiting.

    Parameters
    ----------
    url, hub, clock, life, counters
        As of `StarMirror`; counts ``redis.star_read``.
    process
        That reads.
    """

    def __init__(
        self,
        url: str,
        hub: str,
        process: str,
        clock: Callable[[], int],
        *,
        life: str = "",
        counters: Counters | None = None,
    ) -> None:
        self.star_read = 0
        self.active = False
        self._stream = names_of(hub).normal
        self._present_key = names_of(hub).present
        self._names = names_of(process)
        self._clock = clock
        self._life = life.encode()
        self._tally = Tally(counters, "redis", self, ("star_read",))
        self._control = RedisLink(url, on_lost=self._on_lost)
        self._reader = RedisLink(url, on_lost=self._on_lost)
        self._lines = Lines((self._control, self._reader), BEAT_NS // 2)
        self._mirrored = False
        self._asked_ns = 0
        self._beat_due_ns = 0
        self._since_ns = 0
        self._begun = False
        self._frames: list[bytes] = []
        self._read = pack(
            *("XREADGROUP", "GROUP", self._names.group, self._names.consumer, "COUNT", PIECE, "BLOCK", 0, "NOACK"),
            *("STREAMS", self._stream, ">"),
        )

    @property
    def cause(self) -> str:
        """Why it is not healthy; "": it is."""
        if not self._control.open:
            return self._control.cause
        if self._asked_ns and self._clock() - self._asked_ns > SILENCE_NS:
            return "the server does not answer"
        return "" if self._mirrored else "nothing is mirrored"

    @property
    def healthy(self) -> bool:
        """The server answers, and the mirror lives."""
        return not self.cause

    def watch(self) -> None:
        """It looks at the server all the time."""

    def begin(self, since_ns: int) -> None:
        """Read from now on, from a little before this time; `since_ns` as the clock has it."""
        if not self.active:
            self.active, self._begun, self._since_ns = True, False, since_ns

    def end(self) -> None:
        """Read no longer."""
        self.active = self._begun = False
        self._reader.lose("not wanted")

    def read(self) -> list[bytes]:
        """Frames that came, oldest first; to be called whenever the descriptor is readable."""
        now_ns = self._clock()
        self._control.tick(now_ns)
        for tag, reply in self._control.read():
            self._take(tag, reply, now_ns)
        if self._control.open and now_ns >= self._beat_due_ns:
            self._beat_due_ns = now_ns + BEAT_NS
            if self._asked_ns and now_ns - self._asked_ns > 4 * SILENCE_NS:
                self._control.lose("the server does not answer")
            elif not self._asked_ns and self._control.send(_BEAT, pack("GET", self._present_key)):
                self._asked_ns = now_ns
            self._tally.write()
        if self.active:
            self._reader.tick(now_ns)
            if self._reader.open and not self._begun:
                self._begun = self._reader.send(_TIME, pack("TIME"))
            for tag, reply in self._reader.read():
                self._take(tag, reply, now_ns)
        self._lines.watch()
        frames, self._frames = self._frames, []
        self.star_read += len(frames)
        return frames

    def fileno(self) -> int:
        """Readable when there may be something to `read`, and now and then; the same one for ever."""
        return self._lines.fileno()

    def close(self) -> None:
        """Hang up."""
        self._tally.write()
        self._control.close()
        self._reader.close()
        self._lines.close()

    def _on_lost(self, cause: str) -> None:
        self._begun = False
        if not self._control.open:
            self._mirrored = False
            self._asked_ns = 0

    def _take(self, tag: object, reply: Any, now_ns: int) -> None:
        if isinstance(reply, hiredis.ReplyError):
            if tag == _GROUP and str(reply).startswith("BUSYGROUP"):
                return
            self._begun = False
            if not str(reply).startswith("NOGROUP"):
                for link in (self._control, self._reader):
                    link.lose(str(reply), refused=True)
            return
        if tag == _READ:
            self._take_entries(reply)
            self._reader.send(_READ, self._read)
        elif tag == _BEAT:
            self._asked_ns = 0
            self._mirrored = reply == self._life
        elif tag == _TIME:
            # By the server's own clock: so long ago it was.
            seconds, microseconds = (int(part) for part in reply)
            ago_ms = max(now_ns - self._since_ns, 0) // 1_000_000 + BACK_MS
            start = max(seconds * 1000 + microseconds // 1000 - ago_ms, 0)
            group = self._stream, self._names.group, start
            self._reader.send(_GROUP, pack("XGROUP", "CREATE", *group, "MKSTREAM"), later=True)
            self._reader.send(_GROUP, pack("XGROUP", "SETID", *group), later=True)
            self._reader.send(_READ, self._read)

    def _take_entries(self, reply: Any) -> None:
        for _, entries in reply or ():
            for entry in entries:
                fields = entry[1]
                if fields and len(fields) == 4 and fields[1] == self._life:
                    self._frames.append(fields[3])
        # After a loss it goes on from here.
        self._since_ns = self._clock()
