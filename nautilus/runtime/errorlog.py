"""Errors at the border of handlers: every one counted, none swallowed, none that floods the log.

Of a kind - place and type - the first is logged with its traceback. Within the same minute others follow only where
they carry the trace of a request, so that each answer's `trace_id` is found, and not more than ten of them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from nautilus.runtime.clock import NANOSECONDS, monotonic_ns

_LOGGER = logging.getLogger("nautilus.runtime")

QUIET_NS = 60 * NANOSECONDS
"""Of a kind one whole line in so long; and what has not come back for so long is over."""
TRACED_LINES = 10
"""Most lines of a kind in that time."""
LONGEST_QUOTE, LONGEST_TEXT = 100, 1000
_QUOTED = re.compile(rf"'[^'\n]{{{LONGEST_QUOTE + 1},}}'|\"[^\"\n]{{{LONGEST_QUOTE + 1},}}\"")


class DistinctError(msgspec.Struct, frozen=True):
    """One error, however often it came. `where` is the handler, and the file and line that raised."""

    where: str
    error: str
    count: int


class _Kind:
    """All errors of one place and type."""

    __slots__ = ("begun_ns", "count", "last_ns", "lines", "mistake", "text")

    def __init__(self, text: str, mistake: bool) -> None:
        self.text = text
        self.mistake = mistake
        self.count = 0
        self.last_ns = 0
        self.begun_ns = 0
        self.lines = 0


class ErrorLog:
    """Counts errors by place and type.

    Parameters
    ----------
    clock
        Nanoseconds that only grow.
    """

    def __init__(self, clock: Callable[[], int] = monotonic_ns) -> None:
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self.count = 0

    def add(
        self, handler: str, error: Exception, *, engine: str = "", trace_id: str = "", mistake: bool = False
    ) -> None:
        """Count an error that a handler raised, and log it unless its like have had their lines.

        Parameters
        ----------
        engine, trace_id
            Whose handler, and for which request, where that is known.
        mistake
            It is the sender's: told to the sender, of no concern to whoever looks after the engine.
        """
        if isinstance(error, ExceptionGroup):
            for part in error.exceptions:
                if isinstance(part, Exception):
                    self.add(handler, part, engine=engine, trace_id=trace_id, mistake=mistake)
            return
        self.count += 1
        where = f"{handler} ({_place(error)})"
        key = (where, type(error).__name__)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(_text(error), mistake)
        kind.count += 1
        kind.last_ns = now_ns = self._clock()
        whole = not kind.lines or now_ns - kind.begun_ns >= QUIET_NS
        if whole:
            kind.begun_ns, kind.lines = now_ns, 0
        if whole or (trace_id and kind.lines < TRACED_LINES):
            kind.lines += 1
            _write(where, error, kind, engine, trace_id, whole=whole)

    def distinct(self) -> list[DistinctError]:
        """Each distinct error, in order of first appearance, with the text of its first."""
        return [DistinctError(where, kind.text, kind.count) for (where, _), kind in self._kinds.items()]

    def recent(self) -> list[DistinctError]:
        """Those that came within the last minute and are no mistakes of senders."""
        since_ns = self._clock() - QUIET_NS
        return [
            DistinctError(where, kind.text, kind.count)
            for (where, _), kind in self._kinds.items()
            if kind.last_ns > since_ns and not kind.mistake
        ]


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """A text with the values that it quotes cut short, and itself too: senders choose how long those are."""
    if len(text) > LONGEST_QUOTE:
        text = _QUOTED.sub(lambda found: f"{found[0][: LONGEST_QUOTE + 1]}...{found[0][-1]}", text)
    return text if len(text) <= longest else text[:longest] + "..."


def _write(where: str, error: Exception, kind: _Kind, engine: str, trace_id: str, *, whole: bool) -> None:
    text = _text(error)
    fields: dict[str, object] = {"count": kind.count}
    fields |= {name: value for name, value in (("engine", engine), ("trace_id", trace_id)) if value}
    if kind.mistake:
        _LOGGER.info("%s: %s", where, text, extra={"fields": fields})
        return
    code = getattr(error, "code", None)
    fields["code"] = code if isinstance(code, str) else "internal"
    fields["error"] = text
    _LOGGER.error("%s: %s", where, text, extra={"fields": fields}, exc_info=error if whole else None)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {shortened(str(error))}"


def _place(error: Exception) -> str:
    found = error.__traceback__
    if found is None:
        return "?"
    while found.tb_next is not None:
        found = found.tb_next
    return f"{Path(found.tb_frame.f_code.co_filename).name}:{found.tb_lineno}"


__all__ = ["DistinctError", "ErrorLog", "shortened"]
