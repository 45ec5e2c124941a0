"""The catalog over HTTP: what is stored, rows of a kind, and SQL that only reads; JSON or an Arrow stream.

::

    GET  /marketdata/catalog                              what is stored
    GET  /marketdata/catalog/instruments                  instruments, symbols of providers and tables
    GET  /marketdata/catalog/{kind}                       rows: ?instrument= &begin= &end= &columns=a,b &limit= &order=
    GET  /marketdata/catalog/{kind}/{instrument}          the same, where the name of the instrument has no slash
    POST /marketdata/sql                                  {"sql": "SELECT ..."}

A process of its own answers (`nautilus.runtime.catalog_process`), started with the first question and again when it
died. `instrument` and `columns` may come several times. An answer goes out as it is read; where its reader does not
take it the query stands still. What a query may take of memory, time and bytes is bounded (`catalog_settings`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

import nautilus
from nautilus.model.moments import moment_ns
from nautilus.runtime.catalog_process import DATA, ERROR, FRAME, MOST_OPEN, CatalogQuestion, packed
from nautilus.runtime.control import error_from
from nautilus.runtime.http.body import NO_BODY
from nautilus.runtime.http.exchange import JSON_TYPE, OPEN, Exchange
from nautilus.runtime.http.problems import HttpError
from nautilus.runtime.http.request import Done, Request, Route
from nautilus.store.catalog_encode import ARROW_TYPE
from nautilus.store.catalog_errors import QueryLimitError
from nautilus.store.catalog_settings import CatalogConfig

AT_ONCE = 4
"""Queries that run at a time; further ones wait."""
STOP_SECONDS = 1.0
FIELDS = ("instrument", "begin", "end", "columns", "limit", "order", "format")
SEVERAL = ("instrument", "columns")
INSTRUMENTS = "instruments"
"""Is no kind: what is asked for in its place."""
ALLOCATION = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Allocators that keep little address space in reserve, as that of the process is bounded."""
What = Literal["ranges", "instruments", "rows", "sql"]
MODULE = "nautilus.runtime.catalog_process"
_LOGGER = logging.getLogger("nautilus.runtime")


class Sql(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a query."""

    sql: str


class CatalogDoor:
    """Of one port; everything but `close` in the thread of HTTP.

    Parameters
    ----------
    place, config
        Of the catalog: a directory, or ``postgresql://...``.
    """

    def __init__(self, place: str, config: Mapping[str, Any]) -> None:
        self._place = place
        self._config = dict(config)
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._lock = threading.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> tuple[Route, ...]:
        """The four."""
        return tuple(
            Route(method, path, _Handler(self, what), scope="read")  # type: ignore[arg-type]
            for method, path, what in (
                ("GET", "/marketdata/catalog", "ranges"),
                ("GET", "/marketdata/catalog/{kind}", "rows"),
                ("GET", "/marketdata/catalog/{kind}/{instrument}", "rows"),
                ("POST", "/marketdata/sql", "sql"),
            )
        )

    @property
    def pid(self) -> int:
        """Of the process; 0: there is none."""
        return 0 if self._process is None else self._process.pid

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def question(self, what: What, request: Request) -> CatalogQuestion:
        """What a request stands for. Raises HttpError or ModelError where it stands for nothing."""
        kind, named = request.path_values.get("kind", ""), request.path_values.get("instrument", "")
        if kind == INSTRUMENTS and not named:
            what = "instruments"
        given: dict[str, str] = {}
        several: dict[str, list[str]] = {name: [] for name in SEVERAL}
        for name, value in request.query:
            if name in several and what == "rows":
                several[name].append(value)
                continue
            if name not in FIELDS or name in given or (what != "rows" and name != "format"):
                known = ", ".join(FIELDS) if what == "rows" else "format"
                raise HttpError(422, "http.fields", f"field {name!r}", where="query", expected=f"once: {known}")
            given[name] = value
        form = given.get("format") or ("arrow" if ARROW_TYPE in request.header(b"accept") else "json")
        if form not in ("json", "arrow"):
            raise HttpError(422, "http.fields", f"format {form!r}", where="query", expected="json or arrow")
        sql = ""
        if what == "sql":
            try:
                sql = msgspec.convert(None if request.body is NO_BODY else request.body, Sql).sql
            except msgspec.ValidationError as error:
                raise HttpError(
                    422, "http.fields", str(error), where="body", expected='{"sql": "SELECT ..."}'
                ) from None
        limit = given.get("limit", "0")
        if not (limit.isascii() and limit.isdigit() and len(limit) < 19):
            raise HttpError(422, "http.fields", f"limit {limit!r}", where="limit", expected="a whole number")
        return CatalogQuestion(
            what,
            self._place,
            self._config,
            form,  # type: ignore[arg-type]
            kind,
            (named,) if named else tuple(each for each in several["instrument"] if each),
            _moment(given, "begin"),
            _moment(given, "end"),
            tuple(each for value in several["columns"] for each in value.split(",") if each),
            int(limit),
            given.get("order", "time"),
            sql,
        )

    def begin(self, question: CatalogQuestion, exchange: Exchange, done: Done) -> None:
        """Answer in a task of its own."""
        if len(self._tasks) >= MOST_OPEN:
            raise HttpError(
                503, "source.busy", f"{len(self._tasks)} queries are under way", where="catalog", expected="fewer",
                headers=((b"retry-after", b"1"),),
            )  # fmt: skip
        task = asyncio.ensure_future(self._answer(question, exchange, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        exchange.on_abort = partial(_cancel, task)

    def _ran_out(self) -> bool:
        """Whether the process ended itself: libraries abort where a thread of theirs finds no memory at all."""
        process = self._process
        if process is None:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(STOP_SECONDS) == -signal.SIGABRT
        return False

    def give_up(self) -> None:
        """The server ends."""
        for task in list(self._tasks):
            task.cancel()

    async def _answer(self, question: CatalogQuestion, exchange: Exchange, done: Done) -> None:
        writable = asyncio.Event()
        writable.set()
        exchange.on_writable = lambda able: writable.set() if able else writable.clear()
        writer: asyncio.StreamWriter | None = None
        began = False
        try:
            ours = await asyncio.get_running_loop().run_in_executor(None, self._connect)
            reader, writer = await asyncio.open_connection(sock=ours)
            writer.write(packed(question))
            await writer.drain()
            while True:
                kind, length = FRAME.unpack(await reader.readexactly(FRAME.size))
                content = await reader.readexactly(length)
                if kind == ERROR and not began:
                    done(error_from(msgspec.json.decode(content, type=dict[str, str])))
                    return
                if kind == ERROR:
                    said = msgspec.json.decode(content, type=dict[str, str])
                    _LOGGER.warning("an answer of the catalog was broken off: %s (%s)", said["what"], said["code"])
                    exchange.abort()  # its reader is to see that it is not whole
                    return
                if not began:
                    began = True
                    form = ARROW_TYPE if question.form == "arrow" else JSON_TYPE
                    exchange.start(200, [(b"content-type", form.encode()), (b"cache-control", b"no-store")])
                if kind != DATA:
                    exchange.end()
                    return
                exchange.write(content)
                await writable.wait()
        except (OSError, asyncio.IncompleteReadError):
            if began:
                exchange.abort()
            elif await asyncio.get_running_loop().run_in_executor(None, self._ran_out):
                done(
                    HttpError(
                        422, QueryLimitError.code, "the process of the catalog ran out of memory, and begins anew",
                        where="catalog.process_mib", expected="a query that takes less",
                    )
                )  # fmt: skip
            else:
                done(
                    HttpError(
                        503, "source.unavailable", "the process of the catalog died", where="catalog",
                        expected="to be asked again", headers=((b"retry-after", b"1"),),
                    )
                )  # fmt: skip
        except asyncio.CancelledError:
            if exchange.state == OPEN:
                done(HttpError(503, "http.stopping", "the process is about to end", where="catalog"))
            elif began:
                exchange.abort()
        except Exception as error:  # or its sender would wait for ever
            _LOGGER.exception("a query of the catalog failed")
            if began:
                exchange.abort()
            else:
                done(error)
        finally:
            exchange.on_writable = None
            if writer is not None:
                writer.close()

    def _connect(self) -> socket.socket:
        """A connection of a query's own, to the process, which is started where there is none."""
        with self._lock:  # first questions come in threads of a pool
            if self._process is None or self._process.poll() is not None or self._control is None:
                self._end()
                self._start()
            assert self._control is not None
            ours, its = socket.socketpair()
            with its:
                try:
                    socket.send_fds(self._control, [b"q"], [its.fileno()])
                except OSError:
                    ours.close()
                    raise
        ours.setblocking(False)
        return ours

    def _start(self) -> None:
        control, its = socket.socketpair()
        package = str(Path(nautilus.__file__).parent.parent)
        paths = [package, *(path for path in sys.path if path and path != package)]
        process_mib = msgspec.convert(self._config, CatalogConfig).process_mib
        with its, contextlib.ExitStack() as undo:
            undo.callback(control.close)
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(its.fileno()), str(AT_ONCE), str(process_mib)],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                env={**ALLOCATION, **os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
            undo.pop_all()
        self._control = control


def _moment(given: Mapping[str, str], name: str) -> int | None:
    """Nanoseconds of a time as text; None where there is none."""
    text = given.get(name, "")
    if text.startswith("-"):  # nanoseconds before 1970
        return -moment_ns(text[1:], name)
    return moment_ns(text, name) if text else None


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


class _Handler:
    """One of the routes."""

    def __init__(self, door: CatalogDoor, what: What) -> None:
        self._door = door
        self._what = what

    def begin(self, request: Request, done: Done) -> None:
        """See `nautilus.runtime.http.request.Beginner`."""
        self._door.begin(self._door.question(self._what, request), request.exchange, done)

    def give_up(self) -> None:
        """The server ends."""
        self._door.give_up()


__all__ = ["CatalogDoor"]
