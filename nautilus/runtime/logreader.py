"""Reading logs: the files of all processes merged by time, filtered, followed, shown to a person."""

from __future__ import annotations

import heapq
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from nautilus.runtime.clock import pause
from nautilus.runtime.logs import LEVELS, SUFFIX, iso_time

Line = dict[str, Any]
_LOOK_SECONDS = 0.1
_SHOWN = ("time", "level", "event", "process", "engine", "logger", "traceback")


class Filter(msgspec.Struct, frozen=True):
    """Which lines are wanted; what is empty lets everything pass.

    Parameters
    ----------
    processes, engines
        Any of these.
    level
        This or a higher one.
    code
        This, or one below it: "venue" takes "venue.format".
    trace_id
        Of one request through all processes.
    since_ns
        Not older.
    """

    processes: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    level: str = "debug"
    code: str = ""
    trace_id: str = ""
    since_ns: int = 0

    def takes(self, line: Line) -> bool:
        """Whether a line is wanted."""
        code = str(line.get("code", ""))
        return (
            (not self.processes or line["process"] in self.processes)
            and (not self.engines or line.get("engine") in self.engines)
            and LEVELS.get(line["level"], LEVELS["error"]) >= LEVELS[self.level]
            and (not self.code or code == self.code or code.startswith(f"{self.code}."))
            and (not self.trace_id or str(line.get("trace_id", "")) == self.trace_id)
            and (not self.since_ns or line["time"] >= iso_time(self.since_ns))
        )


def read(directory: Path, wanted: Filter | None = None, *, last: int = 0) -> Iterator[Line]:
    """The lines of every file in order of time, the `last` ones only where that is not 0."""
    chosen = wanted or Filter()
    merged = heapq.merge(*(_file(directory, name) for name in _names(directory)), key=_time)
    found = filter(chosen.takes, merged)
    return iter(deque(found, maxlen=last)) if last else found


def follow(
    directory: Path, wanted: Filter | None = None, *, last: int = 10, until: Callable[[], bool] = lambda: False
) -> Iterator[Line]:
    """The last lines, then new ones as they are written, across new files; ends once `until` says so."""
    chosen = wanted or Filter()
    tails: dict[str, _Tail] = {}
    first = True
    while True:
        done = until()
        for name in _names(directory):
            if name not in tails:
                tails[name] = _Tail(directory / f"{name}{SUFFIX}")
        found = sorted((line for tail in tails.values() for line in tail.read() if chosen.takes(line)), key=_time)
        yield from found[-last:] if first and last else () if first else found
        first = False
        if done:
            return
        pause(_LOOK_SECONDS)


def text_of(line: Line) -> str:
    """A line as a person reads it."""
    source = line["process"] + (f"/{line['engine']}" if line.get("engine") not in (None, line["process"]) else "")
    rest = [f"{name}={_plain(value)}" for name, value in line.items() if name not in _SHOWN]
    text = f"{line['time'][:23]}Z {line['level']:<7} {source:<12} {line['event']}"
    return " ".join([text, *rest]) + (f"\n{line['traceback'].rstrip()}" if line.get("traceback") else "")


class _Tail:
    """Reads on in a file, and in the one that takes its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._rest = b""

    def read(self) -> list[Line]:
        lines = self._read()
        # The file was full and has been renamed: its last lines are read, now comes the new one.
        while self._is_replaced():
            os.close(self._descriptor)
            self._descriptor = -1
            lines += self._read()
        return lines

    def _read(self) -> list[Line]:
        if self._descriptor < 0:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return []
        content = self._rest
        while chunk := os.read(self._descriptor, 1 << 20):
            content += chunk
        *lines, self._rest = content.split(b"\n")
        return [_parse(line, _stem(self._path)) for line in lines if line]

    def _is_replaced(self) -> bool:
        if self._descriptor < 0:
            return False
        try:
            return not os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def _names(directory: Path) -> Sequence[str]:
    return sorted(path.name.removesuffix(SUFFIX) for path in directory.glob(f"*{SUFFIX}"))


def _file(directory: Path, name: str) -> Iterator[Line]:
    """All that a process has logged: its full files, oldest first, and the one that it writes."""
    numbered = directory.glob(f"{name}{SUFFIX}.[0-9]*")
    older = sorted(numbered, key=lambda path: int(path.suffix[1:]), reverse=True)
    for path in (*older, directory / f"{name}{SUFFIX}"):
        try:
            with open(path, "rb") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        yield _parse(line, name)
        except FileNotFoundError:
            continue


def _parse(line: bytes, process: str) -> Line:
    try:
        found = msgspec.json.decode(line)
        if isinstance(found, dict) and all(isinstance(found.get(name), str) for name in ("time", "level", "event")):
            return {"process": process, **found}
    except msgspec.DecodeError:
        pass
    return {
        "time": "",
        "level": "error",
        "event": line.decode(errors="replace").rstrip(),
        "process": process,
        "code": "log.unreadable",
    }


def _stem(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


def _time(line: Line) -> str:
    return str(line["time"])


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and " " not in value and value else msgspec.json.encode(value).decode()
