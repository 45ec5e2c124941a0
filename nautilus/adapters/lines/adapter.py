"""The adapter of a venue that speaks JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from nautilus.adapters.lines.line import Line, check_address
from nautilus.adapters.lines.messages import SaidSession, Translator, decode, request, submission
from nautilus.core.clock import now_ns
from nautilus.model.venue import OrderKey, VenueLostError, VenueOrder, VenuePlace, VenueReport

RETRY_NS = 100_000_000


class LinesAdapter:
    """One thread; see `nautilus.model.venue.VenueAdapter` for its methods.

    Parameters
    ----------
    place
        ``ipc://PATH`` or ``tcp://127.0.0.1:PORT``.

    Raises
    ------
    ConfigError
        The address is neither.
    """

    def __init__(self, place: VenuePlace) -> None:
        check_address(place.address)
        self.venue_id = place.venue_id
        self._place = place
        self._translator = Translator(place.missing_ns)
        self._line: Line | None = None
        self._opened = False
        self._ready: list[bytes] = []  # lines that came with the one that opened the session
        self._began_ns = self._heard_ns = 0
        self._again_ns = 0

    @property
    def foreign(self) -> int:
        """Reports of orders that are none of ours."""
        return self._translator.foreign

    def connect(self) -> bool:
        """A session is asked for; open once the venue has named it."""
        now = now_ns()
        try:
            if self._line is None:
                if now < self._again_ns:
                    return False
                self._again_ns, self._began_ns = now + RETRY_NS, now
                self._line = Line(self._place.address)
                self._line.send(msgspec.json.encode({"do": "session"}))
            self._line.flush()
            lines = self._line.receive()
            for place, content in enumerate(lines):
                message = decode(content)
                if isinstance(message, SaidSession):
                    self._translator.begin(message.session)
                    self._ready = lines[place + 1 :]
                    self._heard_ns = now
                    self._opened = True
                    return True
            if now - self._began_ns > self._place.connect_ns:
                self.close()
        except (OSError, VenueLostError):
            self.close()
        return False

    def close(self) -> None:
        """The line ends; the venue ends the session with it."""
        if self._line is not None:
            self._line.close()
        self._line = None
        self._opened = False
        self._ready = []

    def submit(self, order: VenueOrder) -> None:
        """Sent once; where the line breaks within, the venue may have it or not."""
        self._send(submission(order))

    def cancel(self, key: OrderKey) -> None:
        """Sent once."""
        self._send(request("cancel", key))

    def replace(self, key: OrderKey, price_ticks: int, quantity: int, trigger_ticks: int) -> None:
        """Sent once."""
        trigger = {"trigger": trigger_ticks} if trigger_ticks else {}
        self._send(request("replace", key, price=price_ticks, quantity=quantity, **trigger))

    def query(self, key: OrderKey) -> None:
        """Answered by a status."""
        self._send(request("query", key))

    def recover(self) -> None:
        """Answered by executions and states of open orders."""
        self._send({"do": "recover"})

    def fileno(self) -> int:
        """Of the line; -1: there is none."""
        return -1 if self._line is None else self._line.fileno()

    def poll(self, wait_ns: int) -> Sequence[VenueReport]:
        """What came; VenueLostError where the venue is silent, or a message did not come."""
        line = self._line
        if line is None or not self._opened:
            return []
        line.flush()
        if wait_ns and not self._ready:
            line.wait(wait_ns)
        contents = [*self._ready, *line.receive()]
        self._ready = []
        now = now_ns()
        if contents:
            self._heard_ns = now
        elif now - self._heard_ns > self._place.silence_ns:
            raise VenueLostError(
                f"the venue has said nothing for {(now - self._heard_ns) / 1e9:.3f} s",
                expected=f"a sign of life every {self._place.silence_ns / 1e9:g} s",
            )
        out: list[VenueReport] = []
        for content in contents:
            out += self._translator.take(decode(content), now)
        self._translator.check(now)
        return out

    def _send(self, message: dict[str, Any]) -> None:
        if self._line is None:
            raise VenueLostError("there is no line to the venue")
        self._line.send(msgspec.json.encode(message))
