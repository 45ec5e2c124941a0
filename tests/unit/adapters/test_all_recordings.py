"""Every file of the recordings is read completely, by a count of its own, or is refused by name."""

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest

from nautilus.adapters.formats import FormatError, Recording, Table, open_file
from nautilus.adapters.formats.depth_rows import is_depth_rows
from nautilus.runtime.replay import run
from nautilus.runtime.sources import open_source
from tests.kit.data import data_directory

ROOT = data_directory()
# Raw logs of a minute of trading: test_binance_recording reads them, and compares their books with the venue's.
READ_ELSEWHERE = ("l2_binance/",)
FILES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT.rglob("*") if ROOT.is_dir() else ())
    if path.is_file() and not str(path.relative_to(ROOT)).startswith(READ_ELSEWHERE)
)
ANSWERS = "JSON that is no log of a venue's messages, such as the answer of a data provider"
YAML = "is YAML, such as recorded HTTP answers"
REFUSED = (
    ("http_fred/", YAML),
    ("http_tradingeconomics/", ""),
    ("http_", ANSWERS),
    ("ibkr/", ANSWERS),
    ("itch50/message_fields.json", ANSWERS),
    ("itch50/", "its name tells no day"),
    ("SOURCES.md", "begins with '# Recorded market data"),
)


def lines_of(path: Path) -> int:
    """Rows of a text or of all texts of an archive, without head and comments."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            texts = [archive.read(name).decode() for name in archive.namelist()]
    else:
        data = path.read_bytes()
        texts = [(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()]
    count = 0
    for text in texts:
        if path.suffix == ".zip":
            count += len(text.splitlines())
            continue
        rows = [row for row in csv.reader(io.StringIO(text)) if row and not row[0].startswith("#")]
        count += len(rows) - (not any(letter.isdigit() for letter in rows[0][0]))
    return count


def rows_of(opened: Recording | Table) -> tuple[int, int]:
    """Rows that were read, and how many of them were refused."""
    if isinstance(opened, Table):
        return opened.read().num_rows, opened.report.refused
    found = {}
    for kind, records in opened.blocks():
        found[kind] = found.get(kind, 0) + len(records)
    return sum(found.values()), opened.report.refused if hasattr(opened, "report") else 0


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_read_or_refused(name):
    path = ROOT / name
    why = next((what for start, what in REFUSED if name.startswith(start)), "")
    if why:
        with pytest.raises(FormatError) as caught:
            open_file(path)
        assert caught.value.what.startswith(why)
        assert str(path) in caught.value.where
        return
    rows, refused = rows_of(opened := open_file(path))
    assert refused == 0
    if opened.format in ("csv", "lean", "lean-options"):
        assert rows == lines_of(path)
    elif opened.format == "lobster":
        # A quote a message.
        assert opened.counts["quotes"] == 999
    elif opened.format == "bybit":
        with zipfile.ZipFile(path) as archive:
            messages = [json.loads(line) for line in archive.read(archive.namelist()[0]).splitlines()]
        levels = sum(len(each["data"]["b"]) + len(each["data"]["a"]) for each in messages)
        assert rows == levels + 2 * sum(each["type"] == "snapshot" for each in messages)
        assert (opened.gaps, opened.crossed) == (0, 0)
    elif opened.format == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        assert rows == parquet.read_metadata(path).num_rows
    elif opened.format == "dbn":
        assert opened.report.rows == dbn_records(path)
    elif opened.format == "tardis":
        assert opened.counts["book_snapshots"] == lines_of(path)
    else:
        assert opened.format == "binance-depth"
        assert rows - 2 * opened.counts["book_snapshots"] == lines_of(path)


PLAYED = [name for name in FILES if not name.startswith(tuple(start for start, _ in REFUSED))]
LONG_ONES = ("taq_lean/bac_20131007", "taq_lean/bac_20131008_quote")
"""Days of trades and quotes; the trades of the other day are played daily."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.long] if name.startswith(LONG_ONES) else []) for name in PLAYED],
)
def test_every_market_is_played_to_its_end_and_updates_are_the_records_of_the_blocks(name):
    path = ROOT / name
    opened = open_file(path)
    if isinstance(opened, Table) or opened.holds_bars:
        with pytest.raises(FormatError, match="no market"):
            open_source(path)
        return
    updates, blocks, last_ns = {}, {}, 0
    for now_ns, kind, records in opened.updates():
        updates.setdefault(kind, []).append(records.tobytes())
        assert now_ns >= last_ns
        last_ns = now_ns
    for kind, records in open_file(path).blocks():
        blocks.setdefault(kind, []).append(records.tobytes())
    assert {kind: b"".join(each) for kind, each in updates.items()} == {
        kind: b"".join(each) for kind, each in blocks.items()
    }
    if opened.order_by_order:
        assert run(path, ()).complete
        return
    source, steps = open_source(path), 0
    while source.next_ns() is not None:
        source.step()
        steps += 1
    assert steps == sum(map(len, updates.values()))


def dbn_records(path: Path) -> int:
    dbn = pytest.importorskip("databento_dbn")
    decoder = dbn.DBNDecoder(compression=dbn.Compression.ZSTD if path.suffix == ".zst" else dbn.Compression.NONE)
    decoder.write(path.read_bytes())
    return len(decoder.decode()) - 1  # the metadata


def damaged(name: str, content: bytes) -> list[bytes]:
    """Variants of a file that no reader may take for whole."""
    if name.endswith((".zip", ".parquet")):
        middle = len(content) // 2
        flipped = (
            content[:middle] + bytes(byte ^ 0x55 for byte in content[middle : middle + 64]) + content[middle + 64 :]
        )
        return [content[:middle], content[: len(content) - 30], flipped]
    if name.endswith((".dbn", ".zst")):
        return [content[: len(content) - 7], content[:40]]
    text = content.decode()
    return [text.encode("utf-16"), content[:200] + b"\0\0" + content[200:], b"\xff\xfe\xfd" + content[3:]]


@pytest.mark.parametrize(
    "name",
    [
        "ohlcv_minute_lean/20131004_trade.zip",
        "ohlcv_daily_lean/goog.zip",
        "l2_bybit/xrpusdt-ob500.data.zip",
        "l2_binance_small/btcusdt-trades.parquet",
        "l3_databento_mbo/test_data.mbp-10.dbn",
        "l3_databento_mbo/test_data.definition.dbn",
        "l3_databento_mbo/esh4-glbx-mdp3-20231224.mbo.dbn.zst",
        "l2_tardis/binance-futures_book_snapshot_25_BTCUSDT.csv",
        "ohlcv_daily/GOOG.csv",
        "panel_close/ppo_stock_prices.csv",
        "margins_cme_lean/ES.csv",
    ],
)
def test_a_damaged_file_is_one_clear_error(name, tmp_path):
    original = ROOT / name
    if not original.exists():
        pytest.skip(f"recording {name} is not below {ROOT} (set NAUTILUS_DATA)")
    for number, content in enumerate(damaged(name, original.read_bytes())):
        path = tmp_path / f"{number}-{original.name}" if "lean" not in name else tmp_path / original.name
        path.write_bytes(content)
        with pytest.raises(FormatError) as caught:
            rows_of(open_file(path))
        assert str(path) in caught.value.where
        assert caught.value.expected


def test_the_head_of_depth_rows_is_known_among_others():
    assert is_depth_rows(b"exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount") == "tardis"
    assert is_depth_rows(b"symbol,timestamp,price") == ""
