"""Questions to a catalog over HTTP, and the answers as bytes: what the hub's routes and `nautilus.data` share.

::

    GET /marketdata/catalog/instruments
    GET /marketdata/catalog/ranges
    GET /marketdata/catalog/query?kind=trade&instrument=BTCUSDT&begin_ns=..&end_ns=..&column=price&limit=..&order=time
    GET /marketdata/catalog/sql?sql=SELECT ...

`instrument` and `column` may come several times. The answer is an Arrow IPC stream where ``Accept`` names its media
type or ``format=arrow`` is asked for, else JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from nautilus.store.catalog_encode import ARROW_TYPE, JSON_TYPE, encode_arrow, encode_json
from nautilus.store.catalog_errors import QueryError
from nautilus.store.catalog_parts import arrow
from nautilus.store.catalog_views import instruments_table

if TYPE_CHECKING:
    import pyarrow as pa

    from nautilus.store.catalog_open import AnyCatalog

BASE: Final = "/marketdata/catalog/"
QUESTIONS: Final[dict[str, tuple[str, ...]]] = {
    "instruments": (),
    "ranges": (),
    "query": ("kind", "instrument", "begin_ns", "end_ns", "column", "limit", "order"),
    "sql": ("sql",),
}
_ORDER: Final = "time"


def respond(catalog: AnyCatalog, question: str, query: str = "", accept: str = "") -> tuple[str, Iterator[bytes]]:
    """Answer a question.

    Parameters
    ----------
    question
        ``instruments``, ``ranges``, ``query`` or ``sql``.
    query
        Of the URL, behind the question mark, still encoded.
    accept
        The header of the request.

    Returns
    -------
    content type, pieces
        The first piece is made before this returns, so that what is wrong with the question is raised here. Take all
        pieces, or close the iterator.

    Raises
    ------
    QueryError
        The question is malformed, or the catalog does not answer it.
    """
    if question not in QUESTIONS:
        raise QueryError(f"question {question!r}", expected=", ".join(QUESTIONS))
    given = parse_qs(query, keep_blank_values=True, max_num_fields=1000)
    for name in given:
        if name not in (*QUESTIONS[question], "format"):
            raise QueryError(f"parameter {name!r}", expected=", ".join((*QUESTIONS[question], "format")))
    form = _one(given, "format") or ("arrow" if ARROW_TYPE in accept else "json")
    if form not in ("arrow", "json"):
        raise QueryError(f"format {form!r}", expected="arrow or json")
    pieces = _pieces(catalog, question, given, form)
    first = next(pieces)
    return (ARROW_TYPE if form == "arrow" else JSON_TYPE), _behind(first, pieces)


def _behind(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _pieces(catalog: AnyCatalog, question: str, given: dict[str, list[str]], form: str) -> Iterator[bytes]:
    with ExitStack() as stack:
        answer: pa.Table | pa.RecordBatchReader
        if question == "instruments":
            answer = instruments_table(catalog.instruments())
        elif question == "ranges":
            answer = ranges_table(catalog)
        elif question == "sql":
            answer = stack.enter_context(catalog.sql_reader(_one(given, "sql")))
        else:
            answer = stack.enter_context(
                catalog.query_reader(
                    _one(given, "kind"),
                    given.get("instrument"),
                    _number(given, "begin_ns"),
                    _number(given, "end_ns"),
                    columns=given.get("column", ()),
                    limit=_number(given, "limit") or 0,
                    order=_one(given, "order") or _ORDER,
                )
            )
        yield from (encode_arrow if form == "arrow" else encode_json)(answer)


def ranges_table(catalog: AnyCatalog) -> pa.Table:
    """Arrow table of what a catalog has."""
    names = ("kind", "instrument", "rows", "bytes", "parts", "first_ns", "last_ns", "first_day", "last_day")
    ranges = catalog.ranges()
    pa = arrow()
    kinds = [pa.string() if name in ("kind", "instrument", "first_day", "last_day") else pa.int64() for name in names]
    columns: list[Any] = [
        pa.array([each[at] for each in ranges], kind) for at, kind in zip(range(len(names)), kinds, strict=True)
    ]
    return pa.table(columns, names=list(names))


def _one(given: dict[str, list[str]], name: str) -> str:
    values = given.get(name, [""])
    if len(values) > 1:
        raise QueryError(f"{len(values)} times {name}", expected="once")
    return values[0]


def _number(given: dict[str, list[str]], name: str) -> int | None:
    text = _one(given, name)
    if not text:
        return None
    if not text.removeprefix("-").isdecimal() or len(text) > 20 or not -(1 << 63) <= int(text) < 1 << 63:
        raise QueryError(f"{name} {text[:40]!r}", expected="a whole number")
    return int(text)
