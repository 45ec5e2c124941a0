"""Market data by HTTP: the hub's last heartbeat, and what its replayer sends again, for readers without another path.

A request does a bounded amount of work, and only so many are under way at a time: what is live comes first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import zmq

from nautilus.bus.base import ANSWER_STREAM, HEADER_BYTES
from nautilus.bus.http_star import MOST_BYTES, MOST_QUESTIONS, STAR_PATH, StarQuestions, pack_frames
from nautilus.bus.requests import Request, pack_request
from nautilus.runtime.http.exchange import Response
from nautilus.runtime.http.problems import HttpError
from nautilus.runtime.http.request import Request as HttpRequest
from nautilus.runtime.http.request import Route

FRAMES_TYPE = "application/octet-stream"
ANSWER_SECONDS = 0.1
"""So long a request waits for more of what it asked for."""
MOST_AT_ONCE = 32
"""Requests with questions that are under way; one more is told to come again."""
NOBLOCK = int(zmq.NOBLOCK)


class Source(Protocol):
    """The star of an active hub, as this needs it.

    Attributes
    ----------
    beat : its last heartbeat; b"": none yet.
    """

    beat: bytes

    def dial(self) -> Any:
        """A DEALER to the replayer."""
        ...


def star_route(find: Callable[[], Source | None]) -> Route:
    """Answers readers of the star; `find` gives it, None where this process is not the hub now."""
    under_way = 0

    async def take(request: HttpRequest) -> Response:
        nonlocal under_way
        try:
            asked = msgspec.convert(request.body, StarQuestions)
            questions = asked.requests()
        except (msgspec.ValidationError, ValueError) as error:
            what = f"beat, and at most {MOST_QUESTIONS} questions in base 64"
            raise HttpError(422, "http.fields", str(error), expected=what) from None
        star = find()
        if star is None:
            raise HttpError(503, "bus.no_hub", "this process is not the hub", where="star", expected="the one that is")
        frames = [star.beat] if asked.beat and star.beat else []
        if questions:
            if under_way >= MOST_AT_ONCE:
                raise HttpError(
                    503, "bus.busy", f"{under_way} requests are under way", where="star", expected="fewer",
                    headers=((b"retry-after", b"1"),),
                )  # fmt: skip
            under_way += 1
            try:
                frames += await _answers(star.dial(), questions)
            finally:
                under_way -= 1
        return Response(pack_frames(frames), content_type=FRAMES_TYPE)

    return Route("POST", STAR_PATH, take, scope="admin")


async def _answers(socket: Any, questions: Sequence[Request]) -> list[bytes]:
    """What the replayer sends until it has answered all, or there is enough of it."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    descriptor = socket.getsockopt(zmq.FD)
    loop.add_reader(descriptor, ready.set)
    found: list[bytes] = []
    size, open_ = 0, len(questions)
    try:
        for question in questions:
            socket.send(pack_request(question), NOBLOCK)
        while open_ and size < MOST_BYTES:
            try:
                frame = socket.recv(NOBLOCK)
            except zmq.Again:
                ready.clear()
                if socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:  # the descriptor may say nothing of it
                    continue
                try:
                    await asyncio.wait_for(ready.wait(), ANSWER_SECONDS)
                except TimeoutError:
                    break
                continue
            found.append(frame)
            size += len(frame)
            open_ -= len(frame) >= HEADER_BYTES and int.from_bytes(frame[32:40], "little") == ANSWER_STREAM
        return found
    finally:
        loop.remove_reader(descriptor)
        socket.close(0)
