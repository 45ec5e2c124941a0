"""The state of the features of all instruments: one bank of indicators for each source, fed by the star's records."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from decimal import Decimal

import numpy as np

from nautilus.core.feature_feed import BARS, QUOTES, TRADES, FeatureFeed
from nautilus.core.indicators import Bank
from nautilus.core.ticks import BarKind
from nautilus.engines.features.histories import steps_in_words
from nautilus.maths.indicators import KEPT_ROWS, Compiled
from nautilus.model.basis import Basis
from nautilus.model.features import FeatureSource, FeatureSourceStatus
from nautilus.model.instrument import Instrument

_KINDS = {"bar": BARS, "quote": QUOTES, "trade": TRADES}
SLACK = 8
"""Rows between two moves of an instrument's past: less take more time, more take more memory."""


class SourceFeed:
    """Features of one source, of all instruments.

    Parameters
    ----------
    made
        Program of the features.
    instruments
        In the order of their slots.
    rows
        What a row is, for the provenance of answers.
    bar_kind, bar_size
        Rule of the bars.
    """

    def __init__(
        self,
        made: Compiled,
        instruments: Iterable[Instrument],
        rows: str,
        bar_kind: BarKind | None = None,
        bar_size: int = 0,
    ) -> None:
        listed = list(instruments)
        self.made, self.rows = made, rows
        self._digest = hashlib.sha256("".join(made.digests.values()).encode()).hexdigest()
        self.bank = Bank(made.program, max(len(listed), 1), SLACK)
        kind = 0 if bar_kind is None else int(bar_kind)
        keeps = KEPT_ROWS[made.source]
        self.feed = FeatureFeed(self.bank, _KINDS[made.source], bar_kind=kind, bar_size=bar_size, keeps=keeps)
        self.slots = {
            each.instrument_id: self.feed.add(
                each.instrument_id, *_fraction(each.price_increment), *_fraction(each.quantity(1))
            )
            for each in listed
        }

    def vector(self, instrument_id: int) -> tuple[list[float], list[bool], int]:
        """(values, which there are, rows) of all outputs of an instrument."""
        slot = self.slots[instrument_id]
        values, valid = self.bank.values(slot)
        return values.tolist(), valid.tolist(), self.bank.rows_of(slot)

    def times(self, instrument_id: int) -> tuple[int, int]:
        """Time of the newest row, and when it was known; 0 before the first."""
        _, time_ns, known_ns, _, _ = self.feed.where(self.slots[instrument_id])
        return time_ns, known_ns

    def basis(self, instrument_id: int, version: str) -> Basis:
        """What the values of an instrument rest on."""
        slot = self.slots[instrument_id]
        begin_ns, time_ns, _, gaps, synthetic = self.feed.where(slot)
        split_ns, ratio, jumps = self.feed.splits(slot)
        split = f", in shares of after the split of {ratio:g} for 1 at {split_ns}" if ratio else ""
        if split_ns and not ratio:
            split = f", begun anew after a split at {split_ns} of which nobody said what it was"
        return Basis(
            method=f"features of {self.rows}, definitions of the registry{split}{steps_in_words(jumps)}",
            window=self.bank.rows_of(slot),
            begin_ns=begin_ns,
            end_ns=time_ns,
            source="star",
            missing=gaps,
            synthetic=synthetic > 0,
            version=version,
        )

    def status(self) -> FeatureSourceStatus:
        """Rows taken, and records that were not, by why."""
        feed = self.feed
        return FeatureSourceStatus(
            FeatureSource(self.made.source),
            int(np.count_nonzero(feed.times()[2])),
            feed.taken,
            feed.late,
            feed.stale,
            feed.crossed,
            feed.one_sided,
            feed.unknown,
            feed.foreign,
            feed.duplicates,
            feed.mixed,
        )

    def split(self, instrument_id: int, time_ns: int, ratio: float) -> None:
        """See `FeatureFeed.split`."""
        self.feed.split(instrument_id, time_ns, ratio)

    def version(self, slot: int) -> int:
        """Another number whenever the state of an instrument is another one."""
        # A split may leave as many rows as there were.
        return self.bank.rows_of(slot) + self.feed.splits(slot)[0]

    def part(self, slot: int) -> dict[str, object]:
        """State of one instrument, for `restore`."""
        rows, memory = self.feed.state(slot)
        return {"rows": rows, "memory": np.frombuffer(memory, np.uint8), "digest": self.digest}

    def restore(self, instrument_id: int, part: dict[str, object]) -> bool:
        """Go on where `part` was taken; False: it was of other definitions, or the instrument has changed."""
        slot = self.slots.get(instrument_id)
        memory = part.get("memory")
        if slot is None or part.get("digest") != self.digest or not isinstance(memory, np.ndarray):
            return False
        try:
            self.feed.restore(slot, int(str(part["rows"])), memory.tobytes())
        except ValueError:
            return False
        return True

    @property
    def digest(self) -> str:
        """Of the definitions that the state belongs to."""
        return self._digest


def _fraction(value: Decimal) -> tuple[float, float]:
    over, under = value.as_integer_ratio()
    return float(over), float(under)


__all__ = ["SLACK", "SourceFeed"]
