"""Answers of the catalog as bytes: Arrow IPC streams, and JSON."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from nautilus.store.catalog_parts import arrow

if TYPE_CHECKING:
    import pyarrow as pa

ARROW_TYPE: Final = "application/vnd.apache.arrow.stream"
JSON_TYPE: Final = "application/json"
LARGEST_INTEGER: Final = 1 << 53
"""Beyond it a reader that takes numbers for doubles would round: such integers are text in JSON."""


class _Parts:
    """A file that hands on what is written to it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> int:
        self.parts.append(bytes(data))
        return len(self.parts[-1])

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self.parts)
        self.parts.clear()
        return taken


def encode_arrow(answer: pa.Table | pa.RecordBatchReader) -> Iterator[bytes]:
    """An answer as an Arrow IPC stream, a piece for each record batch."""
    pa = arrow()
    reader = answer.to_reader() if isinstance(answer, pa.Table) else answer
    sink = _Parts()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), reader.schema) as stream:
        for batch in reader:
            stream.write_batch(batch)
            yield sink.take()
    yield sink.take()


def decode_arrow(content: bytes) -> pa.Table:
    """Table of an Arrow IPC stream."""
    pa = arrow()
    with pa.ipc.open_stream(pa.py_buffer(content)) as stream:
        return stream.read_all()


def encode_json(answer: pa.Table | pa.RecordBatchReader) -> Iterator[bytes]:
    """An answer as ``{"columns": [...], "rows": [[...], ...], "count": n}``, a piece for each record batch.

    Decimals and integers beyond 2^53 are text, so that no reader rounds them; times are nanoseconds, text too.
    """
    import orjson

    pa = arrow()
    reader = answer.to_reader() if isinstance(answer, pa.Table) else answer
    names = orjson.dumps(reader.schema.names)
    yield b'{"columns":' + names + b',"types":' + orjson.dumps([str(field.type) for field in reader.schema])
    yield b',"rows":['
    count = 0
    for batch in reader:
        columns = [_json_values(column) for column in batch.columns]
        rows = [list(row) for row in zip(*columns, strict=True)]
        if rows:
            text = orjson.dumps(rows, default=_plain)[1:-1]
            yield (b"," if count else b"") + text
            count += len(rows)
    yield b'],"count":%d}' % count


def _json_values(column: pa.Array) -> list[Any]:
    pa = arrow()
    kind = column.type
    if pa.types.is_timestamp(kind):
        # A Python datetime has no nanoseconds.
        return [None if each is None else str(each) for each in column.cast(pa.int64()).to_pylist()]
    values: list[Any] = column.to_pylist()
    if pa.types.is_integer(kind) and kind.bit_width == 64:
        return [str(each) if each is not None and abs(each) > LARGEST_INTEGER else each for each in values]
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
