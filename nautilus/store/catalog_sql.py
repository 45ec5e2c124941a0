"""What a query may say: one SELECT over the catalog's views, without functions that look elsewhere.

DuckDB itself is closed (`catalog_database`); this refuses before anything runs, by the tree that DuckDB's own parser
gives, and names what is refused. Of table functions a few are taken, as each new version brings others that read files
or settings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from nautilus.store.catalog_errors import QueryError
from nautilus.store.catalog_parts import duckdb

LONGEST_SQL: Final = 64 << 10
TABLE_FUNCTIONS: Final = frozenset(
    {"generate_series", "range", "repeat", "repeat_row", "unnest", "json_each", "json_tree"}
)
"""Functions that may stand where a table does; those that are not here read files, memory, settings or other SQL."""
REFUSED: Final = re.compile(
    r"(pg_|(current_setting|getenv|write_log|nextval|currval|sleep_ms|json_serialize_plan|json_execute_serialized_sql)$)"
)
"""Functions of one value that tell of the process, look at other text, wait or change something."""
BUILT_IN: Final = ("duckdb_", "pragma_", "sqlite_", "pg_")
"""How names of the database's own views begin, which tell of files and settings."""


class Named(NamedTuple):
    """What a query names, in small letters.

    Attributes
    ----------
    tables : where a table stands.
    defined : by its own WITH.
    """

    tables: frozenset[str]
    defined: frozenset[str]


def check_select(lines: Any, text: str) -> Named:
    """Refuse what is not one SELECT that keeps to the catalog; what it names.

    Raises
    ------
    QueryError
        It is something else.
    """
    if len(text) > LONGEST_SQL:
        raise QueryError(f"a query of {len(text)} characters", expected=f"at most {LONGEST_SQL}")
    db = duckdb()
    try:
        statements = lines.extract_statements(text)
    except db.Error as error:
        raise QueryError(_first(str(error)), expected="one SELECT") from None
    if len(statements) != 1 or statements[0].type != db.StatementType.SELECT:
        found = ", ".join(str(each.type).rpartition(".")[2] for each in statements) or "nothing"
        raise QueryError(f"{found}", where="the query", expected="one SELECT")
    tables: set[str] = set()
    defined: set[str] = set()
    for node in nodes(_tree(lines, text)):
        kind = node.get("type")
        if kind == "TABLE_FUNCTION":
            name = str(node["function"]["function_name"]).lower()
            if name not in TABLE_FUNCTIONS:
                raise QueryError(f"{name}()", where="the query", expected="views of the catalog in FROM")
        elif kind == "BASE_TABLE":
            tables.add(_plain_name(node))
        elif kind == "SHOW_REF" and not node.get("query"):  # of no query: what the database has, or its settings
            raise QueryError(f"SHOW {node.get('table_name')}", where="the query", expected="one SELECT")
        elif node.get("class") in ("FUNCTION", "WINDOW") and REFUSED.match(str(node.get("function_name")).lower()):
            raise QueryError(f"{node['function_name']}()", where="the query", expected="a function of its values alone")
        given = node.get("cte_map")
        if isinstance(given, dict):
            defined.update(str(each["key"]).lower() for each in given.get("map", ()))
    for name in sorted(defined):
        if name.startswith(BUILT_IN):  # elsewhere in the text it may stand for the database's own
            raise QueryError(f"WITH {name}", where="the query", expected="another name")
    return Named(frozenset(tables), frozenset(defined))


def _plain_name(node: dict[str, Any]) -> str:
    """Name of a table; the views have no schema."""
    schema = node.get("schema_name") or node.get("catalog_name")
    if schema:
        name = f"{schema}.{node['table_name']}"
        raise QueryError(name, where="the query", expected="a view of the catalog, by its name alone")
    return str(node["table_name"]).lower()


def _tree(lines: Any, text: str) -> Any:
    db = duckdb()
    try:
        ((told,),) = lines.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()
        tree = json.loads(told)
    except (db.Error, ValueError, RecursionError) as error:
        raise QueryError(f"it cannot be looked through: {_first(str(error))}", where="the query") from None
    if tree.get("error"):
        raise QueryError(_first(str(tree.get("error_message"))), where="the query", expected="one SELECT")
    return tree


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a tree."""
    waiting = [tree]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _first(text: str) -> str:
    return text.strip().partition("\n")[0]
