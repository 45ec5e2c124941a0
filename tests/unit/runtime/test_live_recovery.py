"""Restarts and losses on real sockets: states from files, reports fetched, each handled once, nothing sent twice."""

import json
import threading
from types import SimpleNamespace

import pytest

from nautilus.engines.base import Engine
from nautilus.engines.portfolio import PortfolioConfig, PortfolioEngine
from nautilus.engines.risk import RiskConfig, RiskEngine
from nautilus.engines.strategy import Strategy, StrategyConfig, StrategyEngine
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import SubmitOrder
from nautilus.model.enums import EventKind, Side
from nautilus.model.errors import ConfigError, InternalError
from nautilus.model.topics import EXECUTION_REPORTS, RISK_ALERTS
from nautilus.runtime.engine_state import SavedState, StateFile
from nautilus.runtime.recovery import Recovery
from tests.kit.context import SECOND, btcusdt, market_order, quote_array
from tests.kit.live_host import VENUE, RunningHost, Venue, eventually, make_plan, short_directory


class Buyer(Strategy):
    """Buys one lot of what is offered at each quote."""

    def __init__(self):
        self.reports = []

    def on_quote(self, quote, ctx):
        ctx.buy(1, 1, quote.ask_ticks)

    def on_report(self, report, ctx):
        self.reports.append(report)


class Patient(Strategy):
    """Leaves an order in the book at each quote."""

    def on_quote(self, quote, ctx):
        ctx.buy(1, 1, 1000)


class Noting(Engine):
    """Keeps the sequences of reports."""

    name = "portfolio"
    subscribes = (EXECUTION_REPORTS,)

    def __init__(self):
        self.sequences = []

    def on_report(self, report, ctx):
        self.sequences.append(report.sequence)

    def state(self):
        return {"sequences": self.sequences}

    def restore(self, state):
        self.sequences = list(state["sequences"])


class Alerter(Engine):
    name = "risk"
    publishes = (RISK_ALERTS,)

    def on_start(self, ctx):
        self.ctx = ctx


def portfolio():
    return PortfolioEngine(PortfolioConfig(), [btcusdt()])


def risk():
    return RiskEngine(RiskConfig(), [btcusdt()])


def strategy(*made):
    return StrategyEngine(StrategyConfig(), [btcusdt()], made)


class Site:
    """A venue and hosts that can be killed and started again."""

    def __init__(self, directory, makers, **options):
        self.directory = directory
        self.makers = makers
        self.plan = make_plan(directory, VENUE | {name: (name,) for name in makers})
        self.venue = Venue(self.plan, **options)
        self.hosts = {}
        self.orders = 0
        for name in makers:
            self.start(name)
        for name in makers:
            self.hosts[name].ready()
        self.venue.running.ready()

    def start(self, name):
        self.hosts[name] = RunningHost(self.plan, name, {name: self.makers[name]})
        return self.hosts[name]

    def kill(self, name):
        self.hosts.pop(name).kill()

    def engine(self, name):
        return self.hosts[name].engine(name)

    def offer(self, lots=1):
        """Somebody offers, and a quote says so: the strategy buys."""
        self.orders += 1
        self.venue.feed(market_order(0, self.orders, Side.SELL, lots, 600_000))
        self.venue.publish(quote_array(SECOND, 599_999, 600_000))

    def trade(self, account=1, lots=1):
        """A fill of an account, without its strategy."""
        self.orders += 1
        self.venue.feed(market_order(0, self.orders, Side.SELL, lots, 600_000))
        self.orders += 1
        order = SubmitOrder(account, 1, 10_000 + self.orders, Side.BUY, lots, 600_000, strategy_id=account)
        self.venue.running.host.ask_engine("trading", order).result(60)

    def saved(self, name):
        return json.loads((self.directory / "data" / "state" / f"{name}.json").read_text())

    def close(self):
        for host in self.hosts.values():
            host.stop()
        self.venue.stop()


@pytest.fixture
def sites():
    made = []
    with short_directory() as directory:

        def make(options=None, **makers):
            made.append(Site(directory, makers, **options or {}))
            return made[-1]

        try:
            yield make
        finally:
            for site in made:
                site.close()


def held(engine, account=1):
    return [
        (each.instrument_id, (each.quantity, each.cost, each.realised))
        for each in engine.positions()
        if each.account_id == account
    ]


def equal(site, account=1):
    return held(site.engine("portfolio"), account) == list(site.venue.positions(account).items())


def test_a_portfolio_that_is_killed_has_the_right_positions_when_it_is_back(sites):
    site = sites(portfolio=portfolio)
    for _ in range(5):
        site.trade()
    eventually(lambda: equal(site))
    eventually(lambda: (site.directory / "data/state/portfolio.json").exists() and site.saved("portfolio"))
    for _ in range(5):
        site.trade()  # known to the first life, saved by it or not
    site.kill("portfolio")
    for _ in range(5):
        site.trade(lots=3)  # while it is away
    site.start("portfolio").ready()
    assert equal(site), "as soon as it says that it is ready"
    site.trade()
    eventually(lambda: equal(site))
    assert site.venue.positions(1)[1][0] == 26


@pytest.mark.parametrize("round_", range(3))
def test_each_report_is_handled_once_and_in_order_whatever_is_killed_meanwhile(sites, round_):
    site = sites(portfolio=Noting)
    trading = threading.Thread(target=lambda: [site.trade() for _ in range(60)])
    trading.start()
    for _ in range(3):
        eventually(lambda: site.engine("portfolio").sequences)
        site.kill("portfolio")
        site.start("portfolio").ready()
    trading.join()
    site.trade()
    last = site.venue.core.kernel.last_event_sequence
    eventually(lambda: site.engine("portfolio").sequences[-1:] == [last])
    sequences = site.engine("portfolio").sequences
    first = min(sequences)
    reports = site.venue.running.host.ask_engine("trading", _reports_since(first - 1)).result(60).reports
    assert sequences == [report.sequence for report in reports]


def _reports_since(after):
    from nautilus.model.queries import ReportsSince

    return ReportsSince(after, 4_000)


def test_reports_that_a_dead_venue_did_not_deliver_are_fetched_when_it_is_back(sites):
    site = sites(portfolio=portfolio)
    site.trade()
    eventually(lambda: equal(site))
    site.venue.kill()
    # Fills that no report told of: the core has them, the trading process died before it spoke.
    for number in (901, 902):
        kernel = site.venue.core
        kernel.process(market_order(0, number, Side.SELL, 2, 600_000))
        kernel.process(market_order(0, number, Side.BUY, 2, 600_000, account_id=1))
    assert not equal(site)
    site.venue.start()
    eventually(lambda: equal(site))


def test_messages_that_were_given_up_are_made_good_by_a_catch_up(sites, caplog):
    site = sites({"pending_limit": 20, "window": 4}, portfolio=portfolio)
    site.trade()
    eventually(lambda: equal(site))
    asleep, awake = threading.Event(), threading.Event()
    host = site.hosts["portfolio"]
    host.host.loop.call_at_wall(0, lambda: (asleep.set(), awake.wait(60)))
    assert asleep.wait(60)
    for _ in range(60):
        site.trade()
    awake.set()
    eventually(lambda: equal(site))
    assert site.venue.running.host.mesh.dead_lettered > 0
    assert "gave up messages" in caplog.text
    assert host.engine("portfolio").ignored == 0, "each report was handled once"


def test_a_strategy_that_is_killed_goes_on_with_new_numbers_and_without_its_old_orders(sites):
    site = sites(strategy=lambda: strategy(Patient()))
    for number in (1, 2, 3):
        site.venue.publish(quote_array(SECOND, number, number + 1))
    eventually(lambda: site.venue.core.kernel.open_orders == 3)
    site.kill("strategy")
    site.start("strategy").ready()
    # It begins with an image of the last quote, and orders as after any other.
    eventually(lambda: site.venue.sources[1] == 5)
    assert site.venue.core.kernel.open_orders == 1
    eventually(lambda: len(site.engine("strategy").desks[0].orders) == 1)
    site.venue.publish(quote_array(SECOND, 5, 6))
    eventually(lambda: site.venue.core.kernel.open_orders == 2)
    assert site.venue.sources[1] == 6, "three orders, one mass cancel, two orders"
    refused = [event for event in site.venue.core.history.events if event["kind"] == EventKind.DUPLICATE]
    assert not refused, "no number was used twice"


def test_positions_of_a_strategy_are_right_after_its_process_was_killed(sites):
    site = sites(strategy=lambda: strategy(Buyer()), portfolio=portfolio)
    for _ in range(4):
        site.offer()
        eventually(lambda: equal(site))
    eventually(lambda: site.engine("strategy").desks[0].position(1) == 4)
    site.kill("strategy")
    site.trade(lots=2)
    site.start("strategy").ready()
    assert site.engine("strategy").desks[0].position(1) == 6
    site.offer()
    eventually(lambda: site.engine("strategy").desks[0].position(1) == 7)
    eventually(lambda: site.engine("strategy").desks[0].fills == 6)


def test_a_strategy_that_an_alert_stopped_stays_stopped_although_it_is_killed_at_once(sites):
    site = sites(risk=Alerter, strategy=lambda: strategy(Buyer()))
    alerter = site.hosts["risk"]
    alerter.do(lambda: alerter.engine("risk").ctx.publish(RiskAlert(1, 1, 1, 1, "loss", 2, 1)))
    eventually(lambda: site.engine("strategy").desks[0].stopped and alerter.host.mesh.pending() == 0)
    site.kill("strategy")
    site.start("strategy").ready()
    assert site.engine("strategy").desks[0].stopped


def test_an_orderly_stop_is_no_stop_of_the_strategies(sites):
    site = sites(strategy=lambda: strategy(Buyer()))
    site.hosts.pop("strategy").stop()
    site.start("strategy").ready()
    assert not site.engine("strategy").desks[0].stopped
    site.offer()
    eventually(lambda: site.engine("strategy").desks[0].position(1) == 1)


def test_risk_counts_its_commands_on_above_what_the_core_has(sites):
    site = sites(risk=risk)
    site.venue.sources[2] = 41
    site.kill("risk")
    site.start("risk").ready()
    assert site.engine("risk").state()["commands"] == 41


def test_a_state_that_is_ahead_of_the_core_is_set_aside(sites, caplog):
    site = sites(portfolio=portfolio)
    site.trade()
    eventually(lambda: equal(site))
    site.hosts.pop("portfolio").stop()
    path = site.directory / "data/state/portfolio.json"
    saved = json.loads(path.read_text())
    saved["report_sequence"] = 10**9
    saved["state"]["positions"] = [[1, 1, 777, 0, 0]]
    path.write_text(json.dumps(saved | {"checksum": ""}))
    site.start("portfolio").ready()
    assert equal(site)
    assert "of which the core" in caplog.text
    assert path.with_suffix(".foreign").exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"report_sequence": 5, "reports": 0, "state": {"positions": 3}}'])
def test_a_damaged_state_is_set_aside_and_everything_fetched(sites, caplog, content):
    site = sites(portfolio=portfolio)
    site.trade()
    eventually(lambda: equal(site))
    site.hosts.pop("portfolio").stop()
    path = site.directory / "data/state/portfolio.json"
    path.write_bytes(content)
    site.start("portfolio").ready()
    assert equal(site)
    assert "cannot be taken over" in caplog.text
    assert path.with_suffix(".damaged").read_bytes() == content


def test_a_state_that_is_of_other_settings_stays_where_it_is_and_the_start_fails(tmp_path):
    class Other(Engine):
        name = "portfolio"

        def restore(self, state):
            raise ConfigError(
                "account 1 holds what another one left", where="strategy.first_account", expected="another"
            )

    file = StateFile(tmp_path / "state", "portfolio")
    assert file.save(SavedState(3, 0, {"kept": 1}))
    context = SimpleNamespace(engine=Other(), name="portfolio", state=None)
    with pytest.raises(ConfigError, match="another one left"):
        Recovery(None, context, file).restore()
    assert file.load().state == {"kept": 1}


def test_a_state_with_any_byte_changed_is_no_state(tmp_path):
    file = StateFile(tmp_path / "state", "portfolio")
    saved = SavedState(3, 0, {"kept": [1, 12.5, "text"], "checksum": "00000000"})
    file.save(saved)
    whole = file.path.read_bytes()
    assert file.load() == saved
    for at in range(len(whole)):
        for changed in (whole[at] ^ 1, whole[at] ^ 16, 0x30):
            if changed != whole[at]:
                file.path.write_bytes(whole[:at] + bytes([changed]) + whole[at + 1 :])
                with pytest.raises(InternalError, match="a state that was saved"):
                    file.load()
    for cut in range(len(whole)):
        file.path.write_bytes(whole[:cut])
        with pytest.raises(InternalError):
            file.load()
    file.path.write_bytes(b'{"report_sequence":3,"reports":0,"state":{}}')
    assert file.load() == SavedState(3, 0, {}), "of an earlier version"


def test_a_state_file_is_written_whole_and_only_when_something_changed(tmp_path):
    file = StateFile(tmp_path / "state", "portfolio")
    assert file.load() is None
    assert file.save(SavedState(3, 0, {"big": 2**70, "list": [1, "a", None, 1.5]}))
    assert not file.save(SavedState(3, 0, {"big": 2**70, "list": [1, "a", None, 1.5]}))
    assert file.save(SavedState(4, 1, {"big": 2**70}))
    found = StateFile(tmp_path / "state", "portfolio").load()
    assert found == SavedState(4, 1, {"big": 2**70})
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["portfolio.json"]
    assert file.path.stat().st_mode & 0o777 == 0o600
    file.path.write_text("[]")
    with pytest.raises(InternalError, match=r"portfolio\.json"):
        file.load()
