"""Parquet files: rows that lack a price, a time or a symbol are named and left out, all others are exact."""

import numpy as np
import pytest

from nautilus.adapters.formats import FormatError, Table, open_file
from nautilus.core.types import RecordFlag

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

LAST, SYNTHETIC = int(RecordFlag.LAST), int(RecordFlag.SYNTHETIC)
FIRST_NS = 1_577_959_200_123_456_789
"""No float has room for it."""


def written(tmp_path, **columns):
    path = tmp_path / "ABC.parquet"
    parquet.write_table(pa.table(columns), path)
    return path


def records_of(recording):
    return [row for _, records in recording.blocks() for row in records]


@pytest.mark.parametrize("kind", [pa.int64(), pa.timestamp("ns", "UTC")])
def test_rows_without_time_or_price_are_named_and_all_others_are_exact(tmp_path, kind):
    times = [FIRST_NS + i if i != 1 else None for i in range(6)]
    recording = open_file(
        written(
            tmp_path,
            time=pa.array(times, kind),
            price=[1.25, 1.5, None, 2.0, float("nan"), 3.0],
            size=[1, 2, 3, 4, 5, 6],
        )
    )
    found = records_of(recording)
    assert [int(row["venue_ns"]) - FIRST_NS for row in found] == [0, 3, 5]
    assert [int(row["price_ticks"]) for row in found] == [125, 200, 300]
    assert recording.start_ns == FIRST_NS
    report = recording.report
    assert (report.rows, report.refused) == (6, 3)
    assert [(each.line, each.field, each.reason) for each in report.refusals] == [
        (2, "time", "is null"),
        (3, "price", "is null"),
        (5, "price", "'nan' is no number"),
    ]


def test_a_bar_without_volume_is_one_all_the_same(tmp_path):
    days = pa.array([FIRST_NS // 10**9 * 10**9 + i * 86_400 * 10**9 for i in range(3)])
    prices = {name: [1.0, 2.0, 3.0] for name in ("open", "high", "low", "close")}
    recording = open_file(written(tmp_path, time=days, **prices, volume=pa.array([5, None, 7])))
    assert [int(row["volume"]) for row in records_of(recording)] == [5, 0, 7]
    assert (recording.report.refused, recording.report.missing) == (0, 1)


def test_a_row_without_symbol_goes_to_no_instrument(tmp_path):
    recording = open_file(
        written(
            tmp_path,
            time=[FIRST_NS + i for i in range(5)],
            symbol=["A", None, "B", "", "A"],
            price=[1.0, 2.0, 3.0, 4.0, 5.0],
            size=[1, 1, 1, 1, 1],
        )
    )
    assert [hint.symbol for hint in recording.hints] == ["A", "B"]
    assert [(int(row["instrument_id"]), int(row["price_ticks"])) for row in records_of(recording)] == [
        (1, 1),
        (2, 3),
        (1, 5),
    ]
    assert [(each.line, each.field, each.reason) for each in recording.report.refusals] == [
        (2, "symbol", "is null"),
        (4, "symbol", "'' is empty"),
    ]


def test_a_table_has_a_time_in_each_row(tmp_path):
    table = open_file(written(tmp_path, time=[FIRST_NS, None, FIRST_NS + 1], what=["x", "y", None]))
    assert isinstance(table, Table)
    assert table.read().to_pydict() == {"time_ns": [FIRST_NS, FIRST_NS + 1], "what": ["x", None]}
    report = table.report
    assert (report.rows, report.refused, report.missing) == (3, 1, 1)
    assert (report.refusals[0].line, report.refusals[0].field) == (2, "time")


def test_a_file_of_which_most_rows_lack_a_price_is_refused(tmp_path):
    path = written(tmp_path, time=[FIRST_NS + i for i in range(3)], price=[1.0, None, None], size=[1, 1, 1])
    with pytest.raises(FormatError, match=r"2 of 3 rows do not fit, the first: price is null"):
        records_of(open_file(path))


def test_quotes_without_sizes_have_one_lot_and_say_so(tmp_path):
    times = [FIRST_NS + i for i in range(3)]
    bare = open_file(written(tmp_path, time=times, bid=[1.0, 1.1, 0.0], ask=[1.2, 1.3, 1.4]))
    found = [(int(row["bid_quantity"]), int(row["ask_quantity"]), int(row["flags"])) for row in records_of(bare)]
    assert found == [(1, 1, LAST | SYNTHETIC), (1, 1, LAST | SYNTHETIC), (0, 1, LAST | SYNTHETIC)]
    assert bare.report.notes == ["quotes tell no size: one lot is taken, flagged SYNTHETIC"]
    sized = open_file(
        written(
            tmp_path, time=times, bid=[1.0, 1.1, 1.1], ask=[1.2, 1.3, 1.4], bid_size=[5, None, 0], ask_size=[7, 8, 9]
        )
    )
    found = [(int(row["bid_quantity"]), int(row["ask_quantity"]), int(row["flags"])) for row in records_of(sized)]
    assert found == [(5, 7, LAST), (1, 8, LAST | SYNTHETIC), (0, 9, LAST)]
    assert sized.report.missing == 1


def test_numbers_keep_all_their_decimals_or_the_report_says_that_they_are_rounded(tmp_path):
    times = [FIRST_NS + i for i in range(2)]
    exact = open_file(written(tmp_path, time=times, price=[0.1 + 0.2, 1.1], size=[50000000.01, 60000000.02]))
    assert [int(row["quantity"]) for row in records_of(exact)] == [5_000_000_001, 6_000_000_002]
    assert (exact.hint.price_increment, exact.hint.lot_size) == ("0.1", "0.01")
    assert (exact.report.rounded, exact.report.notes) == (0, [])
    narrow = open_file(written(tmp_path, time=times, price=pa.array([1.1, 2.2], pa.float32()), size=[1, 2]))
    assert [int(row["price_ticks"]) for row in records_of(narrow)] == [11, 22]
    assert narrow.report.rounded == 0
    cut = open_file(written(tmp_path, time=times, price=[1 / 3, 2.0], size=[1e11 + 0.25, 1.0]))
    assert [int(row["price_ticks"]) for row in records_of(cut)] == [333_333_333, 2_000_000_000]
    assert cut.report.rounded == 2
    assert cut.report.notes == [
        "prices have more than 9 decimals; 9 are kept, finer ones are rounded",
        "quantities have more than 1 decimals; 1 are kept, finer ones are rounded",
    ]


@pytest.mark.parametrize(("first", "rows"), [(100.0, 20_000), (100.0, 500_000), (0.0, 20_000), (60_000.0, 20_000)])
def test_the_noise_of_sums_makes_no_finer_tick(tmp_path, first, rows):
    steps = np.where(np.arange(rows) % 3 == 2, -0.01, 0.01)
    steps[0] += first
    times = FIRST_NS + np.arange(rows)
    prices = np.cumsum(steps)
    for part in (slice(None), slice(-10, None)):  # also of the end alone, where there is most of it
        recording = open_file(written(tmp_path, time=times[part], price=prices[part], size=np.ones(rows)[part]))
        assert recording.hint.price_increment == "0.01"
        assert recording.report.notes == []
        found = [int(row["price_ticks"]) for row in records_of(recording)]
        assert found == np.rint(prices[part] * 100).astype(int).tolist()


@pytest.mark.parametrize(
    ("prices", "increment"),
    [
        ([1.0001, 0.9999, 1.0], "0.0001"),
        ([1.00000001, 1.0], "0.00000001"),
        ([50000000.0001, 1.0], "0.0001"),
        ([100000.000001, 1.0], "0.000001"),
    ],
)
def test_a_small_decimal_is_no_noise(tmp_path, prices, increment):
    times = [FIRST_NS + i for i in range(len(prices))]
    recording = open_file(written(tmp_path, time=times, price=prices, size=[1] * len(prices)))
    assert (recording.hint.price_increment, recording.report.rounded) == (increment, 0)


def test_the_newest_rows_first_are_read_in_order_of_time_and_negative_prices_told(tmp_path):
    times = np.arange(60, 0, -1) * 10**9 + 1_577_836_800 * 10**9
    price = np.where(times % (2 * 10**9) == 0, -37.6, 1.5)
    columns = {"time": times, "price": price, "size": np.arange(1.0, 61)}
    for ids in ({}, {"trade_id": np.arange(160, 100, -1)}):
        recording = open_file(written(tmp_path, **columns, **ids))
        assert recording.hint.negative_prices
        assert recording.start_ns == times[-1]
        records = np.concatenate([block.records for block in recording.blocks()])
        assert records["now_ns"].tolist() == times[::-1].tolist()
        assert records["quantity"].tolist() == list(range(60, 0, -1))
        assert (np.diff(records["trade_id"].astype(np.int64)) == 1).all()
