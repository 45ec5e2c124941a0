"""Orders before they are sent: beside an engine that gets them filled, and closed where nobody can know."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.engines.risk import RiskConfig, RiskEngine
from nautilus.model.enums import Side
from nautilus.model.errors import ModelError, UnknownInstrumentError, UnknownPortfolioError
from nautilus.model.events import OrderAccepted, OrderFilled
from nautilus.model.history import PutHistory, SeriesKind
from nautilus.model.marketdata import Quote
from nautilus.model.risk import CheckOrders, CheckResult, GetLimits, LimitBreached, ProposedOrder
from nautilus.model.signals import MarginStatus
from tests.kit.context import SECOND, RecordingContext, btcusdt

INSTRUMENTS = [
    btcusdt(),
    btcusdt(instrument_id=2, symbol="ETHUSDT", lot_size="0.001"),
    btcusdt(instrument_id=3, symbol="BTCEUR", quote_currency="EUR"),
]
DAY = 86_400 * SECOND
STEPS = tuple(0.03 * (-1) ** day * (1 + day % 5) for day in range(40))


def engine_with(*limits: str, **settings: Any) -> tuple[RiskEngine, RecordingContext]:
    none = {"max_position": 0, "max_loss": "", "max_orders": 0, "desks": {"one": (1, 2)}}
    return RiskEngine(RiskConfig(**none | {"limits": limits} | settings), INSTRUMENTS), RecordingContext()


def fill(sequence: int, side: Side, lots: int, ticks: int, account: int = 1, strategy: int = 1, instrument: int = 1):
    return OrderFilled(sequence, 5, account, strategy, instrument, sequence, side, ticks, lots, 0)


def quote(engine: RiskEngine, ctx: RecordingContext, instrument: int, bid: int, ask: int) -> None:
    engine.on_quote(Quote(5, 5, 1, bid, 10, ask, 10, instrument), ctx)


def ask(engine: RiskEngine, ctx: RecordingContext, *orders: ProposedOrder, portfolio: int = 1) -> CheckResult:
    found = engine.on_request(CheckOrders(portfolio, orders), ctx)
    assert isinstance(found, CheckResult)
    return found


def buy(quantity: str, instrument: str = "BTCUSDT", price: str = "", strategy: int = 1) -> ProposedOrder:
    return ProposedOrder(instrument, Side.BUY, quantity, price, strategy)


def sell(quantity: str, instrument: str = "BTCUSDT", price: str = "", strategy: int = 1) -> ProposedOrder:
    return ProposedOrder(instrument, Side.SELL, quantity, price, strategy)


def broken(result: CheckResult) -> list[tuple[str, str, float | None]]:
    return [(each.scope, each.control, each.value) for each in result.violations]


def test_every_violated_limit_is_named() -> None:
    engine, ctx = engine_with(
        "firm gross hard 900",
        "desk/one position hard 0.07",
        "portfolio/* net soft 500 hard 2000",
        "strategy/*/* notional hard 750",
        "instrument/*/*/BTCUSDT position hard 1",
    )
    engine.on_report(fill(1, Side.BUY, 50, 100_000), ctx)
    result = ask(engine, ctx, buy("0.03"))
    assert not result.allowed
    assert broken(result) == [("desk/one", "position", 0.08), ("strategy/1/1", "notional", 800.0)]
    assert [(each.scope, each.value, each.hard) for each in result.warnings] == [("portfolio/1", 800.0, False)]
    assert result.checked == 5
    assert ask(engine, ctx, buy("0.02")).allowed
    assert len(ask(engine, ctx, buy("0.05")).violations) == 3


def test_any_part_of_the_orders_may_be_filled() -> None:
    engine, ctx = engine_with("portfolio/* net hard 500")
    quote(engine, ctx, 1, 100_000, 100_000)
    assert ask(engine, ctx, buy("0.05"), portfolio=2).allowed
    both = ask(engine, ctx, buy("0.06"), sell("0.06"), portfolio=2)
    assert broken(both) == [("portfolio/2", "net", 600.0)]


def test_orders_that_make_a_breach_smaller_are_allowed() -> None:
    engine, ctx = engine_with("portfolio/* gross hard 500", "portfolio/* loss hard 10")
    engine.on_report(fill(1, Side.BUY, 80, 100_000), ctx)
    quote(engine, ctx, 1, 90_000, 90_100)
    assert not ask(engine, ctx).allowed
    assert ask(engine, ctx, sell("0.01")).allowed
    assert not ask(engine, ctx, buy("0.01")).allowed
    turned = ask(engine, ctx, sell("0.081"))
    assert [each.control for each in turned.violations] == ["loss"]


def test_what_cannot_be_known_is_not_allowed() -> None:
    engine, ctx = engine_with("portfolio/* gross hard 1e9")
    [unpriced] = ask(engine, ctx, buy("0.01")).violations
    assert (unpriced.value, unpriced.reason) == (None, "no price")
    assert ask(engine, ctx, buy("0.01", price="10000")).allowed
    quote(engine, ctx, 3, 100_000, 100_000)
    [unrated] = ask(engine, ctx, buy("0.01", "BTCEUR")).violations
    assert (unrated.value, unrated.reason) == (None, "no rate of a currency")
    for limit, reason in (
        ("portfolio/1 leverage hard 3", "no net asset value"),
        ("portfolio/1 margin hard 1", "no margin status"),
        ("portfolio/1 var hard 1e9", "no history of a position"),
    ):
        engine, ctx = engine_with(limit)
        [unknown] = ask(engine, ctx, buy("0.01", price="10000")).violations
        assert (unknown.value, unknown.reason) == (None, reason)
    engine.on_margin(MarginStatus(SECOND, 1, 100, 10, 10), ctx)
    engine.on_request(PutHistory("BTCUSDT", tuple(range(DAY, 41 * DAY, DAY)), STEPS, SeriesKind.RETURN), ctx)
    engine.on_report(fill(1, Side.BUY, 1, 100_000), ctx)
    assert ask(engine, ctx, buy("0.01", price="10000")).allowed


def test_orders_are_counted_before_they_are_sent() -> None:
    engine, ctx = engine_with("strategy/*/* order_rate hard 3 window_ns 1000")
    engine.on_report(OrderAccepted(1, ctx.now_ns, 1, 1, 1, 1, Side.BUY, 100, 1, 1), ctx)
    assert ask(engine, ctx, buy("1"), buy("1")).allowed
    assert broken(ask(engine, ctx, buy("1"), buy("1"), buy("1"))) == [("strategy/1/1", "order_rate", 4.0)]
    ctx.now_ns += 1000
    assert ask(engine, ctx, buy("1"), buy("1"), buy("1")).allowed


def test_an_unknown_portfolio_or_instrument_has_no_answer() -> None:
    engine, ctx = engine_with("portfolio/8 gross hard 1")
    assert ask(engine, ctx, portfolio=8).allowed
    assert ask(engine, ctx, portfolio=2).allowed
    with pytest.raises(UnknownPortfolioError):
        ask(engine, ctx, portfolio=9)
    with pytest.raises(UnknownInstrumentError):
        ask(engine, ctx, buy("1", "NOWHERE"))
    for order in (buy("0.00001"), buy("-1"), buy("x"), buy("1", price="0.01")):
        with pytest.raises(ModelError):
            ask(engine, ctx, order)


def test_asking_changes_nothing() -> None:
    engine, ctx = engine_with("strategy/*/* position hard 1", "firm concentration hard 0.5")
    engine.on_report(fill(1, Side.BUY, 50, 100_000), ctx)
    before, limits = engine.state(), engine.on_request(GetLimits(), ctx).limits
    for strategy in range(50):
        ask(engine, ctx, buy("0.5", strategy=strategy), sell("2", "ETHUSDT", "99", strategy=strategy))
    assert engine.state() == before
    assert engine.on_request(GetLimits(), ctx).limits == limits


ORDERS = st.tuples(
    st.sampled_from(["BTCUSDT", "ETHUSDT"]),
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(1, 40),
    st.integers(1, 2),
)
LIMITS = [
    f"{scope} {control} hard {limit}"
    for scope in ("firm", "desk/*", "portfolio/*", "strategy/*/*", "instrument/*/*/*")
    for control, limit in (("position", 0.03), ("notional", 300), ("gross", 500), ("net", 250), ("var", 40))
]


@given(st.lists(ORDERS, max_size=4), st.lists(ORDERS, min_size=1, max_size=4))
def test_the_answer_is_what_the_tree_says_when_the_orders_are_filled(held: list[Any], proposed: list[Any]) -> None:
    def made() -> tuple[RiskEngine, RecordingContext]:
        engine, ctx = engine_with(*LIMITS)
        times = tuple(range(DAY, 41 * DAY, DAY))
        for symbol, factor in (("BTCUSDT", 1.0), ("ETHUSDT", -0.5)):
            returns = tuple(factor * step for step in STEPS)
            engine.on_request(PutHistory(symbol, times, returns, SeriesKind.RETURN), ctx)
        for key in (1, 2):
            quote(engine, ctx, key, 100_000, 100_000)
        for key in (1, 2):  # so that both have histories
            engine.on_report(fill(key, Side.BUY, 1, 100_000, 9, 9, key), ctx)
        fills(engine, ctx, held, 10)
        return engine, ctx

    def fills(engine: RiskEngine, ctx: RecordingContext, orders: list[Any], sequence: int) -> None:
        for number, (symbol, side, lots, strategy) in enumerate(orders, sequence):
            key = 1 if symbol == "BTCUSDT" else 2
            engine.on_report(fill(number, side, lots, 100_000, 1, strategy, key), ctx)

    engine, ctx = made()
    orders = [ProposedOrder(symbol, side, str(lots / 1000), "", strategy) for symbol, side, lots, strategy in proposed]
    found = {(each.scope, each.control): each.value for each in ask(engine, ctx, *orders).violations}
    values = {(each.scope, each.control): each.value or 0.0 for each in engine.on_request(GetLimits(), ctx).limits}
    subsets = [proposed, *[[order for order in proposed if order[1] is side] for side in (Side.BUY, Side.SELL)]]
    expected: dict[tuple[str, str], float] = {}
    touched = {f"strategy/1/{strategy}" for *_, strategy in proposed}
    touched |= {f"instrument/1/{strategy}/{symbol}" for symbol, *_, strategy in proposed}
    for subset in subsets:
        if not subset and len({order[1] for order in proposed}) == 1:
            continue
        other, beside = made()
        fills(other, beside, subset, 100)
        for each in other.on_request(GetLimits(), beside).limits:
            key = (each.scope, each.control)
            if each.scope not in touched | {"firm", "desk/one", "portfolio/1"} or each.value is None:
                continue
            if each.value > (each.hard or 0.0) and not each.value < values.get(key, 0.0):
                expected[key] = max(expected.get(key, 0.0), each.value)
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert value == pytest.approx(expected[key], rel=1e-9)
    assert not any(isinstance(event, LimitBreached) and event.sequence >= 100 for event in ctx.published)
