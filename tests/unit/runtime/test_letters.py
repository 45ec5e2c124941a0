"""Dead letters of live hosts: kept, read by the command line, sent again where somebody asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nautilus.bus import DeadLetter, MessageKind
from nautilus.bus.allowed import NOT_REDIS, paths_of
from nautilus.bus.carriers import ALL, EVERY_PATH, REDIS
from nautilus.bus.client import AnswerError, BusClient
from nautilus.bus.dead_letters import DeadLetterLog, LetterReader
from nautilus.bus.envelope import Delivery
from nautilus.cli.main import main
from nautilus.core.counters import Counters
from nautilus.engines.base import Engine
from nautilus.model.codec import to_msgpack
from nautilus.model.commands import CancelOrder, CommandBatch, ResumeTrading, SubmitOrder
from nautilus.model.enums import SessionPhase, Side
from nautilus.model.phases import PhaseRequest
from nautilus.model.queries import GetRisk, GetStrategies, KillRequest, OrderRequest
from nautilus.runtime.buslog import BusLog
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.letters import LETTERS, Letters, Outcome, decode_outcomes
from nautilus.runtime.live import mesh_endpoint
from tests.kit.instances import own_place
from tests.kit.live_host import RunningHost, eventually, make_plan, short_directory

MS = 1_000_000
SUBMIT = SubmitOrder(1, 1, 1, Side.BUY, 1)
CANCEL = CancelOrder(1, 1, 1)


class Taker(Engine):
    """Notes the commands and requests that it gets."""

    name = "strategy"

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_command(self, message: Any, ctx: Any) -> None:
        self.seen.append(message)

    def on_request(self, message: Any, ctx: Any) -> Any:
        self.seen.append(message)
        return message


class Sender(Taker):
    """The same under another name."""

    name = "risk"


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as found:
        yield found


@pytest.fixture
def hosts(directory: Path) -> Iterator[Any]:
    """A host `risk`; call it with "strategy" for another one, which is not there yet."""
    plan = make_plan(directory, {"risk": ("risk",), "strategy": ("strategy",)})
    running: list[RunningHost] = []

    def start(name: str) -> RunningHost:
        engine = {"risk": Sender, "strategy": Taker}[name]
        running.append(RunningHost(plan, name, {name: engine}).ready())
        return running[-1]

    start("risk")
    client = BusClient("test", plan.routing, partial(mesh_endpoint, plan), plan.star)
    try:
        yield start, running[0], client
    finally:
        client.close()
        for each in running:
            each.stop()


def letters_of(directory: Path, process: str) -> list[Any]:
    return list(LetterReader(directory / "data" / "letters" / process).read())


def give_up(
    host: RunningHost, *messages: Any, kind: MessageKind = MessageKind.COMMAND, wait_ns: int = 5 * MS, **options: Any
) -> None:
    """Post messages to a process that may not be there, until their deadline."""

    def post() -> None:
        for message in messages:
            host.host.mesh.post(
                "strategy",
                to="strategy",
                sender="risk",
                kind=kind,
                payload=message if isinstance(message, bytes) else to_msgpack(message),
                deadline_ns=wall_ns() + wait_ns,
                **options,
            )

    host.do(post)


def again(client: BusClient, process: str, *numbers: int) -> list[Outcome]:
    return decode_outcomes(client.ask(process, LETTERS, msgspec.msgpack.encode(list(numbers)), 3, 60.0))


def test_a_letter_is_kept_and_sent_again_once_its_receiver_is_there(hosts: Any, directory: Path) -> None:
    start, risk, client = hosts
    give_up(risk, GetRisk(), GetStrategies(), trace_id=0xABC)
    letters = eventually(lambda: len(found := letters_of(directory, "risk")) == 2 and found)
    assert [(each.reason, each.peer, each.to, each.trace_id) for each in letters] == [
        ("deadline", "strategy", "strategy", f"{0xABC:032x}")
    ] * 2
    strategy = start("strategy")
    assert again(client, "risk", 2, 77, 2) == [
        Outcome(2, "strategy"),
        Outcome(77, "", "there is no such letter"),
    ]
    eventually(lambda: strategy.engine("strategy").seen == [GetStrategies()])
    counters = risk.host.counters.snapshot()
    assert (counters["letters.written"], counters["letters.replayed"], counters["letters.refused"]) == (2, 1, 1)


@pytest.mark.parametrize(
    "message",
    [
        SUBMIT,
        OrderRequest("SIMUSD", Side.BUY, "1"),
        CommandBatch(CANCEL.to_row(0) + SUBMIT.to_row(0)),
        CommandBatch(b"too short"),
    ],
    ids=["command", "request", "batch", "junk batch"],
)
def test_what_enters_the_market_is_not_sent_again(hosts: Any, directory: Path, message: Any) -> None:
    start, risk, client = hosts
    give_up(risk, message, kind=MessageKind.REQUEST)
    eventually(lambda: letters_of(directory, "risk"))
    strategy = start("strategy")
    (outcome,) = again(client, "risk", 1)
    assert "enters the market" in outcome.refused
    give_up(risk, GetRisk(), wait_ns=60_000 * MS)
    eventually(lambda: GetRisk() in strategy.engine("strategy").seen)
    assert strategy.engine("strategy").seen == [GetRisk()]


def test_cancels_are_sent_again(hosts: Any, directory: Path) -> None:
    start, risk, client = hosts
    give_up(risk, CANCEL, CommandBatch(CANCEL.to_row(0)))
    eventually(lambda: len(letters_of(directory, "risk")) == 2)
    strategy = start("strategy")
    assert [each.refused for each in again(client, "risk", 1, 2)] == ["", ""]
    eventually(lambda: len(strategy.engine("strategy").seen) == 1)
    # Risk may send cancels, and no batches.
    eventually(lambda: [each.reason for each in letters_of(directory, "strategy")] == ["forbidden"])
    # Nor are they sent for it by who refused them.
    assert [each.refused for each in again(client, "strategy", 1)] == [
        "risk may not send it; grant it that, and let it send it again itself"
    ]


def test_what_came_late_is_handled_by_the_process_itself(hosts: Any, directory: Path) -> None:
    _, risk, client = hosts
    payload = to_msgpack(GetStrategies())
    late = Delivery(MessageKind.COMMAND, 9, "strategy", "strategy", "risk", payload, 3, 1)
    risk.do(lambda: risk.host.mesh.refuse_late(late))
    (letter,) = letters_of(directory, "risk")
    assert (letter.reason, letter.peer) == ("late", "strategy")
    assert again(client, "risk", 1) == [Outcome(1, "risk")]
    assert risk.engine("risk").seen == [GetStrategies()]


def test_what_was_forbidden_is_refused_and_its_sender_is_not_sent_it(hosts: Any, directory: Path) -> None:
    start, risk, client = hosts
    strategy = start("strategy")
    payload = to_msgpack(GetStrategies())
    letter = DeadLetter("forbidden", "strategy", MessageKind.REQUEST, 9, 3, "strategy", "strategy", 0, 0, payload)
    risk.do(lambda: risk.host.letters.on_dead_letters([letter]))
    (outcome,) = again(client, "risk", 1)
    assert "strategy may not send it" in outcome.refused
    give_up(risk, GetRisk(), wait_ns=60_000 * MS)
    eventually(lambda: strategy.engine("strategy").seen)
    assert strategy.engine("strategy").seen == [GetRisk()]


def test_a_letter_that_is_sent_again_takes_the_paths_that_its_message_may(hosts: Any, directory: Path) -> None:
    _, risk, client = hosts
    asked: list[int] = []
    mesh = risk.host.mesh
    post = mesh.post

    def note(*arguments: Any, **options: Any) -> Any:
        if options["to"] == "strategy":
            asked.append(options["paths"])
        return post(*arguments, **options)

    for message in (PhaseRequest(SessionPhase.CONTINUOUS), CANCEL, GetRisk()):
        letter = DeadLetter(
            "path", "strategy", MessageKind.COMMAND, 9, 3, "risk", "strategy", 0, 0, to_msgpack(message)
        )
        risk.do(lambda letter=letter: risk.host.letters.on_dead_letters([letter]))
    mesh.post = note
    again(client, "risk", 1, 2, 3)
    assert asked == [NOT_REDIS, EVERY_PATH, ALL]


def test_a_wish_that_cannot_be_read_is_answered_with_an_error(hosts: Any) -> None:
    _, risk, client = hosts
    for payload in (b"", b"\xc1", msgspec.msgpack.encode(["a"]), msgspec.msgpack.encode(list(range(1_001)))):
        with pytest.raises(AnswerError):
            client.ask("risk", LETTERS, payload, 3, 60.0)
    assert risk.error is None


def test_a_client_that_has_gone_is_sent_nothing_again(hosts: Any, directory: Path) -> None:
    _, risk, client = hosts
    letter = DeadLetter("deadline", "client.gone-1", MessageKind.EVENT, 1, 3, "risk", "risk.alert", 0, 0, b"")
    risk.do(lambda: risk.host.letters.on_dead_letters([letter]))
    (outcome,) = again(client, "risk", 1)
    assert "has gone" in outcome.refused


# The command line, on what a process that is down has left.


@pytest.fixture
def left() -> Iterator[Any]:
    with own_place() as place:
        directory = place.base / "share" / "nautilus" / place.name / "letters"
        for process, at_ns in (("risk", 1_000_000_000), ("core", 2_000_000_000)):
            log = DeadLetterLog(directory / process, lambda at_ns=at_ns: at_ns)
            for number, (reason, payload) in enumerate(
                (("deadline", to_msgpack(GetRisk())), ("cut", b"\xc1junk")), start=1
            ):
                kind = MessageKind.COMMAND
                log.add([DeadLetter(reason, f"peer{number}", kind, 5, 3, "risk", "strategy", 0, 0xF, payload)])
            log.close()
        yield place


def tap(place: Any, *words: str) -> int:
    return main(["tap", *words, "--instance", place.name])


def test_letters_are_printed_in_order_of_time_and_filtered(left: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert tap(left, "--dead", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in lines] == ["risk/1", "risk/2", "core/1", "core/2"]
    assert (lines[0]["type"], lines[0]["message"], lines[0]["trace_id"]) == ("GetRisk", {}, "0" * 31 + "f")
    assert (lines[1]["type"], lines[1]["payload"], lines[1]["bytes"]) == ("", "wWp1bms=", 5)
    assert tap(left, "--dead", "--reason", "cut", "--peer", "peer2") == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == ["risk/2", "core/2"]
    for words in (("--peer", "nobody"), ("--reason", "forbidden")):
        assert tap(left, "--dead", *words) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "one TOPIC"),
        (("--follow",), 2, "are for --dead"),
        (("--dead", "marketdata.*"), 2, "beside --dead"),
        (("--dead", "--replay"), 2, "without a letter"),
        (("--dead", "--replay", "risk/1"), 3, "is not running"),
    ],
)
def test_what_is_not_meant_together_is_refused(
    left: Any, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    assert tap(left, *words) == code
    assert said in capsys.readouterr().err


class Posted:
    """Takes what would be posted."""

    def __init__(self) -> None:
        self.paths: list[int] = []

    def peers(self) -> dict[str, Any]:
        return {}

    def post(self, process: str, *, paths: int, **options: Any) -> None:
        self.paths.append(paths)


def test_what_is_sent_again_takes_the_paths_that_it_may(tmp_path: Path) -> None:
    letters = Letters("risk", tmp_path, BusLog(), Counters())
    messages = [CANCEL, GetRisk(), ResumeTrading(1), KillRequest(on=False)]
    letters.on_dead_letters(
        [
            DeadLetter("deadline", "core", MessageKind.COMMAND, 1, 3, "risk", "core", 0, 0, to_msgpack(message))
            for message in messages
        ]
    )
    posted = Posted()
    letters.replay(posted, lambda delivery: None, "test", msgspec.msgpack.encode([1, 2, 3, 4]))  # type: ignore[arg-type]
    letters.close()
    assert posted.paths == [paths_of(message) for message in messages]
    assert [bool(paths & REDIS) for paths in posted.paths] == [True, True, False, False]
