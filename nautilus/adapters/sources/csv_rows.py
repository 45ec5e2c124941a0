"""CSV of a provider into typed records; what does not fit is refused by row and column."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, TypeVar

import msgspec

from nautilus.adapters.sources.errors import MalformedError
from nautilus.adapters.sources.validate import convert

if TYPE_CHECKING:
    from nautilus.adapters.sources.session import Reply, Session

T = TypeVar("T", bound=msgspec.Struct)


def rows_of(session: Session, reply: Reply, kind: type[T]) -> list[T]:
    """Every row of a body whose first line names the columns; commas, semicolons, bars or tabs between them.

    Raises
    ------
    MalformedError
        A column that a field wants is missing, a row has another number of fields, or a value does not fit: `path` is
        ``$[3].Unit``, rows counted from 0.
    """
    url = reply.provenance.url
    text = reply.body.decode("utf-8", "replace")
    first = text.partition("\n")[0]
    marks = max(",|;\t", key=first.count)
    names = next(csv.reader([first.rstrip("\r")], delimiter=marks), [])
    wanted = [field.encode_name for field in msgspec.structs.fields(kind) if field.required]
    for name in wanted:
        if text.strip() and name not in names:
            raise session.fault(
                MalformedError,
                f"$[0].{name}: no such column in {', '.join(names)[:120]}",
                url,
                expected=", ".join(wanted),
                path=f"$[0].{name}",
            )
    rows: list[dict[str, str]] = []
    for row in csv.reader(io.StringIO(text[len(first) + 1 :]), delimiter=marks):
        if not row:
            continue
        if len(row) != len(names):
            path = f"$[{len(rows)}]"
            what = f"{path}: {len(row)} fields"
            raise session.fault(MalformedError, what, url, expected=f"{len(names)}", path=path)
        rows.append(dict(zip(names, row, strict=True)))
    return convert(session, url, rows, list[kind])  # type: ignore[valid-type]
