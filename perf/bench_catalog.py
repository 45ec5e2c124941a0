"""The catalog: appending until it is durable, until it is Parquet, and reading it back.

    feed ---> append ---> queue ---> log (fdatasync) ---> Parquet, zstd
                                                            ├──> DuckDB: sums over price and quantity
                                                            └──> records in order of time

4,000,000 trades of one instrument and day (48-byte records; a random walk of prices, times 10 us apart on average),
handed in as batches of 1,000. The directory is made where `TMPDIR` says: of a disk, for figures of a disk. Then a feed
that hands in at a steady rate while the writer works: what an append takes of the feed's thread.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace

import numpy as np

from nautilus.core.types import TRADE
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_settings import CatalogConfig
from perf.harness import Report, check, paced

SUMMARY = "catalog: append to durable Parquet, scan, append latency"
TRADES = 4_000_000
BATCH = 1_000
REPEATS = 3
PACED_BATCH = 100
RATE = 2_000
PACED = 6_000
MIDNIGHT_NS = 1_667_260_800_000_000_000
INSTRUMENT = SimpleNamespace(symbol="BTCUSDT", venue="bench", price_increment="0.01", lot_size="0.001")
TICKS = "SELECT max(price_ticks) AS high, min(price_ticks) AS low, sum(quantity_lots) AS lots FROM trade"
DECIMALS = "SELECT max(price) AS high, min(price) AS low, sum(quantity) AS total FROM trade"


def run(report: Report) -> None:
    """Figures of writing, then of reading, then of the feed."""
    trades = draw(TRADES)
    with tempfile.TemporaryDirectory(prefix="nautilus-perf-") as directory:
        _write(report, Path(directory), trades)
        _scan(report, Path(directory, "0"), trades)
        _feed(report, Path(directory, "feed"), trades)
    report.checks.append("every trade read back equals the one appended; sums equal numpy's; no append refused")


def draw(count: int) -> np.ndarray:
    """Trades of a random walk within one day."""
    chance = np.random.default_rng(7)
    trades = np.zeros(count, TRADE)
    trades["now_ns"] = MIDNIGHT_NS + np.cumsum(chance.integers(1, 20_000, count))
    trades["venue_ns"] = trades["now_ns"] - chance.integers(1_000_000, 3_000_000, count)
    trades["trade_id"] = 1 + np.arange(count)
    trades["price_ticks"] = 2_000_000 + np.cumsum(chance.integers(-3, 4, count))
    trades["quantity"] = 1 + chance.geometric(0.02, count)
    trades["side"] = 1 + chance.integers(0, 2, count)
    return trades


def _write(report: Report, root: Path, trades: np.ndarray) -> None:
    durable, published = [], []
    for number in range(REPEATS):
        with Catalog(root / str(number)).writer() as writer:
            begun = perf_counter()
            for at in range(0, len(trades), BATCH):
                writer.append(INSTRUMENT, "trade", trades[at : at + BATCH], wait=True)
            writer.flush()
            durable.append(len(trades) / (perf_counter() - begun))
            writer.flush(publish=True)
            published.append(len(trades) / (perf_counter() - begun))
    report.add("append until durable in the log", "ticks/s", durable, 0.0)
    report.add("append until durable as Parquet, seen by readers", "ticks/s", published, 0.0, goal=2e6)


def _scan(report: Report, root: Path, trades: np.ndarray) -> None:
    catalog = Catalog(root)
    size = sum(each.bytes for each in catalog.ranges())
    report.notes.append(f"{size / len(trades):.2f} bytes a trade on disk, of {TRADE.itemsize}")
    expected = {"high": int(trades["price_ticks"].max()), "low": int(trades["price_ticks"].min())}
    expected["lots"] = int(trades["quantity"].sum())

    def sql(text: str) -> float:
        begun = perf_counter()
        (row,) = catalog.sql(text).to_pylist()
        took = perf_counter() - begun
        if "lots" in row:
            check({name: int(value) for name, value in row.items()} == expected, "the sums are wrong")
        return len(trades) / took

    def records() -> float:
        begun = perf_counter()
        at = 0
        for some in catalog.read("trade"):
            at += len(some)
        took = perf_counter() - begun
        check(at == len(trades), f"{at} trades of {len(trades)}")
        return len(trades) / took

    back = np.concatenate(list(catalog.read("trade")))
    back["instrument_id"] = 0
    check(bool((back == trades).all()), "a trade is not as it was appended")
    report.measure("scan by SQL: price and quantity, as ticks and lots", "ticks/s", lambda: sql(TICKS), goal=50e6)
    report.measure("scan by SQL: price and quantity, as decimals", "ticks/s", lambda: sql(DECIMALS))
    report.measure("read into records, in order of time", "ticks/s", records)


def _feed(report: Report, root: Path, trades: np.ndarray) -> None:
    """200,000 ticks a second in hand-overs of 100, while log and Parquet are written."""
    with Catalog(root, CatalogConfig(segment_mib=8)).writer() as writer:

        def hand_in(number: int) -> None:
            at = number * PACED_BATCH
            check(writer.append(INSTRUMENT, "trade", trades[at : at + PACED_BATCH]), "an append was refused")

        from_due, from_sent = paced(PACED, RATE, hand_in)
        writer.flush(publish=True)
        check(writer.counts.published == PACED * PACED_BATCH, "not every tick was published")
    report.latency("append of 100 ticks at 200,000 ticks/s, from due", from_due)
    report.latency("append of 100 ticks at 200,000 ticks/s, from sent", from_sent)
