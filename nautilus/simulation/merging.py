"""Many recordings as one market: merged in order of time, each with its own instrument and participants.

Order is exact, and the same at every speed: by receive stamp; at one stamp by the place of the recording among those
that play, and all that one recording has at a stamp comes before anything of the next; within a recording as it has
it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus.core.types import COMMAND
from nautilus.model.errors import ConfigError
from nautilus.model.instrument import Instrument
from nautilus.simulation.playback import RecordedSource
from nautilus.simulation.recording import NOTHING
from nautilus.simulation.source import CoreView, Step

Records = NDArray[np.void]
SHOWN = 10
"""Notes and differences that the summary keeps."""


class MergedSource:
    """Plays recordings side by side, in the order that the module states.

    A recording that breaks off ends the whole there: what the others have up to its last stamp was played or is lost
    with it, so that nobody trades in a market of which a part stands still.

    Parameters
    ----------
    sources : each with an instrument id and a number (its accounts) of its own.

    Raises
    ------
    ConfigError
        No source, or two with the same instrument id, symbol or accounts.
    """

    derives = False

    def __init__(self, sources: Sequence[RecordedSource]) -> None:
        self.sources = tuple(sources)
        if not self.sources:
            raise ConfigError("no recording", where="MergedSource", expected="at least one")
        for name, keys in (
            ("instrument ids", [each.market.instrument.instrument_id for each in self.sources]),
            ("symbols", [each.market.instrument.symbol for each in self.sources]),
            ("accounts", [each.market.book_account for each in self.sources]),
        ):
            twice = [key for key, count in Counter(keys).items() if count > 1]
            if twice:
                raise ConfigError(f"{name} {twice} twice", where="MergedSource", expected="one of each")
        self._by_instrument = {each.market.instrument.instrument_id: each for each in self.sources}
        self._heap: list[tuple[int, int]] = []
        self._asked = list(range(len(self.sources)))  # whose next time is to be asked for, last first
        self._asked.reverse()

    def instruments(self) -> tuple[Instrument, ...]:
        """Return the recorded instruments, in the order of the recordings."""
        return tuple(each.market.instrument for each in self.sources)

    def attach(self, core: CoreView) -> None:
        """Nothing is read of the core."""

    @property
    def check(self) -> Callable[[Records], Records] | None:
        """One for all, as each tells instruments apart."""
        return self.sources[0].check

    @check.setter
    def check(self, check: Callable[[Records], Records] | None) -> None:
        for source in self.sources:
            source.check = check

    def setup(self) -> Records:
        """COMMAND array that opens the accounts of all of them."""
        return np.concatenate([each.setup() for each in self.sources]).astype(COMMAND, copy=False)

    def begin(self, now_ns: int) -> Records:
        """Nothing to clear away: recordings play into a core that has seen none of them."""
        return NOTHING

    @property
    def waits(self) -> bool:
        """As the recording that is asked, or plays, next."""
        if self._asked:
            return self.sources[self._asked[-1]].waits
        return bool(self._heap) and self.sources[self._heap[0][1]].waits

    def next_ns(self) -> int | None:
        """Receive stamp of the next update of any of them; None when all have ended.

        Raises
        ------
        VenueError
            A recording is broken from here on.
        """
        while self._asked:
            number = self._asked[-1]
            next_ns = self.sources[number].next_ns()
            self._asked.pop()
            if next_ns is not None:
                heappush(self._heap, (next_ns, number))
        return self._heap[0][0] if self._heap else None

    def step(self) -> Step:
        """Play the next update. Only after `next_ns()` gave a time."""
        _, number = heappop(self._heap)
        self._asked.append(number)
        return self.sources[number].step()

    def on_events(self, events: Records) -> None:
        """Take in an EVENT array of the core: each recording that it names an instrument of sees it whole."""
        if not len(events):
            return
        ids = events["instrument_id"]
        first = int(ids[0])
        if len(ids) == 1 or (ids == first).all():
            source = self._by_instrument.get(first)
            if source is not None:
                source.on_events(events)
            return
        for instrument_id in np.unique(ids).tolist():
            source = self._by_instrument.get(instrument_id)
            if source is not None:
                source.on_events(events)

    def summary(self) -> dict[str, Any]:
        """Sums over the recordings, and under `instruments` what each of them says, by symbol."""
        return merged_summary({each.market.instrument.symbol: each.summary() for each in self.sources})

    @property
    def progress(self) -> float | None:
        """Part of the recordings that was read: the mean over them."""
        parts = [each.progress or 0.0 for each in self.sources]
        return sum(parts) / len(parts)


def merged_summary(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Sums of what recordings say, by symbol, and all that each says under `instruments`."""
    formats = sorted({str(part.get("format", "")) for part in parts.values()} - {""})
    checks: dict[str, Any] = {"compared": 0, "equal": 0, "pending": 0, "unordered": 0, "without_ticker": 0}
    by_depth: Counter[str] = Counter()
    for part in parts.values():
        found = part.get("book_checks") or {}
        for name in checks:
            checks[name] += found.get(name, 0)
        by_depth.update(found.get("by_depth", {}))
    differences = [
        {"symbol": symbol, **each}
        for symbol, part in parts.items()
        for each in (part.get("book_checks") or {}).get("differences", ())
    ]
    checks["differences"] = differences[:SHOWN]
    if by_depth:
        checks["by_depth"] = dict(by_depth)
    market: Counter[str] = Counter()
    for part in parts.values():
        market.update({name: value for name, value in part.get("market", {}).items() if isinstance(value, int)})
    return {
        "format": "+".join(formats),
        "records": _sum(parts, "records"),
        "skipped": _sum(parts, "skipped"),
        "gaps": sum(part.get("gaps", 0) for part in parts.values()),
        "lost": sum(part.get("lost", 0) for part in parts.values()),
        "notes": [note for part in parts.values() for note in part.get("notes", ())][:SHOWN],
        "book_checks": checks,
        "rejected": _sum(parts, "rejected"),
        "market": dict(market),
        "instruments": parts,
    }


def _sum(parts: dict[str, dict[str, Any]], name: str) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts.values():
        for key, count in part.get(name, {}).items():
            total[key] += count
    return dict(total)
