"""Declared streams of an engine: what it publishes on a topic, as JSON over WebSockets.

Each message is encoded once, however many listen. A text frame is one event::

    {"type": "RiskAlert", "epoch": 1764398400000000, "sequence": 17, "value": {...}}

`sequence` counts what was published on the topic since the engine's process began, which `epoch` (microseconds) names:
who finds a number missing, or another epoch, has missed something, and reads the state again.
"""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from nautilus.engines.base import Stream
from nautilus.model.message import Message
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.http.exchange import stopping
from nautilus.runtime.http.fan_out import Audience, FanOut
from nautilus.runtime.http.forms import form_of
from nautilus.runtime.http.problems import HttpError
from nautilus.runtime.http.request import Done, Request
from nautilus.runtime.http.websocket import LATER, RESTARTS, TEXT, accepted, frame_of

MOST_BEHIND = 65_536
"""Events that may wait for the thread that writes; with more of them everybody who listens is closed (code 1013)."""
_ENCODER = msgspec.json.Encoder()


class EventStream:
    """A stream of one engine, and all that listen to it.

    Parameters
    ----------
    stream
        As the engine declares it.
    audience
        Of the engine's port.
    """

    def __init__(self, stream: Stream, audience: Audience) -> None:
        self.stream = stream
        self._audience = audience
        self._fan: FanOut | None = None
        self._epoch_us = wall_ns() // 1000
        self._sequence = 0
        self._waiting: deque[tuple[int, Message]] = deque()
        self._woken = self._wanted = self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leaves = {kind: form_of(kind).leave for kind in stream.topic.messages}

    def put(self, event: Message) -> None:
        """Something was published: from the engine's thread."""
        self._sequence += 1
        if not self._wanted:
            return
        self._waiting.append((self._sequence, event))
        if not self._woken:
            self._woken = True
            assert self._loop is not None
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed
                self._waiting.clear()

    def begin(self, request: Request, done: Done) -> None:
        """Switch to a WebSocket; HttpError where that cannot be."""
        exchange = request.exchange
        if self._ended:
            raise stopping()
        if exchange.query:
            raise HttpError(422, "http.fields", "a stream takes no fields", where="query", expected="none")
        accept = accepted(exchange)
        self._audience.check_room()
        if self._fan is None:
            self._fan = self._audience.fan_out()
            self._loop = self._audience.loop
        self._wanted = True
        self._fan.join(exchange, accept)

    def give_up(self) -> None:
        """The process ends."""
        self._ended = True
        if self._fan is not None:
            self._fan.leave(RESTARTS, "the engine stops")

    def _deliver(self) -> None:
        self._woken = False
        fan, waiting = self._fan, self._waiting
        assert fan is not None
        if len(waiting) > MOST_BEHIND:
            waiting.clear()
            fan.leave(LATER, "too much at once")
        if not fan.listeners:
            self._wanted = False
            waiting.clear()
        while waiting:
            sequence, event = waiting.popleft()
            leave = self._leaves[type(event)]
            assert leave is not None
            fan.send(
                frame_of(
                    TEXT,
                    _ENCODER.encode(
                        {
                            "type": type(event).__name__,
                            "epoch": self._epoch_us,
                            "sequence": sequence,
                            "value": leave(event),
                        }
                    ),
                )
            )
