"""Requests that take a job, whole arrays, what is loaded before an engine is ready, large parts of states."""

import os

import numpy as np
import pytest

from nautilus.engines.base import Engine, Work
from nautilus.engines.panel import Panel
from nautilus.maths.errors import Undefined
from nautilus.model.commands import MassCancel
from nautilus.model.errors import AnalysisError, InternalError
from nautilus.model.history import SeriesKind
from nautilus.model.queries import GetPositions, GetRisk, GetStrategies, Positions, RiskState
from nautilus.model.topics import QUOTES
from nautilus.runtime.engine_state import BulkFiles
from nautilus.runtime.lockstep import LockStep
from tests.kit.context import SECOND, quote_array
from tests.kit.live_host import RunningHost, Venue, eventually, make_plan, short_directory

WARMED = []


def positions_of(account_id):
    return Positions((), account_id)


def pid_of():
    return os.getpid()


def undefined():
    raise Undefined("too_few", "one return", "at least 2")


def fail():
    raise ZeroDivisionError("no luck")


def warm_here():
    WARMED.append(os.getpid())


class Analyst(Engine):
    """Answers by jobs; takes quotes as arrays."""

    name = "portfolio"
    subscribes = (QUOTES,)
    takes_arrays = True
    warms = (pid_of,)
    warms_here = (warm_here,)

    def __init__(self):
        self.arrays = []
        self.panel = Panel()
        self.restored = []

    def on_quote(self, records, ctx):
        self.arrays.append(records["bid_ticks"].tolist())

    def on_request(self, message, ctx):
        if isinstance(message, GetPositions):
            return Work(positions_of, (message.account_id,))
        if isinstance(message, GetStrategies):
            return Work(undefined, ())
        if isinstance(message, GetRisk):
            return Work(pid_of, (), lambda pid: RiskState(pid, "", 0, 0, False))
        if isinstance(message, MassCancel):
            return Work(fail, ())
        return super().on_request(message, ctx)

    def bulk(self):
        return self.panel.bulk()

    def restore_bulk(self, name, part):
        self.restored.append(name)
        self.panel.restore_bulk(name, part)


class Asker(Engine):
    """Asks, and notes what comes."""

    name = "strategy"
    subscribes = (QUOTES,)

    def __init__(self):
        self.replies = []
        self.quotes = []

    def on_start(self, ctx):
        self.ctx = ctx

    def on_quote(self, quote, ctx):
        self.quotes.append(quote.bid_ticks)

    def on_reply(self, number, reply, ctx):
        self.replies.append(reply)

    def on_unknown(self, number, message, ctx):
        self.replies.append(type(message).__name__)


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
            return running[-1]

        venue = Venue(plan)
        try:
            yield plan, venue, host
        finally:
            for each in reversed(running):
                each.stop()
            venue.stop()


def test_a_request_is_answered_by_a_job_over_the_mesh_and_to_a_person(site):
    _, _, host = site
    analyst, asker = host("portfolio", Analyst), host("strategy", Asker)
    analyst.ready(60)
    asker.ready(60)
    answer = analyst.host.ask_engine("portfolio", GetPositions(7)).result(60)
    assert answer == Positions((), 7)
    pid = analyst.host.ask_engine("portfolio", GetRisk()).result(60).max_position
    assert pid not in (0, os.getpid())
    asker.do(lambda: asker.engine("strategy").ctx.request("portfolio", GetPositions(9)))
    eventually(lambda: asker.engine("strategy").replies)
    assert asker.engine("strategy").replies == [Positions((), 9)]
    assert analyst.host.messages.working == 0


def test_what_a_job_raises_is_told_with_its_code_and_is_no_fault_of_the_engine(site):
    _, _, host = site
    analyst = host("portfolio", Analyst).ready(60)
    error = analyst.host.ask_engine("portfolio", GetStrategies()).exception(60)
    assert (error.code, error.what, error.expected) == ("analysis.too_few", "one return", "at least 2")
    failed = analyst.host.ask_engine("portfolio", MassCancel(1)).exception(60)
    assert "ZeroDivisionError: no luck" in str(failed)
    assert analyst.host.ask_engine("portfolio", GetPositions(1)).result(60).last_sequence == 1


def test_an_engine_takes_whole_arrays_beside_one_that_takes_quotes(site):
    _, venue, host = site
    analyst, asker = host("portfolio", Analyst).ready(60), host("strategy", Asker).ready(60)
    records = np.concatenate([quote_array(SECOND + bid, bid, bid + 1) for bid in (10, 11, 12)])
    venue.publish(records)
    eventually(lambda: sum(map(len, analyst.engine("portfolio").arrays)) == 3)
    eventually(lambda: len(asker.engine("strategy").quotes) == 3)
    assert [bid for array in analyst.engine("portfolio").arrays for bid in array] == [10, 11, 12]
    assert asker.engine("strategy").quotes == [10, 11, 12]


def test_an_engine_is_ready_when_what_it_needs_is_loaded_where_jobs_run(site):
    _, _, host = site
    before = len(WARMED)
    analyst = host("portfolio", Analyst)
    assert WARMED[before:] == [os.getpid()]
    analyst.ready(60)
    assert not analyst.host.workplaces.warming
    assert analyst.host.messages.started


def test_large_parts_of_a_state_come_back_after_a_restart_without_the_rest_being_written_again(site):
    _, _, host = site
    analyst = host("portfolio", Analyst).ready(60)
    times, values = [10, 20, 30], [1.0, 2.0, 1.5]
    put = analyst.engine("portfolio").panel.put
    analyst.do(lambda: put("AAPL", SeriesKind.PRICE, times, values))
    analyst.do(lambda: put("MSFT", SeriesKind.RETURN, times, [0.1, 0.2, -0.1]))
    analyst.stop()
    again = host("portfolio", Analyst).ready(60)
    engine = again.engine("portfolio")
    assert sorted(engine.restored) == ["series AAPL", "series MSFT"]
    assert engine.panel.series("AAPL").values.tolist() == values
    assert engine.panel.series("MSFT").kind is SeriesKind.RETURN
    again.do(lambda: engine.panel.drop("AAPL"))
    again.stop()
    assert host("portfolio", Analyst).ready(60).engine("portfolio").restored == ["series MSFT"]


def test_parts_are_written_when_their_version_changes_and_removed_with_their_name(tmp_path):
    files, given = BulkFiles(tmp_path, "risk"), []

    def part(name):
        return lambda: given.append(name) or {"x": np.arange(3)}

    assert files.save({}, 10**9)
    assert not list(tmp_path.iterdir())
    assert files.save({"a": (1, part("a")), "b": (1, part("b"))}, 10**9)
    assert files.save({"a": (1, part("a")), "b": (2, part("b"))}, 10**9)
    assert given == ["a", "b", "b"]
    assert files.save({"b": (2, part("b"))}, 10**9)
    found = {}
    BulkFiles(tmp_path, "risk").load(lambda name, value: found.update({name: value["x"].tolist()}))
    assert found == {"b": [0, 1, 2]}
    path = next((tmp_path / "risk.parts").glob("*.part"))
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(InternalError, match="a part that was saved"):
            BulkFiles(tmp_path, "risk").load(lambda name, value: given.append(value))
    for content in (b"", b"\xc1", whole[:-1], whole[:3]):
        path.write_bytes(content)
        with pytest.raises(InternalError, match="a part that was saved"):
            BulkFiles(tmp_path, "risk").load(lambda name, value: given.append(value))
    assert given == ["a", "b", "b"]


def test_parts_are_written_a_few_at_a_time(tmp_path):
    files = BulkFiles(tmp_path, "risk")
    parts = {str(number): (1, lambda: 1) for number in range(5)}
    rounds = 1
    while not files.save(parts, -1):
        rounds += 1
    assert rounds == 5


def test_in_lock_step_work_is_done_in_line_and_arrays_arrive_whole():
    analyst, asker = Analyst(), Asker()
    host = LockStep([analyst, asker])
    asker.on_start = lambda ctx: ctx.at(SECOND, "ask")
    asker.on_timer = lambda key, ctx: [ctx.request("portfolio", each) for each in (GetPositions(4), GetStrategies())]
    host.start(SECOND)
    host.run()
    assert asker.replies == [Positions((), 4), "GetStrategies"]
    assert {state.name for state in host.states().values()} == {"RUNNING"}


def test_an_undefined_number_keeps_its_code_across_a_process():
    error = AnalysisError("one return", reason="too_few", expected="2")
    assert error.as_dict()["code"] == "analysis.too_few"
    function, arguments, state = error.__reduce__()
    again = function(*arguments)
    again.__dict__.update(state)
    assert again.as_dict() == error.as_dict()
