"""Errors at the border of handlers: every one counted, each distinct one logged once, none swallowed."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import msgspec

_LOGGER = logging.getLogger("nautilus.runtime")


class DistinctError(msgspec.Struct, frozen=True):
    """One error, however often it came. `where` is the handler, and the file and line that raised."""

    where: str
    error: str
    count: int


class ErrorLog:
    """Counts errors by place and type."""

    def __init__(self) -> None:
        self._errors: dict[tuple[str, str], tuple[str, int]] = {}
        self.count = 0

    def add(self, handler: str, error: Exception) -> None:
        """Count an error that a handler raised; log it if none like it came before."""
        if isinstance(error, ExceptionGroup):
            for part in error.exceptions:
                if isinstance(part, Exception):
                    self.add(handler, part)
            return
        self.count += 1
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        key = (f"{handler} ({place})", type(error).__name__)
        text, count = self._errors.get(key, ("", 0))
        if not count:
            text = f"{type(error).__name__}: {error}"
            _LOGGER.error("%s: %s", key[0], text)
        self._errors[key] = (text, count + 1)

    def distinct(self) -> list[DistinctError]:
        """Each distinct error, in order of first appearance, with the text of its first."""
        return [DistinctError(where, text, count) for (where, _), (text, count) in self._errors.items()]
