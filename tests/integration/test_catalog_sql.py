"""SQL of strangers over HTTP: it reads the catalog, within bounds, and does nothing else."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("duckdb", reason="the extra `data` is not installed")

import pyarrow as pa

from nautilus.core.types import TRADE
from nautilus.store.catalog import Catalog
from tests.kit.data_hub import DataHub, data_hub
from tests.kit.live_host import short_directory

MIDNIGHT = 1_667_260_800_000_000_000  # 2022-11-01
ROWS = 100_000
BTC = SimpleNamespace(symbol="BTCUSDT", venue="X", price_increment="0.01", lot_size="0.001")
BOUNDS = {"query_mib": 128, "query_seconds": 2.0, "query_threads": 2, "answer_mib": 2, "process_mib": 192}
SECRET = "what no query may tell"


@pytest.fixture(scope="module")
def hub() -> Iterator[DataHub]:
    with short_directory() as place:
        (place / "data").mkdir()
        made = np.zeros(ROWS, TRADE)
        made["now_ns"] = MIDNIGHT + np.arange(ROWS)
        made["trade_id"] = 1 + np.arange(ROWS)
        made["price_ticks"], made["quantity"] = 1000, 1
        with Catalog(place / "data" / "catalog", create=True) as catalog, catalog.writer() as writer:
            writer.append(BTC, "trade", made)
            writer.append_table("Notes", pa.table({"text": ["a", "b"]}))
        (place / "secret.csv").write_text(SECRET)
        os.environ["NAUTILUS_TEST_SECRET"] = SECRET
        try:
            with data_hub(directory=place, catalog=BOUNDS) as found:
                yield found
        finally:
            del os.environ["NAUTILUS_TEST_SECRET"]


def post(hub: DataHub, sql: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", hub.ports["marketdata"], timeout=60)
    try:
        connection.request("POST", "/marketdata/sql", json.dumps({"sql": sql}), {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def children() -> set[int]:
    """Processes that query."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            parent = int(path.with_name("stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"nautilus.runtime.catalog_process" in words and parent == os.getpid():
            found.add(int(path.parent.name))
    return found


def lives_on(hub: DataHub, before: set[int]) -> None:
    """The same process answers the next query, and the hub its other questions."""
    assert post(hub, "SELECT count(*) AS n FROM trade")[1]["rows"] == [[ROWS]]
    assert before == children() or not before
    assert hub.get("/marketdata/catalog")[0] == 200


def test_what_a_query_may_say(hub):
    for sql, rows in (
        ("SELECT count(*), min(price), max(quantity) FROM trade", [[ROWS, "10.00", "0.001"]]),
        ("WITH t AS (SELECT trade_id AS n FROM Trade) SELECT sum(n) FROM t WHERE n < 4", [["6"]]),
        ("SELECT instrument FROM instruments ORDER BY 1", [["BTCUSDT@X"], ["Notes"]]),
        ("SELECT text FROM notes ORDER BY 1", [["a"], ["b"]]),
        ('SELECT count(*) FROM "Notes", range(3), generate_series(1, 2)', [[12]]),
        ("FROM trade SELECT trade_id ORDER BY 1 LIMIT 1", [[1]]),
        ("SELECT rank() OVER (ORDER BY n) FROM (VALUES (1), (2)) AS v(n)", [[1], [2]]),
        ("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT max(n) FROM t", [[5]]),
        ("SELECT a.n FROM (SELECT 1 AS n) AS a, LATERAL (SELECT unnest([a.n, 2])) AS b", [[1], [1]]),
        ("SELECT column_name FROM (DESCRIBE notes) WHERE column_name = 'text'", [["text"]]),
        ("SELECT 'COPY x TO y; SET z' AS text", [["COPY x TO y; SET z"]]),
    ):
        status, answer = post(hub, sql)
        assert (status, answer.get("rows")) == (200, rows), (sql, answer)


def test_what_does_more_than_read_the_catalog_is_refused(hub):
    place = Path(hub.plan.directory)
    post(hub, "SELECT 1")
    before = children()
    catalog = hub.plan.data
    for sql in (
        f"COPY (SELECT 1) TO '{place}/out.csv'",
        f"COPY trade TO '{place}/out.parquet'",
        f"ATTACH '{place}/other.db' AS other",
        "DETACH memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '100GB'",
        "RESET memory_limit",
        "PRAGMA memory_limit = '100GB'",
        "PRAGMA database_list",
        "CALL pragma_database_list()",
        "SELECT * FROM pragma_database_list()",
        "EXPORT DATABASE '/tmp/x'",
        f"SELECT * FROM read_blob('{place}/secret.csv')",
        f"SELECT * FROM read_text('{place}/secret.csv')",
        f"SELECT * FROM read_csv('{place}/secret.csv')",
        f"SELECT * FROM read_parquet('{catalog}/catalog/trade/**/*.parquet')",
        f"SELECT * FROM '{place}/secret.csv'",
        f'SELECT * FROM "{place}/secret.csv"',
        f"SELECT (SELECT content FROM read_text('{place}/secret.csv'))",
        f"WITH t AS (SELECT * FROM READ_TEXT('{place}/secret.csv')) SELECT * FROM t",
        "SELECT * FROM 'https://127.0.0.1/x.parquet'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM parquet_metadata('/x')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM query_table('trade')",
        "SELECT * FROM arrow_scan(1, 2, 3)",
        "SELECT * FROM duckdb_settings()",
        "SELECT sql FROM duckdb_views",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM sqlite_master",
        "SELECT current_setting('allowed_directories')",
        "SELECT getenv('NAUTILUS_TEST_SECRET')",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW trade",
        "CREATE TABLE x AS SELECT 1",
        "CREATE SECRET s (TYPE s3)",
        "CREATE MACRO f(x) AS x",
        "INSERT INTO trade VALUES (1)",
        "UPDATE trade SET price = 1",
        "DELETE FROM trade",
        "DROP VIEW trade",
        "TRUNCATE trade",
        "VACUUM",
        "CHECKPOINT",
        "BEGIN",
        "EXPLAIN ANALYZE SELECT 1",
        "SELECT pg_get_viewdef(1)",
        "SELECT pg_sleep(60)",
        "SELECT sleep_ms(60000)",
        "SELECT json_serialize_plan('SELECT 1')",
        "SELECT sql FROM duckdb_views WHERE EXISTS (WITH duckdb_views AS (SELECT 1) SELECT 1)",
        "SHOW TABLES",
        "SHOW memory_limit",
        "SUMMARIZE duckdb_settings()",
        "PREPARE p AS SELECT 1",
        "USE memory",
        "SELECT * FROM nothing",
        "SELECT nothing FROM trade",
        "nonsense",
        "",
    ):
        status, problem = post(hub, sql)
        assert (status, problem.get("code")) == (422, "model.query"), (sql, problem)
        told = json.dumps(problem)
        assert SECRET not in told, sql
    assert list(place.glob("out.*")) == []
    lives_on(hub, before)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT list(a.time) FROM trade a, trade b, trade c",  # memory of the query
        "SELECT max(a.n) FROM (SELECT a.trade_id * b.trade_id AS n FROM trade a, trade b ORDER BY n) a",
        "SELECT length(repeat('x', 4000000000))",
        "SELECT count(*) FROM trade a, trade b, trade c WHERE a.price + b.price > c.price",  # time
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
        "SELECT a.trade_id, b.trade_id FROM trade a, trade b",  # bytes of the answer
        "SELECT repeat('x', 3000000)",
    ],
)
def test_what_takes_too_much_is_one_error_and_the_rest_lives_on(hub, sql):
    post(hub, "SELECT 1")
    before = children()
    status, problem = post(hub, sql)
    assert (status, problem["code"]) == (422, "model.query_limit"), problem
    lives_on(hub, before)


def test_the_process_has_no_more_memory_than_it_may_have():
    """Where DuckDB is told to take more than the process has, allocations fail, and with them the query.

    A thread that cannot begin for want of memory ends the process too; the answer is the same, and the next one comes.
    """
    bounds = BOUNDS | {"query_mib": 1 << 16, "process_mib": 64, "query_seconds": 30.0}
    with short_directory() as place, data_hub(directory=place, catalog=bounds) as hub:
        with Catalog(place / "data" / "catalog", create=True):
            pass
        assert post(hub, "SELECT 1 AS n")[1]["rows"] == [[1]]
        for _ in range(3):
            status, problem = post(hub, "SELECT count(DISTINCT n * 7) FROM range(100000000) AS r(n)")
            assert (status, problem["code"]) == (422, "model.query_limit"), problem
            assert post(hub, "SELECT 1 AS n")[1]["rows"] == [[1]]


def test_a_process_that_aborts_for_want_of_memory_is_a_query_beyond_its_limit():
    with short_directory() as place, data_hub(directory=place, catalog=BOUNDS | {"query_seconds": 60.0}) as hub:
        with Catalog(place / "data" / "catalog", create=True):
            pass
        before = children()
        assert post(hub, "SELECT 1 AS n")[1]["rows"] == [[1]]
        [process] = children() - before
        Timer(1.0, os.kill, (process, signal.SIGABRT)).start()
        status, problem = post(hub, "SELECT sum(n % 7) FROM range(1000000000000) AS r(n)")
        assert (status, problem["code"]) == (422, "model.query_limit"), problem
        assert "ran out of memory" in problem["detail"]
        assert post(hub, "SELECT 1 AS n")[1]["rows"] == [[1]]


def test_an_answer_that_grows_too_large_on_its_way_is_broken_off():
    with short_directory() as place, data_hub(directory=place, catalog={"answer_mib": 16}) as hub:
        with Catalog(place / "data" / "catalog", create=True):
            pass
        connection = http.client.HTTPConnection("127.0.0.1", hub.ports["marketdata"], timeout=60)
        sql = json.dumps({"sql": "SELECT n, n * 3 AS m FROM range(100000000) AS r(n)"})
        connection.request("POST", "/marketdata/sql", sql, {"content-type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200
        with pytest.raises(http.client.IncompleteRead):
            response.read()
        connection.close()
        assert hub.get("/marketdata/catalog")[0] == 200
