"""What is found in the text of a query for PostgreSQL, before the server sees it."""

from __future__ import annotations

import pytest

from nautilus.store.catalog_errors import QueryError
from nautilus.store.postgres_sql import CHUNKS, called, parts


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT sum(price) FROM trade", {"sum"}),
        ('select "Max" ( x ), MIN/* a /* b */ c */(y) -- abs(z)\nfrom trade', {"Max", "min"}),
        ("SELECT 'pg_sleep(1)', $$ pg_sleep(1) $$, $a$ pg_sleep(1) $$ $a$, E'it\\'s pg_sleep(1)'", set()),
        ("SELECT 'it''s', E'\\\\', round(1.5e3)", {"round"}),
        ("WITH t(n) AS (VALUES (1)) SELECT n FROM t;", {"t", "as", "values"}),
        ('SELECT 1and"x"(2)', {"x"}),
        ("SELECT a$b$(1), c$b$", {"a$b$"}),
        ("(SELECT 1)", set()),
    ],
)
def test_functions_are_found_where_they_are_called_and_nowhere_else(text: str, names: set[str]) -> None:
    assert called(text) - {"select"} == names


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SET statement_timeout = 0",
        "COPY trade TO STDOUT",
        "SELECT 1; SELECT 2",
        "SELECT pg_sleep(10)",
        "SELECT pg_catalog . pg_sleep(10)",
        'SELECT "pg_sleep"(10)',
        "SELECT PG_SLEEP/**/(10)",
        "SELECT 'a' || pg_terminate_backend(1)::text || 'b'",
        "SELECT $$a$$ || pg_advisory_lock(1)::text || $$b$$",
        # Where both texts are one with escapes, what stands between them and behind is no text.
        "SELECT E'a'\n'\\'' || pg_sleep(1)::text || '...'",
        "SELECT\u00a0E'\\', pg_sleep(1) -- '",
        'SELECT U&"\\0070g_sleep"(10)',
        "SELECT /* a -- b */ lo_import('/etc/passwd')",
        "SELECT 1 /* without an end",
        "SELECT $a$ without an end",
        "SELECT * FROM information_schema.tables",
        "TABLE pg_authid",
        "SELECT * FROM _timescaledb_catalog.hypertable",
        'SELECT "_timescaledb_functions".to_timestamp(1)',
        "SELECT '\0'",
        "SELECT '\ud800'",
        "SELECT " + "1," * (1 << 15) + "1",
    ],
)
def test_what_does_more_than_read_the_catalog_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        called(text)


def part(name: str, *below: dict[str, object], schema: str = CHUNKS, **more: str) -> dict[str, object]:
    return {"Relation Name": name, "Schema": schema, "Plans": list(below), **more}


def test_of_what_an_extension_reads_for_a_relation_only_queries_within_count() -> None:
    secret = part("secrets", schema="others", **{"Parent Relationship": "InitPlan"})
    chunk = part("secret_chunk", **{"Parent Relationship": "SubPlan"})
    packed = part("compress_1", secret, **{"Parent Relationship": "child"})
    sort = {"Node Type": "Sort", "Parent Relationship": "child", "Plans": [packed]}
    other = part("compress_2", schema="others", **{"Parent Relationship": "child"})
    unpacked = part("chunk_1", sort, chunk, other, **{"Custom Plan Provider": "DecompressChunk"})
    plan = [{"Plan": {"Node Type": "Append", "Plans": [unpacked, part("compress_3")]}}]
    found = {each["Relation Name"] for each in parts(plan) if "Relation Name" in each}
    assert found == {"chunk_1", "secrets", "secret_chunk", "compress_2", "compress_3"}
