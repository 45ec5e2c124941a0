"""The catalog in hypertables: what a server with TimescaleDB has beyond what all servers are tested for.

`test_catalog_postgres.py` asks both kinds of servers the same. Skipped where there is no TimescaleDB: it needs a
PostgreSQL on PATH that has the extension, or one that NAUTILUS_TEST_TIMESCALE_URL names.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("asyncpg", reason="the extra `data` is not installed")

from nautilus.core.types import QUOTE
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_errors import QueryError
from nautilus.store.catalog_open import AnyCatalog, open_catalog
from tests.integration.test_catalog_postgres import BTC, COARSE, FINE, MIDNIGHT, all_of, fill, reading_role, trades
from tests.kit.postgres_server import Server, postgres_server

DAY_NS = 86_400 * 10**9
COMPRESSED = (
    "ALTER TABLE market_data.trade_rows SET (timescaledb.compress, timescaledb.compress_segmentby = 'instrument_id',"
    " timescaledb.compress_orderby = 'now_ns, sequence')",
    "SELECT compress_chunk(chunk) FROM show_chunks('market_data.trade_rows') AS chunk",
)
HYPERTABLES = "SELECT hypertable_name FROM timescaledb_information.hypertables WHERE hypertable_schema = 'market_data'"


@pytest.fixture
def server() -> Server:
    return postgres_server(timescale=True)


@pytest.fixture
def url(server: Server) -> str:
    return server.database()


def hypertables(server: Server, url: str) -> set[object]:
    return {name for (name,) in server.execute(HYPERTABLES, url=url)}


def test_every_kind_is_a_hypertable_with_chunks_of_days_or_of_about_a_month(server: Server, url: str) -> None:
    with open_catalog(url, create=True) as catalog:
        fill(catalog)
        with catalog.writer() as writer:
            writer.append(BTC, "trade", trades(10, MIDNIGHT + DAY_NS, first=5_000))
    expected = {f"{kind}_rows" for kind in ("trade", "quote", "book", "bar_fact", "listing", "event")}
    assert hypertables(server, url) == expected
    lengths = server.execute(
        "SELECT hypertable_name, count(*), min(range_end_integer - range_start_integer), bool_and(range_start_integer"
        f" % {DAY_NS} = 0) FROM timescaledb_information.chunks WHERE hypertable_schema = 'market_data' GROUP BY 1",
        url=url,
    )
    assert {name: of for name, *of in lengths} == {
        "trade_rows": [3, DAY_NS, True],  # the days on both sides of midnight, and the next one
        "quote_rows": [2, DAY_NS, True],
        "book_rows": [1, DAY_NS, True],
        **{f"{kind}_rows": [1, 30 * DAY_NS, True] for kind in ("bar_fact", "listing", "event")},
    }
    (indexes,) = server.execute("SELECT array_agg(indexname) FROM pg_indexes WHERE tablename = 'trade_rows'", url=url)
    assert indexes == (["trade_when"],)


def test_compressed_chunks_answer_the_same_and_take_more(server: Server, url: str, tmp_path) -> None:
    files = Catalog(tmp_path / "catalog", create=True)
    fill(files)
    with open_catalog(url, create=True) as catalog:
        fill(catalog)
        ids = {each.key: each.instrument_id for each in files.instruments()}
        reader_url, _ = reading_role(catalog, server)
        server.execute(*COMPRESSED, url=url)
        for _ in range(2):
            assert all_of(catalog, "trade", "quote", ids=ids) == all_of(files, "trade", "quote")
            some = {"instruments": "ETHUSDT", "begin_ns": MIDNIGHT + 3, "end_ns": MIDNIGHT + 77, "batch": 7}
            assert all_of(catalog, "trade", ids=ids, **some) == all_of(files, "trade", **some)
            words = "SELECT instrument, count(*)::int8 AS n, max(price) AS most FROM trade GROUP BY 1 ORDER BY 1"
            with open_catalog(reader_url) as reader:
                assert [str(row) for row in rows(reader, words)] == [str(row) for row in rows(files, words)]
            assert catalog.verify() == []
            for each in (files, catalog):  # into days that are compressed
                with each.writer() as writer:
                    writer.append(BTC, "trade", trades(50, MIDNIGHT + 9, first=7_000), origin="a", position=20)


def rows(catalog: AnyCatalog, words: str) -> list[tuple[object, ...]]:
    return [(row["instrument"], row["n"], row["most"].normalize()) for row in catalog.sql(words).to_pylist()]


def test_finer_steps_rewrite_more_rows_of_compressed_chunks_than_timescaledb_does_unasked(server, url: str) -> None:
    count = 120_000
    with open_catalog(url, create=True) as catalog, catalog.writer() as writer:
        writer.append(COARSE, "trade", trades(count))
        writer.flush()
        server.execute(*COMPRESSED, url=url)
        writer.append(FINE, "trade", trades(1, MIDNIGHT + DAY_NS, first=900_000))
        writer.flush()
        total = sum(int(records["price_ticks"].sum()) for records in catalog.read("trade"))
        assert total == 5 * int(trades(count)["price_ticks"].sum()) + 2 * 1000


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM others.secrets",
        "SELECT * FROM others.packed",
        "SELECT (SELECT max(text) FROM others.packed) FROM trade",
        "SELECT * FROM trade WHERE now_ns > (SELECT max(now_ns) FROM others.secrets)",
        "SELECT * FROM window_of_secrets",
        "SELECT * FROM window_of_packed",
        "SELECT * FROM _timescaledb_internal._hyper_1_1_chunk",
        'SELECT * FROM "_timescaledb_catalog".hypertable',
        "SELECT * FROM timescaledb_information.hypertables",
        "SELECT * FROM timescaledb_information.jobs",
        "SELECT _timescaledb_functions.to_timestamp(1)",
        "SELECT public.show_chunks('others.secrets')",
        "SELECT * FROM public.show_chunks('others.secrets')",
        "SELECT public.drop_chunks('market_data.trade_rows', older_than => 1)",
    ],
)
def test_sql_reads_no_hypertable_of_others_and_nothing_of_the_extension(guarded: AnyCatalog, text: str) -> None:
    with pytest.raises(QueryError) as raised:
        guarded.sql(text)
    assert "'secret'" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT max(trade_id)::text FROM trade WHERE now_ns = (SELECT max(now_ns) FROM trade WHERE side = 1)",
        "SELECT 'x' FROM trade WHERE to_timestamp(now_ns / 1e9) > to_date('2022-10-31', 'YYYY-MM-DD') LIMIT 1",
        "SELECT max(price_ticks)::text FROM (SELECT * FROM trade_rows ORDER BY now_ns LIMIT 5) AS t",
    ],
)
def test_sql_reads_chunks_of_the_catalog(guarded: AnyCatalog, text: str) -> None:
    assert guarded.sql(text).num_rows == 1


@pytest.fixture
def guarded(server: Server, url: str) -> AnyCatalog:
    """A catalog, one day of it compressed, as a user sees it who may read others' hypertables too."""
    with open_catalog(url, create=True) as catalog:
        fill(catalog)
        reader_url, role = reading_role(catalog, server)
    server.execute(
        COMPRESSED[0],
        "SELECT compress_chunk(chunk) FROM show_chunks('market_data.trade_rows') AS chunk LIMIT 1",
        "CREATE SCHEMA others",
        *(
            statement
            for name in ("secrets", "packed")
            for statement in (
                f"CREATE TABLE others.{name} (now_ns int8 NOT NULL, text text)",
                f"SELECT create_hypertable('others.{name}', 'now_ns', chunk_time_interval => 10)",
                f"INSERT INTO others.{name} SELECT n, 'secret' FROM generate_series(1, 30) AS n",
                f"CREATE VIEW market_data.window_of_{name} AS SELECT * FROM others.{name}",
            )
        ),
        "ALTER TABLE others.packed SET (timescaledb.compress)",
        "SELECT compress_chunk(chunk) FROM show_chunks('others.packed') AS chunk",
        f"GRANT ALL ON SCHEMA others, _timescaledb_internal TO {role}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA others, market_data, _timescaledb_internal TO {role}",
        url=url,
    )
    with open_catalog(reader_url) as reader:
        yield reader


def test_a_catalog_with_partitions_keeps_them_where_the_extension_comes_later(server: Server, url: str) -> None:
    name = url.rpartition("/")[2].partition("?")[0]
    server.execute(f"ALTER DATABASE {name} SET timescaledb.disable_load = on")
    with open_catalog(url, create=True) as catalog, catalog.writer() as writer:
        writer.append(BTC, "trade", trades(10))
    server.execute(f"ALTER DATABASE {name} RESET timescaledb.disable_load")
    quotes = np.zeros(3, QUOTE)
    quotes["now_ns"] = MIDNIGHT
    with open_catalog(url) as catalog:
        with catalog.writer() as writer:
            writer.append(BTC, "trade", trades(10, MIDNIGHT + 2 * DAY_NS))
            writer.append(BTC, "quote", quotes)
        assert len(all_of(catalog, "trade", "quote")) == 23
        assert catalog.verify() == []
    assert hypertables(server, url) == {"quote_rows"}


def test_the_extension_may_be_in_a_schema_of_its_own(server: Server, url: str) -> None:
    server.execute('CREATE SCHEMA "Time"', 'CREATE EXTENSION timescaledb SCHEMA "Time"', url=url)
    with open_catalog(url, create=True) as catalog:
        with catalog.writer() as writer:
            writer.append(BTC, "trade", trades(10))
        assert len(all_of(catalog, "trade")) == 10
    assert hypertables(server, url) == {"trade_rows"}
