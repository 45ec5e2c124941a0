"""DBN files as updates: whole book changes, in the order of the rows, however the file is cut."""

import struct

import numpy as np
import pytest

from nautilus.adapters.formats import FormatError, UpdateKind, databento, open_file
from nautilus.adapters.formats.batch import LAST, BatchRecording
from nautilus.adapters.formats.dbn import MBP_10, TRADES
from nautilus.adapters.formats.recording import Block, InstrumentHint
from nautilus.core.dbn import MBO, UNDEFINED_PRICE
from nautilus.core.types import BOOK_DELTA
from tests.kit.data import data_directory, recording

pytest.importorskip("databento_dbn", reason="databento-dbn is not installed (pip install databento-dbn)")
FOLDER = "l3_databento_mbo"
FILES = sorted(path.name for path in (data_directory() / FOLDER).glob("*.dbn*") if "definition" not in path.name)
BY_ORDER = [name for name in FILES if "mbo" in name]
SECOND = 1_000_000_000


def head_of(name):
    """The metadata of a plain file, as they are."""
    data = recording(f"{FOLDER}/{name}").read_bytes()
    return data[: 8 + struct.unpack_from("<I", data, 4)[0]]


def records_of(name, dtype):
    return np.frombuffer(recording(f"{FOLDER}/{name}").read_bytes()[len(head_of(name)) :], dtype)


def written(tmp_path, name, records):
    path = tmp_path / name
    path.write_bytes(head_of(name) + records.tobytes())
    return path


def updates_of(path):
    return list(open_file(path).updates())


def joined(pairs):
    """All records by kind, as bytes."""
    found = {}
    for kind, records in pairs:
        found[kind] = found.get(kind, b"") + records.tobytes()
    return found


@pytest.mark.parametrize("name", FILES)
def test_updates_are_the_records_of_the_blocks_in_the_order_of_time(name):
    path = recording(f"{FOLDER}/{name}")
    updates = updates_of(path)
    stamps = [each.now_ns for each in updates]
    assert stamps == sorted(stamps)
    assert stamps == [int(each.records["now_ns"][-1]) for each in updates]
    assert joined((kind, records) for _, kind, records in updates) == joined(open_file(path).blocks())
    books = [records for _, kind, records in updates if kind == UpdateKind.BOOK]
    assert all(not (records["flags"][:-1] & LAST).any() for records in books)
    assert all(records["flags"][-1] & LAST for records in books[:-1])


@pytest.mark.parametrize("name", BY_ORDER)
def test_it_makes_no_difference_where_a_file_is_cut(name, monkeypatch):
    path = recording(f"{FOLDER}/{name}")
    whole = [(now_ns, kind, records.tobytes()) for now_ns, kind, records in updates_of(path)]
    monkeypatch.setattr(databento, "COMPRESSED_PIECE", 131)
    monkeypatch.setattr(databento, "PLAIN_PIECE", 131)
    assert [(now_ns, kind, records.tobytes()) for now_ns, kind, records in updates_of(path)] == whole


def test_depth_of_many_rows_comes_row_by_row(tmp_path):
    rows = np.resize(records_of("test_data.mbp-10.dbn", MBP_10), 600).copy()
    rows["ts_recv"] = rows["ts_recv"][0] + np.arange(600, dtype=np.uint64) * SECOND
    rows["ts_recv"][300] -= 5 * SECOND
    rows["action"] = b"A"
    rows["action"][::10] = b"T"
    updates = updates_of(written(tmp_path, "test_data.mbp-10.dbn", rows))
    assert len(updates) == 600 + 600 + 60
    assert [each.now_ns for each in updates] == [int(each.records["now_ns"][-1]) for each in updates]
    first_ns = int(rows["ts_recv"][0])
    expected = []
    for at in range(600):
        kinds = [UpdateKind.TRADE] * (at % 10 == 0) + [UpdateKind.QUOTE, UpdateKind.BOOK]
        expected += [(first_ns + (at if at != 300 else 299) * SECOND, kind) for kind in kinds]
    assert [(each.now_ns, each.kind) for each in updates] == expected


def test_an_event_that_says_nothing_last_is_closed_though_the_file_is_cut_there(tmp_path, monkeypatch):
    name = "test_data.mbo.v3.dbn"
    rows = np.resize(records_of(name, MBO), 6).copy()
    rows["action"] = [b"A", b"N", b"A", b"T", b"A", b"A"]
    rows["side"], rows["order_id"], rows["flags"] = b"B", np.arange(1, 7), [0, 128, 0, 0, 128, 0]
    rows["price"], rows["size"] = rows["price"][0], 5
    rows["ts_recv"] = rows["ts_recv"][0] + np.arange(6, dtype=np.uint64)
    for piece in (databento.PLAIN_PIECE, MBO.itemsize):
        monkeypatch.setattr(databento, "PLAIN_PIECE", piece)
        updates = updates_of(written(tmp_path, name, rows))
        assert [(each.kind, each.records["now_ns"].tolist()) for each in updates] == [
            (UpdateKind.BOOK, [int(rows["ts_recv"][0])]),
            (UpdateKind.TRADE, [int(rows["ts_recv"][3])]),
            (UpdateKind.BOOK, rows["ts_recv"][[2, 4]].tolist()),
            (UpdateKind.BOOK, [int(rows["ts_recv"][5])]),
        ]
        assert updates[0].records["flags"][-1] & LAST


class Cut(BatchRecording):
    """Blocks that end within a book change."""

    format = "cut"
    progress = 1.0

    def __init__(self, path, blocks):
        super().__init__(path, (InstrumentHint("A", "B", "spot", "A", "USD", "1", "1", (("0", "1"),)),), 1)
        self._blocks = blocks

    def _read(self):
        yield from self._blocks


def changes(*stamps):
    """Book records; a negative one is the last of its change."""
    rows = np.zeros(len(stamps), BOOK_DELTA)
    rows["now_ns"], rows["flags"] = np.abs(stamps), [LAST * (stamp < 0) for stamp in stamps]
    return Block(UpdateKind.BOOK, rows)


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (((1, -2, 3), (4, -5)), [[1, 2], [3, 4, 5]]),
        (((1,), (2,), (3, -4, 5)), [[1, 2, 3, 4], [5]]),
        (((-1,), (2, 3)), [[1], [2, 3]]),
    ],
)
def test_a_book_change_goes_on_in_the_next_block(tmp_path, blocks, expected):
    updates = list(Cut(tmp_path, [changes(*each) for each in blocks]).updates())
    assert [each.records["now_ns"].tolist() for each in updates] == expected
    assert [each.now_ns for each in updates] == [each[-1] for each in expected]


def test_an_instrument_without_price_is_left_out_and_named(tmp_path):
    rows = np.resize(records_of("test_data.trades.dbn", TRADES), 4).copy()
    first = int(rows["instrument_id"][0])
    rows["instrument_id"][2:] = first + 1
    rows["price"][2:] = UNDEFINED_PRICE
    opened = open_file(path := written(tmp_path, "test_data.trades.dbn", rows))
    assert len(opened.hints) == 1
    assert sum(len(block.records) for block in opened.blocks()) == 2
    assert opened.report.notes == opened.notes == [f"{first + 1} has no price and is left out"]
    rows["price"] = UNDEFINED_PRICE
    written(tmp_path, path.name, rows)
    with pytest.raises(FormatError, match="holds no price of"):
        open_file(path)


@pytest.mark.parametrize(
    ("step", "increment", "factor"), [(10, "0.00000001", 1), (1, "0.000000001", 1), (30, "0.00000001", 3)]
)
def test_prices_may_be_as_fine_as_the_format(tmp_path, step, increment, factor):
    rows = np.resize(records_of("test_data.trades.dbn", TRADES), 3).copy()
    rows["instrument_id"] = rows["instrument_id"][0]
    rows["price"] = np.array([101, 102, 103]) * step
    opened = open_file(written(tmp_path, "test_data.trades.dbn", rows))
    assert opened.hint.price_increment == increment
    [block] = opened.blocks()
    assert block.records["price_ticks"].tolist() == [each * factor for each in (101, 102, 103)]
