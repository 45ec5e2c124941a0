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
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from nautilus.model.errors import ModelError, NautilusError
from nautilus.store.catalog_encode import encode_arrow, encode_json
from nautilus.store.catalog_errors import NoCatalogError
from nautilus.store.catalog_open import AnyCatalog, on_server, open_catalog
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.catalog_views import instruments_table, ranges_table

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
        ``ranges``: what is stored; ``instruments``; ``rows``: of a kind; ``sql``: one SELECT.
    place, config
        Of the catalog: a directory, or ``postgresql://...``.
    form
        Of the answer.
    kind, instruments, begin_ns, end_ns, columns, limit, order
        Of ``rows``, as `Catalog.query` has them; instruments (): all.
    sql
        Of ``sql``.
    """

    what: Literal["ranges", "instruments", "rows", "sql"]
    place: str
    config: dict[str, Any]
    form: Literal["json", "arrow"] = "json"
    kind: str = ""
    instruments: tuple[str, ...] = ()
    begin_ns: int | None = None
    end_ns: int | None = None
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
    encode = encode_arrow if question.form == "arrow" else encode_json
    with open_catalog(question.place, msgspec.convert(question.config, CatalogConfig)) as catalog:
        if question.what in ("ranges", "instruments"):
            try:
                ranges = catalog.ranges()
                instruments = catalog.instruments()
            except NoCatalogError:
                ranges, instruments = [], []
            if question.what == "instruments":
                yield from encode(instruments_table(instruments))
            elif question.form == "arrow":
                yield from encode(ranges_table(ranges))
            else:
                yield msgspec.json.encode({"ranges": [each._asdict() for each in ranges]})
            return
        try:
            with _reader(catalog, question) as reader:
                yield from encode(reader)
        except NoCatalogError:
            name = catalog.where if on_server(question.place) else "the hub"  # no path of this machine is told
            raise NothingStoredError(
                f"no catalog at {name}", expected="market data that was recorded or imported"
            ) from None


class NothingStoredError(ModelError):
    """There is no catalog."""

    code = "model.unknown_catalog"


def _reader(catalog: AnyCatalog, question: CatalogQuestion) -> contextlib.AbstractContextManager[pa.RecordBatchReader]:
    if question.what == "sql":
        return catalog.sql_reader(question.sql)
    return catalog.query_reader(
        question.kind,
        question.instruments or None,
        question.begin_ns,
        question.end_ns,
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
