"""The catalog on a real PostgreSQL server: the same answers as of files, through lost connections too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("asyncpg", reason="the extra `data` is not installed")

import pyarrow as pa

from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.model.datasets import BarFact, EventFact, ListingFact, Provenance
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_errors import CatalogBusyError, CatalogError, QueryError
from nautilus.store.catalog_open import AnyCatalog, open_catalog
from nautilus.store.postgres_lines import UnreachableError
from tests.kit.postgres_server import PostgresServer, postgres_server

END_OF_CONNECTIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'nautilus catalog %'
"""
MIDNIGHT = 1_667_260_800_000_000_000
BTC = SimpleNamespace(symbol="BTCUSDT", venue="X", price_increment="0.01", lot_size="0.001")
COARSE = SimpleNamespace(symbol="ETHUSDT", venue="X", price_increment="0.5", lot_size="0.1")
FINE = SimpleNamespace(symbol="ETHUSDT", venue="X", price_increment="0.2", lot_size="0.01")


@pytest.fixture
def server() -> PostgresServer:
    return postgres_server()


@pytest.fixture
def catalog(server: PostgresServer) -> Iterator[AnyCatalog]:
    with open_catalog(server.database(), create=True) as catalog:
        yield catalog


def trades(count: int, start_ns: int = MIDNIGHT, step_ns: int = 1, first: int = 1) -> np.ndarray:
    made = np.zeros(count, TRADE)
    made["now_ns"] = start_ns + step_ns * np.arange(count)
    made["trade_id"] = first + np.arange(count)
    made["price_ticks"] = 1000 + np.arange(count) % 7
    made["quantity"] = 1 + np.arange(count) % 3
    made["side"] = 1 + np.arange(count) % 2
    return made


def fill(catalog: AnyCatalog) -> None:
    """Some of everything, over midnight, in several steps, and partly twice."""
    quotes, deltas = np.zeros(20, QUOTE), np.zeros(20, BOOK_DELTA)
    quotes["now_ns"] = MIDNIGHT - 5 + np.arange(20)
    quotes["update_id"] = (1 << 64) - 1
    deltas["now_ns"] = MIDNIGHT + np.arange(20) // 3
    where = Provenance("fred", "https://x", MIDNIGHT)
    with catalog.writer() as writer:
        writer.append(BTC, "trade", trades(1000, MIDNIGHT - 500), origin="a", position=1)
        writer.append(BTC, "trade", trades(1000, MIDNIGHT - 500), origin="a", position=1)
        writer.append(COARSE, "trade", trades(40, MIDNIGHT, 10), origin="b", position=4)
        writer.append(BTC, "quote", quotes)
        writer.flush()
        writer.append(FINE, "trade", trades(20, MIDNIGHT + 5, 10, 100))
        writer.append(BTC, "book", deltas)
        writer.mark("a", 9)
        writer.append_facts(
            [
                BarFact("SPY", "1d", MIDNIGHT, MIDNIGHT + 1, 1.5, 2.0, 1.0, 1.75, None, 1.7, "USD", where),
                ListingFact("GDP", "a", "b", "c", "", "", "", 1, 2, 3, ("https://a", "https://b"), where),
                EventFact("x", 5, "filing", "US", "10-K", "", "", "", "https://x", where),
            ]
        )


def all_of(catalog: AnyCatalog, *kinds: str, **more: object) -> list[tuple[str, tuple[object, ...]]]:
    runs = catalog.replay(kinds, **more)  # type: ignore[arg-type]
    return [(run.kind, record) for run in runs for record in run.records.tolist()]


def test_both_catalogs_give_the_same(catalog: AnyCatalog, tmp_path: Path) -> None:
    files = Catalog(tmp_path / "catalog", create=True)
    for each in (files, catalog):
        fill(each)
    assert [(i.key, i.price_increment, i.lot_size) for i in files.instruments()] == [
        (i.key, i.price_increment, i.lot_size) for i in catalog.instruments()
    ]
    ids = {each.key: each.instrument_id for each in files.instruments()}
    everything = all_of(files, "trade", "quote", "book")
    assert len(everything) == 1000 + 40 + 20 + 20 + 20
    assert all_of(catalog, "trade", "quote", "book", ids=ids) == everything
    some = {"instruments": "ETHUSDT", "begin_ns": MIDNIGHT + 3, "end_ns": MIDNIGHT + 77, "batch": 7}
    assert all_of(catalog, "trade", ids=ids, **some) == all_of(files, "trade", **some)
    for left, right in zip(files.ranges(), catalog.ranges(), strict=True):
        assert left._replace(bytes=0, parts=0) == right
    for kind in ("bar_fact", "listing", "event"):
        assert catalog.facts(kind) == files.facts(kind) != []
    assert [each.position("a") for each in (files, catalog)] == [9, 9]
    assert [each.position("b") for each in (files, catalog)] == [4, 4]
    assert catalog.verify() == files.verify() == []
    columns = ["instrument", "price", "quantity", "price_ticks", "quantity_lots", "trade_id", "side"]
    answers = [each.query("trade", columns=columns, order="-time", limit=30).to_pylist() for each in (files, catalog)]
    assert answers[0] == answers[1]
    words = "SELECT instrument, count(*) AS n, sum(quantity_lots)::bigint AS lots FROM trade GROUP BY 1 ORDER BY 1"
    assert (
        files.sql(words).to_pylist()
        == catalog.query("trade")
        .group_by("instrument")
        .aggregate([("trade_id", "count"), ("quantity_lots", "sum")])
        .rename_columns(["instrument", "n", "lots"])
        .sort_by("instrument")
        .to_pylist()
    )


def test_sql_is_for_users_who_may_only_read(catalog: AnyCatalog, server: PostgresServer) -> None:
    fill(catalog)
    with pytest.raises(QueryError, match="superuser"):
        catalog.sql("SELECT 1")
    url = catalog._url  # type: ignore[union-attr]
    role = f"reader_{url.rpartition('/')[2]}"
    server.execute(
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA market_data TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA market_data TO {role}",
        url=url,
    )
    with open_catalog(url.replace("tests@", f"{role}@")) as reader:
        assert reader.sql("SELECT count(*) AS n FROM trade").to_pylist() == [{"n": 1060}]
        (row,) = reader.sql(
            "SELECT max(price) AS p, sum(quantity) AS q FROM trade WHERE instrument = 'BTCUSDT@X'"
        ).to_pylist()
        assert (str(row["p"]), str(row["q"])) == ("10.06", "1.999")
        for text in (
            "SELECT 1; SELECT 2",
            "DELETE FROM trade_rows",
            "WITH gone AS (DELETE FROM trade_rows RETURNING 1) SELECT * FROM gone",
            "CREATE TABLE x (y int)",
            "COPY trade TO PROGRAM 'cat'",
            "SELECT pg_read_file('/etc/hostname')",
            "SELECT nothing FROM trade",
            "SELECT * FROM nowhere",
        ):
            with pytest.raises((QueryError, CatalogError)):
                reader.sql(text)
        assert reader.sql("SELECT count(*) AS n FROM trade").to_pylist() == [{"n": 1060}]


def test_tables_of_the_user_grow_columns(catalog: AnyCatalog) -> None:
    with catalog.writer() as writer:
        writer.append_table("notes", pa.table({"t": [1, 2], "text": ["a", None]}), time="t")
        writer.append_table("notes", pa.table({"t": [3], "score": [0.5]}), time="t")
        with pytest.raises(QueryError, match="no kind's name"):
            writer.append_table("trade", pa.table({"t": [1]}))
    assert catalog.tables() == ["notes"]


def test_a_second_writer_is_refused(catalog: AnyCatalog) -> None:
    with catalog.writer(), pytest.raises(CatalogBusyError, match="nautilus catalog"):
        catalog.writer()
    catalog.writer().close()


def test_a_lost_connection_and_a_killed_server_lose_and_double_nothing(server: PostgresServer) -> None:
    url = server.database()
    errors: list[Exception] = []
    with open_catalog(url, create=True) as catalog:
        writer = catalog.writer(errors.append)
        number = 0

        def some(count: int) -> None:
            nonlocal number
            for _ in range(count):
                number += 1
                assert writer.append(BTC, "trade", trades(50, MIDNIGHT + number), origin="o", position=number)

        some(5)
        writer.flush()
        for _ in range(3):
            some(20)
            server.execute(END_OF_CONNECTIONS)
            some(20)
            _flushed(writer)
        some(5)
        server.kill()
        some(5)
        with pytest.raises(UnreachableError, match="does not answer"):
            writer.flush()
        server.start()
        _flushed(writer)
        writer.close()
        assert writer.counts.durable == 50 * number
        rows = catalog.query("trade", columns=["trade_id", "sequence"])
        assert sorted(rows.column("sequence").to_pylist()) == list(range(1, 50 * number + 1))
        assert catalog.position("o") == number
    assert {type(error) for error in errors} == {UnreachableError}


def _flushed(writer: object) -> None:
    """Flush until the server is back."""
    for _ in range(200):
        try:
            writer.flush()  # type: ignore[attr-defined]
        except UnreachableError:
            continue
        return
    pytest.fail("the writer does not find back")


def test_a_wrong_address_is_one_clear_error() -> None:
    with pytest.raises(UnreachableError, match="does not answer") as raised:
        open_catalog("postgresql://user:secret@127.0.0.1:1/x", create=True)
    assert "secret" not in str(raised.value)
