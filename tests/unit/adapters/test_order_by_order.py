"""Readers of order-by-order recordings, and the books that they build, against what the venue or others say."""

import gzip
import importlib
from datetime import date

import numpy as np
import pytest

from nautilus.adapters.formats import FormatError, UpdateKind, open_recording
from nautilus.adapters.formats.databento import read_mbo
from nautilus.adapters.formats.itch import ItchRecording, day_of, read_itch
from nautilus.core.dbn import MBO, MboBookBuilder
from nautilus.core.itch import ITCH_NOTICES, ITCH_ORDER, encode
from nautilus.core.order_book import OrderBooks
from nautilus.core.types import Side
from nautilus.model.errors import ConfigError
from tests.kit.data import LOBSTER, recording
from tests.kit.order_books import PlainBooks

BUY, SELL = int(Side.BUY), int(Side.SELL)
SNAPSHOTS = ("esh4-glbx-mdp3-20231224.mbo.dbn.zst", "orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst")


def test_the_book_equals_every_recorded_row_of_lobster():
    lobster = open_recording(recording(LOBSTER))
    rows = np.loadtxt(next(recording(LOBSTER).glob("*orderbook*.csv")), delimiter=",", dtype=np.int64)
    books, place = OrderBooks(edge=10_000, step=100), 0
    for update in lobster.updates():
        if update.kind == UpdateKind.BOOK:
            books.apply(update.records)
        elif update.kind == UpdateKind.QUOTE:
            row = rows[place]
            for side, first in ((SELL, 0), (BUY, 2)):
                levels = books.depth(1, side, lobster.levels)
                assert levels["price_ticks"].tolist() == [
                    price for price, size in zip(row[first::4], row[first + 1 :: 4], strict=True) if size
                ]
                assert levels["quantity"].tolist() == [size for size in row[first + 1 :: 4] if size]
            place += 1
    assert place == len(rows) > 500


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_databento_books_equal_those_of_the_plain_twin(name):
    pytest.importorskip("databento_dbn", reason="databento-dbn is not installed (pip install databento-dbn)")
    mbo = read_mbo(recording(f"l3_databento_mbo/{name}"))
    assert len(mbo.records) > 5_000
    (instrument, increment), *_ = mbo.increments.items()
    assert (increment, mbo.symbols[instrument]) in ((250_000_000, "ESH4"), (250_000_000, "ESM4"))
    builder = MboBookBuilder(OrderBooks(), mbo.increments)
    again, live = OrderBooks(), {}
    deltas, _ = builder.build(mbo.records)
    again.apply(deltas)
    assert again.state_hash(instrument) == builder.books.state_hash(instrument)
    # The rules of the format once more, on a dict: what is left of each order, whatever its place.
    for record in mbo.records:
        action, order_id = record["action"].item(), int(record["order_id"])
        if action == b"R":
            live.clear()
        elif action in b"AM":
            side = BUY if record["side"] == b"B" else SELL
            live[order_id] = (int(record["price"]) // increment, int(record["size"]), side)
        elif action == b"C":
            price, size, side = live.pop(order_id)
            if size > record["size"]:
                live[order_id] = (price, size - int(record["size"]), side)
    orders = builder.books.orders(instrument).tolist()
    assert {order_id: (price, size, side) for order_id, price, size, side in orders} == live
    assert builder.books.unknown == 0


def test_databento_records_equal_those_of_its_own_decoder():
    dbn = pytest.importorskip("databento_dbn", reason="databento-dbn is not installed (pip install databento-dbn)")
    path = recording("l3_databento_mbo/test_data.mbo.v3.dbn")
    decoder = dbn.DBNDecoder()
    decoder.write(path.read_bytes())
    theirs = [each for each in decoder.decode() if isinstance(each, dbn.MBOMsg)]
    mine = read_mbo(path).records
    assert len(mine) == len(theirs) == 2
    for record, each in zip(mine, theirs, strict=True):
        for name in ("publisher_id", "instrument_id", "ts_event", "order_id", "price", "size", "ts_recv", "sequence"):
            assert int(record[name]) == getattr(each, name)


@pytest.mark.parametrize("damage", ["cut", "flipped", "other"])
def test_a_damaged_databento_file_is_one_clear_error(damage, tmp_path):
    pytest.importorskip("databento_dbn", reason="databento-dbn is not installed (pip install databento-dbn)")
    data = bytearray(recording(f"l3_databento_mbo/{SNAPSHOTS[0]}").read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "flipped":
        data[len(data) // 2] ^= 0xFF
    else:
        data = bytearray(b"something else")
    path = tmp_path / "damaged.dbn.zst"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"damaged\.dbn\.zst"):
        read_mbo(path)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ConfigError, match=r"databento-dbn is not installed.*pip install"):
        read_mbo(tmp_path / "any.dbn")


def session():
    """A short day of two instruments: (bytes, BOOK records of the second one by a plain twin)."""
    directory = np.zeros(2, ITCH_NOTICES[b"R"])
    directory["stock"], directory["locate"], directory["time_ns"] = [b"AAA     ", b"BBB     "], [1, 2], 1_000
    rows = [
        (b"A", 1, b"B", 1, 0, 100, 150_000), (b"A", 2, b"B", 2, 0, 300, 99_900), (b"A", 2, b"S", 3, 0, 200, 100_100),
        (b"E", 2, b"", 2, 0, 100, 0), (b"U", 2, b"", 3, 4, 50, 100_000), (b"P", 2, b"B", 0, 0, 7, 99_950),
        (b"Q", 2, b"", 0, 0, 9, 99_950), (b"X", 2, b"", 2, 0, 50, 0), (b"D", 2, b"", 4, 0, 0, 0),
    ]  # fmt: skip
    orders = np.zeros(len(rows), ITCH_ORDER)
    for number, (record, row) in enumerate(zip(orders, rows, strict=True)):
        for name, value in zip(
            ("kind", "locate", "side", "order_id", "new_order_id", "quantity", "price"), row, strict=True
        ):
            record[name] = value
        record["time_ns"] = 34_200_000_000_000 + number
    kinds = np.concatenate((np.full(2, b"R", "S1"), orders["kind"]))
    return encode(kinds, orders, {b"R": directory})


@pytest.mark.parametrize("packed", [False, True])
def test_an_itch_file_gives_book_trades_and_quotes_of_one_symbol(packed, tmp_path):
    path = tmp_path / "06212012.NASDAQ_ITCH50"
    path.write_bytes(gzip.compress(session()) if packed else session())
    itch = ItchRecording(path, "BBB", instrument_id=5)
    assert (itch.locate, itch.hint.symbol) == (2, "BBB")
    twin, trades, last = PlainBooks(), [], None
    for update in itch.updates():
        assert update.records["instrument_id"].tolist() == [5] * len(update.records)
        if update.kind == UpdateKind.BOOK:
            twin.apply(update.records)
        elif update.kind == UpdateKind.TRADE:
            trades += update.records[["price_ticks", "quantity", "side"]].tolist()
        else:
            last = update.records[0]
    assert trades == [(99_900, 100, SELL), (99_950, 7, SELL)]
    assert twin.orders(5) == [(2, 99_900, 150, BUY)]
    assert (int(last["bid_ticks"]), int(last["bid_quantity"]), int(last["ask_quantity"])) == (99_900, 150, 0)
    facts = itch.summary()
    assert facts["records"] == {"quotes": 7, "trades": 2, "book_messages": 8, "book_levels": 8}
    assert facts["skipped"]["other_messages"] == 3
    assert facts["skipped"]["crosses"] == 1
    assert facts["misfits"] == 0
    assert itch.first_ns == 1_340_285_400_000_000_001  # 2012-06-21 09:30 in New York, and one nanosecond
    assert open_recording(path).hint.symbol == "AAA"


def test_an_itch_stream_stops_before_the_time_that_is_asked_for(tmp_path):
    path = tmp_path / "20120621.BX_ITCH_50"
    path.write_bytes(session())
    itch = ItchRecording(path, "BBB")
    begun = 1_340_285_400_000_000_000
    assert [update.now_ns - begun for update in itch.updates(until_ns=begun + 2)] == [1, 1, 2, 2]
    assert itch.counts["book_messages"] == 2


@pytest.mark.parametrize(
    ("change", "words", "before"),
    [
        (lambda data: data[:-3], "ends after 16 bytes of a message; expected 19 bytes", 10),
        (lambda data: data + b"\0\x05D1234", "message 'D' of 5 bytes; expected 19 bytes", 11),
        (lambda data: gzip.compress(data)[:-30], "the file is cut", 0),
    ],
)
def test_a_damaged_itch_file_gives_what_came_before_and_one_clear_error(change, words, before, tmp_path):
    path = tmp_path / "06212012.NASDAQ_ITCH50"
    path.write_bytes(change(session()))
    batches = []
    with pytest.raises(FormatError, match=words):
        batches.extend(read_itch(path))
    assert sum(len(batch.kinds) for batch in batches) >= before


def test_what_an_itch_recording_lacks_is_named(tmp_path):
    path = tmp_path / "day.itch"
    path.write_bytes(session())
    with pytest.raises(FormatError, match="its name tells no day"):
        ItchRecording(path)
    with pytest.raises(FormatError, match="names no symbol CCC"):
        ItchRecording(path, "CCC", date(2012, 6, 21))


def test_the_day_is_read_from_the_usual_names(tmp_path):
    for name in ("12302019.NASDAQ_ITCH50.gz", "20191230.BX_ITCH_50.gz", "S123019-v50.txt.gz"):
        assert day_of(tmp_path / name) == date(2019, 12, 30)
    assert day_of(tmp_path / "99999999.x") is None


def test_records_of_mbo_are_as_wide_as_the_format_says():
    assert MBO.itemsize == 56
