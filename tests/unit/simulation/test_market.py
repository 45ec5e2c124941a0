"""The simulated market: two-sided, deterministic, with trades, moving prices and a spread that reacts."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from statistics import mean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core import Kernel
from nautilus.core.types import CommandKind, EventKind, OrderFlag, Side
from nautilus.model.errors import ConfigError
from nautilus.model.instrument import Instrument
from nautilus.simulation.agents import Fundamental
from nautilus.simulation.config import SimulationConfig
from nautilus.simulation.market import FIRST_ACCOUNT, SimulatedMarket
from nautilus.simulation.simulated import START_NS, SimulatedSource
from tests.kit import builders

OWN = 1
SECOND = 1_000_000_000


class Run:
    """A simulated market in a core of its own; a strategy's account may join in."""

    def __init__(self, seed: int = 1, config: SimulationConfig | None = None, **where: Instrument) -> None:
        self.source = SimulatedSource(seed=seed, config=config, **where)
        self.kernel = Kernel(list(self.source.instruments()), accounts=[OWN])
        self.source.attach(self.kernel)
        self.send(self.source.setup())
        self.spreads: list[int] = []
        self.mids: list[tuple[int, float]] = []
        self.one_sided = 0
        self.commands = 0
        self._own_id = 0

    def send(self, commands) -> list:
        events = self.kernel.process(commands)
        self.source.on_events(events)
        return events.tolist()

    def until(self, seconds: float) -> Run:
        """Run to that many seconds after the start."""
        end = START_NS + int(seconds * SECOND)
        while (now_ns := self.source.next_ns()) is not None and now_ns <= end:
            step = self.source.step()
            assert step.now_ns == now_ns
            if step.commands is not None:
                assert (step.commands["now_ns"] == now_ns).all()
                self.commands += len(step.commands)
                self.send(step.commands)
            bids, asks = self.kernel.depth(1, 1)
            if len(bids) and len(asks):
                self.spreads.append(int(asks["price_ticks"][0] - bids["price_ticks"][0]))
                self.mids.append((now_ns, float(asks["price_ticks"][0] + bids["price_ticks"][0]) / 2))
            else:
                self.one_sided += 1
        return self

    def take(self, side: Side, lots: int) -> None:
        """A strategy takes at market."""
        self._own_id += 1
        self.send(builders.market(self._own_id, side, lots, account_id=OWN, now_ns=self.source.market.now_ns))

    def shown(self, side: Side) -> int:
        bids, asks = self.kernel.depth(1, 1_000)
        return int((asks if side == Side.BUY else bids)["quantity"].sum())


def test_market_trades_on_both_sides_and_prices_move() -> None:
    run = Run().until(30)
    facts = run.source.summary()["market"]
    assert facts["buys"] > 100
    assert facts["sells"] > 100
    seconds = {now_ns // SECOND: mid for now_ns, mid in run.mids}
    returns = [
        after / before - 1 for before, after in zip(list(seconds.values()), list(seconds.values())[1:], strict=False)
    ]
    assert 0.1e-4 < pstdev(returns) < 5e-4
    assert min(run.spreads) >= 1
    assert 150 <= run.commands / 30 <= 600


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 64), seconds=st.floats(0.5, 6))
def test_market_is_always_two_sided_and_nothing_is_refused(seed: int, seconds: float) -> None:
    run = Run(seed).until(seconds)
    assert run.one_sided == 0
    assert run.source.summary()["rejected"] == {}


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    sizes=st.builds(
        SimulationConfig,
        initial_price_ticks=st.integers(1_000, 10_000_000),
        typical_lots=st.integers(1, 500),
        makers=st.integers(1, 3),
        maker_levels=st.integers(1, 5),
        maker_lots=st.integers(1, 500),
        noise_traders=st.integers(0, 8),
        momentum_traders=st.integers(0, 5),
        informed_traders=st.integers(0, 5),
        volatility_bps=st.floats(0, 20),
        jump_bps=st.floats(0, 100),
        jumps_per_minute=st.floats(0, 60),
    ),
)
def test_market_of_any_make_is_two_sided(seed: int, sizes: SimulationConfig) -> None:
    run = Run(seed, sizes).until(2)
    assert run.one_sided == 0
    assert run.source.summary()["rejected"] == {}


def test_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    first, again, other = Run(7).until(5), Run(7).until(5), Run(8).until(5)
    assert first.kernel.event_hash() == again.kernel.event_hash()
    assert first.kernel.state_hash() == again.kernel.state_hash()
    assert first.kernel.journal_hash() == again.kernel.journal_hash()
    assert other.kernel.event_hash() != first.kernel.event_hash()


def test_burst_of_market_orders_widens_the_spread_and_time_heals_it() -> None:
    before, after, later = [], [], []
    for seed in range(6):
        run = Run(seed).until(10)
        before.append(mean(run.spreads))
        run.spreads.clear()
        for i in range(10):
            run.take(Side.BUY, run.shown(Side.BUY) // 4)
            run.until(10 + 0.05 * (i + 1))
        run.until(11)
        after.append(mean(run.spreads))
        run.until(25)
        run.spreads.clear()
        run.until(30)
        later.append(mean(run.spreads))
    assert mean(after) > 1.3 * mean(before)
    assert mean(later) < 0.8 * mean(after)


def test_burst_of_buying_lifts_the_price() -> None:
    run = Run(3).until(5)
    before = run.mids[-1][1]
    for i in range(10):
        run.take(Side.BUY, run.shown(Side.BUY) // 4)
        run.until(5 + 0.05 * (i + 1))
    assert run.mids[-1][1] > before


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_side_that_a_strategy_takes_whole_is_quoted_anew_at_once(side: Side) -> None:
    run = Run(5).until(2)
    run.take(side, run.shown(side))
    assert run.shown(side) == 0
    now_ns = run.source.market.now_ns
    assert run.source.next_ns() == now_ns
    step = run.source.step()
    assert step.now_ns == now_ns
    assert step.commands is not None
    run.send(step.commands)
    assert run.shown(side) > 0
    run.until(6)
    assert run.one_sided == 0
    assert run.source.summary()["rejected"] == {}


def test_price_follows_the_value() -> None:
    config = SimulationConfig(jumps_per_minute=0, volatility_bps=0)
    run = Run(2, config).until(10)
    value = run.source.market.value
    assert value == config.initial_price_ticks
    assert abs(mean(mid for _, mid in run.mids) / value - 1) < 3e-4


def test_killed_makers_do_not_hold_the_market_at_one_time() -> None:
    run = Run(4).until(1)
    for maker in range(run.source.market.config.makers):
        run.send(builders.kill(FIRST_ACCOUNT + maker))
    run.until(2)
    assert run.source.market.now_ns > START_NS + 1.9 * SECOND
    assert run.source.summary()["rejected"].keys() == {"KILLED"}
    for maker in range(run.source.market.config.makers):
        run.send(builders.resume(FIRST_ACCOUNT + maker))
    run.one_sided = 0
    run.until(4)
    assert run.one_sided <= 1


def test_makers_that_are_refused_try_again_when_somebody_wakes_and_not_before() -> None:
    """Where time goes on with each answer of the core, as it does live."""
    run = Run(4).until(1)
    for maker in range(run.source.market.config.makers):
        run.send(builders.kill(FIRST_ACCOUNT + maker))
    steps, now_ns = 0, run.source.market.now_ns
    while run.source.market.now_ns < START_NS + 2 * SECOND:
        step = run.source.step() if run.source.next_ns() else None
        assert step is not None
        steps += 1
        now_ns = max(now_ns, step.now_ns) + 1_000
        if step.commands is not None:
            commands = step.commands.copy()
            commands["now_ns"] = now_ns
            run.send(commands)
    assert steps < 600


def test_agents_know_their_open_orders_and_positions() -> None:
    run = Run(6).until(8)
    run.send(builders.time(run.source.market.now_ns + 3_600 * SECOND))  # what was to expire has
    for agent in run.source.market.agents:
        desk = agent.desk
        positions = run.kernel.positions(desk.account_id)
        assert sum(int(row["quantity"]) for row in positions) == desk.position
        cancelled = run.send(builders.mass_cancel(desk.account_id, now_ns=run.source.market.now_ns))
        assert cancelled[-1][5] == len(cancelled) - 1, "quantity of APPLIED: orders cancelled"
        assert desk.open == {}


def test_agents_expire_rest_and_take() -> None:
    run = Run(9)
    kinds, events = set(), set()
    end = START_NS + 15 * SECOND
    while (run.source.next_ns() or end) < end:
        commands = run.source.step().commands
        if commands is not None:
            kinds |= set(commands["kind"].tolist())
            events |= {row[7] for row in run.send(commands)}
    assert kinds == {CommandKind.NEW, CommandKind.CANCEL, CommandKind.REPLACE}
    assert events == {EventKind.ACCEPTED, EventKind.FILLED, EventKind.CANCELLED, EventKind.REPLACED, EventKind.EXPIRED}


def test_makers_quote_post_only() -> None:
    commands = SimulatedMarket().start(START_NS)
    assert (commands["flags"] == OrderFlag.POST_ONLY).all()
    assert set(commands["side"].tolist()) == {Side.BUY, Side.SELL}


def test_market_ends_after_its_time() -> None:
    source = SimulatedSource(for_ns=SECOND // 2)
    kernel = Kernel(list(source.instruments()))
    source.attach(kernel)
    source.on_events(kernel.process(source.setup()))
    assert source.progress == 0
    while source.next_ns() is not None:
        commands = source.step().commands
        if commands is not None:
            source.on_events(kernel.process(commands))
    assert source.market.now_ns <= START_NS + SECOND // 2
    assert 0.9 < source.progress <= 1
    assert SimulatedSource().progress is None


def test_market_keeps_to_the_tick_table() -> None:
    instrument = Instrument(
        instrument_id=1,
        symbol="BANDS",
        venue="SIMULATED",
        base_currency="SIM",
        quote_currency="USD",
        tick_table=(("0", "0.01"), ("100", "0.05")),
        lot_size="1",
        currency_decimals=2,
    )
    below = set()
    for seed in range(4):
        run = Run(seed, SimulationConfig(initial_price_ticks=10_000, volatility_bps=20), instrument=instrument).until(5)
        assert run.source.summary()["rejected"] == {}
        below |= {mid < 10_000 for _, mid in run.mids}
    assert below == {True, False}, "both bands were traded in"


def test_price_off_tick_to_begin_with_is_refused() -> None:
    with pytest.raises(ConfigError, match="initial_price_ticks 600001"):
        SimulatedMarket(
            Instrument(
                instrument_id=1,
                symbol="COARSE",
                venue="SIMULATED",
                base_currency="SIM",
                quote_currency="USD",
                tick_table=(("0", "0.01"), ("100", "0.05")),
                lot_size="1",
                currency_decimals=2,
            ),
            config=SimulationConfig(initial_price_ticks=600_001),
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("makers", 0),
        ("noise_traders", 1_001),
        ("half_spread_bps", float("nan")),
        ("skew", -1.0),
        ("maker_seconds", 0.0),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"simulation: {name}"):
        SimulationConfig(**{name: value})


def test_value_diffuses_with_the_stated_volatility() -> None:
    config = SimulationConfig(jumps_per_minute=0, volatility_bps=5)
    value = Fundamental(config, Random("a"))
    path = [value.at(START_NS + i * SECOND) for i in range(2_000)]
    returns = [after / before - 1 for before, after in pairwise(path)]
    assert pstdev(returns) == pytest.approx(5e-4, rel=0.08)


def test_value_jumps_as_often_as_stated() -> None:
    value = Fundamental(SimulationConfig(jumps_per_minute=30, volatility_bps=0, jump_bps=10), Random("b"))
    path = [value.at(START_NS + i * SECOND // 10) for i in range(6_000)]
    jumps = sum(abs(after / before - 1) > 1e-6 for before, after in pairwise(path))
    assert jumps == pytest.approx(300, rel=0.2)
