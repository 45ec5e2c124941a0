"""The catalog: what is appended is read again, in order, once, exactly."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("duckdb", reason="the extra `data` is not installed")

from nautilus.core.types import QUOTE, TRADE
from nautilus.model.records import Records
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_errors import CatalogBusyError, CatalogError, QueryError

MIDNIGHT = 1_667_260_800_000_000_000  # 2022-11-01
BTC = SimpleNamespace(symbol="BTC/USDT", venue="X", price_increment="0.01", lot_size="0.001")
ETH = SimpleNamespace(symbol="ETHUSDT", venue="X", price_increment="0.1", lot_size="0.01")


def trades(count: int, start_ns: int = MIDNIGHT, step_ns: int = 1, first: int = 1) -> Records:
    """Trades with rising ids, `step_ns` apart."""
    made = np.zeros(count, TRADE)
    made["now_ns"] = start_ns + step_ns * np.arange(count)
    made["trade_id"] = first + np.arange(count)
    made["price_ticks"] = 1000 + np.arange(count) % 7
    made["quantity"] = 1 + np.arange(count) % 3
    return made


def all_of(catalog: Catalog, kind: str = "trade", *args: object, **more: object) -> Records:
    return np.concatenate(list(catalog.read(kind, *args, **more)))  # type: ignore[arg-type]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog", create=True)


def test_what_is_appended_is_read_over_midnight(catalog: Catalog) -> None:
    given = trades(1000, MIDNIGHT - 500)
    with catalog.writer() as writer:
        assert writer.append(BTC, "trade", given)
    back = all_of(catalog)
    given["instrument_id"] = back["instrument_id"]
    assert (back == given).all()
    (found,) = catalog.ranges()
    assert found[:3] == ("trade", "BTC/USDT@X", 1000)
    assert (found.first_day, found.last_day) == ("2022-10-31", "2022-11-01")
    assert len(all_of(catalog, "trade", None, MIDNIGHT - 10, MIDNIGHT + 5)) == 15


def test_several_instruments_are_merged_by_time_and_order_of_appending(catalog: Catalog) -> None:
    with catalog.writer() as writer:
        writer.append(ETH, "trade", trades(50, step_ns=10, first=1))
        writer.append(BTC, "trade", trades(50, step_ns=10, first=101))
        writer.flush(publish=True)
        writer.append(ETH, "trade", trades(25, step_ns=20, first=201))
    ids = all_of(catalog)["trade_id"].tolist()
    expected = sorted(
        [(10 * n, 0, n + 1) for n in range(50)]
        + [(10 * n, 1, n + 101) for n in range(50)]
        + [(20 * n, 2, n + 201) for n in range(25)]
    )
    assert ids == [number for _, _, number in expected]
    assert all_of(catalog, batch=7)["trade_id"].tolist() == ids


def test_runs_of_several_kinds_keep_the_order(catalog: Catalog) -> None:
    quotes = np.zeros(3, QUOTE)
    quotes["now_ns"] = MIDNIGHT + np.array([0, 1, 1])
    with catalog.writer() as writer:
        writer.append(BTC, "quote", quotes)
        writer.append(BTC, "trade", trades(3))
    found = [(run.kind, now) for run in catalog.replay(("trade", "quote")) for now in run.records["now_ns"].tolist()]
    assert [(kind, now - MIDNIGHT) for kind, now in found] == [
        ("quote", 0),
        ("trade", 0),
        ("quote", 1),
        ("quote", 1),
        ("trade", 1),
        ("trade", 2),
    ]


def test_a_source_that_is_read_again_is_not_stored_twice(catalog: Catalog) -> None:
    with catalog.writer() as writer:
        for position in (1, 2, 1, 2):
            writer.append(BTC, "trade", trades(10), origin="sha256:a", position=position)
        assert writer.counts.repeated == 20
        assert writer.position("sha256:a") == 2
    with catalog.writer() as writer:
        writer.append(BTC, "trade", trades(10), origin="sha256:a", position=2)
        writer.append(BTC, "trade", trades(10), origin="sha256:a", position=3)
        writer.mark("sha256:a", 7)
    assert catalog.position("sha256:a") == 7
    assert catalog.position("sha256:b") == 0
    assert len(all_of(catalog)) == 30


def test_a_second_writer_is_refused_with_the_pid_of_the_first(catalog: Catalog) -> None:
    import os

    with catalog.writer(), pytest.raises(CatalogBusyError, match=str(os.getpid())):
        catalog.writer()
    catalog.writer().close()


def test_prices_come_back_as_decimals(catalog: Catalog) -> None:
    with catalog.writer() as writer:
        writer.append(BTC, "trade", trades(1))
        writer.append(ETH, "trade", trades(1))
    rows = catalog.sql("SELECT instrument, price, quantity, price_ticks FROM trade ORDER BY 1").to_pylist()
    assert [f"{row['price']} {row['quantity']}" for row in rows] == ["10.00 0.001", "100.00 0.010"]
    table = catalog.query("trade", "ETHUSDT", columns=["price"], limit=1)
    assert str(table.column("price")[0]) == "100.0"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1; SELECT 2",
        "COPY trade TO 'x.csv'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_text('{root}/trade/../catalog.sqlite')",
        "SELECT * FROM glob('{root}/trade/../../*')",
        "SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')",
        "SELECT * FROM query('DROP VIEW trade')",
        "EXPLAIN SELECT 1",
        "SELECT * FROM catalog",
        "INSTALL httpfs",
        "ATTACH 'x.db'",
        "SET threads = 1",
        "PRAGMA version",
        "CREATE TABLE x (y INTEGER)",
        "SELECT nothing FROM trade",
        "",
    ],
)
def test_only_a_select_of_the_views_is_answered(catalog: Catalog, text: str) -> None:
    with pytest.raises(QueryError):
        catalog.sql(text.replace("{root}", str(catalog.root)))


def test_a_missing_catalog_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no catalog"):
        Catalog(tmp_path).ranges()


def test_a_table_is_asked_for_a_range_of_its_own_time(catalog: Catalog) -> None:
    import pyarrow as pa

    with catalog.writer() as writer:
        writer.append_table("notes", pa.table({"At": [5, 1, 9, 3]}), time="At")
        writer.append_table("plain", pa.table({"x": [1, 2]}))
    assert catalog.query("table", "notes", 3, 9).column("At").to_pylist() == [3, 5]
    assert catalog.query("table", "notes").num_rows == 4
    assert catalog.query("table", "plain").num_rows == 2
    for name in ("plain", None):
        with pytest.raises(QueryError, match="a range of tables"):
            catalog.query("table", name, 1)
