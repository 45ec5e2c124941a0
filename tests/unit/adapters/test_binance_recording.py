"""Binance logs as recordings: order, snapshot, gaps, flags, early stops, faults, and what the head tells."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.adapters.formats import FormatError, UpdateKind, open_recording
from nautilus.adapters.formats.binance import BinanceRecording
from nautilus.adapters.formats.head import infer_step, split_symbol
from nautilus.core.types import RecordFlag
from nautilus.model.errors import InternalError


def diff(stamp, first, last, previous=None, *, time=0, bids=(("100.1", "1.000"),), asks=()):
    data = {"e": "depthUpdate", "E": time or stamp, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}
    if previous is not None:
        data |= {"pu": previous, "T": time or stamp}
    return f"{stamp} " + json.dumps({"stream": "btcusdt@depth@0ms", "data": data})


def snapshot(stamp, last, bids=(("100.0", "2.000"),), asks=(("100.2", "3.000"),)):
    return f"{stamp} " + json.dumps({"lastUpdateId": last, "bids": bids, "asks": asks})


def ticker(stamp, update_id, bid="100.1", bid_quantity="1.000", ask="100.2", ask_quantity="3.000"):
    data = {"u": update_id, "s": "BTCUSDT", "b": bid, "B": bid_quantity, "a": ask, "A": ask_quantity}
    return f"{stamp} " + json.dumps({"stream": "btcusdt@bookTicker", "data": data})


def trade(stamp, time, price="100.2", quantity="0.500"):
    data = {"e": "trade", "E": time, "T": time, "s": "BTCUSDT", "t": stamp, "p": price, "q": quantity, "m": True}
    return f"{stamp} " + json.dumps({"stream": "btcusdt@trade", "data": data})


def write(path, *lines):
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode()))
    return path


@pytest.fixture
def log(tmp_path):
    """Write a log and open it."""

    def make(*lines, **options):
        return BinanceRecording(write(tmp_path / "log.gz", *lines), **options)

    return make


FUTURES = (
    diff(10, 90, 95, 89),
    ticker(11, 101),
    diff(12, 96, 105, 95, asks=(("100.3", "9.000"),)),
    trade(13, 12),
    snapshot(20, 100),
    trade(21, 12),
    trade(22, 13),
    diff(30, 108, 110, 105, time=29, bids=(("100.1", "0.000"),)),
    ticker(31, 109, bid="100.0", bid_quantity="2.000"),
    ticker(32, 111, bid="50.0"),
)


def test_diffs_before_the_snapshot_are_applied_right_after_it(log):
    recording = log(*FUTURES)
    assert recording.start_ns == 10
    updates = list(recording.updates())
    kinds = [u.kind for u in updates]
    quote, trade_, book = UpdateKind.QUOTE, UpdateKind.TRADE, UpdateKind.BOOK
    assert kinds == [quote, trade_, book, book, trade_, trade_, book, quote, quote]
    assert [u.now_ns for u in updates] == [11, 13, 20, 20, 21, 22, 30, 31, 32]
    held = updates[3].records
    assert held["update_id"].tolist() == [105, 105]
    assert held["now_ns"].tolist() == [20, 20]
    assert held["venue_ns"].tolist() == [12_000_000, 12_000_000]
    assert updates[2].records["flags"][0] == RecordFlag.SNAPSHOT
    for update in updates:
        assert update.records["flags"][-1] & RecordFlag.LAST
    assert recording.book.best() == (1000, 20, 1002, 30)
    assert recording.summary()["records"] == {
        "quotes": 3, "trades": 3, "book_diffs": 3, "book_snapshots": 1, "book_levels": 4,
    }  # fmt: skip
    assert (recording.sync.applied, recording.sync.dropped, recording.gaps) == (2, 1, 0)
    assert (recording.check.compared, recording.check.equal) == (2, 2)
    assert (recording.first_ns, recording.last_ns, recording.progress) == (10, 32, 1.0)


def test_trade_not_after_the_last_applied_diff_is_booked(log):
    recording = log(*FUTURES)
    flags = [u.records["flags"][0] for u in recording.updates() if u.kind == UpdateKind.TRADE]
    assert [bool(f & RecordFlag.BOOKED) for f in flags] == [False, True, False]
    assert recording.booked_trades == 1


def test_time_without_a_right_book_is_summed_up(log):
    recording = log(*FUTURES)
    list(recording.updates())
    assert (recording.blind_ns, recording.summary()["blind_ns"]) == (10, 10)  # until the snapshot
    gap = log(snapshot(1, 100), diff(2, 99, 101), diff(5, 110, 115), trade(7, 1), snapshot(9, 120), diff(11, 119, 121))
    list(gap.updates())
    assert (gap.gaps, gap.blind_ns) == (1, 7)  # from the last diff before the gap until the next snapshot
    blind = log(diff(3, 99, 101), trade(8, 1))
    list(blind.updates())
    assert blind.blind_ns == 5


def test_futures_and_spot_are_told_apart_by_content(log):
    assert log(*FUTURES).hint.product == "perpetual"
    spot = log(snapshot(1, 100), diff(2, 99, 101), diff(3, 102, 105))
    assert spot.hint.product == "spot"
    list(spot.updates())
    assert (spot.sync.applied, spot.gaps) == (2, 0)
    assert log(trade(1, 1)).hint.product == "spot"


def test_gap_is_counted_said_and_passed(log):
    recording = log(snapshot(1, 100), diff(2, 99, 101), diff(3, 110, 115), diff(4, 116, 116))
    assert len(list(recording.updates())) == 4
    assert (recording.gaps, recording.lost) == (1, 8)
    assert recording.notes == [f"{recording.path}:3: gap in the book's update ids after 101: 8 missing"]


def test_recording_without_snapshot_says_so(log):
    recording = log(diff(1, 1, 2), diff(2, 3, 4), trade(3, 3))
    assert [u.kind for u in recording.updates()] == [UpdateKind.TRADE]
    assert "no snapshot: 2 depth diffs were never applied" in recording.notes[0]


def test_older_second_snapshot_is_passed_over_and_said(log):
    recording = log(snapshot(1, 100), diff(2, 101, 120), snapshot(3, 110), snapshot(4, 130))
    assert len(list(recording.updates())) == 3
    assert "snapshot 110 is older than the book 120" in recording.notes[0]
    assert recording.skipped["stale_snapshots"] == 1
    with pytest.raises(InternalError, match="updates were asked for twice; expected a recording opened anew"):
        next(recording.updates())


def test_stop_by_time_settles_exactly_what_was_given(log):
    recording = log(*FUTURES)
    assert [u.now_ns for u in recording.updates(until_ns=21)] == [11, 13, 20, 20, 21]
    assert recording.last_ns == 21
    assert recording.counts["book_diffs"] == 2
    assert (recording.check.compared, recording.check.pending) == (0, 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9))
def test_early_close_settles_exactly_what_was_given(tmp_path_factory, count):
    path = write(tmp_path_factory.mktemp("log") / "log.gz", *FUTURES)
    recording = BinanceRecording(path)
    updates = recording.updates()
    given_updates = [next(updates) for _ in range(count)]
    updates.close()
    numbers = [sum(u.kind == kind for u in given_updates) for kind in (UpdateKind.QUOTE, UpdateKind.TRADE)]
    assert [recording.counts["quotes"], recording.counts["trades"]] == numbers
    # A ticker with a greater id than the diff has to have been given.
    assert recording.check.compared == {8: 1, 9: 2}.get(count, 0)


@pytest.mark.parametrize("played", range(9))
def test_update_that_was_only_looked_at_is_not_in_the_summary(log, played):
    recording = log(*FUTURES)
    updates = recording.updates()
    kinds = [next(updates).kind for _ in range(played)]
    next(updates)
    facts = recording.summary()
    assert facts["records"]["quotes"] == kinds.count(UpdateKind.QUOTE)
    assert facts["records"]["trades"] == kinds.count(UpdateKind.TRADE)
    # Snapshot and held diffs are the third and fourth update, of one line.
    assert (facts["records"]["book_snapshots"], facts["diffs_dropped"]) == ((1, 1) if played >= 4 else (0, 0))
    assert facts["diffs_applied"] == (played >= 4) + (played >= 7)
    assert facts["booked_trades"] == (played >= 5)
    assert facts["book_checks"]["compared"] == (played >= 8)
    assert recording.summary() == facts
    rest = [u.kind for u in updates]
    assert len(rest) == 8 - played
    facts = recording.summary()
    assert (facts["records"]["quotes"], facts["records"]["trades"], facts["booked_trades"]) == (3, 3, 1)
    assert (facts["book_checks"]["compared"], facts["book_checks"]["equal"]) == (2, 2)


def test_diff_without_levels_changes_nothing_but_the_update_id(log):
    recording = log(snapshot(1, 100), diff(2, 99, 101, bids=()), diff(3, 102, 103))
    updates = list(recording.updates())
    assert [u.records["update_id"][-1] for u in updates] == [100, 103]
    assert recording.gaps == 0


def test_futures_diff_without_pu_is_a_fault(log):
    recording = log(snapshot(1, 100), diff(2, 99, 101, 98), diff(3, 102, 103))
    with pytest.raises(FormatError, match=r"log.gz:3: field pu is missing"):
        list(recording.updates())
    assert recording.counts["book_diffs"] == 2


def test_fault_comes_after_everything_before_it(log):
    recording = log(snapshot(1, 100), trade(2, 1), "3 {broken", trade(4, 1))
    seen = []
    with pytest.raises(FormatError) as caught:
        seen.extend(recording.updates())
    assert caught.value.where == f"{recording.path}:3"
    assert caught.value.code == "venue.format"
    assert recording.counts["trades"] == 1


def test_cut_file_gives_all_whole_lines_and_then_the_error(tmp_path):
    lines = [snapshot(1, 100), *[trade(2 + i, 1, price=f"{100 + i % 7}.{i % 10}") for i in range(5000)]]
    path = write(tmp_path / "cut.gz", *lines)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    recording = BinanceRecording(path)
    seen = []
    with pytest.raises(FormatError, match="the file is cut; expected a whole gzip file"):
        seen.extend(update.now_ns for update in recording.updates())
    assert 1000 < recording.counts["trades"] < 5000


def test_price_off_the_given_increment_names_line_and_expectation(log):
    recording = log(trade(1, 1), trade(2, 1, price="100.25"), price_increment="0.1")
    with pytest.raises(FormatError, match=r"log.gz:2: price in field p is '100.25'; expected a multiple of 0.1"):
        list(recording.updates())


def test_log_without_any_message_of_a_market_is_refused_at_once(log):
    with pytest.raises(FormatError, match="no depth, bookTicker or trade message"):
        log('1 {"result":null,"id":1}')
    with pytest.raises(FormatError, match=r"log.gz:1: malformed JSON"):
        log("1 {x")
    with pytest.raises(FormatError, match="of ETHUSDT"):
        log(*FUTURES, symbol="ETHUSDT")


def test_hint_becomes_an_instrument(log):
    hint = log(*FUTURES).hint
    assert (hint.symbol, hint.base_currency, hint.quote_currency, hint.venue) == ("BTCUSDT", "BTC", "USDT", "BINANCE")
    assert (hint.price_increment, hint.lot_size, hint.inferred) == ("0.1", "0.1", True)
    instrument = hint.instrument(9)
    assert (instrument.instrument_id, str(instrument.price_increment)) == (9, "0.1")
    given_hint = log(*FUTURES, price_increment="0.01", lot_size="0.001").hint
    assert (given_hint.price_increment, given_hint.lot_size, given_hint.inferred) == ("0.01", "0.001", False)


def test_instrument_money_is_fine_enough_for_tiny_steps(log):
    hint = log(trade(1, 1, price="0.00000001", quantity="0.00000100")).hint
    assert (hint.price_increment, hint.lot_size) == ("0.00000001", "0.000001")
    assert hint.instrument().multiplier == 1


@pytest.mark.parametrize(
    ("values", "step"),
    [([], "1"), ([0], "1"), ([10**8], "1"), ([10**10], "1"), ([5 * 10**6], "0.01"), ([3, 10**8], "0.00000001")],
)
def test_inferred_step_is_the_largest_power_of_ten_that_fits(values, step):
    assert infer_step(np.array(values, np.int64)) == step


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("ETHBTC", ("ETH", "BTC")),
        ("BTCFDUSD", ("BTC", "FDUSD")),
        ("BTCUSDT_240927", ("BTC", "USDT")),
        ("USDT", ("USDT", "USDT")),
    ],
)
def test_symbol_splits_into_currencies(symbol, pair):
    assert split_symbol(symbol) == pair


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damaged_log_gives_updates_then_at_most_one_format_error(tmp_path_factory, data):
    text = bytearray("".join(line + "\n" for line in FUTURES).encode())
    packed = data.draw(st.booleans())
    if packed:
        text = bytearray(gzip.compress(bytes(text), mtime=0))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        if data.draw(st.booleans()):
            text[place] ^= 1 << data.draw(st.integers(0, 7))
        else:
            del text[place:]
            break
        if not text:
            break
    path = tmp_path_factory.mktemp("damaged") / "log.gz"
    path.write_bytes(bytes(text))
    stamps = [0]
    fault = None
    try:
        for update in open_recording(path).updates():
            stamps.append(update.now_ns)
            assert len(update.records)
    except FormatError as error:
        fault = error
    assert stamps == sorted(stamps)
    assert fault is None or (str(path) in fault.where and fault.what and fault.expected)
