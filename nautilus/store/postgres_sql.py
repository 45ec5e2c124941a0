"""What a query of a user may say on PostgreSQL: one SELECT over the schema of the catalog.

The transaction can only read, but a SELECT can do more than read rows: end other sessions, take locks, wait, read files
of the server, look into other schemas. So three things are checked before a query runs: its words (none begins with
``pg_`` or ``lo_``, as what belongs to the server does, or as the schemas of TimescaleDB do), its functions (of
`pg_catalog`, and such as the server says change nothing), and, in the plan that the server made, that all relations are
the catalog's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from nautilus.store.catalog_errors import QueryError
from nautilus.store.catalog_sql import LONGEST_SQL
from nautilus.store.postgres_rows import SCHEMA

LONGEST_NAME: Final = 63
TIMESCALE: Final = "_timescaledb"
"""How the schemas begin that are TimescaleDB's own."""
CHUNKS: Final = "_timescaledb_internal"
"""The one in which it keeps the rows of hypertables, those of other schemas too."""
OWN: Final = ("InitPlan", "SubPlan")
"""How queries within a query hang on the part of a plan that needs them."""
BEGINNINGS: Final = frozenset({"select", "with", "values", "table", "("})
VOLATILE: Final = frozenset({"clock_timestamp", "gen_random_uuid", "random", "random_normal", "statement_timestamp"})
"""Functions that change nothing, though the server calls them volatile."""
REFUSED: Final = re.compile(
    r"(pg_|lo_|binary_upgrade_|current_setting$|set_config$|has_|row_security_active$|inet_(client|server)_"
    r"|(table|schema|database|query|cursor)_to_xml|ts_stat$|txid_|dblink)"
)
"""Functions that tell of the server, or run text or relations that are given as values."""
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\n\r\f\v]+|--[^\n\r]*)
    |(?P<comment>/\*)
    |(?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
    |(?P<escaped>[eE]'(?:[^'\\]|''|\\.)*')
    |(?P<plain>(?:[bBxXnN])?'(?:[^']|'')*')
    |(?P<unicode>[uU]&["'])
    |(?P<quoted>"(?:[^"]|"")+")
    |(?P<name>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    |(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)


def called(text: str) -> set[str]:
    """Names that stand before a bracket: those of all functions, and words such as IN.

    Raises
    ------
    QueryError
        It is no SELECT, or has words that no query of a catalog needs.
    """
    if "\0" in text or text.encode("utf-8", "ignore").decode() != text:
        raise QueryError("a character that is none", where="the query", expected="text")
    if len(text) > LONGEST_SQL:
        raise QueryError(f"a query of {len(text)} characters", expected=f"at most {LONGEST_SQL}")
    words = list(_words(text))
    if not words or words[0][1] not in BEGINNINGS:
        raise QueryError(f"a query that begins with {words[0][1] if words else 'nothing'!r}", expected="one SELECT")
    names = set()
    for at, (kind, word) in enumerate(words):
        if kind == "sign" and word == ";" and at < len(words) - 1:
            raise QueryError("several statements", where="the query", expected="one SELECT")
        if kind not in ("name", "quoted"):
            continue
        if word.startswith(("pg_", "lo_", TIMESCALE)) or word == "information_schema":
            raise QueryError(word, where="the query", expected=f"names of the schema {SCHEMA}")
        follows = words[at + 1] if at + 1 < len(words) else ("", "")
        if follows == ("sign", "("):
            names.add(word)
    return names


def _words(text: str) -> Iterator[tuple[str, str]]:
    """Kinds and texts of the words, names as the server folds them; without space, comments and strings."""
    at, before = 0, ""
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None
        kind, word, at = str(match.lastgroup), match.group(), match.end()
        if kind == "comment":
            at = _behind_comment(text, at)
        elif kind == "dollar":
            end = text.find(word, at)
            if end < 0:
                raise QueryError(f"{word} without an end", where="the query")
            at = end + len(word)
        elif kind == "unicode":
            raise QueryError(word, where="the query", expected="text without U&")
        elif kind == "plain" and before == "escaped":
            # The server takes both for one text with escapes.
            raise QueryError("a text behind another one", where="the query", expected="one E'...'")
        if kind not in ("space", "comment"):
            before = kind
            yield kind, _folded(kind, word)


def _folded(kind: str, word: str) -> str:
    """A word as the server knows it: of names only ASCII in small letters, and no more than it keeps."""
    if kind == "name":
        return word.encode().lower()[:LONGEST_NAME].decode("utf-8", "ignore")
    if kind == "quoted":
        return word[1:-1].replace('""', '"').encode()[:LONGEST_NAME].decode("utf-8", "ignore")
    return word


def _behind_comment(text: str, at: int) -> int:
    depth = 1
    while depth:
        marks = [(place, mark) for mark in ("/*", "*/") if (place := text.find(mark, at)) >= 0]
        if not marks:
            raise QueryError("a comment without an end", where="the query")
        place, mark = min(marks)
        depth += 1 if mark == "/*" else -1
        at = place + 2
    return at


async def check_query(lines: Any, text: str) -> None:
    """Refuse what does more than read the catalog, inside of a transaction that can only read.

    Raises
    ------
    QueryError
        It does; asyncpg's errors where it is wrong.
    """
    await _check_functions(lines, called(text))
    plan = await lines.fetchval(f"EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) {text}")
    relations, scanned = set(), set()
    for node in parts(json.loads(plan)):
        if "Relation Name" in node:
            relations.add((str(node.get("Schema", SCHEMA)), str(node["Relation Name"])))
        if "Function Name" in node:
            scanned.add(str(node["Function Name"]))
    await _check_relations(lines, relations)
    await _check_functions(lines, scanned)


def parts(plan: Any) -> Iterator[dict[str, Any]]:
    """The parts of a plan; without those by which an extension reads a relation, such as the packed rows of a chunk."""
    waiting: list[tuple[Any, bool]] = [(plan, False)]
    while waiting:
        found, inside = waiting.pop()
        if isinstance(found, list):
            waiting.extend((each, inside) for each in found)
        elif isinstance(found, dict):
            inside = inside and found.get("Parent Relationship") not in OWN
            if not (inside and found.get("Schema") == CHUNKS):
                yield found
            inside = inside or ("Custom Plan Provider" in found and "Relation Name" in found)
            waiting.extend((each, inside) for each in found.values())


async def _check_relations(lines: Any, relations: set[tuple[str, str]]) -> None:
    """All are the catalog's: of its schema, or chunks of a hypertable of its schema."""
    rows: Sequence[Any] = await lines.fetch(
        "SELECT chunk.relname::text AS name FROM pg_catalog.pg_inherits"
        " JOIN pg_catalog.pg_class chunk ON chunk.oid = inhrelid"
        " JOIN pg_catalog.pg_class whole ON whole.oid = inhparent"
        " JOIN pg_catalog.pg_namespace place ON place.oid = chunk.relnamespace"
        " WHERE whole.relnamespace = $1::regnamespace AND place.nspname = $2 AND chunk.relname = ANY($3::text[])",
        *(SCHEMA, CHUNKS, [name for schema, name in relations if schema == CHUNKS]),
    )
    chunks = {row["name"] for row in rows}
    for schema, name in sorted(relations):
        if schema != SCHEMA and not (schema == CHUNKS and name in chunks):
            raise QueryError(f"{schema}.{name}", where="the query", expected=f"relations of {SCHEMA}")


async def _check_functions(lines: Any, names: set[str]) -> None:
    """All are of the server's own, and change nothing; those of TimescaleDB's own schemas no query can name."""
    asked = sorted(names)
    rows: Sequence[Any] = await lines.fetch(
        "SELECT proname::text AS name, bool_and(pronamespace = 'pg_catalog'::regnamespace) AS own,"
        " bool_or(provolatile = 'v') AS volatile FROM pg_catalog.pg_proc WHERE proname = ANY($1::text[])"
        " AND NOT starts_with(pronamespace::regnamespace::text, $2) GROUP BY 1",
        *(asked, TIMESCALE),
    )
    known = {row["name"]: row for row in rows}
    for name in asked:
        row = known.get(name)
        if row is None and not REFUSED.match(name):
            continue  # a word of the language, a name of WITH, or nothing that there is: the server says so
        if row is None or not row["own"] or REFUSED.match(name) or (row["volatile"] and name not in VOLATILE):
            raise QueryError(f"{name}()", where="the query", expected="functions of the server that only calculate")
