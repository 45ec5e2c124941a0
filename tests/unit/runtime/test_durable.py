"""Answers of operations that are durable: given when what they say is on disk, whatever ends the process then."""

import json
from pathlib import Path

import numpy as np
import pytest

from nautilus.engines.base import Engine, Operation, Work
from nautilus.engines.panel import Panel
from nautilus.engines.portfolio import PortfolioConfig, PortfolioEngine
from nautilus.model.errors import ModelError
from nautilus.model.history import DropHistory, GetHistories, HistoryState, HistoryStates, PutHistory
from nautilus.model.portfolio import BookCash, CashBooked, GetPortfolio
from nautilus.model.queries import GetPositions, Positions
from tests.kit.context import btcusdt
from tests.kit.live_host import RunningHost, Venue, eventually, make_plan, short_directory


def made(amount):
    return CashBooked(1, "job", "USD", amount, amount)


class Keeper(Engine):
    """Keeps amounts, and series as large parts of its state."""

    name = "portfolio"
    operations = (
        Operation("POST", "/cash", BookCash, CashBooked, "", durable=True),
        Operation("PUT", "/history/{series}", PutHistory, HistoryState, "", durable=True),
        Operation("DELETE", "/history/{series}", DropHistory, HistoryState, "", durable=True),
        Operation("GET", "/history", GetHistories, HistoryStates, ""),
        Operation("GET", "/positions", GetPositions, Positions, ""),
    )

    def __init__(self):
        self.amounts = []
        self.told = []  # how many amounts each state had that was asked for
        self.broken = False
        self.panel = Panel()

    def on_request(self, message, ctx):
        if isinstance(message, GetPositions):
            return Positions((), len(self.amounts))
        if isinstance(message, BookCash):
            if message.amount == "none":
                raise ModelError("no amount")
            self.amounts.append(message.amount)
            if message.entry_id == "job":
                return Work(made, (message.amount,))
            return CashBooked(1, message.entry_id, "USD", message.amount, message.amount)
        return self.panel.on_request(message, ctx)

    def state(self):
        if self.broken:
            raise OSError("no room")
        self.told.append(len(self.amounts))
        return {"amounts": list(self.amounts)}

    def restore(self, state):
        self.amounts = state["amounts"]

    def bulk(self):
        return self.panel.bulk()

    def restore_bulk(self, name, part):
        self.panel.restore_bulk(name, part)


class Asker(Engine):
    """Asks, and notes what is on disk when the answer comes."""

    name = "strategy"

    def __init__(self):
        self.found = []
        self.path = None

    def on_start(self, ctx):
        self.ctx = ctx

    def on_reply(self, number, reply, ctx):
        self.found.append(saved(self.path))


def saved(path):
    return json.loads(path.read_bytes())["state"]["amounts"]


@pytest.fixture
def site():
    with short_directory() as directory:
        plan = make_plan(
            directory,
            {"venue": ("marketdata", "trading"), "portfolio": ("portfolio",), "strategy": ("strategy",)},
        )
        running = []

        def host(name, engine):
            running.append(RunningHost(plan, name, {name: engine}))
            return running[-1].ready(60)

        venue = Venue(plan)
        try:
            yield Path(plan.data, "state", "portfolio.json"), host
        finally:
            for each in reversed(running):
                each.stop()
            venue.stop()


def ask(running, message):
    return running.host.ask_engine("portfolio", message)


def test_an_answer_comes_when_what_it_says_is_in_the_file(site):
    path, host = site
    keeper = host("portfolio", Keeper)
    for number in range(5):
        assert ask(keeper, BookCash(1, "a", "USD", str(number))).result(60).amount == str(number)
        assert saved(path)[-1] == str(number)
    # By a job, which needs no process of its own here.
    keeper.host.messages.run_job = lambda job, given, done, _: keeper.host.later(0, lambda: done(job(*given)))
    assert ask(keeper, BookCash(1, "job", "USD", "5")).result(60).entry_id == "job"
    assert saved(path) == ["0", "1", "2", "3", "4", "5"]
    with pytest.raises(ModelError, match="no amount"):
        ask(keeper, BookCash(1, "b", "USD", "none")).result(60)


def test_an_answer_over_the_mesh_waits_as_well(site):
    path, host = site
    keeper, asker = host("portfolio", Keeper), host("strategy", Asker)
    engine = asker.engine("strategy")
    engine.path = path
    for number in range(3):
        asker.do(lambda number=number: engine.ctx.request("portfolio", BookCash(1, "a", "USD", str(number))))
        eventually(lambda number=number: len(engine.found) > number)
    assert engine.found == [["0"], ["0", "1"], ["0", "1", "2"]]
    assert keeper.engine("portfolio").amounts == ["0", "1", "2"]


def test_answers_that_wait_together_are_saved_for_once(site):
    path, host = site
    keeper = host("portfolio", Keeper)
    engine = keeper.engine("portfolio")

    def put_many():
        return [ask(keeper, BookCash(1, "a", "USD", str(number))) for number in range(12)]

    answers = keeper.do(put_many)  # in the host's own thread: none is taken before all are there
    for number, answer in enumerate(answers):
        assert answer.result(60).amount == str(number)
    assert saved(path) == [str(number) for number in range(12)]
    assert set(engine.told) == {0, 12} or set(engine.told) == {12}


def test_large_parts_are_there_too_and_gone_when_they_were_dropped(site):
    path, host = site
    keeper = host("portfolio", Keeper)
    times, values = tuple(range(1, 1 + 100_000)), tuple(np.linspace(1.0, 2.0, 100_000).tolist())
    for name in ("A", "B"):
        assert ask(keeper, PutHistory(name, times, values)).result(60).state == "ready"
    assert len(list(path.with_suffix(".parts").glob("*.part"))) == 2
    ask(keeper, DropHistory("A")).result(60)
    assert len(list(path.with_suffix(".parts").glob("*.part"))) == 1
    keeper.kill()
    again = host("portfolio", Keeper)
    [found] = ask(again, GetHistories()).result(60).series
    assert (found.series, found.count) == ("B", 100_000)


def test_what_cannot_be_saved_is_refused_and_said_to_be_booked_when_it_is(site):
    path, host = site
    keeper = host("portfolio", Keeper)
    engine = keeper.engine("portfolio")
    engine.broken = True
    refusal = ask(keeper, BookCash(1, "a", "USD", "1")).exception(60)
    assert (refusal.code, refusal.where) == ("bus.not_saved", "portfolio")
    assert ask(keeper, GetPositions(0)).result(60).last_sequence == 1  # the others are answered
    engine.broken = False
    ask(keeper, BookCash(1, "b", "USD", "2")).result(60)
    assert saved(path) == ["1", "2"]


def test_nothing_that_was_answered_is_lost_with_the_process(site):
    _, host = site
    for number in range(1, 7):
        keeper = host("portfolio", lambda: PortfolioEngine(PortfolioConfig(currency="USD"), [btcusdt()]))
        booked = ask(keeper, BookCash(1, f"entry {number}", "USD", str(number))).result(60)
        keeper.kill()
        assert booked.balance == str(number * (number + 1) // 2)
    keeper = host("portfolio", lambda: PortfolioEngine(PortfolioConfig(currency="USD"), [btcusdt()]))
    assert ask(keeper, BookCash(1, "entry 6", "USD", "6")).result(60).repeated
    assert ask(keeper, GetPortfolio(1)).result(60).valued.nav == 21.0
