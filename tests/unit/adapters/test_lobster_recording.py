"""LOBSTER pairs as recordings: deltas, trades, quotes, levels that enter and leave, pairing, faults."""

from datetime import UTC, date, datetime

import pytest

from nautilus.adapters.formats import FormatError, UpdateKind, open_recording
from nautilus.adapters.formats.orderdepth import BUY, SELL, OrderDepth
from nautilus.adapters.formats.pairs import find_pair, midnight_ns
from nautilus.core.types import BookAction, RecordFlag

ADD, REDUCE, DELETE, EXECUTE = (int(BookAction[n]) for n in ("ADD", "REDUCE", "DELETE", "EXECUTE"))
SET, CLEAR, HIDDEN = (int(BookAction[n]) for n in ("SET", "CLEAR", "EXECUTE_HIDDEN"))
MIDNIGHT = midnight_ns(date(2012, 6, 21))
NAMES = ("AAPL_2012-06-21_34200000_57600000_message_2.csv", "AAPL_2012-06-21_34200000_57600000_orderbook_2.csv")

# Two recorded levels a side: ask, size, bid, size, ask, size, bid, size.
MESSAGES = (
    "34200.0,1,1,5,100,1",
    "34200.5,1,2,7,101,1",  # a better bid: 99 leaves the recorded levels
    "34201.0,4,9,3,110,-1",  # an unknown sell order is executed: a buyer was the aggressor
    "34201.0,3,2,7,101,1",  # the better bid goes: 99 enters again
    "34202.0,5,0,4,105,1",  # hidden
    "34203.0,2,1,2,100,1",
    "34204.0,7,0,0,-1,-1",
)
ROWS = (
    "110,10,100,5,111,20,99,6",
    "110,10,101,7,111,20,100,5",
    "110,7,101,7,111,20,100,5",
    "110,7,100,5,111,20,99,8",
    "110,7,100,5,111,20,99,8",
    "110,7,100,3,111,20,99,8",
    "110,7,100,3,111,20,99,8",
)


def write(folder, messages=MESSAGES, rows=ROWS, names=NAMES, end="\n"):
    for name, lines in zip(names, (messages, rows), strict=True):
        (folder / name).write_text("\n".join(lines) + end)
    return folder


def deltas(update):
    return update.records[["side", "action", "order_id", "price_ticks", "quantity"]].tolist()


def test_messages_become_deltas_trades_and_quotes(tmp_path):
    recording = open_recording(write(tmp_path))
    assert recording.order_by_order
    assert recording.start_ns == MIDNIGHT + 34200 * 10**9
    updates = list(recording.updates())
    books = [u for u in updates if u.kind == UpdateKind.BOOK]
    assert [deltas(book) for book in books] == [
        [
            (BUY, CLEAR, 0, 0, 0), (BUY, SET, 0, 100, 5), (BUY, SET, 0, 99, 6),
            (SELL, CLEAR, 0, 0, 0), (SELL, SET, 0, 110, 10), (SELL, SET, 0, 111, 20),
        ],
        [(BUY, ADD, 2, 101, 7), (BUY, SET, 0, 99, 0)],
        [(SELL, EXECUTE, 9, 110, 3)],
        [(BUY, DELETE, 2, 101, 7), (BUY, SET, 0, 99, 8)],
        [(BUY, HIDDEN, 0, 105, 4)],
        [(BUY, REDUCE, 1, 100, 2)],
    ]  # fmt: skip
    assert all(flags & RecordFlag.SNAPSHOT for flags in books[0].records["flags"].tolist())
    assert not any(book.records["flags"][0] & RecordFlag.SNAPSHOT for book in books[1:])
    assert all(book.records["flags"][-1] & RecordFlag.LAST for book in books)
    trades = [u.records[0] for u in updates if u.kind == UpdateKind.TRADE]
    assert [(t["trade_id"], t["price_ticks"], t["quantity"], t["side"]) for t in trades] == [
        (3, 110, 3, BUY),
        (5, 105, 4, SELL),
    ]
    quotes = [u.records[0].tolist()[3:7] for u in updates if u.kind == UpdateKind.QUOTE]
    assert quotes == [
        (100, 5, 110, 10), (101, 7, 110, 10), (101, 7, 110, 7), (100, 5, 110, 7), (100, 5, 110, 7), (100, 3, 110, 7),
        (100, 3, 110, 7),
    ]  # fmt: skip
    assert updates[0].now_ns == MIDNIGHT + 34200 * 10**9
    assert updates[-1].now_ns == recording.last_ns == MIDNIGHT + 34204 * 10**9
    summary = recording.summary()
    assert summary["records"] == {
        "quotes": 7, "trades": 2, "book_messages": 7, "book_snapshots": 1, "book_levels": 13,
    }  # fmt: skip
    assert (summary["skipped"]["halts"], summary["misfits"], recording.progress) == (1, 0, 1.0)
    assert (recording.check.compared, recording.check.equal) == (6, 6)


def test_deltas_alone_rebuild_the_same_book(tmp_path):
    recording = open_recording(write(tmp_path))
    book = OrderDepth()
    for update in recording.updates():
        if update.kind == UpdateKind.BOOK:
            book.apply(update.records)
        elif update.kind == UpdateKind.QUOTE:
            assert (*book.best(BUY), *book.best(SELL)) == update.records[0].tolist()[3:7]


def test_message_that_does_not_fit_the_book_is_counted_said_and_shown_by_the_check(tmp_path):
    rows = [*ROWS[:2], "110,9,101,7,111,20,100,5", *ROWS[3:]]
    messages = [*MESSAGES[:5], "34203.0,2,1,200,120,1", MESSAGES[6]]
    recording = open_recording(write(tmp_path, messages, rows))
    list(recording.updates())
    assert recording.summary()["misfits"] == 1
    assert "csv:6: message names order 1, price 120, size 200, not in the book" in recording.notes[0]
    assert recording.check.equal < recording.check.compared == 6
    assert recording.check.differences[0]["update_id"] == 3


def test_stop_by_time_ends_before_the_first_later_message(tmp_path):
    recording = open_recording(write(tmp_path))
    updates = list(recording.updates(until_ns=MIDNIGHT + 34201 * 10**9))
    assert updates[-1].now_ns == MIDNIGHT + 34201 * 10**9
    assert recording.counts["book_messages"] == 4
    assert recording.check.compared == 3


def test_time_that_goes_back_is_raised_and_counted(tmp_path):
    messages = [*MESSAGES[:3], MESSAGES[3].replace("34201.0", "34200.9"), *MESSAGES[4:]]
    recording = open_recording(write(tmp_path, messages))
    stamps = [u.now_ns for u in recording.updates()]
    assert stamps == sorted(stamps)
    assert recording.skipped["times_raised"] == 1


def test_pair_is_found_from_either_file_directory_or_prefix(tmp_path):
    write(tmp_path)
    for path in (tmp_path, tmp_path / NAMES[0], tmp_path / NAMES[1], tmp_path / "AAPL_2012", str(tmp_path / "AAPL")):
        recording = open_recording(path)
        assert recording.path == tmp_path / NAMES[0]
        assert len(list(recording.updates())) == 15


def test_last_line_needs_no_line_end(tmp_path):
    assert len(list(open_recording(write(tmp_path, end="")).updates())) == 15


def test_hint_becomes_an_instrument(tmp_path):
    hint = open_recording(write(tmp_path)).hint
    assert (hint.symbol, hint.quote_currency, hint.product, hint.inferred) == ("AAPL", "USD", "equity", False)
    instrument = hint.instrument()
    assert instrument.ticks("585.33") == 5853300
    assert instrument.step_at(5853300) == 100


@pytest.mark.parametrize(
    ("messages", "rows", "where", "what"),
    [
        ([*MESSAGES[:2], "x", *MESSAGES[3:]], ROWS, f"{NAMES[0]}:3", "time in message 'x'"),
        (MESSAGES, [*ROWS[:4], "1,2", *ROWS[5:]], f"{NAMES[1]}:5", "row '1,2'"),
        (MESSAGES[:4], ROWS, NAMES[0], "ends after 4 lines"),
        (MESSAGES, ROWS[:5], NAMES[1], "ends after 5 lines"),
    ],
)
def test_fault_comes_after_everything_before_it(tmp_path, messages, rows, where, what):
    recording = open_recording(write(tmp_path, messages, rows))
    with pytest.raises(FormatError) as caught:
        list(recording.updates())
    assert caught.value.where.endswith(where)
    assert what in caught.value.what
    assert caught.value.expected
    good = int("".join(c for c in caught.value.what if c.isdigit())) if "ends" in what else int(where[-1]) - 1
    assert recording.counts["book_messages"] == good


def test_faulty_first_line_is_refused_at_once(tmp_path):
    write(tmp_path, ["1,1,1,1", *MESSAGES[1:]])
    with pytest.raises(FormatError, match=r"message_2.csv:1: message '1,1,1,1'; expected six columns"):
        open_recording(tmp_path)


def test_missing_partner_strange_name_and_several_pairs_are_refused(tmp_path):
    write(tmp_path)
    other = tmp_path / "x.csv"
    other.write_text(MESSAGES[0] + "\n")
    with pytest.raises(FormatError, match="holds a table"):
        open_recording(other)
    write(tmp_path, names=tuple(name.replace("AAPL", "MSFT") for name in NAMES))
    with pytest.raises(FormatError, match="2 LOBSTER message and 2 orderbook files; expected one pair"):
        open_recording(tmp_path)
    (tmp_path / NAMES[1]).unlink()
    with pytest.raises(FormatError, match="its partner file is missing"):
        open_recording(tmp_path / NAMES[0])
    with pytest.raises(FormatError, match="1 LOBSTER message and 0 orderbook files"):
        find_pair(tmp_path / "AAPL")


@pytest.mark.parametrize(
    ("day", "moment"),
    [
        ("2012-06-21", "2012-06-21T04:00"),
        ("2012-01-03", "2012-01-03T05:00"),
        ("2024-03-08", "2024-03-08T05:00"),
        ("2024-03-11", "2024-03-11T04:00"),
        ("2024-11-01", "2024-11-01T04:00"),
        ("2024-11-04", "2024-11-04T05:00"),
        ("2020-03-09", "2020-03-09T04:00"),
        ("2020-11-02", "2020-11-02T05:00"),
    ],
)
def test_midnight_in_new_york(day, moment):
    expected = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
    assert midnight_ns(date.fromisoformat(day)) == int(expected) * 10**9
