"""Phases set and shown through the trading engine, and what is refused; the same at its command line."""

from __future__ import annotations

from typing import Any

import pytest

from nautilus.cli import phase as phase_command
from nautilus.cli.main import main
from nautilus.core import Kernel
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.engines.trading.phases import PhaseNotSetError
from nautilus.model.enums import Reason, SessionPhase
from nautilus.model.errors import ModelError, UnknownInstrumentError
from nautilus.model.message import Message
from nautilus.model.phases import GetPhases, PhaseRequest, PhaseResult, Phases
from tests.kit import builders
from tests.kit.builders import BUY, new
from tests.kit.context import RecordingContext, btcusdt
from tests.kit.pair import reasons

OTHER = btcusdt(instrument_id=2, symbol="ETHUSDT")
HALTED, CONTINUOUS, CLOSED = SessionPhase.HALTED, SessionPhase.CONTINUOUS, SessionPhase.CLOSED


class Desk:
    def __init__(self, *, known: bool = True) -> None:
        instruments = [btcusdt(), OTHER]
        self.kernel = Kernel(instruments=instruments[: 2 if known else 1], accounts=[1, 2], huge_pages=False)
        self.engine = TradingEngine(TradingConfig(), self.kernel, instruments)
        self.ctx = RecordingContext()

    def set(self, phase: SessionPhase, **fields: Any) -> PhaseResult:
        answer = self.engine.on_request(PhaseRequest(phase, **fields), self.ctx)
        assert isinstance(answer, PhaseResult)
        return answer

    def phases(self) -> dict[str, str]:
        answer = self.engine.on_request(GetPhases(), self.ctx)
        assert isinstance(answer, Phases)
        return {line.symbol: line.phase.name for line in answer.phases}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_instrument_is_moved_and_the_answer_says_where(desk: Desk) -> None:
    assert desk.phases() == {"BTCUSDT": "CONTINUOUS", "ETHUSDT": "CONTINUOUS"}
    answer = desk.set(HALTED, instrument="ETHUSDT")
    assert (answer.phase, answer.status, answer.instrument_id, answer.symbol) == (HALTED, "applied", 2, "ETHUSDT")
    assert answer.sequence == desk.kernel.last_event_sequence
    assert desk.phases() == {"BTCUSDT": "CONTINUOUS", "ETHUSDT": "HALTED"}
    refused = desk.kernel.process(new(1, BUY, 600_000, 1, instrument_id=2))
    assert reasons(refused) == ["REJECTED SESSION"]


def test_every_instrument_is_moved_where_none_is_named(desk: Desk) -> None:
    desk.set(HALTED, instrument_id=2)
    answer = desk.set(CLOSED, date=20_240_808)
    assert (answer.phase, answer.instrument_id, answer.symbol) == (CLOSED, 0, "")
    assert desk.phases() == {"BTCUSDT": "CLOSED", "ETHUSDT": "CLOSED"}
    desk.set(CONTINUOUS)
    assert set(desk.phases().values()) == {"CONTINUOUS"}


def test_a_close_ends_day_orders_in_its_time(desk: Desk) -> None:
    close_ns = desk.ctx.now_ns + 50
    desk.set(CONTINUOUS, instrument="1", close_ns=close_ns)
    desk.kernel.process(new(1, BUY, 600_000, 1, time_in_force=builders.DAY, now_ns=desk.ctx.now_ns))
    assert desk.kernel.next_timer_ns == close_ns


def test_a_close_that_has_passed_is_rejected_with_its_reason_and_changes_nothing(desk: Desk) -> None:
    answer = desk.set(HALTED, instrument="BTCUSDT", close_ns=desk.ctx.now_ns)
    assert (answer.status, answer.reason, answer.phase) == ("rejected", Reason.EXPIRY, HALTED)
    assert desk.phases()["BTCUSDT"] == "CONTINUOUS"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"instrument": "NOPE"}, UnknownInstrumentError),
        ({"instrument": ""}, UnknownInstrumentError),
        ({"instrument": "BTCUSDT", "instrument_id": 2}, ModelError),
        ({"instrument_id": 77}, UnknownInstrumentError),
    ],
)
def test_an_instrument_that_is_none_is_refused(desk: Desk, fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        desk.set(HALTED, **fields)
    assert set(desk.phases().values()) == {"CONTINUOUS"}


def test_an_instrument_that_the_core_does_not_know_is_named() -> None:
    with pytest.raises(UnknownInstrumentError, match="ETHUSDT: UNKNOWN_INSTRUMENT"):
        Desk(known=False).set(HALTED, instrument="ETHUSDT")


def test_a_core_that_does_not_take_it_is_no_fault_of_the_sender(desk: Desk) -> None:
    late = builders.session(0, HALTED, deadline_ns=1, now_ns=5)

    class Late:
        def process(self, commands: Any) -> Any:
            return desk.kernel.process(late)

    engine = TradingEngine(TradingConfig(), Late(), [btcusdt()])
    with pytest.raises(PhaseNotSetError, match="LATE"):
        engine.on_request(PhaseRequest(HALTED), desk.ctx)


# -- the command line ------------------------------------------------------------------------------------------------


class Asked:
    def __init__(self) -> None:
        self.requests: list[Message] = []
        self.answer: dict[str, Any] = {}

    def ask(self, engine: str, request: Message, **options: Any) -> dict[str, Any]:
        self.requests.append(request)
        return self.answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    monkeypatch.setattr(phase_command, "running", lambda name: name)
    monkeypatch.setattr(phase_command, "client_of", lambda instance, **options: made)
    return made


def test_a_phase_is_set_by_its_name(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.answer = {
        "phase": "PRE_OPEN", "status": "applied", "latency_us": 5.0, "instrument_id": 1, "symbol": "SIMUSD",
        "reason": "NONE",
    }  # fmt: skip
    assert main(["phase", "set", "SIMUSD", "pre-open", "--close-ns", "9", "--date", "20240808"]) == 0
    assert asked.requests == [
        PhaseRequest(SessionPhase.PRE_OPEN, instrument="SIMUSD", close_ns=9, date=20_240_808),
    ]
    assert capsys.readouterr().out == "pre-open of SIMUSD applied, 5 us\n"


def test_a_phase_that_is_rejected_is_exit_code_1(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.answer = {
        "phase": "CLOSED", "status": "rejected", "latency_us": 5.0, "instrument_id": 0, "symbol": "",
        "reason": "EXPIRY",
    }  # fmt: skip
    assert main(["phase", "set", "all", "closed", "--close-ns", "1"]) == 1
    assert capsys.readouterr().out == "closed of every instrument rejected: EXPIRY, 5 us\n"
    assert main(["phase", "set", "", "closed"]) == 2
    assert main(["phase", "set", "SIMUSD", "lunch"]) == 2


def test_every_phase_has_a_word_and_the_list_shows_it(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert {word.upper().replace("-", "_") for word in phase_command.PHASES} == {each.name for each in SessionPhase}
    asked.answer = {
        "phases": [{"instrument_id": 1, "symbol": "SIMUSD", "phase": "OPENING_AUCTION"}],
        "last_sequence": 3,
    }
    assert main(["phase", "list"]) == 0
    assert capsys.readouterr().out.split()[-2:] == ["SIMUSD", "opening-auction"]
