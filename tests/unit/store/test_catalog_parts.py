"""Parts of the catalog: names, steps, columns, facts, tables, queue, settings."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("duckdb", reason="the extra `data` is not installed")

import pyarrow as pa
import pyarrow.parquet as pq

from nautilus.core.clock import now_ns
from nautilus.core.types import QUOTE, TRADE
from nautilus.model.datasets import (
    BarFact,
    EconomicFact,
    EventFact,
    FundamentalFact,
    ListingFact,
    Provenance,
    QuoteFact,
)
from nautilus.model.errors import ConfigError
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_columns import to_columns, to_records
from nautilus.store.catalog_encode import decode_arrow, encode_arrow
from nautilus.store.catalog_errors import CatalogError, QueryError
from nautilus.store.catalog_instruments import describe
from nautilus.store.catalog_kinds import RECORD_KINDS, record_kind
from nautilus.store.catalog_names import key_of_name, safe_name
from nautilus.store.catalog_settings import CatalogConfig, StoreConfig
from nautilus.store.catalog_steps import common_step, factor

MIDNIGHT = 1_667_260_800_000_000_000
WHERE = Provenance("fred", "https://example", MIDNIGHT + 5)
FACTS = [
    QuoteFact("SPY", MIDNIGHT, 1.5, None, 2.0, None, 3.0, None, "USD", "", WHERE),
    BarFact("SPY", "1d", MIDNIGHT, MIDNIGHT + 1, 1.0, 2.0, 0.5, 1.5, 10.0, None, "USD", WHERE),
    FundamentalFact("AAPL", "Assets", 1e12, "USD", 1, 2, 3, "10-K", WHERE),
    EconomicFact("GDP", 1, 2, None, "USD", "Q", 3, WHERE),
    ListingFact("GDP", "Gross", "series", "d", "", "USD", "Q", 1, 2, 3, ("https://a", "https://b"), WHERE),
    EventFact("x", 7, "filing", "US", "10-K", "", "", "", "https://event", WHERE),
]


@given(st.text(alphabet="aZ0._-/%: \\é中\ud800", min_size=1, max_size=20))
def test_any_symbol_is_a_safe_name_and_comes_back(symbol: str) -> None:
    try:
        name = safe_name(symbol)
    except CatalogError:
        assert len(symbol.encode("utf-8", "surrogatepass")) * 3 > 200
        return
    except UnicodeEncodeError:
        pytest.fail("a symbol that cannot be encoded")
    assert "/" not in name
    assert not name.startswith(".")
    assert name.isascii()
    assert len(name) <= 200
    if not any(0xD800 <= ord(letter) < 0xE000 for letter in symbol):
        assert key_of_name(name) == symbol


steps = st.builds(lambda digits, places: f"{Decimal(digits).scaleb(-places):f}", st.integers(1, 500), st.integers(0, 8))


@given(steps, steps)
def test_a_common_step_divides_both_and_no_larger_one_does(first: str, second: str) -> None:
    common = Decimal(common_step((first, second)))
    times = Decimal(first) / common, Decimal(second) / common
    assert all(each == each.to_integral_value() for each in times)
    assert np.gcd(int(times[0]), int(times[1])) == 1
    assert factor(first, f"{common:f}") == times[0]


@pytest.mark.parametrize("step", ["0", "-1", "nan", "x", "1e-19", "Infinity"])
def test_a_step_that_is_none_is_refused(step: str) -> None:
    with pytest.raises(CatalogError, match="step"):
        describe(SimpleNamespace(symbol="A", venue="X", price_increment=step, lot_size="1"))


def test_products_of_one_symbol_have_keys_of_their_own() -> None:
    keys = [
        describe(SimpleNamespace(symbol="A", venue="X", price_increment="1", lot_size="1", product=product)).key
        for product in ("spot", "equity", "perpetual")
    ]
    assert keys == ["A@X", "A@X", "A.perpetual@X"]


@pytest.mark.parametrize("name", RECORD_KINDS)
def test_records_of_every_kind_come_back_from_their_columns(name: str) -> None:
    kind = record_kind(name)
    chance = np.random.default_rng(1)
    records = chance.integers(0, 256, 9000 * kind.dtype.itemsize, np.uint8).view(kind.dtype)
    back = to_records(kind, to_columns(kind, records), len(records), 7)
    for field in kind.dtype.names or ():
        if field == "instrument_id":
            assert (back[field] == 7).all()
        elif field.startswith(("reserved", "padding")):
            assert not back[field].any()
        else:
            assert back[field].tobytes() == records[field].tobytes(), field


@pytest.mark.parametrize("name", RECORD_KINDS)
def test_every_kind_is_stored_read_and_queried(name: str, tmp_path: Path) -> None:
    kind = record_kind(name)
    records = np.zeros(50, kind.dtype)
    records[kind.time] = MIDNIGHT + np.arange(50)
    owner = SimpleNamespace(symbol="A", venue="X", price_increment="0.5", lot_size="1")
    catalog = Catalog(tmp_path / "catalog", create=True)
    assert catalog.query(name).num_rows == 0
    with catalog.writer() as writer:
        writer.append(owner, name, records)
    (back,) = catalog.read(name)
    records["instrument_id"] = 1
    assert (back == records).all()
    table = catalog.query(name, "A", MIDNIGHT + 10, MIDNIGHT + 20)
    assert table.num_rows == 10
    assert catalog.sql(f"SELECT count(*) AS n FROM {name}").to_pylist() == [{"n": 50}]
    (place,) = catalog.root.rglob("*.parquet")
    group = pq.ParquetFile(place).metadata.row_group(0).column(0)
    assert (group.path_in_schema, group.statistics.min, group.statistics.max) == (kind.time, MIDNIGHT, MIDNIGHT + 49)
    assert group.compression == "ZSTD"


def test_finer_steps_refine_the_instrument_and_older_files_are_scaled(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog")
    trades = np.zeros(2, TRADE)
    trades["now_ns"] = MIDNIGHT + np.arange(2)
    trades["price_ticks"], trades["quantity"] = 10, 3
    with catalog.writer() as writer:
        for price, lot in (("0.5", "0.1"), ("0.2", "0.01"), ("1", "1")):
            owner = SimpleNamespace(symbol="A", venue="X", price_increment=price, lot_size=lot)
            writer.append(owner, "trade", trades)
            writer.flush(publish=True)
    (known,) = catalog.instruments()
    assert (known.price_increment, known.lot_size) == ("0.1", "0.01")
    for _ in range(2):
        back = np.concatenate(list(catalog.read("trade")))
        assert sorted(zip(back["price_ticks"].tolist(), back["quantity"].tolist(), strict=True)) == [
            (20, 3),
            (20, 3),
            (50, 30),
            (50, 30),
            (100, 300),
            (100, 300),
        ]
        rows = catalog.sql(
            "SELECT DISTINCT price, quantity, price_ticks, quantity_lots FROM trade ORDER BY 1"
        ).to_pylist()
        assert [(str(row["price"]), str(row["quantity"]), row["price_ticks"]) for row in rows] == [
            ("2.0", "0.03", 20),
            ("5.0", "0.30", 50),
            ("10.0", "3.00", 100),
        ]
        catalog.compact()


def test_facts_come_back_as_they_were_with_where_they_are_from(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog")
    with catalog.writer() as writer:
        writer.append_facts(FACTS, origin="o", position=1)
        writer.append_facts(FACTS, origin="o", position=1)
    kinds = ("quote_fact", "bar_fact", "fundamental", "economic", "listing", "event")
    assert [catalog.facts(kind) for kind in kinds] == [[fact] for fact in FACTS]
    assert catalog.facts("economic", "GDP@fred", 1, 2) == [FACTS[3]]
    assert catalog.facts("economic", "GDP@fred", 2) == []
    (row,) = catalog.sql("SELECT source, source_url, fetched_ns, synthetic FROM event").to_pylist()
    assert tuple(row.values()) == ("fred", "https://example", MIDNIGHT + 5, False)
    assert catalog.verify() == []
    with pytest.raises(QueryError, match="fact"), catalog.writer() as writer:
        writer.append_facts(["no fact"])  # type: ignore[list-item]


def test_tables_of_the_user_may_grow_columns_and_are_compacted(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog")
    with catalog.writer() as writer:
        writer.append_table("notes", pa.table({"t": [2], "text": ["b"]}), time="t")
        writer.flush(publish=True)
        writer.append_table("notes", pa.table({"t": [1], "score": [0.5]}), time="t")
        with pytest.raises(CatalogError, match="int64"):
            writer.append_table("notes", pa.table({"t": ["x"]}), time="t")
    for _ in range(2):
        rows = catalog.sql("SELECT t, text, score FROM notes ORDER BY t").to_pylist()
        assert rows == [{"t": 1, "text": None, "score": 0.5}, {"t": 2, "text": "b", "score": None}]
        catalog.compact()
    assert catalog.tables() == ["notes"]


def test_tables_whose_forms_do_not_go_together_are_kept_apart(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog")
    with catalog.writer() as writer:
        writer.append_table("notes", pa.table({"day": [1], "instrument": ["a"]}))
        writer.append_table("notes", pa.table({"day": ["x"], "instrument": ["b"]}))
        with pytest.raises(CatalogError, match="two columns"):
            writer.append_table("notes", pa.table([[1], [2]], names=["a", "a"]))
        with pytest.raises(CatalogError, match="nulls"):
            writer.append_table("notes", pa.table({"t": pa.array([None], pa.int64())}), time="t")
    assert catalog.sql("SELECT instrument FROM notes ORDER BY 1").column(0).to_pylist() == ["a", "b"]
    assert catalog.compact() == 0


def test_an_idle_writer_compacts_days_that_are_over(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog", CatalogConfig(compact_seconds=0.05))
    owner = SimpleNamespace(symbol="A", venue="X", price_increment="1", lot_size="1")
    trades = np.zeros(10, TRADE)
    trades["now_ns"] = MIDNIGHT
    with catalog.writer() as writer:
        for _ in range(3):
            writer.append(owner, "trade", trades)
            writer.flush(publish=True)
        end_ns = now_ns() + 60_000_000_000
        while catalog.ranges()[0].parts > 1:
            assert now_ns() < end_ns, "nothing is compacted"
    assert sum(len(some) for some in catalog.read("trade")) == 30


def test_a_full_queue_refuses_and_counts_and_goes_on(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog", CatalogConfig(queue_mib=1))
    owner = SimpleNamespace(symbol="A", venue="X", price_increment="1", lot_size="1")
    trades = np.zeros(20_000, TRADE)
    trades["now_ns"] = MIDNIGHT
    with catalog.writer() as writer:
        accepted = sum(writer.append(owner, "trade", trades) for _ in range(100))
        counts = writer.counts
        assert counts.appended == 20_000 * accepted
        assert counts.refused == 20_000 * (100 - accepted)
        writer.append(owner, "trade", trades, wait=True)
    assert sum(len(some) for some in catalog.read("trade")) == 20_000 * (accepted + 1)


def test_records_of_another_kind_and_a_closed_writer_are_refused(tmp_path: Path) -> None:
    owner = SimpleNamespace(symbol="A", venue="X", price_increment="1", lot_size="1")
    writer = Catalog(tmp_path / "catalog").writer()
    with pytest.raises(QueryError, match="trade"):
        writer.append(owner, "trade", np.zeros(1, QUOTE))
    with pytest.raises(QueryError, match="kind"):
        writer.append(owner, "candle", np.zeros(1, QUOTE))
    with pytest.raises(CatalogError, match="not known"):
        writer.append("A@X", "quote", np.zeros(1, QUOTE))
    writer.append(owner, "quote", np.zeros(1, QUOTE))
    writer.close()
    writer.close()
    with pytest.raises(CatalogError, match="closed"):
        writer.append(owner, "quote", np.zeros(1, QUOTE))
    with Catalog(tmp_path / "catalog").writer() as again:
        assert again.append("A@X", "quote", np.zeros(1, QUOTE))


def test_an_arrow_stream_is_given_piece_by_piece_and_read_back() -> None:
    table = pa.table({"a": list(range(100))})
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=10))
    pieces = list(encode_arrow(reader))
    assert len(pieces) == 11
    assert decode_arrow(b"".join(pieces)).equals(table)
    assert decode_arrow(b"".join(encode_arrow(table))).equals(table)


@pytest.mark.parametrize(
    "given", [{"level": 0}, {"queue_mib": 0}, {"segment_seconds": 0.0}, {"query_seconds": 0.0}, {"query_threads": -1}]
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        CatalogConfig(**given)  # type: ignore[arg-type]


def test_a_store_of_another_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match="postgresql"):
        StoreConfig(url="mysql://x")
