"""What the hub refuses to publish: told why, counted, kept, and nowhere on the star."""

import json
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from nautilus.adapters.formats import open_recording
from nautilus.core.ticks import QUARANTINE, TickKind, TickReason
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE, BookAction, RecordFlag
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.engines.marketdata.recorded import RecordedBooks
from nautilus.model.enums import Side
from nautilus.model.queries import GetQuarantine, GetQuotes
from nautilus.model.topics import BOOK_DELTAS
from nautilus.simulation import RecordedSource
from tests.kit.context import RecordingContext, btcusdt
from tests.kit.data import BTCUSDT_PERPETUAL, BTCUSDT_SPOT, LOBSTER, recording

SECOND = 1_000_000_000


def quote(now_ns, bid, ask, number):
    records = np.zeros(1, QUOTE)
    records["now_ns"], records["update_id"], records["instrument_id"] = now_ns, number, 1
    records["bid_ticks"], records["ask_ticks"], records["bid_quantity"], records["ask_quantity"] = bid, ask, 1, 1
    return records


def trade(now_ns, price, number, quantity=1):
    records = np.zeros(1, TRADE)
    records["now_ns"], records["trade_id"], records["instrument_id"], records["side"] = now_ns, number, 1, Side.BUY
    records["price_ticks"], records["quantity"] = price, quantity
    return records


def test_bad_records_are_refused_with_a_reason_and_never_published():
    hub, ctx = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()]), RecordingContext()
    good = [quote(1, 10_000, 10_010, 1), trade(2, 10_010, 1), quote(3, 10_001, 10_010, 3), trade(4, 10_005, 4)]
    bad = {
        "CROSSED": quote(2, 10_020, 10_010, 2),
        "JUMP": trade(3, 20_000, 2),
        "QUANTITY": trade(3, 10_010, 3, quantity=0),
        "DUPLICATE": trade(5, 10_005, 4),
    }
    given = [good[0], good[1], *list(bad.values())[:3], good[2], good[3], bad["DUPLICATE"]]
    passed = [hub.gate.passed(each) for each in given]
    assert np.concatenate([each for each in passed if each.dtype == TRADE])["trade_id"].tolist() == [1, 4]
    assert np.concatenate([each for each in passed if each.dtype == QUOTE])["update_id"].tolist() == [1, 3]
    answer = hub.on_request(GetQuarantine(), ctx)
    assert answer.checks
    assert answer.counts == dict.fromkeys(bad, 1)
    assert [line.reason for line in answer.lines] == list(bad)[::-1], "the newest first"
    assert (answer.lines[2].kind, answer.lines[2].symbol, answer.lines[2].price) == ("TRADE", "BTCUSDT", 20_000)
    assert len(hub.on_request(GetQuarantine(2), ctx).lines) == 2
    json.dumps(answer.counts)


def test_what_others_refuse_is_counted_and_kept():
    hub = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()])
    refused = np.zeros(3, QUARANTINE)
    refused["instrument_id"], refused["sequence"] = 1, (1, 2, 3)
    refused["kind"], refused["reason"] = TickKind.TRADE, (TickReason.JUMP, TickReason.TIME, TickReason.JUMP)
    hub.gate.note(refused)
    refused["sequence"] = 0  # whoever hands it in may use its array again
    answer = hub.on_request(GetQuarantine(), RecordingContext())
    assert answer.counts == {"JUMP": 2, "TIME": 1}
    assert [line.sequence for line in answer.lines] == [3, 2, 1]
    assert hub.gate.take()["sequence"].tolist() == [1, 2, 3]


def test_a_real_recording_passes_whole():
    log = open_recording(recording(BTCUSDT_SPOT))
    hub = MarketDataEngine(MarketDataConfig(checks=True), [log.hint.instrument()])
    updates = [update.records for update in log.updates(until_ns=log.start_ns + 20 * SECOND)]
    for dtype in (QUOTE, TRADE):
        rows = np.concatenate([records for records in updates if records.dtype == dtype])
        assert hub.gate.passed(rows) is rows
    assert hub.gate.counts == {}


def test_of_many_only_the_refused_are_left_out():
    log = open_recording(recording(BTCUSDT_SPOT))
    hub = MarketDataEngine(MarketDataConfig(checks=True), [log.hint.instrument()])
    updates = [update.records for update in log.updates(until_ns=log.start_ns + 20 * SECOND)]
    rows = np.concatenate([records for records in updates if records.dtype == TRADE])
    bad = np.arange(5, len(rows), 50)
    wrong = rows.copy()
    wrong["price_ticks"][bad] *= 3
    assert np.array_equal(hub.gate.passed(wrong), np.delete(rows, bad))
    assert hub.gate.counts == {"JUMP": len(bad)}
    assert np.array_equal([each["sequence"] for each in hub.gate.refused], rows["trade_id"][bad])


def test_a_refused_trade_does_not_act_in_the_core():
    log = open_recording(recording(BTCUSDT_SPOT))
    source = RecordedSource(log)
    source.check = lambda records: records[:0] if records.dtype == TRADE else records
    steps = 0
    while steps < 2_000 and source.next_ns() is not None:
        step = source.step()
        assert not any(each.dtype == TRADE for each in step.records)
        steps += 1
    assert source.summary()["records"]["trades"] > 0
    assert source.market.summary()["trades"] == 0


def test_a_quote_from_the_future_is_refused_and_a_locked_one_is_counted():
    hub = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()])
    future, before, locked = quote(1, 10_000, 10_010, 1), quote(1, 10_000, 10_010, 1), quote(3, 10_010, 10_010, 3)
    future["venue_ns"], before["venue_ns"] = 10**18, -1
    good, slow = quote(2, 10_000, 10_010, 2), quote(20 * SECOND, 10_000, 10_010, 4)
    slow["venue_ns"] = SECOND  # its venue's stamp is older than ours, as of any quote
    given = [future, before, good, locked, slow]
    one_by_one = [len(hub.gate.passed(each)) for each in given]
    assert one_by_one == [0, 0, 1, 1, 1]
    assert hub.gate.counts == {"TIME": 2, "LOCKED": 1}
    assert [row["venue_ns"] for row in hub.gate.refused] == [10**18, -1]
    together = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()]).gate
    assert np.array_equal(together.passed(np.concatenate(given)), np.concatenate(given[2:]))
    assert together.counts == hub.gate.counts


def change(now_ns, *levels, snapshot=False, last=True):
    """A change of a book: (side, price, quantity) of each level."""
    records = np.zeros(len(levels) + 2 * snapshot, BOOK_DELTA)
    records["now_ns"], records["update_id"], records["instrument_id"] = now_ns, now_ns, 1
    records["action"] = BookAction.SET
    if snapshot:
        records["action"][:2], records["side"][:2], records["flags"] = BookAction.CLEAR, (1, 2), RecordFlag.SNAPSHOT
    for name, values in zip(("side", "price_ticks", "quantity"), zip(*levels, strict=True), strict=True):
        records[name][2 * snapshot :] = values
    records["flags"][-1] |= RecordFlag.LAST if last else 0
    return records


def stale(records):
    return bool(records["flags"][-1] & RecordFlag.STALE)


def follower(*parts):
    """The book of a subscriber that took these."""
    books = RecordedBooks()
    for part in parts:
        books.take(BOOK_DELTAS, part)
    return books.of(1)


BEGIN = (Side.BUY, 10_000, 5), (Side.SELL, 10_010, 5)


def test_a_crossed_book_is_marked_until_it_is_whole_again():
    gate = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()]).gate
    begin = change(1, *BEGIN, snapshot=True)
    assert gate.passed(begin) is begin
    crossed = gate.passed(change(2, (Side.BUY, 10_020, 1)))
    assert stale(crossed)
    assert gate.counts == {"CROSSED": 1}
    (row,) = gate.refused
    assert (row["kind"], row["price"], row["quantity"], row["price_2"], row["sequence"]) == (
        TickKind.LEVEL, 10_020, 1, 10_010, 2
    )  # fmt: skip
    more = gate.passed(change(3, (Side.BUY, 9_990, 1)))
    assert stale(more)
    assert gate.counts == {"CROSSED": 1}, "once a time"
    assert follower(begin, crossed, more).blind_since_ns
    healed = gate.passed(change(4, (Side.BUY, 10_020, 0)))
    assert not stale(healed)
    book = follower(begin, crossed, more, healed)
    assert (book.blind_since_ns, book.gaps, book.best()) == (0, 1, (10_000, 5, 10_010, 5))
    later = change(5, (Side.BUY, 10_001, 1))
    assert gate.passed(later) is later
    locked = gate.passed(change(6, (Side.BUY, 10_010, 1)))
    assert stale(locked), "of a venue that matches all the time no book is locked"
    assert gate.counts == {"CROSSED": 1, "LOCKED": 1}


def test_where_locked_books_are_normal_they_are_counted_alone():
    instrument = msgspec.structs.replace(btcusdt(), product="equity")
    gate = MarketDataEngine(MarketDataConfig(checks=True), [instrument]).gate
    changes = [change(1, *BEGIN, snapshot=True), change(2, (Side.BUY, 10_010, 1)), change(3, (Side.BUY, 9_999, 1))]
    for each in changes:
        assert gate.passed(each) is each
    assert (gate.counts, len(gate.refused)) == ({"LOCKED": 1}, 0)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("quantity", -5, "QUANTITY"),
        ("quantity", 1 << 60, "QUANTITY"),
        ("price_ticks", -1, "RANGE"),
        ("price_ticks", 0, "RANGE"),
        ("price_ticks", 1 << 60, "RANGE"),
        ("side", 0, "SIDE"),
        ("side", 3, "SIDE"),
        ("action", 99, "KIND"),
        ("instrument_id", 2, "UNKNOWN_INSTRUMENT"),
    ],
)
def test_a_change_out_of_range_is_refused_and_its_book_waits_for_a_snapshot(field, value, reason):
    gate = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()]).gate
    begin = change(1, *BEGIN, snapshot=True)
    gate.passed(begin)
    bad = change(2, (Side.BUY, 10_003, 1), (Side.SELL, 10_007, 2))
    bad[field][:] = value if reason == "UNKNOWN_INSTRUMENT" else bad[field]
    bad[field][1] = value
    given = gate.passed(bad)
    assert gate.counts[reason] == len(gate.refused) > 0
    if reason == "UNKNOWN_INSTRUMENT":
        assert not len(given)
        return
    assert given["price_ticks"].tolist() == [10_003]
    assert stale(given)
    assert given["flags"][-1] & RecordFlag.LAST
    after = gate.passed(change(3, (Side.BUY, 10_004, 1)))
    assert stale(after)
    whole = change(4, *BEGIN, snapshot=True)
    assert gate.passed(whole) is whole
    assert follower(begin, given, after, whole).blind_since_ns == 0


def test_a_change_that_is_refused_as_a_whole_leaves_a_mark():
    gate = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()]).gate
    begin = change(1, *BEGIN, snapshot=True)
    gate.passed(begin)
    mark = gate.passed(change(2, (Side.BUY, -1, 5)))
    assert stale(mark)
    book = follower(begin, mark)
    assert book.blind_since_ns
    assert book.best() == (10_000, 5, 10_010, 5), "it changes nothing"
    assert not len(gate.passed(change(3, (Side.BUY, -1, 5)))), "told once"


def order(now_ns, order_id, price, *, snapshot=False, last=True):
    """An order that is added to a book."""
    records = np.zeros(1, BOOK_DELTA)
    records["now_ns"], records["update_id"], records["instrument_id"], records["order_id"] = now_ns, now_ns, 1, order_id
    records["action"], records["side"], records["price_ticks"], records["quantity"] = BookAction.ADD, 1, price, 5
    records["flags"] = (RecordFlag.LAST if last else 0) | (RecordFlag.SNAPSHOT if snapshot else 0)
    return records


@pytest.mark.parametrize("together", [False, True])
def test_a_book_of_single_orders_recovers_with_a_snapshot(together):
    gate = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()]).gate
    clear = order(4, 0, 1, snapshot=True, last=False)
    clear["action"], clear["side"], clear["quantity"] = BookAction.CLEAR, 0, 0
    image = np.concatenate((clear, order(4, 7, 10_000, snapshot=True)))
    given = [
        order(1, 1, 10_000),
        order(2, 2, -1),
        order(3, 3, -1),
        order(3, 4, 10_001),
        image,
        order(5, 8, 10_002),
    ]
    passed = gate.passed(np.concatenate(given)) if together else np.concatenate([gate.passed(each) for each in given])
    assert gate.counts == {"RANGE": 2}
    broken = (passed["flags"] & RecordFlag.STALE) != 0
    assert passed["now_ns"].tolist() == [1, 2, 3, 4, 4, 5], "the first refusal leaves a mark, the second is known"
    assert broken.tolist() == [False, True, True, False, False, False]
    assert follower(passed[:2]).blind_since_ns
    assert follower(passed[:2]).best() == (10_000, 5, 0, 0), "the mark changes nothing"
    book = follower(passed)
    assert (book.blind_since_ns, book.gaps) == (0, 1)
    assert [each[0] for each in book.orders(9)] == [8, 7]


def stamped(kind, seconds):
    """Quotes or trades with these stamps."""
    make = (lambda at: quote(1, 10_000, 10_010, at)) if kind == "quote" else (lambda at: trade(1, 10_000, at))
    records = np.concatenate([make(at + 1) for at in range(len(seconds))])
    records["now_ns"] = records["venue_ns"] = (np.array(seconds) * SECOND).astype(np.int64)
    return records


@pytest.mark.parametrize("kind", ["quote", "trade"])
def test_one_stamp_far_ahead_does_not_refuse_what_comes_after_it(kind):
    seconds = list(range(100, 200))
    seconds[10] += 365 * 86_400
    records = stamped(kind, seconds)
    gate = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()]).gate
    assert np.array_equal(gate.passed(records), np.delete(records, 10)), "of many the wrong one is known"
    assert gate.counts == {"TIME": 1}
    (row,) = gate.refused
    assert (row["receive_ns"], row["reference"]) == (records["now_ns"][10], records["now_ns"][9])
    gate = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()]).gate
    passed = np.concatenate([gate.passed(records[at : at + 1]) for at in range(100)])
    assert np.array_equal(passed, np.delete(records, (11, 12))), "one by one the third that agrees tells it"
    assert gate.counts == {"OUT_OF_ORDER": 2}


def test_late_records_that_do_not_agree_are_refused():
    seconds = [100, 101, 50, 40, 102, 60, 61, 103, 70, 69, 68, 67, 104]
    late = [2, 3, 5, 6, 8, 9, 10, 11]
    for size in (len(seconds), 1, 4):
        gate = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()]).gate
        records = stamped("quote", seconds)
        passed = np.concatenate([gate.passed(records[at : at + size]) for at in range(0, len(records), size)])
        assert np.array_equal(passed, np.delete(records, late))
        assert gate.counts == {"OUT_OF_ORDER": len(late)}


def test_the_first_record_may_be_the_one_that_is_ahead():
    records = stamped("quote", [900, 100, 101, 102, 103])
    gate = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()]).gate
    assert np.array_equal(gate.passed(records), records[1:])
    assert gate.counts == {"TIME": 1}


def test_many_changes_together_are_judged_as_one_by_one():
    changes = [
        change(1, *BEGIN, snapshot=True),
        change(2, (Side.BUY, 10_001, 1)),
        change(3, (Side.SELL, 10_001, 1), (Side.SELL, 10_002, 1)),
        change(4, (Side.BUY, 10_001, 0)),
        change(5, (Side.BUY, 10_000, -1)),
        change(6, (Side.BUY, 10_000, 1)),
        change(7, *BEGIN, snapshot=True),
        change(8, (Side.BUY, 10_002, 1)),
    ]
    single, many = (MarketDataEngine(MarketDataConfig(checks=True), [btcusdt()]).gate for _ in range(2))
    assert np.array_equal(many.passed(np.concatenate(changes)), np.concatenate([single.passed(c) for c in changes]))
    assert many.counts == single.counts == {"LOCKED": 1, "QUANTITY": 1}


@pytest.mark.parametrize("name", [BTCUSDT_SPOT, BTCUSDT_PERPETUAL, LOBSTER])
def test_no_change_of_a_real_book_is_refused_or_marked(name):
    log = open_recording(recording(name))
    gate = MarketDataEngine(MarketDataConfig(checks=True), [log.hint.instrument()]).gate
    for update in log.updates(until_ns=None if name == LOBSTER else log.start_ns + 120 * SECOND):
        passed = gate.passed(update.records)
        assert np.array_equal(passed, update.records)
    assert set(gate.counts) <= {"LOCKED"}


def test_a_hub_that_does_not_check_says_so():
    hub = MarketDataEngine(MarketDataConfig(), [btcusdt()])
    assert not hub.on_request(GetQuarantine(), RecordingContext()).checks


def test_what_is_refused_is_published_once_as_the_record_of_its_refusal():
    instrument = btcusdt()
    hub, ctx = MarketDataEngine(MarketDataConfig(checks=True), [instrument]), RecordingContext()
    crossed, unknown = quote(2, 10_020, 10_010, 2), trade(3, 5, 9)
    crossed["venue_ns"], unknown["instrument_id"] = 77, 4_000_000_000
    for records in (quote(1, 10_000, 10_010, 1), crossed, unknown):
        hub.on_records(hub.gate.passed(records), ctx)
    assert [each.dtype for each in ctx.published] == [QUOTE, QUARANTINE, QUARANTINE]
    first, second = ctx.published[1][0], ctx.published[2][0]
    assert (first["kind"], first["reason"]) == (TickKind.QUOTE, TickReason.CROSSED)
    assert (first["receive_ns"], first["venue_ns"], first["sequence"]) == (2, 77, 2)
    assert (second["instrument_id"], second["reason"]) == (4_000_000_000, TickReason.UNKNOWN_INSTRUMENT)
    assert (second["price"], second["price_decimals"]) == (5, 0)
    # As numbers of its own, where the hub's answer has ticks and lots.
    for ticks, mantissa in ((10_020, first["price"]), (10_010, first["price_2"])):
        assert Decimal(int(mantissa)).scaleb(-int(first["price_decimals"])) == instrument.price(ticks)
    assert Decimal(int(first["quantity"])).scaleb(-int(first["quantity_decimals"])) == instrument.quantity(1)
    assert hub.on_request(GetQuarantine(), ctx).lines[1].price == 10_020
    hub.on_refused(ctx)
    assert len(ctx.published) == 3
    assert not hub.gate.untold


def test_a_price_that_no_64_bits_hold_with_decimals_is_the_farthest():
    hub = MarketDataEngine(MarketDataConfig(checks=True), [btcusdt(tick_table=(("0", "0.05"),))])
    hub.gate.passed(trade(1, (1 << 63) - 1, 1))
    (refused,) = hub.gate.take()
    assert refused["price"] == ((1 << 63) - 1) // 5 * 5
    assert hub.gate.take() is None


def test_quotes_of_providers_go_through_a_gate_wherever_the_market_is_from():
    for config in (MarketDataConfig(), MarketDataConfig(derive=True), MarketDataConfig(checks=True)):
        hub, ctx = MarketDataEngine(config, [btcusdt()]), RecordingContext()
        hub.on_provider_quotes(quote(1, 10_000, 10_010, 1), ctx)
        hub.on_provider_quotes(quote(2, 10_020, 10_010, 2), ctx)  # crossed
        first, refused = ctx.published
        assert (first.dtype, first["update_id"].tolist()) == (QUOTE, [1])
        assert (refused.dtype, refused["sequence"].tolist()) == (QUARANTINE, [2])
        answer = hub.on_request(GetQuarantine(), ctx)
        assert (answer.counts, answer.checks) == ({"CROSSED": 1}, config.checks)
        (line,) = hub.on_request(GetQuotes(), ctx).quotes
        assert (line.bid, line.ask) == ("1000.0", "1001.0")
    hub, ctx = MarketDataEngine(MarketDataConfig(validate="none"), [btcusdt()]), RecordingContext()
    hub.on_provider_quotes(quote(2, 10_020, 10_010, 2), ctx)
    assert [each.dtype for each in ctx.published] == [QUOTE]
