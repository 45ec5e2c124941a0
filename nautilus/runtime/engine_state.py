"""An engine's state in a file, for its next life: what it knows, and up to which event it knows it."""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from nautilus.core.crc32c import crc32c
from nautilus.model.errors import InternalError
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.files import sync, write_atomically
from nautilus.runtime.worker import pack, unpack

_CHECKSUM: Final = 4
"""Bytes at the end of a part: the CRC32C of the others."""


class SavedState(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the file holds.

    Parameters
    ----------
    report_sequence, reports
        Of the last execution report that was handled, and how many of this sequence were: a match has one for each
        side. 0: all that there are.
    state
        As `Engine.state` gave it.
    checksum
        CRC32C of all that stands before it in the file, in hexadecimal; the file of an earlier version has none.
    """

    report_sequence: int
    reports: int
    state: dict[str, Any]
    checksum: str = ""


class StateFile:
    """The state of one engine, replaced as a whole: a crash of the process leaves the old one or the new one.

    It is synced where asked for; what a crash of the machine takes of all else is made good from the trading core's
    own record.
    """

    def __init__(self, directory: Path, engine: str) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = directory / f"{engine}.json"
        self.parts = BulkFiles(directory, engine)
        self._written = b""
        self._synced = False

    def load(self) -> SavedState | None:
        """What was saved last; None where nothing was.

        Raises
        ------
        InternalError
            It cannot be read.
        """
        try:
            content = self.path.read_bytes()
            saved = msgspec.json.decode(content, type=SavedState)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InternalError(str(error), where=str(self.path), expected="a state that was saved") from None
        if saved.checksum and content != _sealed(content[: content.rfind(b",")] + b"}"):
            raise InternalError("its checksum is another one", where=str(self.path), expected="a state that was saved")
        return msgspec.structs.replace(saved, checksum="")

    def save(self, saved: SavedState, *, synced: bool = False) -> bool:
        """Write it where it differs from what was written last, or is to be synced and was not; whether it did."""
        content = _sealed(msgspec.json.encode(saved))
        if content == self._written and self._synced >= synced:
            return False
        write_atomically(self.path, content, durable=synced)
        self._written, self._synced = content, synced
        return True

    def set_aside(self, why: str) -> Path:
        """Move the file out of the way, for a person to look at; its new place, which nothing has had before."""
        place, number = self.path.with_suffix(f".{why}"), 1
        while place.exists():
            number += 1
            place = self.path.with_suffix(f".{why}.{number}")
        with contextlib.suppress(FileNotFoundError):
            self.path.replace(place)
        self._written = b""
        return place


class BulkFiles:
    """The large parts of an engine's state (`Engine.bulk`), each in a file of its own, named by its digest."""

    def __init__(self, directory: Path, engine: str) -> None:
        self._directory = directory / f"{engine}.parts"
        self._written: dict[str, int] = {}
        self._unsynced: set[str] = set()
        self._stopped_at = ""

    def load(self, take: Callable[[str, Any], object]) -> None:
        """Hand over each part with its name. InternalError where one cannot be read."""
        for half_written in self._directory.glob(".*.part.*"):  # when the process was killed
            half_written.unlink(missing_ok=True)
        for path in sorted(self._directory.glob("*.part")):
            content = path.read_bytes()
            if content[-_CHECKSUM:] != _checksum(content[:-_CHECKSUM]):
                raise InternalError("its checksum is another one", where=str(path), expected="a part that was saved")
            name, part = unpack(content[:-_CHECKSUM])
            take(name, part)

    def save(self, parts: Mapping[str, tuple[int, Callable[[], Any]]], most_ns: int, *, synced: bool = False) -> bool:
        """Write what has changed, for so long; whether all is written, and with `synced` on disk.

        What had no turn has the first one next time. A part that cannot be written keeps no other from being; the first
        error is raised in the end.
        """
        if not parts and not self._written and not self._directory.exists():
            return True
        until_ns = monotonic_ns() + most_ns
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in [name for name in self._written if name not in parts]:
            self._place(name).unlink(missing_ok=True)
            del self._written[name]
            self._unsynced.discard(name)
        todo = [
            name
            for name, (version, _) in parts.items()
            if self._written.get(name) != version or (synced and name in self._unsynced)
        ]
        first = todo.index(self._stopped_at) if self._stopped_at in todo else 0
        waiting, failed = deque(todo[first:] + todo[:first]), list[Exception]()
        while waiting:
            name = waiting.popleft()
            try:
                self._write(name, *parts[name], synced=synced)
            except Exception as error:
                failed.append(error)
            if waiting and monotonic_ns() > until_ns:
                break
        self._stopped_at = waiting[0] if waiting else ""
        if failed:
            raise failed[0]
        if synced and not waiting:
            sync(self._directory)
        return not waiting

    def _write(self, name: str, version: int, give: Callable[[], Any], *, synced: bool) -> None:
        if self._written.get(name) != version:
            content = pack((name, give()))
            write_atomically(self._place(name), content + _checksum(content))
            self._written[name] = version
            self._unsynced.add(name)
        if synced:
            sync(self._place(name))
            self._unsynced.discard(name)

    def known(self, parts: Mapping[str, tuple[int, Callable[[], Any]]]) -> None:
        """These are what the files hold."""
        self._written = {name: version for name, (version, _) in parts.items()}
        self._unsynced = set(self._written)

    def set_aside(self) -> None:
        """Move them out of the way."""
        place, number = self._directory.with_suffix(".old"), 1
        while place.exists():
            number += 1
            place = self._directory.with_suffix(f".old.{number}")
        with contextlib.suppress(FileNotFoundError):
            self._directory.replace(place)
        self._written = {}
        self._unsynced = set()

    def _place(self, name: str) -> Path:
        return self._directory / f"{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}.part"


def _checksum(content: bytes) -> bytes:
    return crc32c(content).to_bytes(_CHECKSUM, "little")


def _sealed(content: bytes) -> bytes:
    """A state as JSON with its checksum as the last field."""
    return content[:-1] + f',"checksum":"{crc32c(content[:-1]):08x}"}}'.encode()
