"""The catalog on a real PostgreSQL server: the same answers as of files, through lost connections too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("asyncpg", reason="the extra `data` is not installed")

import pyarrow as pa

from nautilus.core.ticks import BAR
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.model.datasets import BarFact, EventFact, ListingFact, Provenance
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_errors import CatalogBusyError, CatalogError, QueryError
from nautilus.store.catalog_open import AnyCatalog, AnyWriter, open_catalog
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.postgres_lines import UnreachableError
from tests.kit.postgres_server import Server, postgres_server

END_OF_CONNECTIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
AND application_name LIKE 'nautilus catalog %'
"""
MIDNIGHT = 1_667_260_800_000_000_000
BTC = SimpleNamespace(symbol="BTCUSDT", venue="X", price_increment="0.01", lot_size="0.001")
COARSE = SimpleNamespace(symbol="ETHUSDT", venue="X", price_increment="0.5", lot_size="0.1")
FINE = SimpleNamespace(symbol="ETHUSDT", venue="X", price_increment="0.2", lot_size="0.01")


@pytest.fixture(params=["partitions", "hypertables"])
def made(request: pytest.FixtureRequest) -> str:
    """What rows are kept in."""
    return str(request.param)


@pytest.fixture
def server(made: str) -> Server:
    return postgres_server(timescale=made == "hypertables")


@pytest.fixture
def catalog(server: Server) -> Iterator[AnyCatalog]:
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


def reading_role(catalog: AnyCatalog, server: Server) -> tuple[str, str]:
    """URL and name of a user who may read a catalog and nothing else."""
    return server.role(
        catalog._url,  # type: ignore[union-attr]
        "GRANT USAGE ON SCHEMA market_data TO {}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA market_data TO {}",
    )


def test_sql_is_for_users_who_may_only_read(catalog: AnyCatalog, server: Server) -> None:
    fill(catalog)
    with pytest.raises(QueryError, match="superuser"):
        catalog.sql("SELECT 1")
    url, _ = reading_role(catalog, server)
    with open_catalog(url) as reader:
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


@pytest.fixture
def reader(catalog: AnyCatalog, server: Server) -> Iterator[AnyCatalog]:
    """A catalog with something of everything, as a user sees it who may read it, and a schema of others."""
    fill(catalog)
    url, role = reading_role(catalog, server)
    server.execute(
        "CREATE SCHEMA others",
        "CREATE TABLE others.secrets AS SELECT 'secret' AS text",
        "CREATE TABLE public.secrets AS SELECT 'secret' AS text",
        "CREATE VIEW market_data.window_of_others AS SELECT * FROM others.secrets",
        "CREATE FUNCTION market_data.told() RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'secret'$$",
        f"GRANT ALL ON SCHEMA others TO {role}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA others, public, market_data TO {role}",
        url=catalog._url,  # type: ignore[union-attr]
    )
    with open_catalog(url, CatalogConfig(query_seconds=2.0, query_mib=16)) as reader:
        yield reader


def test_sql_reads_the_views_as_one_likes(reader: AnyCatalog) -> None:
    for text, rows in (
        ("SELECT count(*) FROM trade", [1060]),
        ("select max(price)::text from market_data.trade where instrument = 'BTCUSDT@X';", ["10.06"]),
        ("WITH t AS (SELECT trade_id FROM trade) SELECT count(*) FROM t WHERE trade_id IN (1, 2)", [4]),
        ("SELECT sum(n) FROM generate_series(1, 4) AS g(n)", [10]),
        ("SELECT coalesce(left('abc', 2), 'pg_sleep(1)') -- pg_sleep(1)", ["ab"]),
        ("SELECT date_trunc('day', min(time))::date::text FROM trade", ["2022-10-31"]),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY price_ticks) FROM trade", [1003.0]),
        ("SELECT lag(n) OVER (ORDER BY n) FROM (VALUES (1), (2)) AS v(n)", [None, 1]),
        ("VALUES (1), (2)", [1, 2]),
        ("SELECT count(*) FROM bar_fact", [1]),
        ("SELECT count(*) FROM instruments", [5]),
        ("SELECT random() < 2", [True]),
    ):
        assert reader.sql(text).column(0).to_pylist() == rows, text


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE market_data.meta",
        "SET statement_timeout = 0",
        "SELECT set_config('statement_timeout', '0', false)",
        "SELECT current_setting('data_directory')",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
        "SELECT pg_cancel_backend(1)",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(1)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_ls_dir('/')",
        "SELECT pg_sleep(60)",
        'SELECT "pg_sleep"(60)',
        "SELECT pg_catalog.pg_sleep(60)",
        "SELECT pg_notify('a', 'b')",
        "SELECT * FROM pg_stat_activity",
        "SELECT * FROM pg_settings",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM others.secrets",
        "SELECT * FROM public.secrets",
        "SELECT (SELECT text FROM others.secrets)",
        "SELECT count(*) FROM trade WHERE EXISTS (SELECT 1 FROM others.secrets)",
        "WITH s AS (SELECT * FROM others.secrets) SELECT * FROM s",
        "SELECT * FROM window_of_others",
        "SELECT told()",
        "SELECT market_data.told()",
        "SELECT table_to_xml('others.secrets', true, true, '')",
        "SELECT query_to_xml('SELECT * FROM others.secrets', true, true, '')",
        "SELECT * FROM dblink('host=127.0.0.1', 'SELECT 1') AS t(n int)",
        "SELECT nextval('market_data.instruments_instrument_id_seq')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT * FROM trade_rows FOR UPDATE",
        "SELECT * INTO market_data.x FROM trade",
        "DELETE FROM trade_rows",
        "WITH gone AS (DELETE FROM trade_rows RETURNING 1) SELECT * FROM gone",
        "INSERT INTO origins VALUES ('a', 'b', 'c', 1)",
        "CREATE TABLE others.x (y int)",
        "CREATE TEMP TABLE x (y int)",
        "COPY trade TO STDOUT",
        "COPY trade TO PROGRAM 'cat'",
        "EXPLAIN ANALYZE SELECT 1",
        "LOCK TABLE trade_rows",
        "LISTEN a",
        "DO $$BEGIN PERFORM pg_sleep(60); END$$",
        "BEGIN",
        "COMMIT",
        "TABLE others.secrets",
        "SELECT nothing FROM trade",
        "SELECT * FROM nowhere",
        "SELEC 1",
        "",
    ],
)
def test_sql_that_does_more_than_read_the_views_is_refused(reader: AnyCatalog, text: str) -> None:
    with pytest.raises(QueryError) as raised:
        reader.sql(text)
    assert raised.value.code == "model.query"
    assert "'secret'" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*) FROM trade a, trade b, trade c WHERE a.price + b.price > c.price",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
        "SELECT a.price, b.price FROM trade a, trade b",
        "SELECT repeat('x', 1000000) FROM generate_series(1, 1000)",
        "SELECT CASE WHEN n > 500 THEN repeat('x', 20000) END FROM generate_series(1, 100000) AS g(n)",
        "SELECT array_fill('x'::text, ARRAY[100000]) FROM generate_series(1, 100)",
    ],
)
def test_what_takes_too_much_of_a_server_is_one_error(reader: AnyCatalog, text: str) -> None:
    with pytest.raises(QueryError) as raised:
        reader.sql(text)
    assert raised.value.code == "model.query_limit"
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


@pytest.mark.long
def test_a_lost_connection_and_a_killed_server_lose_and_double_nothing(server: Server) -> None:
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
            server.execute(END_OF_CONNECTIONS, url=url)
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


def test_a_writer_that_another_one_has_replaced_loses_and_doubles_nothing(server: Server) -> None:
    url = server.database()
    errors: list[Exception] = []
    with open_catalog(url, create=True) as catalog, catalog.writer(errors.append) as first:
        for number in range(1, 4):
            first.append(BTC, "trade", trades(10, MIDNIGHT, first=100 * number), origin="o", position=number)
        first.flush()
        server.execute(END_OF_CONNECTIONS, url=url)
        with catalog.writer() as second:
            for number in range(4, 9):  # it goes on with the same source
                second.append(BTC, "trade", trades(10, MIDNIGHT, first=100 * number), origin="o", position=number)
            second.append(BTC, "trade", trades(10, MIDNIGHT, first=5000), origin="p", position=1)
            second.flush()
            for number in range(4, 11):  # and so does the first one, which has heard of nothing
                first.append(BTC, "trade", trades(10, MIDNIGHT, first=100 * number), origin="o", position=number)
            first.append(COARSE, "trade", trades(10, MIDNIGHT, first=6000))
            first.mark("o", 10)
            assert any("writes it" in _told(first) for _ in range(20))
        _flushed(first)
        server.execute(END_OF_CONNECTIONS, url=url)
        first.append(BTC, "trade", trades(10, MIDNIGHT, first=1100), origin="o", position=11)
        _flushed(first)
        with pytest.raises(CatalogBusyError):
            catalog.writer()
    with open_catalog(url) as catalog:
        rows = catalog.query("trade", columns=["trade_id", "sequence"])
        expected = [start + at for start in (*range(100, 1200, 100), 5000, 6000) for at in range(10)]
        assert sorted(rows.column("trade_id").to_pylist()) == expected
        assert len(set(rows.column("sequence").to_pylist())) == len(expected)
        assert (catalog.position("o"), catalog.position("p")) == (10, 1)
        assert catalog.positions("o")["trade", "BTCUSDT@X"] == 11
        assert catalog.verify() == []
    assert {type(error) for error in errors} == {UnreachableError}


def test_a_commit_without_an_answer_counts_once_though_another_one_wrote_since(server: Server) -> None:
    url = server.database()
    with open_catalog(url, create=True) as catalog, catalog.writer() as first:
        first.append(BTC, "trade", trades(10, MIDNIGHT, first=1))
        first.flush()
        store = first._insert  # type: ignore[union-attr]

        async def lost(batches: object) -> None:
            """The server commits, and its answer does not arrive."""
            first._insert = store  # type: ignore[union-attr]
            await store(batches)
            lines = first._lines  # type: ignore[union-attr]
            await lines.execute("COMMIT")
            lines.terminate()
            raise ConnectionResetError("lost")

        first._insert = lost  # type: ignore[union-attr]
        first.append(BTC, "trade", trades(10, MIDNIGHT, first=101))
        with pytest.raises(UnreachableError):
            first.flush()
        with _writer_of(catalog) as second:
            second.append(BTC, "trade", trades(10, MIDNIGHT, first=201))
        first.append(BTC, "trade", trades(10, MIDNIGHT, first=301))
        _flushed(first)
    with open_catalog(url) as catalog:
        rows = catalog.query("trade", columns=["trade_id", "sequence"])
        assert sorted(rows.column("trade_id").to_pylist()) == [n + at for n in (1, 101, 201, 301) for at in range(10)]
        assert sorted(rows.column("sequence").to_pylist()) == list(range(1, 41))


def _writer_of(catalog: AnyCatalog) -> AnyWriter:
    """A writer, as soon as there may be one."""
    for _ in range(200):
        with suppress(CatalogBusyError):
            return catalog.writer()
    pytest.fail("the other one keeps it")


def test_bars_of_days_and_facts_have_partitions_of_months(server: Server, made: str) -> None:
    day = 86_400 * 10**9
    bars = np.zeros(400, BAR)
    bars["begin_ns"] = MIDNIGHT + day * np.arange(400)
    bars["now_ns"] = bars["end_ns"] = bars["begin_ns"] + day
    bars["kind"] = 1
    with open_catalog(server.database(), create=True) as catalog:
        with catalog.writer() as writer:
            writer.append(BTC, "bar", bars[:200])
            writer.flush()
            writer.append(BTC, "bar", bars[200:])
            fill_facts = [BarFact("SPY", "1d", 1, 2, 1.0, 2.0, 1.0, 1.5, 0.0, 1.7, "USD", Provenance("fred", "u", day))]
            writer.append_facts(fill_facts)
        parts = catalog._rows(  # type: ignore[union-attr]
            "SELECT c.relname::text, p.relname::text FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid"
            " JOIN pg_class p ON p.oid = inhparent WHERE c.relkind = 'r' ORDER BY 1"
        )
        assert Counter(whole for _, whole in parts) == {"bar_rows": 14, "bar_fact_rows": 1}
        if made == "partitions":
            assert [name for name, _ in parts][:3] == ["bar_fact_rows_197001", "bar_rows_202211", "bar_rows_202212"]
        assert np.concatenate(list(catalog.read("bar")))["begin_ns"].tolist() == bars["begin_ns"].tolist()
        begin, end = MIDNIGHT + 40 * day, MIDNIGHT + 50 * day
        assert len(np.concatenate(list(catalog.read("bar", None, begin, end)))) == 10


def test_days_are_dropped_and_the_others_stay(server: Server, made: str) -> None:
    day = 86_400 * 10**9
    url = server.database()
    with open_catalog(url, create=True) as catalog, catalog.writer() as writer:
        writer.append(BTC, "trade", trades(300, MIDNIGHT, day // 100), origin="o", position=1)
        writer.flush()
        older = MIDNIGHT + day
        if made == "hypertables":
            server.execute(f"SELECT drop_chunks('market_data.trade_rows', older_than => {older}::int8)", url=url)
        else:
            server.execute("DROP TABLE market_data.trade_rows_20221101", url=url)
        (finding,) = catalog.verify()
        assert "200 rows instead of 300" in str(finding)
        server.execute("DELETE FROM market_data.ranges WHERE kind = 'trade' AND day < '2022-11-02'", url=url)
        assert catalog.verify() == []
        assert [record[0] for _, record in all_of(catalog, "trade")] == list(range(older, older + 2 * day, day // 100))
        # The same again is passed over all the same, and a day that comes back is made anew.
        writer.append(BTC, "trade", trades(300, MIDNIGHT, day // 100), origin="o", position=1)
        writer.append(BTC, "trade", trades(7, MIDNIGHT, first=900), origin="o", position=2)
        writer.flush()
        assert len(all_of(catalog, "trade")) == 207
        assert catalog.verify() == []


@pytest.mark.parametrize("made", ["partitions"], indirect=True)
def test_a_month_that_has_partitions_of_days_gets_more_of_days(server: Server) -> None:
    day = 86_400 * 10**9
    bars = np.zeros(3, BAR)
    bars["now_ns"] = MIDNIGHT + day * np.arange(3)
    with open_catalog(server.database(), create=True) as catalog:
        with catalog.writer() as writer:
            writer.append(BTC, "bar", bars[:1])
        url = catalog._url  # type: ignore[union-attr]
        # As a catalog of before: a partition of a day.
        server.execute(
            "DROP TABLE market_data.bar_rows_202211",
            "DELETE FROM market_data.ranges",
            f"CREATE TABLE market_data.bar_rows_20221101 PARTITION OF market_data.bar_rows"
            f" FOR VALUES FROM ({MIDNIGHT}) TO ({MIDNIGHT + day})",
            url=url,
        )
        with catalog.writer() as writer:
            writer.append(BTC, "bar", bars)
        assert len(np.concatenate(list(catalog.read("bar")))) == 3


def _told(writer: AnyWriter) -> str:
    """The error of a flush."""
    with pytest.raises(UnreachableError) as raised:
        writer.flush()
    return str(raised.value)


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
