"""One stream for many WebSockets: each frame is made once and written to all of them, a few at a time.

::

    frame -> FanOut.send -> slice, pause, slice, ...      every listener gets every frame, in order
                              listener, listener, ...     a transport each, no task and no timer
    Audience: all fan-outs of a port: limits, counters, one timer that pings and gives up

Between two slices the loop does everything else, so a broadcast to thousands holds nobody up for longer than a slice.
Who joins gets what is sent from then on. Who does not read is not waited for: once more than the bound waits for it, it
is told so (close code 1008), and dropped. No frame is ever left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

from nautilus.core.counters import Counters
from nautilus.core.http_link import send_now
from nautilus.runtime.http.connections import Member
from nautilus.runtime.http.problems import RETRY, HttpError
from nautilus.runtime.http.websocket import (
    CLOSE,
    GOING,
    MOST_CONTROL,
    PING,
    POLICY,
    PONG,
    RESTARTS,
    UNACCEPTABLE,
    FrameError,
    close_code,
    close_frame,
    frame_of,
    read_frame,
    switching,
)

if TYPE_CHECKING:
    from nautilus.runtime.http.exchange import Exchange

SWEEP_SECONDS = 1.0
CLOSE_SECONDS = 5.0
"""The other side has so long to close, too."""
_PING = frame_of(PING, b"")
_OPEN, _ASKED, _CLOSING, _GONE = range(4)
_ENDS: dict[int, bytes] = {}


class AudienceSettings(NamedTuple):
    """How listeners are treated.

    Attributes
    ----------
    most : listeners at once.
    unsent_bytes : so much may wait for one that does not read, here, and as much in the operating system.
    ping_seconds : each is asked so often whether it lives; who has not answered by the next time is dropped.
    slice_size : so many are written to at a time.
    pause_seconds : between two slices; rounded to milliseconds.
    """

    most: int = 16384
    unsent_bytes: int = 256 << 10
    ping_seconds: float = 20.0
    slice_size: int = 32
    pause_seconds: float = 0.001


class Listener(Member):
    """One WebSocket that takes what is sent to all."""

    __slots__ = ("_fan", "_fd", "_queued", "_rest", "_state", "position", "transport")

    transport: asyncio.Transport

    def __init__(self, fan: FanOut) -> None:
        self._fan = fan
        self._rest: bytes | None = None
        self._state = _OPEN
        self._fd = -1
        self._queued = True
        self.port = None
        self.position = 0
        """Of the first frame that it has not been sent."""

    def write(self, data: bytes) -> None:
        """Send at once what the socket takes; the rest is the transport's, and nothing overtakes that."""
        if self._fd < 0 or (self._queued and self.transport.get_write_buffer_size()):
            self.transport.write(data)
            return
        sent = send_now(self._fd, data)
        self._queued = sent < len(data)
        if self._queued:
            self.transport.write(data[sent:])

    def take_socket(self, fd: int) -> None:
        """Its transport's, where what is written goes there as it is."""
        self._fd = fd

    # Of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._state == _GONE:
            return
        if self._state == _ASKED:
            self._state = _OPEN
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        try:
            while at < size:
                frame = read_frame(data, at, MOST_CONTROL, masked=True)
                if frame is None:
                    if data[at] & 0x0F < CLOSE and size - at >= 2:
                        raise _one_way()
                    break
                at = frame.end
                if frame.opcode < CLOSE:
                    raise _one_way()
                self._on_control(frame.opcode, frame.payload)
        except FrameError as error:
            self._rest = None
            audience = self._fan.audience
            if self._state == _CLOSING:  # it has been told already
                self._end()
            else:
                audience.count("broken")
                self.leave(error.code, error.what)
            return
        self._rest = data[at:] if at < size else None

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        """More waits for it than may."""
        if self._state in (_OPEN, _ASKED):
            self._fan.audience.count("slow")
            self.leave(POLICY, "too slow")

    def resume_writing(self) -> None:
        pass

    def connection_lost(self, error: Exception | None) -> None:
        self._state = _GONE
        self._fd = -1
        self._rest = None
        self._fan.discard(self)
        self._fan.audience.forget(self)
        if self.port is not None:
            self.port.leave(self)

    def _on_control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            if self._state != _CLOSING:
                self.write(frame_of(PONG, payload))
        elif opcode == CLOSE:
            code = close_code(payload)
            if self._state != _CLOSING:
                self.write(close_frame(code))
            self._end()

    # For the fan-out and its audience.

    @property
    def open(self) -> bool:
        """It is to be sent frames."""
        return self._state < _CLOSING

    def leave(self, code: int, reason: str = "") -> None:
        """Say that it closes, and wait for the other side to say so, too."""
        if self._state >= _CLOSING:
            return
        self._state = _CLOSING
        self._fan.discard(self)
        if self.transport.is_closing():
            return
        self.write(_end_of(code, reason))
        self._fan.audience.closes(self)

    def look(self) -> None:
        """Ask whether it lives; whoever was asked before and has said nothing does not."""
        if self._state == _ASKED:
            self._fan.audience.count("silent")
            self.cut()
        elif self._state == _OPEN:
            self._state = _ASKED
            self.write(_PING)

    def cut(self) -> None:
        """Close at once, whatever has not been sent."""
        self._state = _CLOSING
        self._fd = -1
        self._fan.discard(self)
        self.transport.abort()

    def _end(self) -> None:
        """Both sides have said that it closes."""
        self._state = _GONE
        self._fd = -1
        self._fan.discard(self)
        self.transport.close()
        self._fan.audience.closes(self)  # its last bytes may not be taken

    # For its port.

    def close(self) -> None:
        """The port ends."""
        self.leave(GOING)
        self._fd = -1
        self.transport.close()


class FanOut:
    """The listeners of one stream. Made by `Audience.fan_out`.

    Attributes
    ----------
    listeners : those that are sent frames.
    """

    __slots__ = ("_at", "_base", "_frames", "_going", "_joined", "_last", "_order", "_until", "audience", "listeners")

    def __init__(self, audience: Audience) -> None:
        self.audience = audience
        self.listeners: set[Listener] = set()
        self._order: list[Listener] = []
        self._frames: list[bytes] = []
        self._base = 0
        """Position of the first of them."""
        self._at = self._until = 0
        self._going = False
        self._joined: tuple[int, int, bytes] = (0, 0, b"")

    def __len__(self) -> int:
        return len(self.listeners)

    @property
    def head(self) -> int:
        """Position of the next frame."""
        return self._base + len(self._frames)

    def join(self, exchange: Exchange, accept: bytes, lines: bytes = b"", first: bytes = b"") -> Listener:
        """Switch a request to a WebSocket that listens: `first`, and what is sent from now on.

        Parameters
        ----------
        accept
            As `websocket.accepted` gives it.
        lines
            More lines of the answer's head.
        """
        listener = Listener(self)
        listener.position = self.head
        self.listeners.add(listener)
        transport = exchange.upgrade(switching(accept, lines) + first, listener)
        self.audience.joined(listener, transport, tls=exchange.tls)
        return listener

    def discard(self, listener: Listener) -> None:
        """It is sent nothing more."""
        self.listeners.discard(listener)

    def send(self, frame: bytes) -> None:
        """Write a frame to all; those that come in one turn of the loop go together."""
        if not self.listeners:
            return
        self._frames.append(frame)
        self.audience.count("frames")
        if not self._going:
            self._going = True
            self.audience.loop.call_soon(self._begin)

    def leave(self, code: int, reason: str = "") -> None:
        """Close all of them."""
        for listener in list(self.listeners):
            listener.leave(code, reason)

    def _begin(self) -> None:
        self._order = list(self.listeners)
        self._at, self._until = 0, self.head
        self._slice()

    def _slice(self) -> None:
        order, at, head, written = self._order, self._at, self.head, 0
        size = self.audience.settings.slice_size
        while at < len(order) and written < size:
            listener = order[at]
            at += 1
            position = listener.position
            if position < head and listener.open:
                listener.position = head
                written += 1
                listener.write(self._since(position, head))
        self._at = at
        self.audience.add("sent", written)
        if at < len(order):
            self.audience.loop.call_later(self.audience.settings.pause_seconds, self._slice)
            return
        # All that were there as it began have what there was then.
        del self._frames[: self._until - self._base]
        self._base = self._until
        self._order = []
        self._joined = (0, 0, b"")
        if not self._frames or not self.listeners:
            self._base += len(self._frames)
            self._frames.clear()
            self._going = False
        else:
            self.audience.loop.call_later(self.audience.settings.pause_seconds, self._begin)

    def _since(self, position: int, head: int) -> bytes:
        """The frames from a position on, as one piece."""
        begin, end, data = self._joined
        if begin != position or end != head:
            frames = self._frames[position - self._base :]
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            self._joined = (position, head, data)
        return data


class Audience:
    """All listeners of a port or a worker.

    Parameters
    ----------
    counters
        Of the process.
    prefix
        Of the counters' names.
    """

    def __init__(self, counters: Counters, prefix: str, settings: AudienceSettings | None = None) -> None:
        self.settings = settings or AudienceSettings()
        self._sweep_seconds = min(SWEEP_SECONDS, self.settings.ping_seconds / 4)
        self._counters = counters
        self._counts = {
            what: counters.counter(f"{prefix}.{what}")
            for what in ("accepted", "refused", "slow", "silent", "broken", "frames", "sent")
        }
        self.fans: list[FanOut] = []
        self.on_sweep: list[Callable[[float], object]] = []
        """Called every second with the loop's time."""
        self._closing: dict[Listener, float] = {}
        self._open = 0
        self._ask_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """That it works in, once something has been asked of it."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def __len__(self) -> int:
        return self._open

    def count(self, what: str) -> None:
        """One more of that."""
        self._counters.increment(self._counts[what])

    def add(self, what: str, amount: int) -> None:
        """More of that."""
        self._counters.add(self._counts[what], amount)

    def fan_out(self) -> FanOut:
        """A new stream."""
        fan = FanOut(self)
        self.fans.append(fan)
        self.begin()
        return fan

    def drop(self, fan: FanOut) -> None:
        """A stream that nobody listens to any more."""
        self.fans.remove(fan)

    def check_room(self, more: int = 0) -> None:
        """HttpError where there are as many listeners as there may be; `more` are about to be."""
        if len(self) + more >= self.settings.most:
            self.count("refused")
            raise HttpError(
                503, "http.listeners", f"{self.settings.most} WebSockets listen", expected="fewer", headers=RETRY
            )

    def joined(self, listener: Listener, transport: asyncio.Transport, *, tls: bool) -> None:
        """One more listens."""
        self._open += 1
        self.count("accepted")
        most = self.settings.unsent_bytes
        transport.set_write_buffer_limits(most, most // 2)
        own = transport.get_extra_info("socket")
        if own is not None and not transport.is_closing():
            if not tls:
                listener.take_socket(own.fileno())
            with contextlib.suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, most)

    def leave(self, code: int = RESTARTS, reason: str = "") -> None:
        """Close all of them."""
        for fan in list(self.fans):
            fan.leave(code, reason)

    def closes(self, listener: Listener) -> None:
        """It has been told, and has to close soon."""
        self._closing.setdefault(listener, self.loop.time() + CLOSE_SECONDS)

    def forget(self, listener: Listener) -> None:
        """It has closed."""
        self._open -= 1
        self._closing.pop(listener, None)

    def begin(self) -> None:
        """Look after them from now on."""
        if self._timer is None:
            self._ask_at = self.loop.time() + self.settings.ping_seconds
            self._timer = self.loop.call_later(self._sweep_seconds, self._sweep)

    def close(self) -> None:
        """Look after nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        loop = self.loop
        now = loop.time()
        for listener, until in list(self._closing.items()):
            if until > now:
                break
            listener.transport.abort()
        if now >= self._ask_at:
            self._ask_at = now + self.settings.ping_seconds
            self._ask([listener for fan in self.fans for listener in fan.listeners])
        for told in self.on_sweep:
            told(now)
        self._timer = loop.call_later(self._sweep_seconds, self._sweep)

    def _ask(self, listeners: list[Listener], at: int = 0) -> None:
        """Ping some now, the others later, all within half the time: they have the other half to answer."""
        if self._timer is None:
            return
        size = self.settings.slice_size
        for listener in listeners[at : at + size]:
            listener.look()
        at += size
        if at < len(listeners):
            pause = self.settings.ping_seconds / 2 * size / len(listeners)
            self.loop.call_later(max(pause, self.settings.pause_seconds), self._ask, listeners, at)


def _one_way() -> FrameError:
    return FrameError(UNACCEPTABLE, "nothing is taken here")


def _end_of(code: int, reason: str) -> bytes:
    """Made once for each code: thousands may close at once."""
    if reason:
        return close_frame(code, reason)
    found = _ENDS.get(code)
    if found is None:
        found = _ENDS[code] = close_frame(code)
    return found
