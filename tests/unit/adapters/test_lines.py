"""The adapter of a venue that speaks JSON lines, over real sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nautilus.adapters.lines import LinesAdapter, Translator, check_address, decode, submission
from nautilus.core.clock import now_ns
from nautilus.core.types import CommandKind, OrderFlag, OrderType, Side, TimeInForce
from nautilus.model.errors import ConfigError
from nautilus.model.venue import (
    Accepted,
    Cancelled,
    Filled,
    OrderKey,
    Recovered,
    Rejected,
    Replaced,
    Status,
    VenueLostError,
    VenueOrder,
    VenuePlace,
    VenueReport,
)

MS = 1_000_000
PATIENCE_NS = 20_000 * MS
KEY = OrderKey(1, 7, 101)
OWN = {"client_id": KEY.client_id, "instrument": 101}
EXECUTION = {**OWN, "side": "BUY", "price": 99, "quantity": 2, "execution": "E1"}
ORDER = VenueOrder(
    KEY,
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    time_in_force=TimeInForce.GTD,
    flags=OrderFlag.POST_ONLY | OrderFlag.HIDDEN,
    strategy_id=3,
    price_ticks=99,
    quantity=5,
    display_quantity=0,
    trigger_ticks=0,
    expire_ns=12,
)


class Venue:
    """The other end of the line."""

    def __init__(self, server: socket.socket, address: str) -> None:
        self.server, self.address = server, address
        self.line: socket.socket | None = None
        self.lines: list[socket.socket | LinesAdapter] = []
        self.session = 0
        self.number = 0

    def open(self, adapter: LinesAdapter, *more: dict[str, Any]) -> None:
        """Take a connection and open a session, with `more` said in the same breath."""
        assert not adapter.connect()
        self.line, _ = self.server.accept()
        self.lines.append(self.line)
        self.line.settimeout(60)
        assert self.heard() == {"do": "session"}
        self.session += 1
        self.number = 0
        self.write({"say": "session", "session": self.session}, *(self.numbered(message) for message in more))
        end = now_ns() + PATIENCE_NS
        while not adapter.connect():
            assert now_ns() < end

    def numbered(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message of the session with its number."""
        if message["say"] != "here":
            self.number += 1
        return {"session": self.session, "number": self.number, **message}

    def say(self, *messages: dict[str, Any]) -> None:
        """Messages of the session, numbered."""
        self.write(*(self.numbered(message) for message in messages))

    def write(self, *messages: dict[str, Any]) -> None:
        """As they are."""
        assert self.line is not None
        self.line.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def heard(self) -> dict[str, Any]:
        """The next request."""
        assert self.line is not None
        content = b""
        while not content.endswith(b"\n"):
            content += self.line.recv(1)
        return dict(json.loads(content))


@pytest.fixture(params=["ipc", "tcp"])
def venue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Venue]:
    if request.param == "ipc":
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(tmp_path / "v"))
        address = f"ipc://{tmp_path / 'v'}"
    else:
        server = socket.socket()
        server.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    server.listen()
    server.settimeout(60)
    found = Venue(server, address)
    yield found
    server.close()
    for line in found.lines:
        line.close()


def adapter_of(venue: Venue, **times: int) -> LinesAdapter:
    adapter = LinesAdapter(VenuePlace(9, venue.address, **times))
    venue.lines.append(adapter)
    return adapter


def repeat(*calls: Callable[[], object]) -> None:
    """Again and again, until one of them raises or the patience ends."""
    end = now_ns() + PATIENCE_NS
    while now_ns() < end:
        for call in calls:
            call()


def reports(adapter: LinesAdapter, count: int) -> list[VenueReport]:
    found: list[VenueReport] = []
    end = now_ns() + PATIENCE_NS
    while len(found) < count:
        assert now_ns() < end, found
        found += adapter.poll(20 * MS)
    return found


def test_requests_and_reports_cross_the_line(venue: Venue) -> None:
    adapter = adapter_of(venue)
    venue.open(adapter)
    adapter.submit(ORDER)
    assert venue.heard() == {
        "do": "submit",
        **OWN,
        "side": "BUY",
        "type": "LIMIT",
        "time_in_force": "GTD",
        "flags": ["POST_ONLY", "HIDDEN"],
        "price": 99,
        "quantity": 5,
        "expire_ns": 12,
    }
    adapter.cancel(KEY)
    assert venue.heard() == {"do": "cancel", **OWN}
    adapter.replace(KEY, 98, 4, 0)
    assert venue.heard() == {"do": "replace", **OWN, "price": 98, "quantity": 4}
    adapter.replace(KEY, 98, 4, 97)
    assert venue.heard()["trigger"] == 97
    adapter.query(KEY)
    assert venue.heard() == {"do": "query", **OWN}
    adapter.recover()
    assert venue.heard() == {"do": "recover"}
    venue.say(
        {"say": "accepted", **OWN, "reference": "V1"},
        {"say": "rejected", **OWN, "request": "CANCEL"},
        {"say": "filled", **EXECUTION},
        {"say": "replaced", **OWN, "price": 98, "quantity": 4},
        {"say": "cancelled", **OWN, "expired": True, "filled": 2},
        {"say": "status", **OWN, "known": False},
        {
            "say": "status",
            **OWN,
            "known": True,
            "open": True,
            "price": 98,
            "quantity": 4,
            "reference": "V1",
            "executions": [EXECUTION],
        },
        {"say": "recovered", "executions": [EXECUTION]},
    )
    filled = Filled(KEY, Side.BUY, 99, 2, "E1")
    assert reports(adapter, 10) == [
        Accepted(KEY, "V1"),
        Rejected(KEY, CommandKind.CANCEL),
        filled,
        Replaced(KEY, 98, 4),
        Cancelled(KEY, True, 2),
        Status(KEY, known=False),
        filled,
        Status(KEY, known=True, open=True, price_ticks=98, quantity=4, reference="V1"),
        filled,
        Recovered(),
    ]
    adapter.close()


def test_what_comes_with_the_opening_of_a_session_is_not_lost(venue: Venue) -> None:
    adapter = adapter_of(venue)
    venue.open(adapter, {"say": "filled", **EXECUTION})
    assert reports(adapter, 1) == [Filled(KEY, Side.BUY, 99, 2, "E1")]


def test_a_message_that_is_missing_ends_the_session(venue: Venue) -> None:
    adapter = adapter_of(venue, missing_ns=0)
    venue.open(adapter)
    venue.number += 1  # one that nobody sends
    venue.say({"say": "filled", **EXECUTION})
    with pytest.raises(VenueLostError, match="message 1 did not come"):
        repeat(lambda: adapter.poll(20 * MS))


def test_a_venue_that_says_nothing_is_lost_and_one_that_does_is_not(venue: Venue) -> None:
    adapter = adapter_of(venue, silence_ns=1)
    venue.open(adapter)
    venue.say({"say": "here"})
    with pytest.raises(VenueLostError, match="said nothing"):
        repeat(lambda: adapter.poll(1 * MS))
    calm = adapter_of(venue)
    venue.open(calm)
    venue.say({"say": "here"})
    assert calm.poll(1 * MS) == []


@pytest.mark.parametrize(
    "content",
    [
        b"no json\n",
        b"\xff\xfe\n",
        b'{"say": "unheard"}\n',
        b'{"say": "filled", "session": 1, "number": 1}\n',
        b'{"say": "accepted", "session": 1, "number": 1, "client_id": "x", "instrument": 1, "reference": ""}\n',
        json.dumps({"say": "filled", "session": 1, "number": 1, **EXECUTION, "quantity": 0}).encode() + b"\n",
        json.dumps({"say": "filled", "session": 1, "number": 1, **EXECUTION, "price": 1 << 41}).encode() + b"\n",
    ],
)
def test_what_cannot_be_understood_ends_the_session(content: bytes) -> None:
    with pytest.raises(VenueLostError, match="message"):
        decode(content.rstrip(b"\n"))


def test_the_end_of_the_line_is_told_after_its_last_words(venue: Venue) -> None:
    adapter = adapter_of(venue)
    venue.open(adapter)
    assert venue.line is not None
    venue.say({"say": "filled", **EXECUTION})
    venue.line.close()
    assert reports(adapter, 1) == [Filled(KEY, Side.BUY, 99, 2, "E1")]
    with pytest.raises(VenueLostError):
        repeat(lambda: adapter.poll(20 * MS), lambda: adapter.query(KEY))


def test_a_venue_that_does_not_read_is_lost_rather_than_waited_for(venue: Venue) -> None:
    adapter = adapter_of(venue)
    venue.open(adapter)
    with pytest.raises(VenueLostError, match="wait to be sent"):
        repeat(lambda: adapter.submit(ORDER))


def test_nobody_at_the_address_is_no_session_and_no_error(venue: Venue) -> None:
    adapter = adapter_of(venue)
    venue.server.close()
    Path(venue.address.removeprefix("ipc://")).unlink(missing_ok=True)
    assert [adapter.connect() for _ in range(3)] == [False] * 3
    assert adapter.fileno() == -1 or venue.address.startswith("tcp")
    with pytest.raises(VenueLostError):
        repeat(lambda: adapter.cancel(KEY), lambda: adapter.poll(1 * MS))


def test_a_session_that_does_not_open_is_begun_anew(venue: Venue) -> None:
    adapter = adapter_of(venue, connect_ns=0)
    assert not adapter.connect()
    end = now_ns() + PATIENCE_NS
    while adapter.fileno() >= 0:
        adapter.connect()
        assert now_ns() < end
    venue.server.accept()[0].close()


def said(number: int, what: str, **fields: Any) -> Any:
    return decode(json.dumps({"say": what, "session": 1, "number": number, **fields}).encode())


def test_a_state_that_was_overtaken_is_left_out_but_not_its_executions() -> None:
    translator = Translator(10)
    translator.begin(1)
    newer = said(2, "replaced", **OWN, price=97, quantity=9)
    assert translator.take(newer, 0) == [Replaced(KEY, 97, 9)]
    older = said(1, "status", **OWN, known=True, open=True, price=99, quantity=5, executions=[EXECUTION])
    assert translator.take(older, 0) == [Filled(KEY, Side.BUY, 99, 2, "E1")]
    assert translator.take(newer, 0) == [], "a second copy of a state"
    fill = said(3, "filled", **EXECUTION)
    assert translator.take(fill, 0) == translator.take(fill, 0) == [Filled(KEY, Side.BUY, 99, 2, "E1")]
    assert (
        translator.take(decode(b'{"say":"filled","session":2,"number":4,' + json.dumps(EXECUTION)[1:].encode()), 0)
        == []
    )


def test_a_hole_is_measured_from_when_it_was_seen_and_closes() -> None:
    translator = Translator(10)
    translator.begin(1)
    translator.take(said(2, "filled", **EXECUTION), 100)
    translator.check(110)
    with pytest.raises(VenueLostError, match="message 1"):
        translator.check(111)
    translator.take(said(1, "filled", **EXECUTION), 112)
    translator.check(1_000)
    translator.take(said(3, "here"), 1_000)
    with pytest.raises(VenueLostError, match="message 3"):
        translator.check(1_011)


def test_orders_of_others_at_the_venue_are_left_out() -> None:
    translator = Translator(10)
    translator.begin(1)
    foreign = {**EXECUTION, "client_id": "by hand"}
    assert translator.take(said(1, "filled", **foreign), 0) == []
    assert translator.take(said(2, "recovered", executions=[foreign, EXECUTION]), 0) == [
        Filled(KEY, Side.BUY, 99, 2, "E1"),
        Recovered(),
    ]
    assert translator.foreign == 2


def test_newest_states_are_not_kept_for_ever() -> None:
    translator = Translator(10)
    translator.begin(1)
    for number in range(1, 10_000):
        own = {"client_id": OrderKey(1, number, 0).client_id, "instrument": 101}
        assert translator.take(said(number, "replaced", **own, price=97, quantity=9), 0)
    assert len(translator._newest) < 5_000


def test_zero_and_empty_fields_of_an_order_are_left_out() -> None:
    plain = ORDER._replace(flags=0, price_ticks=0, order_type=OrderType.MARKET, expire_ns=0)
    assert set(submission(plain)) == {"do", "client_id", "instrument", "side", "type", "time_in_force", "quantity"}


@pytest.mark.parametrize("address", ["ipc:///tmp/v", "tcp://127.0.0.1:9000", "tcp://localhost:1", "tcp://[::1]:9000"])
def test_addresses_on_this_machine(address: str) -> None:
    assert check_address(address)


@pytest.mark.parametrize(
    "address",
    ["", "ipc://", "tcp://192.0.2.1:9000", "tcp://127.0.0.1:0", "tcp://127.0.0.1:x", "http://a", "ipc:///" + 107 * "x"],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="address"):
        check_address(address)
