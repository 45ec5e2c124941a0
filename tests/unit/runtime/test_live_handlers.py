"""The live host on real sockets: order flow, handlers that raise, timers, requests, urgency, jobs, the stop."""

import logging
import os
import threading

import pytest

from nautilus.core import Kernel
from nautilus.engines.base import Engine
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.engines.portfolio import PortfolioConfig, PortfolioEngine
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.model.account import Account
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import CancelOrder, KillSwitch, MassCancel, ReplaceOrder, SubmitOrder
from nautilus.model.enums import EngineState, Side, TimeInForce
from nautilus.model.errors import InternalError, ModelError
from nautilus.model.events import OrderFilled
from nautilus.model.position import Position, PositionChanged
from nautilus.model.queries import GetPositions, GetRisk, GetStrategies, Positions
from nautilus.model.topics import EXECUTION_REPORTS, POSITIONS, QUOTES, RISK_ALERTS
from nautilus.runtime.clock import NANOSECONDS, wall_ns
from nautilus.runtime.lockstep import LockStep
from tests.kit.context import MARKET_ACCOUNT, SECOND, btcusdt, market_order, quote_array
from tests.kit.live_host import VENUE, RunningHost, Venue, eventually, make_plan, short_directory

MS = 1_000_000


class Witness(Engine):
    """Keeps what it is told, and does what its script says then."""

    name = "strategy"
    source_id = 1
    subscribes = (QUOTES, EXECUTION_REPORTS, RISK_ALERTS, POSITIONS)

    def __init__(self):
        self.seen = []
        self.script = {}

    def note(self, what, ctx):
        self.seen.append(what)
        act = self.script.pop(what, None)
        if act:
            act(ctx)

    def on_start(self, ctx):
        self.ctx = ctx
        self.note("start", ctx)

    def on_stop(self, ctx):
        self.note("stop", ctx)

    def on_quote(self, quote, ctx):
        self.note(("quote", quote.bid_ticks), ctx)

    def on_report(self, report, ctx):
        self.note((type(report).__name__, report.order_id), ctx)

    def on_alert(self, alert, ctx):
        self.note(("alert", alert.control), ctx)

    def on_position(self, change, ctx):
        self.note(("position", change.position.quantity), ctx)

    def on_reply(self, number, reply, ctx):
        self.note(("reply", type(reply).__name__), ctx)

    def on_unknown(self, number, message, ctx):
        self.note(("unknown", type(message).__name__), ctx)

    def on_timer(self, key, ctx):
        self.note(("timer", key), ctx)

    def on_result(self, number, result, ctx):
        self.note(("result", str(result)), ctx)

    def on_command(self, command, ctx):
        self.note(("command", type(command).__name__), ctx)


class Watcher(Engine):
    """A risk engine that alerts at each quote."""

    name = "risk"
    subscribes = (QUOTES,)
    publishes = (RISK_ALERTS,)

    def __init__(self):
        self.quotes = 0

    def on_start(self, ctx):
        self.ctx = ctx

    def on_quote(self, quote, ctx):
        self.quotes += 1
        ctx.publish(RiskAlert(ctx.now_ns, 1, 1, 1, f"at {quote.bid_ticks}", 1, 1))


def portfolio():
    return PortfolioEngine(PortfolioConfig(), [btcusdt()])


def order(number, price=600_000, lots=5, side=Side.BUY, account=1, **fields):
    return SubmitOrder(
        account, 1, number, side, lots, price, source_id=1, source_sequence=number, strategy_id=1, **fields
    )


@pytest.fixture
def site():
    """Hosts of one plan, all closed at the end."""

    class Site:
        def __init__(self, directory):
            self.directory = directory
            self.running = []

        def plan(self, *processes, **changes):
            named = VENUE | {"-".join(engines): engines for engines in processes}
            self.made = make_plan(self.directory, named, **changes)
            return self.made

        def venue(self):
            found = Venue(self.made)
            self.running.append(found)
            return found

        def host(self, process, engines, **options):
            found = RunningHost(self.made, process, engines, **options)
            self.running.append(found)
            return found

        def up(self, *processes, **engines):
            """A venue, and a host of each process."""
            self.plan(*processes)
            venue = self.venue()
            hosts = [
                self.host("-".join(names), {name: engines.get(name, Witness) for name in names}) for names in processes
            ]
            for host in (*hosts, venue.running):
                host.ready()
            return venue, *hosts

    with short_directory() as directory:
        made = Site(directory)
        try:
            yield made
        finally:
            for running in reversed(made.running):
                running.stop()


def test_orders_reach_the_core_and_reports_positions_and_replies_come_back(site):
    venue, accounts, strategy = site.up(("portfolio",), ("strategy",), portfolio=portfolio)
    witness = strategy.engine("strategy")
    venue.feed(market_order(0, 1, Side.SELL, 50, 600_000))
    strategy.do(lambda: witness.ctx.request("trading", order(7)))
    eventually(lambda: len(witness.seen) == 5)
    assert set(witness.seen) == {
        "start",
        ("reply", "CommandAcknowledged"),
        ("OrderAccepted", 7),
        ("OrderFilled", 7),
        ("position", 5),
    }
    [position] = accounts.engine("portfolio").positions()
    assert venue.positions(1) == {1: (position.quantity, position.cost, position.realised)}
    assert len(strategy.host.messages.round_trips) == 1


def test_market_data_comes_over_the_star_and_each_quote_once(site):
    venue, strategy = site.up(("strategy",))
    witness = strategy.engine("strategy")
    for bid in range(1, 101):
        venue.publish(quote_array(SECOND, bid, bid + 1))
    eventually(lambda: len(witness.seen) == 101)
    assert witness.seen[1:] == [("quote", bid) for bid in range(1, 101)]


def test_engines_of_one_process_hear_each_other_without_the_bus_and_the_urgent_first(site):
    venue, host = site.up(("risk", "strategy"), risk=Watcher)
    witness = host.engine("strategy")
    before = host.host.mesh.sent
    venue.publish(quote_array(SECOND, 5, 6))
    eventually(lambda: len(witness.seen) == 3)
    assert witness.seen[1:] == [("alert", "at 5"), ("quote", 5)], "the alert overtakes the quote that set it off"
    assert host.host.mesh.sent == before


def test_an_urgent_message_of_another_process_goes_before_quotes_that_wait(site):
    _, risk, strategy = site.up(("risk",), ("strategy",), risk=Watcher)
    witness, watcher = strategy.engine("strategy"), risk.engine("risk")
    eventually(lambda: risk.host.mesh.peers()["strategy"].up)
    held, go = threading.Event(), threading.Event()
    witness.script["timer", "hold"] = lambda ctx: (held.set(), go.wait(60))
    strategy.do(lambda: witness.ctx.at(0, "hold"))
    assert held.wait(60)
    risk.do(lambda: watcher.ctx.publish(RiskAlert(1, 1, 1, 1, "loss", 1, 1)))
    for name in ("a", "b", "c"):
        risk.do(lambda name=name: watcher.ctx.send("strategy", MassCancel(1)))
    eventually(lambda: risk.host.mesh.pending() >= 4)
    urgent = strategy.host.mesh.sockets()[0]  # its thread is held, so that this one may look
    eventually(lambda: urgent.poll(0))
    go.set()
    eventually(lambda: witness.seen.count(("command", "MassCancel")) == 3)
    came = [what for what in witness.seen if what[0] in ("alert", "command")]
    assert came[0] == ("alert", "loss")


def test_a_handler_that_raises_is_counted_and_logged_once_and_the_host_serves_on(site, caplog):
    venue, strategy = site.up(("strategy",))
    witness = strategy.engine("strategy")

    def fail(ctx):
        raise ValueError("not this one")

    for bid in (1, 2, 3):
        witness.script["quote", bid] = fail
    with caplog.at_level(logging.ERROR, "nautilus.runtime"):
        for bid in range(1, 6):
            venue.publish(quote_array(SECOND, bid, bid + 1))
        eventually(lambda: ("quote", 5) in witness.seen)
    [error] = strategy.host.calls.errors.distinct()
    assert (error.error, error.count) == ("ValueError: not this one", 3)
    assert error.where.startswith("strategy.on_quote (test_live_handlers.py:")
    assert [record.message for record in caplog.records].count(f"{error.where}: {error.error}") == 1
    assert strategy.host.contexts["strategy"].state == EngineState.DEGRADED
    assert strategy.host.counters.snapshot()["engine.strategy.errors"] == 3
    eventually(lambda: strategy.host.outlook.warnings)
    assert not strategy.host.outlook.reasons, "it serves"


def test_a_handler_over_its_limit_is_named(site, caplog):
    site.plan(("strategy",))
    site.venue()
    strategy = site.host("strategy", {"strategy": Witness}, limit_ms=20).ready()
    witness = strategy.engine("strategy")
    pause = threading.Event()
    witness.script["timer", "slow"] = lambda ctx: pause.wait(0.03)
    with caplog.at_level(logging.WARNING, "nautilus.runtime"):
        strategy.do(lambda: witness.ctx.at(0, "slow"))
        eventually(lambda: "its limit is 20 ms" in caplog.text)
    assert "strategy.on_timer took" in caplog.text


def test_the_watchdog_sees_what_parts_do_too(site):
    _, strategy = site.up(("strategy",))
    calls, seen = strategy.host.calls, []

    class Part:
        def pump(self):
            seen.append((calls.current(), calls.describe()))

    strategy.do(lambda: strategy.host.call_at(0, Part().pump))
    strategy.do(lambda: strategy.host.later(0, Part().pump))
    eventually(lambda: len(seen) == 2)
    assert [what for _, what in seen] == ["Part.pump", "Part.pump"]
    assert 0 < seen[0][0] < seen[1][0]
    eventually(lambda: calls.current() == 0)


def test_timers_fire_at_their_time_and_one_armed_anew_only_once(site):
    _, strategy = site.up(("strategy",))
    witness = strategy.engine("strategy")
    fired = []
    for key in ("a", "b", "last"):
        witness.script["timer", key] = lambda ctx, key=key: fired.append((key, ctx.now_ns))

    def act():
        now_ns = strategy.host.clock()
        witness.ctx.at(now_ns + 5 * MS, "a")
        witness.ctx.at(now_ns + 30 * MS, "a")
        witness.ctx.at(now_ns - 5, "b")
        witness.ctx.at(now_ns + 40 * MS, "last")
        return now_ns

    now_ns = strategy.do(act)
    eventually(lambda: len(fired) == 3)
    assert [key for key, _ in fired] == ["b", "a", "last"]
    assert fired[1][1] >= now_ns + 30 * MS
    assert fired[2][1] >= now_ns + 40 * MS
    with pytest.raises(ModelError, match="whole number of nanoseconds"):
        strategy.do(lambda: witness.ctx.at(1.5, "odd"))


def test_a_request_without_an_answer_is_unknown_once_at_its_deadline(site):
    venue, strategy = site.up(("risk",), ("strategy",), risk=Watcher)[0::2]
    witness = strategy.engine("strategy")
    venue.kill()
    site.running.remove(venue)

    def act():
        now_ns = strategy.host.clock()
        witness.ctx.request("trading", order(1), now_ns + 50 * MS)
        witness.ctx.request("trading", GetPositions(), now_ns + 60 * MS)
        witness.ctx.request("trading", order(2), 0)

    strategy.do(act)
    eventually(lambda: len(witness.seen) == 3)
    assert witness.seen[1:] == [("unknown", "SubmitOrder"), ("unknown", "GetPositions")]
    # The peer is back: what it gets now is the one that was not given up, and no answer comes twice.
    venue.start()
    site.running.append(venue)
    eventually(lambda: ("reply", "CommandAcknowledged") in witness.seen)
    strategy.stop()
    assert len([what for what in witness.seen if what[0] in ("unknown", "reply")]) == 3
    assert venue.sources == {1: 2}


def test_a_request_without_a_deadline_is_unknown_after_a_while_all_the_same(site, monkeypatch):
    monkeypatch.setattr("nautilus.runtime.messages.ANSWER_NS", 50 * MS)
    venue, strategy = site.up(("strategy",))
    witness = strategy.engine("strategy")
    venue.kill()
    site.running.remove(venue)
    strategy.do(lambda: witness.ctx.request("trading", order(1)))
    eventually(lambda: ("unknown", "SubmitOrder") in witness.seen)


def test_a_request_that_its_peer_refuses_is_unknown_and_counted_on_both_sides(site):
    _, accounts, strategy = site.up(("portfolio",), ("strategy",), portfolio=portfolio)
    witness = strategy.engine("strategy")
    strategy.do(lambda: witness.ctx.request("portfolio", GetRisk()))
    strategy.do(lambda: witness.ctx.request("portfolio", GetPositions()))
    eventually(lambda: len(witness.seen) == 3)
    assert witness.seen[1:] == [("unknown", "GetRisk"), ("reply", "Positions")]
    assert strategy.host.counters.snapshot()["host.refused"] == 1
    [error] = accounts.host.calls.errors.distinct()
    assert "request GetRisk" in error.error


def test_an_engine_of_the_same_process_is_asked_without_the_bus(site):
    _, host = site.up(("portfolio", "strategy"), portfolio=portfolio)
    witness = host.engine("strategy")
    host.do(lambda: witness.ctx.request("portfolio", GetPositions()))
    host.do(lambda: witness.ctx.request("portfolio", GetRisk()))
    host.do(lambda: witness.ctx.send("strategy", MassCancel(1)))
    eventually(lambda: len(witness.seen) == 4)
    assert set(witness.seen[1:]) == {("reply", "Positions"), ("unknown", "GetRisk"), ("command", "MassCancel")}


def test_an_unknown_peer_and_a_topic_of_another_are_refused(site):
    _, strategy = site.up(("strategy",))
    witness = strategy.engine("strategy")
    with pytest.raises(ModelError, match="peer 'trade'"):
        strategy.do(lambda: witness.ctx.request("trade", GetPositions()))
    with pytest.raises(InternalError, match="only marketdata"):
        strategy.do(lambda: witness.ctx.publish(quote_array(1, 1, 2)))


def test_whole_numbers_beyond_64_bits_cross_the_bus(site):
    class Publisher(Engine):
        name = "portfolio"
        publishes = (POSITIONS,)

        def on_start(self, ctx):
            self.ctx = ctx

    _, accounts, strategy = site.up(("portfolio",), ("strategy",), portfolio=Publisher)
    witness = strategy.engine("strategy")
    change = PositionChanged(1, 1, 1, Position(1, 1, 77, -(2**70), 2**90))
    accounts.do(lambda: accounts.engine("portfolio").ctx.publish(change))
    eventually(lambda: ("position", 77) in witness.seen)


def test_others_ask_engines_from_their_own_threads(site):
    venue, accounts, strategy = site.up(("portfolio",), ("strategy",), portfolio=portfolio)
    venue.feed(market_order(0, 1, Side.SELL, 50, 600_000))
    strategy.do(lambda: strategy.engine("strategy").ctx.request("trading", order(7)))
    eventually(lambda: accounts.host.ask_engine("portfolio", GetPositions()).result(60).positions)
    reply = accounts.host.ask_engine("portfolio", GetPositions(1)).result(60)
    assert isinstance(reply, Positions)
    assert (reply.positions[0].quantity, reply.positions[0].average_price) == ("0.005", "60000")
    with pytest.raises(ModelError, match="request GetStrategies"):
        accounts.host.ask_engine("portfolio", GetStrategies()).result(60)


def test_numbers_are_never_given_twice_not_even_by_another_life_or_process(site):
    _, first, second = site.up(("risk",), ("strategy",), risk=Watcher)
    given = set()
    for host, name in ((first, "risk"), (second, "strategy")):
        context = host.host.contexts[name]
        given |= {host.do(context.next_id) for _ in range(50)}
    second.kill()
    site.running.remove(second)
    again = site.host("strategy", {"strategy": Witness})
    given |= {again.do(again.host.contexts["strategy"].next_id) for _ in range(50)}
    assert len(given) == 150


def test_jobs_run_beside_the_host_and_their_results_come_as_messages(site):
    _, strategy = site.up(("strategy",))
    witness = strategy.engine("strategy")
    strategy.do(lambda: witness.ctx.submit(sum, ([1, 2, 3],)))
    strategy.do(lambda: witness.ctx.submit(divmod, (1, 0)))
    eventually(lambda: len(witness.seen) == 3)
    assert witness.seen[1] == ("result", "6")
    assert "ZeroDivisionError" in witness.seen[2][1]
    assert strategy.host.calls.errors.count == 1
    strategy.stop()
    assert not _children()


def _children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [pid for pid in file.read().split() if _is_worker(pid)]


def _is_worker(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return "nautilus.runtime.worker" in file.read()


def test_what_is_said_at_the_stop_is_still_delivered_and_answered(site):
    venue, strategy = site.up(("strategy",))
    witness = strategy.engine("strategy")
    strategy.do(lambda: witness.ctx.request("trading", order(1)))
    eventually(lambda: venue.core.kernel.open_orders == 1)
    witness.script["stop"] = lambda ctx: ctx.request("trading", MassCancel(1, source_id=1, source_sequence=2))
    strategy.stop()
    assert venue.core.kernel.open_orders == 0
    assert witness.seen.count(("reply", "CommandAcknowledged")) == 2
    assert strategy.host.contexts["strategy"].state == EngineState.STOPPED


def test_a_kill_switch_reaches_the_core(site):
    venue, risk, strategy = site.up(("risk",), ("strategy",), risk=Watcher)
    strategy.do(lambda: strategy.engine("strategy").ctx.request("trading", order(1)))
    eventually(lambda: venue.core.kernel.open_orders == 1)
    kill = KillSwitch(account_id=1, source_id=2, source_sequence=1)
    risk.do(lambda: risk.engine("risk").ctx.send("trading", kill))
    eventually(lambda: venue.core.kernel.open_orders == 0)


def test_a_host_says_why_it_is_not_ready(site):
    site.plan(("strategy",))
    strategy = site.host("strategy", {"strategy": Witness})
    eventually(lambda: "core is not reachable" in strategy.host.outlook.reasons)
    assert "strategy is on its way to the present" in strategy.host.outlook.reasons
    assert strategy.engine("strategy").seen == [], "it starts when it knows the present"
    venue = site.venue()
    strategy.ready()
    assert strategy.engine("strategy").seen == ["start"]
    venue.kill()
    site.running.remove(venue)
    eventually(lambda: "no market data" in strategy.host.outlook.reasons)
    eventually(lambda: "core is not reachable" in strategy.host.outlook.reasons)


def test_a_second_process_of_a_name_is_not_taken_for_the_first(site):
    """Numbers of an old life that arrive late are refused: the core goes on above what the new life was told."""
    venue, strategy = site.up(("strategy",))
    strategy.do(lambda: strategy.engine("strategy").ctx.request("trading", order(1)))
    eventually(lambda: venue.sources.get(1) == 1)
    strategy.kill()
    site.running.remove(strategy)
    seen = []

    class Resumed(Witness):
        def resume(self, source_sequence, ctx):
            seen.append(source_sequence)

    site.host("strategy", {"strategy": Resumed}).ready()
    assert seen == [1]


SCRIPT = [
    order(1, 599_990, 5),
    order(2, 600_010, 30),
    order(3, 600_020, 4, Side.SELL, account=2),
    ReplaceOrder(1, 1, 1, 9, 600_000, source_id=1, source_sequence=4, strategy_id=1),
    order(5, 600_000, 7, Side.SELL, account=2, time_in_force=TimeInForce.IOC),
    order(6, 599_000, 10**9),
    CancelOrder(1, 1, 99, source_id=1, source_sequence=7, strategy_id=1),
    CancelOrder(2, 1, 3, source_id=1, source_sequence=8, strategy_id=1),
    order(9, 600_005, 11, Side.SELL, account=3),
    MassCancel(source_id=1, source_sequence=10, strategy_id=1),
]


class Scripted(Engine):
    """Sends one command after the other, each when the one before was answered."""

    name = "strategy"
    source_id = 1
    subscribes = (EXECUTION_REPORTS,)

    def __init__(self):
        self.left = list(SCRIPT)
        self.reports = []

    def on_timer(self, key, ctx):
        self.on_reply(0, None, ctx)

    def on_start(self, ctx):
        ctx.at(ctx.now_ns, "go")

    def on_reply(self, number, reply, ctx):
        if self.left:
            ctx.request("trading", self.left.pop(0))

    def on_report(self, report, ctx):
        side = report.side.name if report.side is not None else ""
        row = (report.sequence, report.account_id, report.order_id, side, report.price_ticks, report.quantity)
        self.reports.append((type(report).__name__, *row, report.leaves_quantity, report.source_sequence))


def resting(now_ns=0):
    return market_order(now_ns, 1, Side.SELL, 20, 600_010)


def test_the_same_orders_give_the_same_reports_live_and_in_lock_step(site):
    kernel = Kernel(instruments=[btcusdt()], accounts=(), huge_pages=False)
    for account in (1, 2, 3, MARKET_ACCOUNT):
        kernel.process(Account(account).to_commands())
    scripted, accounts = Scripted(), portfolio()
    engines = [
        MarketDataEngine(MarketDataConfig(), [btcusdt()]),
        TradingEngine(TradingConfig(), kernel),
        accounts,
        scripted,
    ]
    lockstep = LockStep(engines)
    lockstep.start(SECOND)
    lockstep.feed(resting(SECOND))
    lockstep.run()

    site.plan(("portfolio",), ("strategy",))
    venue = site.venue()
    venue.feed(resting())
    live_accounts = site.host("portfolio", {"portfolio": portfolio}).ready()
    live = site.host("strategy", {"strategy": Scripted})
    eventually(lambda: len(live.engine("strategy").reports) >= len(scripted.reports))
    assert live.engine("strategy").reports == scripted.reports
    assert OrderFilled.__name__ in {report[0] for report in scripted.reports}
    eventually(lambda: live_accounts.engine("portfolio").positions() == accounts.positions())
    assert venue.core.kernel.last_event_sequence == kernel.last_event_sequence


def test_platform_time_goes_at_its_own_speed(site):
    from nautilus.runtime.clock import ClockAnchor

    now_ns = wall_ns()
    site.plan(("strategy",), speed=100.0, clock=ClockAnchor(now_ns, 5 * SECOND, 100.0))
    site.venue()
    strategy = site.host("strategy", {"strategy": Witness}).ready()
    witness = strategy.engine("strategy")
    fired = []
    witness.script["timer", "t"] = lambda ctx: fired.append((wall_ns(), ctx.now_ns))
    begun_ns = strategy.do(lambda: (witness.ctx.at(strategy.host.clock() + 5 * NANOSECONDS, "t"), wall_ns())[1])
    eventually(lambda: fired)
    wall, platform = fired[0]
    assert 49 * MS <= wall - begun_ns < 2 * NANOSECONDS
    assert platform == pytest.approx(5 * SECOND + (wall - now_ns) * 100, abs=NANOSECONDS)
