"""Streams that the hub derives: the same whatever comes in a turn, bars that hold all trades, sides told by rule."""

import random
from decimal import Decimal

import numpy as np
import pytest

from nautilus.adapters.formats import open_recording
from nautilus.core.ticks import GAP_FLAG, BarKind
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.engines.marketdata.derived import Derived, Sides, bar_rule, flow_rule
from nautilus.model.enums import BookAction, RecordFlag, Side
from nautilus.model.errors import ConfigError
from nautilus.model.marketdata import INFERRED_FLAG
from nautilus.model.queries import GetBook
from nautilus.model.topics import BARS, BOOK_DELTAS, FLOWS, QUOTES, TRADES, topic_of
from tests.kit.context import RecordingContext
from tests.kit.data import BTCUSDT_SPOT, LOBSTER, recording

SECOND = 1_000_000_000
BAR_RULES = ("time:1s", "tick:20", "volume:5000", "dollar:100000000", "imbalance:20")
BUY, SELL = int(Side.BUY), int(Side.SELL)


def updates_of(name, seconds, *, told=True):
    """Updates of a recording; `told`: with the sides of trades."""
    log = open_recording(recording(name))
    updates = [each.records.copy() for each in log.updates(until_ns=log.start_ns + seconds * SECOND)]
    for records in updates:
        if topic_of(records) is TRADES and not told:
            records["side"] = 0
    if name == LOBSTER:  # it gives quotes of its own
        updates = [records for records in updates if topic_of(records) is not QUOTES]
    return log.hint.instrument(), updates


def streams(instrument, updates, config, sizes):
    """What is published of each topic, as bytes, where turns have so many steps."""
    hub, ctx, at = MarketDataEngine(config, [instrument]), RecordingContext(), 0
    while at < len(updates):
        size = sizes()
        hub.on_turn(updates[at : at + size], ctx)
        at += size
    found = {topic.name: b"" for topic in (QUOTES, TRADES, BOOK_DELTAS, BARS, FLOWS)}
    for records in ctx.published:
        found[topic_of(records).name] += records.tobytes()
    return found


@pytest.mark.parametrize(
    ("name", "config"),
    [
        (BTCUSDT_SPOT, MarketDataConfig(bars=BAR_RULES, flow="time:1s", aggressor="lee-ready")),
        (LOBSTER, MarketDataConfig(bars=BAR_RULES, flow="updates:50", flow_levels=5, bbo=("*",))),
        (BTCUSDT_SPOT, MarketDataConfig(bars=BAR_RULES, flow="time:1s", bbo=("*",))),  # beside the venue's own quotes
    ],
)
def test_streams_are_the_same_however_steps_fall_into_turns(name, config):
    instrument, updates = updates_of(name, 20, told=False)
    dice = random.Random(5)
    single = streams(instrument, updates, config, lambda: 1)
    assert streams(instrument, updates, config, lambda: dice.randrange(1, 40)) == single
    assert all(single.values()), "something of each"
    by_record = MarketDataEngine(config, [instrument])
    ctx = RecordingContext()
    for records in updates:
        by_record.on_records(records, ctx)
    bars = b"".join(records.tobytes() for records in ctx.published if topic_of(records) is BARS)
    assert bars == single[BARS.name]


def test_bars_hold_every_trade_up_to_the_last_bar():
    instrument, updates = updates_of(BTCUSDT_SPOT, 20)
    hub, ctx = MarketDataEngine(MarketDataConfig(bars=("tick:20",)), [instrument]), RecordingContext()
    hub.on_turn(updates, ctx)
    trades = np.concatenate([each for each in updates if topic_of(each) is TRADES])
    bars = np.concatenate([each for each in ctx.published if topic_of(each) is BARS])
    held = trades[: 20 * len(bars)]
    assert len(bars) == len(trades) // 20
    assert (bars["volume"].sum(), bars["high_ticks"].max()) == (held["quantity"].sum(), held["price_ticks"].max())


def quiet_updates(dice):
    """Trades and quotes of two instruments with pauses, some of them long, some stamps on an interval's end."""
    now_ns, updates = SECOND, []
    for _ in range(300):
        now_ns += dice.choice((0, 1, SECOND // 10, SECOND // 3, SECOND - now_ns % SECOND, 7 * SECOND))
        records = np.zeros(1, dice.choice((QUOTE, TRADE, QUOTE)))
        records["now_ns"], records["instrument_id"] = now_ns, dice.choice((1, 2))
        if topic_of(records) is TRADES:
            records["price_ticks"], records["quantity"], records["side"] = dice.randrange(90, 110), 1, BUY
        updates.append(records)
    return updates


def timed_bars(updates, bars, instrument, played):
    """Bars as (given at, BAR): `played` sets what the market says of itself before a timer, and may put it off."""
    hub, ctx, given = MarketDataEngine(MarketDataConfig(bars=bars), [instrument]), RecordingContext(), []

    def take():
        given.extend((ctx.now_ns, each) for part in ctx.published if topic_of(part) is BARS for each in part)
        ctx.published.clear()

    for records in updates:
        now_ns = int(records["now_ns"][0])
        while ctx.timers and ctx.timers[-1][0] <= now_ns:
            ctx.now_ns = ctx.timers[-1][0]
            ctx.timers.clear()
            played(hub.market, ctx.now_ns)
            hub.on_timer("bars", ctx)
            take()
        ctx.now_ns = now_ns
        hub.on_turn([records], ctx)
        take()
    return given


def test_time_bars_end_by_time_and_are_the_same_without_a_clock():
    instrument, _ = updates_of(LOBSTER, 1)
    dice = random.Random(11)
    for _ in range(5):
        updates, rules = quiet_updates(dice), ("time:5s", "time:1s", "tick:3", "time:1500ms")
        by_clock = timed_bars(updates, rules, instrument, lambda market, now_ns: None)
        timed = [(at, each) for at, each in by_clock if each["kind"] == 1]
        assert len(timed) > 50
        assert all(at == each["end_ns"] == each["now_ns"] for at, each in timed), "given when they end"

        def late(market, now_ns):
            market.played_ns = now_ns - dice.choice((0, SECOND // 2, 2 * SECOND))

        by_late_clock = timed_bars(updates, rules, instrument, late)
        by_records = streams(instrument, updates, MarketDataConfig(bars=rules), lambda: dice.randrange(1, 9))
        for found in (by_late_clock, by_clock):
            assert b"".join(each.tobytes() for _, each in found) == by_records[BARS.name]


def test_best_prices_are_made_of_books_whose_venue_sends_no_quotes():
    instrument, updates = updates_of(LOBSTER, 60)
    hub, ctx = MarketDataEngine(MarketDataConfig(bbo=(instrument.symbol,)), [instrument]), RecordingContext()
    for records in updates:
        hub.on_records(records, ctx)
    quotes = np.concatenate([each for each in ctx.published if topic_of(each) is QUOTES])
    assert len(quotes) > 50
    assert (quotes["flags"] & RecordFlag.SYNTHETIC).all()
    book = hub.on_request(GetBook(instrument.symbol, 1), ctx)
    last = [instrument.price(int(quotes[name][-1])) for name in ("bid_ticks", "ask_ticks")]
    assert [Decimal(side[0].price) for side in (book.bids, book.asks)] == last


def trades_at(*rows):
    records = np.zeros(len(rows), TRADE)
    records["price_ticks"], records["side"] = zip(*rows, strict=True)
    records["quantity"], records["instrument_id"] = 1, 1
    return records


def quote(bid, ask, lots=1):
    records = np.zeros(1, QUOTE)
    records["bid_ticks"], records["ask_ticks"], records["instrument_id"] = bid, ask, 1
    records["bid_quantity"] = records["ask_quantity"] = lots
    return records


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # First trade: no earlier price. 104 over 100; 104 again; 102 at the middle of 100 and 104; 103 over it; 101.
        ("tick", [0, BUY, BUY, SELL, BUY, SELL]),
        ("quote", [SELL, BUY, BUY, 0, BUY, SELL]),
        ("lee-ready", [SELL, BUY, BUY, SELL, BUY, SELL]),
    ],
)
def test_sides_are_told_by_the_rule_and_flagged(rule, expected):
    sides = Sides(rule)
    sides.quotes(quote(100, 104))
    trades = trades_at((100, 0), (104, 0), (104, 0), (102, 0), (103, 0), (101, 0))
    told = sides.trades(trades)
    assert told["side"].tolist() == expected
    assert [bool(flags & INFERRED_FLAG) for flags in told["flags"].tolist()] == [bool(side) for side in expected]
    assert not trades["side"].any(), "the records that were given stay as they are"


def test_what_the_venue_tells_stays_and_a_one_sided_quote_tells_nothing():
    sides = Sides("lee-ready")
    sides.quotes(quote(100, 104, lots=0))
    trades = trades_at((100, SELL), (101, 0))
    told = sides.trades(trades)
    assert told["side"].tolist() == [SELL, BUY]
    assert [int(flags) & INFERRED_FLAG for flags in told["flags"]] == [0, INFERRED_FLAG]
    given = trades_at((100, SELL))
    assert sides.trades(given) is given


def right_sides(updates, rule, delay_ns):
    """Trades whose side is told as the venue tells it, and all."""
    sides, right, count = Sides(rule, delay_ns), 0, 0
    for records in updates:
        if topic_of(records) is QUOTES:
            sides.quotes(records)
        elif topic_of(records) is TRADES:
            blank = records.copy()
            blank["side"] = 0
            right += int((sides.trades(blank)["side"] == records["side"]).sum())
            count += len(records)
    return right, count


def test_sides_agree_with_those_of_the_venue_where_the_quote_is_of_before_the_trade():
    _, updates = updates_of(BTCUSDT_SPOT, 60)
    right, count = right_sides(updates, "lee-ready", round(MarketDataConfig().aggressor_delay_ms * 1e6))
    assert (right, count) == (1362, 1381)
    assert right_sides(updates, "tick", 0) == (1346, 1381)
    # The venue's ticker is ahead of its trades: at the trade's stamp it shows what the trade has done.
    assert right_sides(updates, "lee-ready", 0)[0] < 0.6 * count


@pytest.mark.parametrize("text", ["time:1", "tick:1s", "tick:0", "range:5", "time:1w", "volume", "1000", "time:-1s"])
def test_a_rule_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="bars"):
        bar_rule(text)
    with pytest.raises(ConfigError, match="bars"):
        MarketDataConfig(bars=(text,))


def test_rules_of_flow_and_symbols_are_checked():
    assert flow_rule("time:250ms") == {"interval_ns": 250_000_000}
    for text in ("tick:5", "updates:5s", "time:5"):
        with pytest.raises(ConfigError, match="flow"):
            MarketDataConfig(flow=text)
    instrument, _ = updates_of(LOBSTER, 1)
    with pytest.raises(ConfigError, match="ETHUSDT"):
        MarketDataEngine(MarketDataConfig(bbo=("ETHUSDT",)), [instrument])


def test_a_bar_that_may_lack_trades_has_the_flag_of_a_gap() -> None:
    """The first one, the one that was open when its book went blind, and the first one after that; of nobody else."""

    def trade(now_ns: int, number: int = 1) -> np.ndarray:
        row = np.zeros(1, TRADE)
        row["now_ns"], row["instrument_id"], row["price_ticks"], row["quantity"], row["side"] = (
            now_ns,
            number,
            100,
            1,
            1,
        )
        return row

    blind = np.zeros(1, BOOK_DELTA)
    blind["instrument_id"], blind["action"], blind["flags"] = 1, BookAction.CLEAR, RecordFlag.STALE
    second = 10**9
    for parts in (1, 100):  # however many come at once
        streams = Derived(["time:1s", "tick:3"], "", 1, (), "", 0, {"A": 1, "B": 2})
        stream = [part for at in range(3, 10) for part in (trade(at * second // 2), trade(at * second // 2, 2))]
        blind["now_ns"] = 5 * second
        stream += [blind, *(trade(at * second // 2, number) for at in range(14, 24) for number in (1, 2))]
        bars = []
        for begin in range(0, len(stream), parts):
            bars += streams.take(stream[begin : begin + parts])[1]
        found = np.concatenate(bars)
        told = {
            (kind, number): [
                bool(row["flags"] & GAP_FLAG) for row in found if (row["kind"], row["instrument_id"]) == (kind, number)
            ]
            for kind in (BarKind.TIME, BarKind.TICK)
            for number in (1, 2)
        }
        # B is missed by nobody: only its first bar may lack something. Of A: the first; of three trades the one that
        # goes on over the blind time; of a second the one after it (the one before had ended).
        assert told[BarKind.TIME, 1] == [True, False, False, False, True, False, False, False]
        assert told[BarKind.TIME, 2] == [True] + [False] * (len(told[BarKind.TIME, 2]) - 1)
        assert told[BarKind.TICK, 1] == [True, False, True, False, False]
        assert told[BarKind.TICK, 2] == [True, False, False, False, False]
    streams = Derived(["time:1s"], "", 1, (), "", 0, {"A": 1})
    streams.take([trade(second), trade(2 * second)])
    blind["now_ns"] = 2 * second + 5
    streams.take([blind])
    (open_then,) = streams.advance(3 * second)
    assert open_then["flags"] & GAP_FLAG
