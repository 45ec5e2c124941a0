"""Orders before they are sent: beside an engine that gets them filled, and closed where nobody can know."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.engines.risk import RiskConfig, RiskEngine
from nautilus.model.enums import RecordFlag, Side
from nautilus.model.errors import ModelError, UnknownInstrumentError, UnknownPortfolioError
from nautilus.model.events import OrderAccepted, OrderCancelled, OrderFilled
from nautilus.model.history import PutHistory, SeriesKind
from nautilus.model.marketdata import Quote
from nautilus.model.risk import CheckOrders, CheckResult, GetLimits, ProposedOrder
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


def accepted(
    sequence: int, side: Side, lots: int, account: int = 1, strategy: int = 1, instrument: int = 1, **more: Any
):
    return OrderAccepted(sequence, 5, account, strategy, instrument, sequence, side, 100_000, lots, lots, **more)


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


BID, ASK = 99_000, 101_000
SYMBOLS = {"BTCUSDT": 1, "ETHUSDT": 2}
SIDES = st.sampled_from([Side.BUY, Side.SELL])
# Instrument, side, lots, strategy; of open and filled orders the portfolio before: 1 and 2 are of a desk, 9 is of none.
ORDERS = st.tuples(st.sampled_from([*SYMBOLS]), SIDES, st.integers(1, 40), st.integers(1, 2))
OTHERS = st.tuples(st.sampled_from([1, 1, 2, 9]), ORDERS)
LIMITS = [
    f"{scope} {control} hard {limit}"
    for scope in ("firm", "desk/*", "portfolio/*", "strategy/*/*", "instrument/*/*/*")
    for control, limit in (("position", 0.03), ("notional", 300), ("gross", 500), ("net", 250), ("var", 40))
]
RETURNS = {"BTCUSDT": np.array(STEPS), "ETHUSDT": -0.5 * np.array(STEPS)}
Held = dict[tuple[int, int, str], int]


def filled(held: Held, orders: Iterable[Any]) -> Held:
    after = dict(held)
    for account, (symbol, side, lots, strategy) in orders:
        key = (account, strategy, symbol)
        after[key] = after.get(key, 0) + (lots if side is Side.BUY else -lots)
    return after


def under(held: Held, scope: str) -> Held:
    level, *rest = scope.split("/")
    names = {key: "/".join(map(str, key)) for key in held}
    return {
        key: lots
        for key, lots in held.items()
        if level == "firm"
        or (level == "desk" and key[0] in (1, 2))
        or (names[key] + "/").startswith("/".join(rest) + "/")
    }


def worths(held: Held) -> dict[str, float]:
    """Of each instrument; a tick is a tenth of the price of a coin, a lot 10^-3 of a coin."""
    found = dict.fromkeys(SYMBOLS, 0.0)
    for (_, _, symbol), lots in held.items():
        found[symbol] += lots * (BID if lots > 0 else ASK) / 10_000
    return found


def value(held: Held, control: str) -> float:
    """By definition, from what is held alone."""
    match control:
        case "position":
            return max(abs(sum(lots for key, lots in held.items() if key[2] == name)) for name in SYMBOLS) / 1_000
        case "notional":
            return max(map(abs, worths(held).values()))
        case "gross":
            return sum(abs(lots) * (BID if lots > 0 else ASK) / 10_000 for lots in held.values())
    return abs(sum(worths(held).values()))


def worst_of(held: Held, working: list[Any], scope: str, control: str) -> float:
    """Over every part of the open orders that may be filled; of value at risk: none, the buys, the sells, all."""
    if control == "var":
        now = worths(under(held, scope))
        sides = [[each for each in working if each[1][1] is side] for side in (Side.BUY, Side.SELL)]
        moved = [worths(under(filled(held, side), scope)) for side in sides]
        outcomes = [
            sum(RETURNS[name] * (now[name] + sum(moved[side][name] - now[name] for side in part)) for name in SYMBOLS)
            for part in ((), (0,), (1,), (0, 1))
        ]
        return max(float(-np.percentile(each, 1)) for each in outcomes)
    parts = [part for size in range(len(working) + 1) for part in combinations(working, size)]
    return max(value(under(filled(held, part), scope), control) for part in parts)


def growing(held: Held, proposed: list[Any]) -> list[Any]:
    found = []
    for account, strategy, symbol in sorted({(1, order[3], order[0]) for _, order in proposed}):
        mine = [each for each in proposed if (each[1][3], each[1][0]) == (strategy, symbol)]
        before = abs(held.get((account, strategy, symbol), 0))
        parts = [[each for each in mine if each[1][1] is side] for side in (Side.BUY, Side.SELL)]
        sizes = [abs(filled(held, part).get((account, strategy, symbol), 0)) for part in parts]
        if max(sizes) > before:
            found += parts[sizes.index(max(sizes))]
    return found


@given(st.lists(OTHERS, max_size=4), st.lists(OTHERS, max_size=4), st.lists(ORDERS, min_size=1, max_size=4))
def test_the_answer_is_the_worst_that_open_and_proposed_orders_may_lead_to(
    fills: list[Any], working: list[Any], orders: list[Any]
) -> None:
    engine, ctx = engine_with(*LIMITS)
    times = tuple(range(DAY, 41 * DAY, DAY))
    for symbol, key in SYMBOLS.items():
        engine.on_request(PutHistory(symbol, times, tuple(RETURNS[symbol]), SeriesKind.RETURN), ctx)
        quote(engine, ctx, key, BID, ASK)
    for number, (account, (symbol, side, lots, strategy)) in enumerate(fills, 1):
        engine.on_report(fill(number, side, lots, 100_000, account, strategy, SYMBOLS[symbol]), ctx)
    for number, (account, (symbol, side, lots, strategy)) in enumerate(working, 100):
        engine.on_report(accepted(number, side, lots, account, strategy, SYMBOLS[symbol]), ctx)
    ctx.published.clear()
    result = ask(engine, ctx, *(ProposedOrder(name, side, str(n / 1000), "", key) for name, side, n, key in orders))
    assert result.open_orders == sum(account == 1 for account, _ in working)

    held, proposed = filled({}, fills), [(1, order) for order in orders]
    cases = [proposed, growing(held, proposed)]
    cases += [[each for each in proposed if each[1][1] is side] for side in (Side.BUY, Side.SELL)]
    scopes = ["firm", "desk/one", "portfolio/1", *(f"strategy/1/{order[3]}" for order in orders)]
    scopes += [f"instrument/1/{order[3]}/{order[0]}" for order in orders]
    expected: dict[tuple[str, str], float] = {}
    for scope in dict.fromkeys(scopes):
        for control, limit in (("position", 0.03), ("notional", 300), ("gross", 500), ("net", 250), ("var", 40)):
            before = worst_of(held, working, scope, control)
            for case in cases:
                after = worst_of(filled(held, case), working, scope, control) if case else 0.0
                if after > limit and not after < before:
                    expected[scope, control] = max(expected.get((scope, control), 0.0), after)
    found = {(each.scope, each.control): each.value for each in result.violations}
    assert found.keys() == expected.keys()
    for key, worst in found.items():
        assert worst == pytest.approx(expected[key], rel=1e-9)
    assert ctx.published == []


def test_open_orders_count_until_they_are_over() -> None:
    engine, ctx = engine_with("portfolio/* position hard 0.1")
    quote(engine, ctx, 1, 100_000, 100_000)
    engine.on_report(accepted(1, Side.BUY, 60), ctx)
    result = ask(engine, ctx, buy("0.05"))
    assert (broken(result), result.open_orders) == ([("portfolio/1", "position", 0.11)], 1)
    assert ask(engine, ctx, buy("0.04")).allowed
    assert ask(engine, ctx, sell("0.1")).allowed, "what is bought is not set off against what may never be"
    engine.on_report(OrderFilled(2, 5, 1, 1, 1, 1, Side.BUY, 100_000, 20, 40), ctx)
    assert not ask(engine, ctx, buy("0.05")).allowed, "20 are held and 40 may be"
    engine.on_report(OrderCancelled(3, 5, 1, 1, 1, 1, Side.BUY, 100_000, 40, 0), ctx)
    result = ask(engine, ctx, buy("0.05"))
    assert (result.allowed, result.open_orders) == (True, 0)


def test_an_order_of_another_portfolio_counts_for_the_desk_and_the_firm() -> None:
    engine, ctx = engine_with("portfolio/* gross hard 500", "desk/one gross hard 800", "firm gross hard 1200")
    quote(engine, ctx, 1, 100_000, 100_000)
    engine.on_report(accepted(1, Side.SELL, 40, account=2), ctx)
    engine.on_report(accepted(2, Side.BUY, 40, account=9), ctx)
    assert broken(ask(engine, ctx, buy("0.045"))) == [("firm", "gross", 1250.0), ("desk/one", "gross", 850.0)]
    assert ask(engine, ctx, buy("0.04")).allowed


def test_of_orders_that_enlarge_and_reduce_the_enlarging_ones_may_be_filled_alone() -> None:
    engine, ctx = engine_with("portfolio/* gross hard 500")
    for key in (1, 2):
        quote(engine, ctx, key, 100_000, 100_000)
    engine.on_report(fill(1, Side.BUY, 40, 100_000), ctx)
    swap = ask(engine, ctx, sell("0.03"), sell("0.03", "ETHUSDT"))
    assert broken(swap) == [("portfolio/1", "gross", 700.0)]


def test_a_loss_forbids_what_may_turn_a_position_together_with_open_orders() -> None:
    engine, ctx = engine_with("portfolio/* loss hard 10")
    engine.on_report(fill(1, Side.BUY, 80, 100_000), ctx)
    quote(engine, ctx, 1, 90_000, 90_100)
    engine.on_report(accepted(2, Side.SELL, 60), ctx)
    assert ask(engine, ctx, sell("0.02")).allowed
    assert broken(ask(engine, ctx, sell("0.021"))) == [("portfolio/1", "loss", 80.0)]


def test_a_part_of_the_whole_counts_with_the_open_orders_of_one_instrument() -> None:
    engine, ctx = engine_with("firm concentration hard 0.7")
    for key in (1, 2):
        quote(engine, ctx, key, 100_000, 100_000)
        engine.on_report(fill(key, Side.BUY, 50, 100_000, instrument=key), ctx)
    assert ask(engine, ctx, buy("0.05")).allowed  # 1000 of 1500
    engine.on_report(accepted(3, Side.BUY, 30), ctx)
    [(_, _, part)] = broken(ask(engine, ctx, buy("0.05")))
    assert part == pytest.approx(1300 / 1800)


def test_an_open_order_that_cannot_be_valued_leaves_nothing_allowed() -> None:
    engine, ctx = engine_with("portfolio/* gross hard 1e9", "portfolio/* position hard 1e9")
    engine.on_report(accepted(1, Side.BUY, 5, instrument=3), ctx)
    [unknown] = ask(engine, ctx, buy("0.01", price="10000")).violations
    assert (unknown.control, unknown.value, unknown.reason) == ("gross", None, "no price or rate of an open order")
    engine, ctx = engine_with("portfolio/* var hard 1e9")
    engine.on_request(PutHistory("BTCUSDT", tuple(range(DAY, 41 * DAY, DAY)), STEPS, SeriesKind.RETURN), ctx)
    engine.on_report(accepted(1, Side.BUY, 5, instrument=2), ctx)
    [unknown] = ask(engine, ctx, buy("0.01", price="10000")).violations
    assert unknown.reason == "no history of an open order"


def test_a_restarted_engine_has_every_open_order() -> None:
    limits = ("firm gross hard 900", "portfolio/* net hard 100", "desk/one notional hard 1")
    engine, ctx = engine_with(*limits)
    engine.on_report(accepted(1, Side.BUY, 60), ctx)
    engine.on_report(accepted(2, Side.SELL, 20, strategy=2, instrument=2), ctx)
    engine.on_report(accepted(3, Side.BUY, 9, parent_order_id=1), ctx)
    later, quiet = engine_with(*limits)
    later.restore(json.loads(json.dumps(engine.state())))
    assert later.state() == engine.state()
    for orders in ((), (buy("0.02"),), (sell("0.02", "ETHUSDT", strategy=2),)):
        assert ask(later, quiet, *orders) == ask(engine, ctx, *orders)
    assert ask(later, quiet).open_orders == 3


def test_an_answer_says_how_it_was_looked_at_and_at_what_prices() -> None:
    engine, ctx = engine_with("firm gross hard 900")
    engine.on_quote(Quote(7, 5, 1, 100_000, 10, 100_000, 10, 1), ctx)
    engine.on_quote(Quote(9, 5, 1, 100_000, 10, 100_000, 10, 2, int(RecordFlag.SYNTHETIC)), ctx)
    basis = ask(engine, ctx, buy("0.01"), buy("0.01", "ETHUSDT"), buy("0.01", "BTCEUR")).basis
    assert basis is not None
    assert "open orders" in basis.method
    assert (basis.window, basis.missing, basis.begin_ns, basis.end_ns) == (2, 1, 7, 9)
    assert (basis.source, basis.synthetic) == ("star", True)
    assert not ask(engine, ctx, buy("0.01")).basis.synthetic
    engine.on_report(fill(1, Side.BUY, 5, 100_000, instrument=2), ctx)
    assert ask(engine, ctx).basis.synthetic
    assert engine.on_request(GetLimits(), ctx).basis.synthetic
    later, _ = engine_with("firm gross hard 900")
    later.restore(json.loads(json.dumps(engine.state())))
    assert ask(later, ctx).basis.synthetic
    engine.on_quote(Quote(11, 5, 1, 100_000, 10, 100_000, 10, 2), ctx)
    assert not engine.on_request(GetLimits(), ctx).basis.synthetic
