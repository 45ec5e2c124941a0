"""What the hub refuses to publish: told why, counted, kept, and nowhere on the star."""

import json
from decimal import Decimal

import numpy as np

from nautilus.adapters.formats import open_recording
from nautilus.core.ticks import QUARANTINE, TickKind, TickReason
from nautilus.core.types import QUOTE, TRADE
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.model.enums import Side
from nautilus.model.queries import GetQuarantine, GetQuotes
from nautilus.simulation import RecordedSource
from tests.kit.context import RecordingContext, btcusdt
from tests.kit.data import BTCUSDT_SPOT, recording

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
