"""An engine's state in a file, for its next life: what it knows, and up to which event it knows it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from nautilus.model.errors import InternalError
from nautilus.runtime.files import write_atomically


class SavedState(msgspec.Struct, frozen=True):
    """What the file holds.

    Parameters
    ----------
    report_sequence, reports
        Of the last execution report that was handled, and how many of this sequence were: a match has one for each
        side. 0: all that there are.
    state
        As `Engine.state` gave it.
    """

    report_sequence: int
    reports: int
    state: dict[str, Any]


class StateFile:
    """The state of one engine, replaced as a whole: a crash of the process leaves the old one or the new one.

    It is not synced: what a crash of the machine takes is made good from the trading core's own record.
    """

    def __init__(self, directory: Path, engine: str) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = directory / f"{engine}.json"
        self._written = b""

    def load(self) -> SavedState | None:
        """What was saved last; None where nothing was.

        Raises
        ------
        InternalError
            It cannot be read.
        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=SavedState)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InternalError(str(error), where=str(self.path), expected="a state that was saved") from None

    def save(self, saved: SavedState) -> bool:
        """Write it where it differs from what was written last; whether it did."""
        content = msgspec.json.encode(saved)
        if content == self._written:
            return False
        write_atomically(self.path, content)
        self._written = content
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
