"""CSV of any layout: what is inferred, what records and tables hold, and what the report says."""

import gzip
import importlib

import numpy as np
import pytest

from nautilus.adapters.formats import FormatError, Table, UpdateKind, open_file
from nautilus.core.types import RecordFlag
from nautilus.model.errors import ConfigError

BARS = (
    "date,open,high,low,close,volume\n2014-03-07,1.5,2.25,1,2,10\n2014-03-10,2,3,2,2.5,20\n2014-03-11,2.5,2.5,2,2,0\n"
)


def written(tmp_path, text, name="ABC.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def all_of(recording):
    blocks = list(recording.blocks())
    return blocks[0]._replace(records=np.concatenate([block.records for block in blocks]))


def test_bars_count_in_the_decimals_of_the_file_and_days_in_their_zone(tmp_path):
    recording = open_file(written(tmp_path, BARS), zone="America/New_York")
    assert (recording.hint.symbol, recording.hint.price_increment, recording.hint.lot_size) == ("ABC", "0.01", "1")
    kind, bars = all_of(recording)
    assert kind == UpdateKind.BAR
    assert bars["open_ticks"].tolist() == [150, 200, 250]
    assert bars["close_ticks"].tolist() == [200, 250, 200]
    assert bars["volume"].tolist() == [10, 20, 0]
    # Clocks go forward on 9 March: midnight is 05:00 UTC before, and 04:00 after.
    assert bars["begin_ns"].tolist()[:2] == [1394168400 * 10**9, 1394424000 * 10**9]
    assert (bars["end_ns"] - bars["begin_ns"]).tolist() == [86400 * 10**9] * 3
    assert recording.report.settings["zone"] == "America/New_York"


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_delimiters_line_ends_and_gzip_change_nothing(tmp_path, delimiter, pack):
    text = ("\ufeff" + BARS.replace(",", delimiter).replace("\n", "\r\n")).encode()
    recording = open_file(written(tmp_path, pack(text)))
    assert all_of(recording).records["high_ticks"].tolist() == [225, 300, 250]
    assert recording.report.settings["delimiter"] == delimiter


def test_rows_that_do_not_fit_are_named_and_all_others_are_read(tmp_path):
    text = BARS + "2014-03-12,x,3,2,2.5,20\n2014-03-13,2,3,2\n2014-03-14,2,3,2,,1\n2014-03-17,2,3,2,3,1\n"
    recording = open_file(written(tmp_path, text))
    assert all_of(recording).records["volume"].tolist() == [10, 20, 0, 1]
    report = recording.report
    assert (report.rows, report.refused) == (7, 3)
    assert [(each.line, each.field, each.reason) for each in report.refusals] == [
        (5, "open", "'x' is no number"),
        (6, "field 5", "another number of fields than 6"),
        (7, "close", "'' is empty"),
    ]


def test_the_report_tells_gaps_duplicates_disorder_and_outliers(tmp_path):
    minutes = (0, 1, 2, 2, 3, 30, 29)
    lines = ["time,open,high,low,close", *(f"2020-01-02 10:{minute:02},10,11,9,10" for minute in minutes)]
    lines.append("2020-01-02 10:31,500,500,499,500")
    lines.append("2020-01-02 10:32,10,9,11,10")
    recording = open_file(written(tmp_path, "\n".join(lines)))
    assert len(all_of(recording).records) == 9
    report = recording.report
    assert (report.gaps, report.duplicates, report.out_of_order) == (1, 1, 1)
    # To 500, back to 10, and a high below its low.
    assert report.outliers == 3
    assert any("line 7: 1,620 s without a bar" in note for note in report.notes)


@pytest.mark.parametrize(
    ("stamp", "unit"),
    [("1577959200", "s"), ("1577959200000", "ms"), ("1577959200000000", "us"), ("1577959200000000000", "ns")],
)
def test_the_unit_of_a_time_is_told_by_its_size(tmp_path, stamp, unit):
    recording = open_file(written(tmp_path, f"timestamp,price,qty,side\n{stamp},10.5,2,buy\n{stamp},10.25,1,sell\n"))
    kind, trades = all_of(recording)
    assert kind == UpdateKind.TRADE
    assert recording.report.settings["time_unit"] == unit
    assert trades["venue_ns"].tolist() == [1577959200 * 10**9] * 2
    assert trades["price_ticks"].tolist() == [1050, 1025]
    assert trades["side"].tolist() == [1, 2]


def test_quotes_of_several_symbols_are_told_apart(tmp_path):
    text = "time,symbol,bid,bid_size,ask,ask_size\n" + "".join(
        f"2020-01-02T10:00:0{i}Z,{symbol},{10 + i},1,{10.5 + i},2\n" for i, symbol in enumerate(["A", "B", "A"])
    )
    recording = open_file(written(tmp_path, text))
    assert [hint.symbol for hint in recording.hints] == ["A", "B"]
    quotes = all_of(recording).records
    assert quotes["instrument_id"].tolist() == [1, 2, 1]
    assert quotes["ask_ticks"].tolist() == [105, 115, 125]


def test_a_row_without_symbol_goes_to_no_instrument(tmp_path):
    text = "time,symbol,price,size\n" + "".join(
        f"2020-01-02T10:00:0{i}Z,{symbol},{10 + i},{i}\n" for i, symbol in enumerate(["A", "", "B", "", "A"])
    )
    recording = open_file(written(tmp_path, text))
    trades = all_of(recording).records
    assert trades["instrument_id"].tolist() == [1, 2, 1]
    assert (trades["price_ticks"].tolist(), trades["quantity"].tolist()) == ([10, 12, 14], [0, 2, 4])
    assert [(each.line, each.field, each.reason) for each in recording.report.refusals] == [
        (3, "symbol", "'' is empty"),
        (5, "symbol", "'' is empty"),
    ]


def test_a_panel_becomes_a_table_of_doubles_with_nulls(tmp_path):
    pytest.importorskip("pyarrow")
    table = open_file(written(tmp_path, "date,X,Y\n2020-01-02,1,\n2020-01-03,2.5,3\n", "panel.csv"))
    assert isinstance(table, Table)
    assert (table.schema_name, table.name, table.time) == ("panel", "PANEL", "time_ns")
    assert table.read().to_pydict() == {
        "time_ns": [1577923200 * 10**9, 1578009600 * 10**9],
        "X": [1.0, 2.5],
        "Y": [None, 3.0],
    }
    assert table.report.missing == 1


def test_rows_of_no_known_kind_keep_their_columns(tmp_path):
    pytest.importorskip("pyarrow")
    table = open_file(written(tmp_path, "name;when;count\nx;2020-01-02;1\n\u00e9;2020-01-03;2\n"))
    assert isinstance(table, Table)
    assert table.schema_name == "table"
    assert table.read().to_pydict() == {
        "time_ns": [1577923200 * 10**9, 1578009600 * 10**9],
        "name": ["x", "\u00e9"],
        "count": [1, 2],
    }


def test_a_file_of_which_most_rows_do_not_fit_is_refused(tmp_path):
    with pytest.raises(FormatError, match="rows have not 6 fields"):
        open_file(written(tmp_path, BARS + "1,2\n" * 9))


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (BARS.encode()[:60] + b"\xe9" + BARS.encode()[60:], ":3", "the byte 0xe9 is no UTF-8"),
        ("date,open,high,low,close\n", ":2", "has no rows"),
        ("one\ntwo\n", ":1", "begins with 'one'"),
    ],
)
def test_what_is_no_text_of_rows_is_refused_at_its_line(tmp_path, text, where, what):
    with pytest.raises(FormatError) as caught:
        list(open_file(written(tmp_path, text)).blocks())
    assert caught.value.where.endswith(f"ABC.csv{where}")
    assert caught.value.what == what


def test_a_kind_that_the_columns_are_not_is_refused(tmp_path):
    with pytest.raises(FormatError, match="are no trade rows"):
        open_file(written(tmp_path, BARS), kind="trade")
    with pytest.raises(ConfigError, match="kind 'nonsense'"):
        open_file(written(tmp_path, BARS), kind="nonsense")
    with pytest.raises(ConfigError, match="time zone 'Nowhere'"):
        list(open_file(written(tmp_path, BARS), zone="Nowhere").blocks())


def test_without_pyarrow_ticks_are_read_and_tables_name_the_extra(tmp_path, monkeypatch):
    whole = importlib.import_module

    def without(name, package=None):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return whole(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    assert len(all_of(open_file(written(tmp_path, BARS))).records) == 3
    with pytest.raises(ConfigError, match=r"pyarrow is not installed; expected pip install nautilus-hybrid\[data\]"):
        open_file(written(tmp_path, "date,X,Y\n2020-01-02,1,2\n")).read()


TICKS = {
    "trade": ("time,price,size", ("10.5,3", "10.5,3", "10.25,1", "10.25,2")),
    "quote": ("time,bid,bid_size,ask,ask_size", ("10,1,11,1", "10,1,11,1", "10,2,11,1", "10,2,11,2")),
}


@pytest.mark.parametrize("rows", TICKS)
def test_a_repeated_row_is_a_duplicate_though_every_line_has_its_number(tmp_path, rows):
    head, lines = TICKS[rows]
    text = head + "\n" + "".join(f"2020-01-02T10:00:00Z,{line}\n" for line in lines)
    recording = open_file(written(tmp_path, text), kind=rows)
    records = all_of(recording).records
    assert recording.report.duplicates == 1
    assert records["trade_id" if rows == "trade" else "update_id"].tolist() == [2, 3, 4, 5]


def test_trades_with_numbers_of_their_own_are_told_apart_by_them(tmp_path):
    text = "time,price,size,trade_id\n" + "".join(f"2020-01-02T10:00:00Z,10.5,3,{n}\n" for n in (7, 7, 8))
    recording = open_file(written(tmp_path, text))
    assert all_of(recording).records["trade_id"].tolist() == [7, 7, 8]
    assert recording.report.duplicates == 1


def test_a_row_far_out_of_order_keeps_its_time_and_one_near_is_raised(tmp_path):
    stamps = ("10:00:00.000", "10:00:05.000", "10:00:04.500", "09:00:00.000", "10:00:06.000")
    text = "time,price,size\n" + "".join(f"2020-01-02T{stamp}Z,10.5,3\n" for stamp in stamps)
    recording = open_file(written(tmp_path, text))
    records = all_of(recording).records
    begin_ns = int(records["now_ns"][0])
    assert ((records["now_ns"] - begin_ns) / 1e9).tolist() == [0, 5, 5, -3600, 6]
    assert recording.skipped["times_raised"] == 1
    assert recording.report.out_of_order == 2


def test_quotes_without_sizes_have_one_lot_and_say_so(tmp_path):
    recording = open_file(written(tmp_path, "time,bid,ask\n2020-01-02,1.1,1.2\n2020-01-03,0,1.3\n"))
    kind, quotes = all_of(recording)
    assert kind == UpdateKind.QUOTE
    assert quotes["bid_quantity"].tolist() == [1, 0]
    assert quotes["ask_quantity"].tolist() == [1, 1]
    assert quotes["flags"].tolist() == [int(RecordFlag.LAST | RecordFlag.SYNTHETIC)] * 2
    assert recording.report.notes == ["quotes tell no size: one lot is taken, flagged SYNTHETIC"]


@pytest.mark.parametrize("numbers", ["", ",id"])
def test_a_file_of_the_newest_rows_first_is_read_in_order_of_time(tmp_path, numbers):
    stamps = [f"2020-01-02T10:{minute:02}:{second:02}Z" for minute in range(59, -1, -1) for second in (30, 30, 0)]
    ids = [3 * (59 - at // 3) + (2, 3, 1)[at % 3] for at in range(180)]  # of one time they rise
    rows = [f"{stamp},10.5,{at + 1}" + (f",{ids[at]}" if numbers else "") for at, stamp in enumerate(stamps)]
    path = written(tmp_path, "\n".join([f"time,price,size{numbers}", *rows]) + "\n")
    recording = open_file(path)
    records = all_of(recording).records
    assert np.array_equal(records["now_ns"], records["venue_ns"]), "none was raised"
    assert (np.diff(records["now_ns"]) >= 0).all()
    assert (np.diff(records["trade_id"].astype(np.int64)) > 0).all()
    assert recording.start_ns == records["now_ns"][0]
    assert sorted(records["quantity"].tolist()) == list(range(1, 181))
    assert recording.report.out_of_order == 119
    assert "times_raised" not in recording.skipped
    assert any("newest" in note for note in recording.report.notes)
    updates = [update.records for update in open_file(path).updates()]
    assert np.array_equal(np.concatenate(updates), records)


def test_bars_of_the_newest_first_are_read_in_order_of_time(tmp_path):
    head, *rows = BARS.splitlines()
    recording = open_file(written(tmp_path, "\n".join([head, *rows[::-1]]) + "\n"))
    forward = open_file(written(tmp_path, BARS, "DEF.csv"))
    assert np.array_equal(all_of(recording).records, all_of(forward).records)
    assert recording.start_ns == forward.start_ns


def test_falling_blocks_are_held_until_it_is_known_whether_the_file_falls(tmp_path, monkeypatch):
    from nautilus.adapters.formats import batch

    falling = [f"2020-01-02T10:00:{second:02}Z,10.5,1\n" for second in range(59, 9, -1)]
    path = written(tmp_path, "time,price,size\n" + "".join(falling))
    monkeypatch.setattr(batch, "MOST_TURNED", 40)
    with pytest.raises(FormatError, match="newest to the oldest") as error:
        all_of(open_file(path))
    assert "the oldest row first" in str(error.value)
    order = batch.FileOrder()
    records = np.zeros(60, batch.TRADE)
    records["venue_ns"][:30], records["venue_ns"][30:] = np.arange(100, 70, -1), np.arange(71, 101)
    assert order.may_fall(records[:30])
    assert order.falls
    assert not order.may_fall(records[30:])
    assert not order.falls


def test_negative_prices_are_told_of_the_instrument(tmp_path):
    for price, negative in (("-37.6", True), ("37.6", False)):
        path = written(tmp_path, f"time,price,size\n2020-04-20T18:00:00Z,{price},3\n2020-04-20T18:00:01Z,1.5,3\n")
        hint = open_file(path).hint
        assert (hint.negative_prices, hint.instrument().negative_prices) == (negative, negative)
