"""A client of HTTP/2 on a connection in memory."""

from __future__ import annotations

from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)

from nautilus.runtime.http.port import Port
from tests.kit.http_wire import Wire


class Answer:
    """What came on one stream."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.ended = False
        self.reset: int | None = None


class Http2Client:
    """Speaks with a port.

    Attributes
    ----------
    answers : by number of the stream.
    goodbye : the code with which the connection was ended; None: it was not.
    takes : what comes is acknowledged, so that more may come.
    """

    def __init__(self, port: Port, *, takes: bool = True, settings: dict[int, int] | None = None) -> None:
        self.wire = Wire(port)
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None, validate_outbound_headers=False))
        self.answers: dict[int, Answer] = {}
        self.goodbye: int | None = None
        self.takes = takes
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self.flush()

    def flush(self) -> None:
        """Send, and take in what comes of it."""
        while data := self.h2.data_to_send():
            self.wire.say(data)
            self.receive()

    def receive(self) -> None:
        """Take in what has come."""
        came = bytes(self.wire.sent)
        self.wire.sent.clear()
        if not came or self.goodbye is not None:
            return
        for event in self.h2.receive_data(came):
            self._on(event)
        if self.goodbye is None:
            self.flush()

    def ask(
        self,
        method: bytes = b"GET",
        path: bytes = b"/",
        body: bytes | None = None,
        *headers: tuple[bytes, bytes],
        end: bool = True,
    ) -> Answer:
        """Send a request; its answer, which may come later."""
        number = self.h2.get_next_available_stream_id()
        self.answers[number] = answer = Answer()
        pseudo = [(b":method", method), (b":path", path), (b":scheme", b"http"), (b":authority", b"localhost")]
        self.h2.send_headers(number, [*pseudo, *headers], end_stream=body is None and end)
        if body is not None:
            self.h2.send_data(number, body, end_stream=end)
        self.flush()
        return answer

    def number_of(self, answer: Answer) -> int:
        """Of the stream of an answer."""
        return next(number for number, found in self.answers.items() if found is answer)

    def _on(self, event: Any) -> None:
        if isinstance(event, ConnectionTerminated):
            self.goodbye = int(event.error_code)
            return
        answer = self.answers.get(getattr(event, "stream_id", 0))
        if answer is None:
            return
        if isinstance(event, ResponseReceived):
            headers = dict(event.headers)
            answer.status = int(headers.pop(b":status"))
            answer.headers = headers
        elif isinstance(event, DataReceived):
            answer.body += event.data
            if self.takes:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            answer.ended = True
        elif isinstance(event, StreamReset):
            answer.reset = int(event.error_code)
