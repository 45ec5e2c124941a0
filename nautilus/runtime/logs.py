"""Structured logs: one schema, one JSON line an event, a file of bounded size for each process.

::

    {"time": "2026-01-02T03:04:05.123456789Z", "level": "warning", "event": "peer lost", "process": "risk", ...}

`time`, `level`, `event` and `process` are always there; `engine`, `code` and `trace_id` where they say something; the
rest is what the caller gave. What is logged through `logging` takes the same way, with `logger` naming its origin and
the fields of ``extra={"fields": {...}}``.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from nautilus.runtime.clock import NANOSECONDS, wall_ns
from nautilus.runtime.errorlog import shortened
from nautilus.runtime.platform import LoggingConfig

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
SUFFIX = ".jsonl"
_NAMES = {"critical": "error", "exception": "error", "warn": "warning"}
LONGEST_PART = 1000
"""Of a traceback: a frame, or a message."""
_FIRST = ("time", "level", "event", "process", "engine", "code", "trace_id")

Logger = structlog.typing.FilteringBoundLogger


class LogFile:
    """A log file. Each line is one write, so that lines of several threads never mix, and a crash loses none.

    A full disk must not stop who logs: what cannot be written is dropped and counted, and the file says how much that
    was as soon as it takes lines again.

    Parameters
    ----------
    lost
        The line that says how many were dropped.
    """

    def __init__(self, path: Path, *, file_bytes: int, files: int, lost: Callable[[int], bytes]) -> None:
        self.path = path
        self.dropped = 0
        """Lines that could not be written and of which the file does not tell yet."""
        self._file_bytes = file_bytes
        self._files = files
        self._lost = lost
        self._guard = threading.Lock()
        self._descriptor = -1
        self._size = 0
        self._begin()

    def write(self, line: bytes) -> None:
        """Append one line; begin a new file where this one is full."""
        with self._guard:
            if self._descriptor < 0:
                return
            if self._size and self._size + len(line) > self._file_bytes:
                self._rotate()
            if self.dropped and self._append(self._lost(self.dropped)):
                self.dropped = 0
            if not self._append(line):
                self.dropped += 1

    def _append(self, line: bytes) -> bool:
        try:
            written = os.write(self._descriptor, line)
        except OSError:
            return False
        if written < len(line):
            # The disk became full within the line: half of it would spoil the next one.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            return False
        self._size += written
        return True

    def close(self) -> None:
        """What is written from now on is dropped."""
        with self._guard:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _begin(self) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    def _rotate(self) -> None:
        # Where that fails, the file grows on.
        with contextlib.suppress(OSError):
            if self._files == 0:
                self.path.unlink()
            for number in range(self._files, 0, -1):
                older = self.path.with_name(f"{self.path.name}.{number}")
                newer = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
                if newer.exists():
                    newer.replace(older)
            self._begin()


class _Sink:
    """What structlog hands a rendered line to, whatever the level."""

    def __init__(self, file: LogFile) -> None:
        self.msg = file.write

    def __getattr__(self, name: str) -> Any:
        return self.msg


class _LibraryHandler(logging.Handler):
    """Takes the records of libraries the same way."""

    def __init__(self, render: Callable[[dict[str, Any]], bytes], file: LogFile) -> None:
        super().__init__()
        self._render = render
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields = {"event": record.getMessage(), "level": record.levelname.lower(), "logger": record.name}
            if record.exc_info and record.exc_info[1] is not None:
                fields["exc_info"] = record.exc_info  # type: ignore[assignment]
            fields.update(getattr(record, "fields", ()))
            self._file.write(self._render(fields))
        except Exception:
            self.handleError(record)


def configure(
    process: str, data: str | Path, config: LoggingConfig | None = None, *, clock: Callable[[], int] = wall_ns
) -> LogFile:
    """Send all logs of this process to ``<data>/logs/<process>.jsonl``; to be called once, after any fork."""
    settings = config or LoggingConfig()
    directory = Path(data) / "logs"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    level = LEVELS[settings.level]

    def render(fields: MutableMapping[str, Any]) -> bytes:
        return _render(fields, process, clock())

    def lost(lines: int) -> bytes:
        return render({"event": f"{lines} lines were lost: no room to write them", "level": "error", "lost": lines})

    file = LogFile(
        directory / f"{process}{SUFFIX}", file_bytes=settings.file_mib << 20, files=settings.files, lost=lost
    )

    structlog.configure(
        processors=[_add_level, lambda _, __, fields: render(fields)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Sink(file),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _LibraryHandler):
            root.removeHandler(handler)
    root.addHandler(_LibraryHandler(render, file))
    root.setLevel(level)
    # A library at level info tells of each request; this platform's own lines are wanted at that level.
    for name in ("fastapi", "asyncio"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)
    return file


def get_logger(**fields: Any) -> Logger:
    """A logger with fields that each of its lines carries, such as `engine`."""
    logger: Logger = structlog.get_logger().bind(**fields)
    return logger


def iso_time(ns: int) -> str:
    """Nanoseconds since the epoch as a person and a sort read them."""
    seconds, rest = divmod(ns, NANOSECONDS)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _add_level(_: Any, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    fields["level"] = method
    return fields


def trace_with(current: Callable[[], int]) -> None:
    """Let each line carry the trace within which it is written, where it has none of its own; 0: there is none."""
    global _current_trace
    _current_trace = current


def _no_trace() -> int:
    return 0


_current_trace: Callable[[], int] = _no_trace


def _render(fields: MutableMapping[str, Any], process: str, now_ns: int) -> bytes:
    trace = _current_trace()
    if trace:
        fields.setdefault("trace_id", f"{trace:032x}")
    error = fields.pop("exc_info", None)
    fields["time"] = iso_time(now_ns)
    fields["process"] = process
    fields["level"] = _NAMES.get(fields["level"], fields["level"])
    if error:
        fields.update({name: value for name, value in _described(error).items() if name not in fields})
    line = {name: fields.pop(name) for name in _FIRST if fields.get(name) is not None}
    line.update(fields)
    try:
        return msgspec.json.encode(line, enc_hook=str) + b"\n"
    except Exception:
        # A value without a form in JSON must not lose the line.
        return msgspec.json.encode({str(name): str(value) for name, value in line.items()}) + b"\n"


def _described(given: Any) -> dict[str, str]:
    found = sys.exc_info() if given is True else given
    error = found[1] if isinstance(found, tuple) else found
    if not isinstance(error, BaseException):
        return {}
    # Messages quote what senders chose: they must not fill the file.
    parts = traceback.format_exception(error)
    told = "".join(part if len(part) <= LONGEST_PART else f"{part[:LONGEST_PART]}...\n" for part in parts)
    described = {"error": f"{type(error).__name__}: {shortened(str(error))}", "traceback": told}
    code = getattr(error, "code", None)
    return {**described, "code": code} if isinstance(code, str) else described
