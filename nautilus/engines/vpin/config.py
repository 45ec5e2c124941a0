"""Settings of VPIN, checked once."""

from __future__ import annotations

import msgspec

from nautilus.core.buckets import Classification
from nautilus.core.vpin import VpinTable
from nautilus.maths.toxicity import Thresholds
from nautilus.model.errors import ConfigError

SIDE, BULK = MEASURES = ("side", "bulk")
DISTRIBUTIONS = {"normal": Classification.NORMAL, "student": Classification.STUDENT}
_NANOSECONDS = 1_000_000_000


class VpinConfig(msgspec.Struct, frozen=True):
    """Settings; docs/vpin.md has the definitions.

    Parameters
    ----------
    bucket_lots, buckets
        Lots of a bucket; others by symbol.
    window, history
        Buckets in a VPIN, and values that its percentile is of.
    bars_seconds, bar_lots
        Bars of bulk classification: of time, or, where `bar_lots` is above 0, of so many lots.
    distribution, degrees, decay
        ``normal`` or ``student`` with its degrees of freedom; the decay of sigma.
    warn_on
        Which of the two measures warns: ``side`` or ``bulk``.
    toxicity_enter, toxicity_leave
        Percentiles at which a warning of toxicity begins and ends.
    structure_enter, structure_leave
        The same of one-sided flow and of hurried volume, which make the regime.
    dwell_buckets
        Buckets that a warning stays on, or off, at least.
    least_history
        Values without which nothing warns.

    Raises
    ------
    ConfigError
        A setting out of range.
    """

    bucket_lots: int = 10_000
    buckets: dict[str, int] = {}
    window: int = 50
    history: int = 1000
    bars_seconds: float = 60.0
    bar_lots: int = 0
    distribution: str = "normal"
    degrees: float = 0.25
    decay: float = 0.95
    warn_on: str = SIDE
    toxicity_enter: float = 0.9
    toxicity_leave: float = 0.75
    structure_enter: float = 0.8
    structure_leave: float = 0.6
    dwell_buckets: int = 5
    least_history: int = 50

    def __post_init__(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise self._error(f"distribution {self.distribution!r}", " or ".join(DISTRIBUTIONS))
        if self.warn_on not in MEASURES:
            raise self._error(f"warn_on {self.warn_on!r}", " or ".join(MEASURES))
        for name, (enter, leave, dwell) in (("toxicity", self.toxicity), ("structure", self.structure)):
            if not 0.0 < leave <= enter <= 1.0 or dwell < 0:
                raise self._error(
                    f"{name} from {enter} to {leave}, dwell_buckets {dwell}",
                    f"0 < {name}_leave <= {name}_enter <= 1, dwell_buckets of 0 or more",
                )
        if not 1 <= self.least_history <= self.history:
            raise self._error(f"least_history {self.least_history}", f"1 to history, {self.history}")
        if not 0.001 <= self.bars_seconds <= 86_400.0:
            raise self._error(f"bars_seconds {self.bars_seconds}", "0.001 to 86400")
        try:
            for lots in (self.bucket_lots, *self.buckets.values()):
                for table in (self.side_table(), self.bulk_table()):
                    table.add(1, lots)
        except ValueError as error:
            raise self._error(str(error), "settings in range") from None

    @property
    def toxicity(self) -> Thresholds:
        """Of the warning of toxicity."""
        return Thresholds(self.toxicity_enter, self.toxicity_leave, self.dwell_buckets)

    @property
    def structure(self) -> Thresholds:
        """Of what makes the regime."""
        return Thresholds(self.structure_enter, self.structure_leave, self.dwell_buckets)

    @property
    def bar_ns(self) -> int:
        """How long a bar of time is; 0: bars are of lots."""
        return 0 if self.bar_lots else round(self.bars_seconds * _NANOSECONDS)

    def side_table(self) -> VpinTable:
        """An empty table by the aggressor's side."""
        return VpinTable(window=self.window, history=self.history)

    def bulk_table(self) -> VpinTable:
        """An empty table by bulk classification."""
        return VpinTable(
            window=self.window,
            history=self.history,
            classification=DISTRIBUTIONS[self.distribution],
            bar_ns=self.bar_ns,
            bar_lots=self.bar_lots,
            decay=self.decay,
            degrees=self.degrees,
        )

    def method(self, measure: str) -> str:
        """What a measure is, in words."""
        if measure == SIDE:
            return "VPIN (Easley, Lopez de Prado, O'Hara 2012) by the aggressor's side, else the tick test"
        bars = f"bars of {self.bar_lots} lots" if self.bar_lots else f"bars of {self.bars_seconds:g} s"
        shape = f"Student's t with {self.degrees:g} degrees" if self.distribution == "student" else "normal"
        return (
            f"VPIN (Easley, Lopez de Prado, O'Hara 2012) by bulk classification, {shape}, {bars}, decay {self.decay:g}"
        )

    @staticmethod
    def _error(what: str, expected: str) -> ConfigError:
        return ConfigError(what, where="vpin", expected=expected)


__all__ = ["BULK", "DISTRIBUTIONS", "MEASURES", "SIDE", "VpinConfig"]
