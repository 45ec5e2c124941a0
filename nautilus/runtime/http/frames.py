"""Frames of the mesh by HTTP: for processes of this instance whose sockets, and whose Redis, others do not reach."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import msgspec

from nautilus.bus.http_carrier import FRAMES_PATH, UNREADABLE, Door, HttpFrames
from nautilus.bus.routing import Processes
from nautilus.runtime.http.exchange import Response, json_response
from nautilus.runtime.http.problems import HttpError
from nautilus.runtime.http.request import Request, Route

FIRST_SECONDS = 0.05
"""So long a request waits for the first answer."""
NEXT_SECONDS = 0.002
"""And so long for each that follows."""


def frames_route(directory: str, processes: Collection[str]) -> Route:
    """Takes frames for processes of an instance, of these and of clients, and answers with what they answer."""
    senders = Processes(processes)

    async def take(request: Request) -> Response:
        try:
            wanted = msgspec.convert(request.body, HttpFrames)
        except msgspec.ValidationError as error:
            raise HttpError(422, "http.fields", str(error), expected="sender, to, frames") from None
        if wanted.to not in processes or wanted.sender not in senders:
            raise HttpError(422, "http.fields", f"process {wanted.to!r}", where="to", expected="one of this instance")
        door = Door(directory)
        try:
            try:
                door.put(wanted)
            except UNREADABLE as error:
                raise HttpError(422, "http.fields", str(error), where="frames", expected="base 64") from None
            except OSError as error:
                what = f"process {wanted.to} takes no frames: {error.strerror}"
                raise HttpError(503, "bus.not_reachable", what, where="to", expected="one that runs") from None
            found = await _answers(door) if wanted.frames else []
            return json_response(HttpFrames(wanted.to, wanted.sender, tuple(found)))
        finally:
            door.close()

    return Route("POST", FRAMES_PATH, take, scope="admin")


async def _answers(door: Door) -> list[tuple[str, str]]:
    loop = asyncio.get_running_loop()
    found: list[tuple[str, str]] = []
    ready = asyncio.Event()
    loop.add_reader(door.socket.fileno(), ready.set)
    try:
        while True:
            try:
                await asyncio.wait_for(ready.wait(), NEXT_SECONDS if found else FIRST_SECONDS)
            except TimeoutError:
                return found
            ready.clear()
            try:
                while True:
                    found += door.taken(door.socket.recv(1 << 18))
            except BlockingIOError:
                continue
            except UNREADABLE:
                continue
    finally:
        loop.remove_reader(door.socket.fileno())
