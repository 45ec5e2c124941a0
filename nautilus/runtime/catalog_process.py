"""The process that answers queries of the catalog: a thread each, a few at a time, in pieces as they are read.

Each query comes as a socket of its own over the socket of whoever started it, and ends with that: who reads slowly
holds up nothing but the query, whose memory is a batch of rows. Nothing is unpickled; it reads and never writes.
It has a bounded address space: an allocation beyond it fails, and with it one query. Where the machine has no memory
left all the same, this process is what the kernel is to end.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from nautilus.model.errors import ConfigError, ModelError, NautilusError
from nautilus.store.catalog_encode import encode_arrow, encode_json
from nautilus.store.catalog_errors import NoCatalogError, QueryLimitError
from nautilus.store.catalog_open import AnyCatalog, on_server, open_catalog
from nautilus.store.catalog_parts import arrow, duckdb
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.catalog_views import instruments_table, ranges_table

if TYPE_CHECKING:
    import pyarrow as pa

FRAME: Final = struct.Struct("<cI")
DATA, ERROR, END = b"D", b"E", b"Z"
"""Kinds of frames of an answer; an error is ``code, what, where, expected``."""
PIECE: Final = 1 << 18
"""Bytes of a frame at most."""
MOST_OPEN: Final = 64
"""Queries that run or wait."""
HELD: Final = 1 << 22
"""Of an answer, before any of it goes out: what fails within is told as an error, and not by a broken answer."""
STACK: Final = 8 << 20
"""Of a thread, where the system sets none."""
BLAMED: Final = 800
"""How much rather than others this process is to be ended, where the machine has no memory left; 1000 at most."""


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
    """The pieces of an answer.

    Raises
    ------
    QueryLimitError
        It has more bytes than an answer may.
    """
    config = msgspec.convert(question.config, CatalogConfig)
    size = 0
    for piece in _pieces(question, config):
        size += len(piece)
        if size > config.answer_mib << 20:
            raise QueryLimitError(
                f"an answer of over {config.answer_mib} MiB", expected="a limit, a shorter range, or catalog.answer_mib"
            )
        yield piece


def _pieces(question: CatalogQuestion, config: CatalogConfig) -> Iterator[bytes]:
    encode = encode_arrow if question.form == "arrow" else encode_json
    with open_catalog(question.place, config) as catalog:
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
                for piece in _held_back(answer(question)):
                    for at in range(0, len(piece), PIECE):
                        part = piece[at : at + PIECE]
                        connection.sendall(FRAME.pack(DATA, len(part)) + part)
            connection.sendall(FRAME.pack(END, 0))
        except OSError:
            raise  # nobody reads any more
        except MemoryError:
            _tell(connection, QueryLimitError("the query takes too much memory", expected="catalog.process_mib"))
        except Exception as error:
            _tell(connection, error)


def _tell(connection: socket.socket, error: Exception) -> None:
    said = error.as_dict() if isinstance(error, NautilusError) else {"code": "internal", "what": str(error)}
    told = msgspec.json.encode({name: str(said.get(name, "")) for name in ("code", "what", "where", "expected")})
    connection.sendall(FRAME.pack(ERROR, len(told)) + told)


def _held_back(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, the first ones together."""
    held, size = [], 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= HELD:
            break
    yield from held
    yield from pieces


def bound_memory(process_mib: int, at_once: int) -> None:
    """Let queries have so much memory, beyond what the process has before the first one."""
    with contextlib.suppress(ConfigError):  # a query says what is not installed
        arrow()
        duckdb()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(BLAMED))
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
    threads = (MOST_OPEN + at_once * (2 + (os.cpu_count() or 1))) * (
        STACK if stack == resource.RLIM_INFINITY else stack
    )
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = mapped + threads + (process_mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


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
            connection = socket.socket(fileno=descriptor)
            thread = threading.Thread(target=serve_one, args=(connection, free), daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError):  # no room for its stack
                with connection, contextlib.suppress(OSError):
                    _tell(connection, QueryLimitError("no memory for a query", expected="catalog.process_mib"))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor's affair
    bound_memory(int(sys.argv[3]), int(sys.argv[2]))
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    os._exit(0)  # whoever still reads is gone
