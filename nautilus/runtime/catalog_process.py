"""The process that answers queries of the catalog: a thread each, a few at a time, in pieces as they are read.

Each query comes as a socket of its own over the socket of whoever started it, and ends with that: who reads slowly
holds up nothing but the query, whose memory is a batch of rows. Nothing is unpickled; it reads and never writes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from nautilus.model.errors import ModelError, NautilusError
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_encode import encode_arrow, encode_json
from nautilus.store.catalog_settings import CatalogConfig

if TYPE_CHECKING:
    import pyarrow as pa

FRAME: Final = struct.Struct("<cI")
DATA, ERROR, END = b"D", b"E", b"Z"
"""Kinds of frames of an answer; an error is ``code, what, where, expected``."""
PIECE: Final = 1 << 18
"""Bytes of a frame at most."""


class CatalogQuestion(msgspec.Struct, frozen=True, array_like=True):
    """What is asked.

    Parameters
    ----------
    what
        ``ranges``: what is stored; ``rows``: of a kind; ``sql``: one SELECT.
    path, config
        Of the catalog.
    form
        Of the answer.
    kind, instrument, begin_ns, end_ns, columns, limit, order
        Of ``rows``, as `Catalog.query` has them; instrument "": all.
    sql
        Of ``sql``.
    """

    what: Literal["ranges", "rows", "sql"]
    path: str
    config: dict[str, Any]
    form: Literal["json", "arrow"] = "json"
    kind: str = ""
    instrument: str = ""
    begin_ns: int = 0
    end_ns: int = 0
    columns: tuple[str, ...] = ()
    limit: int = 0
    order: str = "time"
    sql: str = ""


_QUESTION = msgspec.msgpack.Decoder(CatalogQuestion)


def packed(question: CatalogQuestion) -> bytes:
    """A question behind its length."""
    content = msgspec.msgpack.encode(question)
    return struct.pack("<I", len(content)) + content


def answer(question: CatalogQuestion) -> Iterator[bytes]:
    """The pieces of an answer."""
    root = Path(question.path)
    if not (root / "catalog.sqlite").exists():
        if question.what == "ranges":
            yield b'{"ranges":[]}'
            return
        raise NothingStoredError(f"no catalog at {root.name}", expected="market data that was recorded or imported")
    with Catalog(root, msgspec.convert(question.config, CatalogConfig)) as catalog:
        if question.what == "ranges":
            yield msgspec.json.encode({"ranges": [each._asdict() for each in catalog.ranges()]})
            return
        with _reader(catalog, question) as reader:
            yield from (encode_arrow if question.form == "arrow" else encode_json)(reader)


class NothingStoredError(ModelError):
    """There is no catalog."""

    code = "model.unknown_catalog"


def _reader(catalog: Catalog, question: CatalogQuestion) -> contextlib.AbstractContextManager[pa.RecordBatchReader]:
    if question.what == "sql":
        return catalog.sql_reader(question.sql)
    return catalog.query_reader(
        question.kind,
        question.instrument or None,
        question.begin_ns or None,
        question.end_ns or None,
        columns=question.columns,
        limit=question.limit,
        order=question.order,
    )


def serve_one(connection: socket.socket, free: threading.Semaphore) -> None:
    """Answer the question of one connection."""
    with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
        content = stream.read(struct.unpack("<I", stream.read(4))[0])
        try:
            question = _QUESTION.decode(content)
            with free:
                for piece in answer(question):
                    for at in range(0, len(piece), PIECE):
                        part = piece[at : at + PIECE]
                        connection.sendall(FRAME.pack(DATA, len(part)) + part)
            connection.sendall(FRAME.pack(END, 0))
        except OSError:
            raise  # nobody reads any more
        except Exception as error:
            said = error.as_dict() if isinstance(error, NautilusError) else {"code": "internal", "what": str(error)}
            told = msgspec.json.encode(
                {name: str(said.get(name, "")) for name in ("code", "what", "where", "expected")}
            )
            connection.sendall(FRAME.pack(ERROR, len(told)) + told)


def serve(control: socket.socket, at_once: int) -> None:
    """Take questions until the other end is closed."""
    free = threading.Semaphore(at_once)
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        except OSError:
            return
        if not data:
            return
        for descriptor in descriptors:
            thread = threading.Thread(target=serve_one, args=(socket.socket(fileno=descriptor), free), daemon=True)
            thread.start()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor's affair
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    os._exit(0)  # whoever still reads is gone
