"""The star over HTTP: for a reader that neither the ring, nor ZeroMQ, nor Redis brings anything.

::

    subscriber ─ questions ─▶ thread ══ POST /bus/star, token ══▶ hub's port ─▶ replayer
               ◀─ frames ───         ◀═ last heartbeat, frames ══           ◀─ images, records sent again

The hub's last heartbeat says where each stream stands. What the reader then lacks it asks for, as of the replayer, and
by the same door: images of streams, records that are still there. All of it is flagged as such, and has its epoch and
its numbers, so nothing is doubled, and what is nowhere any more is known. Nothing is asked while a better path is well.
"""

from __future__ import annotations

import http.client
import struct
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from nautilus.bus.caller import Caller
from nautilus.bus.requests import Request, pack_request, parse_request
from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters

STAR_PATH = "/bus/star"
POLL_NS = 20_000_000
"""Between two looks, while this is the path that is taken: as often as the hub says where its streams stand."""
PROBE_NS = 500_000_000
"""Between two looks while it stands by for one that is not well."""
AGAIN_NS = 100_000_000
"""Between attempts at a port that does not answer."""
SPACE_NS = 5_000_000
"""Between any two requests."""
SILENCE_NS = 150_000_000
"""A port that takes longer does not answer."""
WATCH_NS = 1_000_000_000
"""So long after it was last asked for it stands by."""
CALL_SECONDS = 1.0
MOST_QUESTIONS = 64
"""In one request."""
MOST_WAITING = 1_024
"""Questions that wait to be asked; more are asked again by who has them."""
MOST_BYTES = 4 << 20
"""Of frames in one response; what is left out is asked for again."""
COUNTED = ("http_star_frames", "http_star_calls", "http_star_failed")
_LENGTH = struct.Struct("<I")


class StarQuestions(msgspec.Struct, frozen=True):
    """The body of a request: whether the last heartbeat is wanted, and questions (`pack_request`) in base 64."""

    beat: bool
    questions: tuple[str, ...] = ()

    def requests(self) -> list[Request]:
        """The questions; ValueError where one is none, or there are too many."""
        if len(self.questions) > MOST_QUESTIONS:
            raise ValueError(f"{len(self.questions)} questions, expected at most {MOST_QUESTIONS}")
        found = [parse_request(b64decode(each, validate=True)) for each in self.questions]
        if None in found:
            raise ValueError("no question")
        return [each for each in found if each is not None]


def pack_frames(frames: Iterable[bytes]) -> bytes:
    """The body of a response: each frame behind its length, u32 little-endian."""
    return b"".join(part for frame in frames for part in (_LENGTH.pack(len(frame)), frame))


def unpack_frames(body: bytes) -> list[bytes]:
    """The frames of a body; ValueError where it does not end with one."""
    frames = []
    at = 0
    while at < len(body):
        if len(body) - at < _LENGTH.size:
            raise ValueError("torn length")
        (size,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        if size > len(body) - at:
            raise ValueError("torn frame")
        frames.append(body[at : at + size])
        at += size
    return frames


class HttpStar:
    """What a reader has of the hub's port; of one thread, which it never keeps waiting.

    Parameters
    ----------
    ports
        Where the hub's process may be asked; called by the thread that asks.
    token
        That those want; None: none.
    clock
        Nanoseconds.
    counters
        Table to keep ``star.http_star_frames`` and so on in.

    Attributes
    ----------
    http_star_frames, http_star_calls, http_star_failed : frames that came; requests, and those without a response.
    """

    def __init__(
        self,
        ports: Callable[[], Sequence[int]],
        token: str | None,
        clock: Callable[[], int],
        *,
        counters: Counters | None = None,
        poll_ns: int = POLL_NS,
    ) -> None:
        self.http_star_frames = self.http_star_calls = self.http_star_failed = 0
        self.active = False
        self._ports = ports
        self._token = token
        self._clock = clock
        self._poll_ns = poll_ns
        self._tally = Tally(counters, "star", self, COUNTED)
        self._frames: deque[bytes] = deque()
        self._questions: deque[bytes] = deque(maxlen=MOST_WAITING)
        self._cause = "not tried"
        self._watched_ns = 0
        self._asked_ns = self._answered_ns = self._due_ns = self._last_ns = 0
        self._line: http.client.HTTPConnection | None = None
        self._port = 0
        self._caller = Caller("star-http", self._run)

    @property
    def cause(self) -> str:
        """Why it is not healthy; "": it is."""
        if self._cause:
            return self._cause
        now_ns, asked_ns = self._clock(), self._asked_ns
        if asked_ns and now_ns - asked_ns > SILENCE_NS:
            return "the port does not answer"
        # Nobody asked for long: what was so then says nothing of now.
        return "not tried" if now_ns - self._answered_ns > WATCH_NS + SILENCE_NS else ""

    def watch(self) -> None:
        """See from now on whether it would do: a better path is not well."""
        self._watched_ns = self._clock()
        self._caller.wake()

    def begin(self, since_ns: int) -> None:
        """Look from now on what there is."""
        self.active = True
        self._due_ns = 0
        self._caller.wake()

    def end(self) -> None:
        """Look no longer."""
        self.active = False

    def ask(self, requests: Iterable[Request]) -> None:
        """Ask these questions soon; the answers are among the frames."""
        self._questions.extend(pack_request(request) for request in requests)
        self._caller.wake()

    def read(self) -> list[bytes]:
        """Frames that came, oldest first."""
        self._caller.told()
        frames = []
        while self._frames:
            frames.append(self._frames.popleft())
        self.http_star_frames += len(frames)
        self._tally.write()
        return frames

    def fileno(self) -> int:
        """Readable when there is something to `read`; the same one for ever."""
        return self._caller.fileno()

    def close(self) -> None:
        """End the thread."""
        self._caller.close()
        self._tally.write()

    # The thread.

    def _run(self) -> None:
        caller = self._caller
        while True:
            with caller.work:
                while not caller.closing and (wait_ns := self._wait_ns()):
                    caller.work.wait(None if wait_ns < 0 else wait_ns / 1e9)
                if caller.closing:
                    break
            self._look()
        self._hang_up()

    def _wait_ns(self) -> int:
        """How long until it is to look again; 0: now; -1: until it is woken."""
        now_ns = self._clock()
        if not self.active and not self._questions and now_ns - self._watched_ns > WATCH_NS:
            return -1
        due_ns = self._last_ns if self._questions and not self._cause else self._due_ns
        return max(due_ns - now_ns, self._last_ns + SPACE_NS - now_ns, 0)

    def _look(self) -> None:
        active = self.active
        questions: list[str] = []
        while self._questions and len(questions) < MOST_QUESTIONS:
            questions.append(b64encode(self._questions.popleft()).decode())
        body = msgspec.json.encode(StarQuestions(active, tuple(questions)))
        self._last_ns = self._asked_ns = self._clock()
        failure = self._call(body)
        now_ns = self._clock()
        self._asked_ns = 0
        if failure:
            # Who asked will ask again; what is old by then is not to be asked for.
            self._questions.clear()
            self.http_star_failed += 1
            self._due_ns = now_ns + AGAIN_NS
        else:
            self._answered_ns = now_ns
            self._due_ns = self._last_ns + (self._poll_ns if active else PROBE_NS)
        self._cause = failure
        self._caller.tell()

    def _call(self, body: bytes) -> str:
        """Ask the first port that answers, and take its frames in; why none did, "" where one did."""
        headers = {"content-type": "application/json"}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        cause = "no port is known"
        # The line that stands is tried first; it may have been closed meanwhile, which says nothing of the port.
        known = [self._port] if self._line is not None else []
        for port in (*known, *self._ports()):
            self.http_star_calls += 1
            if self._line is None or self._port != port:
                self._hang_up()
                self._line, self._port = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_SECONDS), port
            try:
                self._line.request("POST", STAR_PATH, body, headers)
                response = self._line.getresponse()
                content = response.read(MOST_BYTES * 2)
                if response.status < 300:
                    self._frames.extend(unpack_frames(content))
                    return ""
                cause = f"status {response.status}"
            except (OSError, http.client.HTTPException, ValueError) as error:
                cause = str(error) or type(error).__name__
            self._hang_up()
            if self._caller.closing:
                break
        return cause

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


__all__ = [
    "MOST_BYTES",
    "MOST_QUESTIONS",
    "STAR_PATH",
    "HttpStar",
    "StarQuestions",
    "pack_frames",
    "unpack_frames",
]
