"""What the factor engine says: returns of factors by day, and what they made of portfolios."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from nautilus.engines.analytics.attribution import ESTIMATED, by_factor, common_days
from nautilus.engines.analytics.track import Track
from nautilus.maths.errors import Undefined
from nautilus.model.attribution import FactorAttribution
from nautilus.model.basis import Basis
from nautilus.model.errors import ModelError
from nautilus.model.factor import PortfolioAttributed
from nautilus.model.signals import FactorsUpdated

DAY_SECONDS = 86_400
DAY_NS = DAY_SECONDS * 1_000_000_000
MODEL = "exposures of the factor engine's cross-sectional model; contributions linked by Carino's coefficients"


class Day(NamedTuple):
    """A portfolio's return of a day: contributions of the factors and the specific part add up to the total."""

    contributions: tuple[float, ...]
    specific: float
    total: float


class Attributed:
    """Of one portfolio, by day; those of the newest names."""

    __slots__ = ("days", "names", "revision")

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.days: dict[int, Day] = {}
        self.revision = 0


class Factors:
    """Returns of factors by day, as the factor engine says them; those of the newest names."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.names: tuple[str, ...] = ()
        self.days: dict[int, tuple[float, ...]] = {}
        self.attributed: dict[int, Attributed] = {}
        self.revision = 0

    def take(self, update: FactorsUpdated) -> None:
        """Returns of one day; other names than before begin a new history.

        Raises
        ------
        ModelError
            They are not one number for each name.
        """
        _check(update.names, update.returns)
        if update.names != self.names:
            self.names, self.days = update.names, {}
        self.days[update.day] = update.returns
        _shorten(self.days, self._most)
        self.revision += 1

    def take_attributed(self, update: PortfolioAttributed) -> None:
        """What factors made of a portfolio on a day. Raises ModelError."""
        _check(update.names, (*update.contributions, update.specific, update.total), beside=2)
        kept = self.attributed.setdefault(update.portfolio_id, Attributed())
        if update.names != kept.names:
            kept.names, kept.days = tuple(update.names), {}
        kept.days[update.day] = Day(update.contributions, update.specific, update.total)
        _shorten(kept.days, self._most)
        kept.revision += 1
        self.revision += 1

    def attribution(self, track: Track, basis: Basis, period_seconds: int) -> FactorAttribution:
        """A portfolio's return by factor: as the factor engine's model has it, else by exposures that are estimated.

        Raises
        ------
        Undefined
            ``empty``: no factors; ``mismatch``: periods that are no days; ``missing_days``, ``too_few``, ``singular``,
            ``out_of_range``: of the returns.
        """
        found = self.attributed.get(track.portfolio_id)
        if found is not None:
            return self._of_model(found)
        if not self.days:
            raise Undefined("empty", "no factors", expected="those of the factor engine")
        if period_seconds != DAY_SECONDS:
            raise Undefined("mismatch", "factors of days, periods of another length", expected="periods of a day")
        by_day = dict(zip((time // DAY_NS for time in track.times), track.held_returns, strict=True))
        days, returns, table = common_days(by_day, self.days)
        made = _basis(ESTIMATED, days, f"{basis.source}, factor", track.n - len(days), synthetic=basis.synthetic)
        return by_factor(self.names, returns, table, None, made)

    def _of_model(self, found: Attributed) -> FactorAttribution:
        days = sorted(found.days)
        rows = [found.days[day] for day in days]
        table = np.array([row.contributions for row in rows], np.float64)
        totals = np.array([row.total for row in rows])
        made = by_factor(
            found.names,
            totals,
            np.ones_like(table),
            table,
            _basis(MODEL, days, "factor", days[-1] - days[0] + 1 - len(days)),
        )
        means = self._exposures(found, days)
        lines = tuple(replace(line, exposure=means.get(line.name)) for line in made.factors)
        return replace(made, factors=lines)

    def _exposures(self, found: Attributed, days: Sequence[int]) -> dict[str, float]:
        """Mean exposure to each factor on the days on which it moved: contribution over return."""
        places = {name: place for place, name in enumerate(self.names)}
        means: dict[str, float] = {}
        for column, name in enumerate(found.names):
            place = places.get(name)
            if place is None:
                continue
            moved = [day for day in days if day in self.days and self.days[day][place]]
            if moved:
                each = [found.days[day].contributions[column] / self.days[day][place] for day in moved]
                means[name] = math.fsum(each) / len(each)
        return means

    def parts(self) -> dict[str, tuple[int, Callable[[], Any]]]:
        """For `Engine.bulk`."""
        parts: dict[str, tuple[int, Callable[[], Any]]] = {}
        if self.days:
            parts["factors"] = self.revision, self.part
        for portfolio_id, found in self.attributed.items():
            parts[f"attributed {portfolio_id}"] = found.revision, partial(_part, found)
        return parts

    def restore_attributed(self, portfolio_id: int, part: dict[str, Any]) -> None:
        """Take over what `parts` gave of a portfolio."""
        found = self.attributed[portfolio_id] = Attributed()
        found.names = tuple(part["names"])
        rows = part["rows"].tolist()
        found.days = {
            day: Day(tuple(row[:-2]), row[-2], row[-1]) for day, row in zip(part["days"].tolist(), rows, strict=True)
        }
        found.revision = 1

    def part(self) -> dict[str, Any]:
        """For `Engine.bulk`."""
        days = sorted(self.days)
        table = np.array([self.days[day] for day in days], np.float64)
        return {"names": list(self.names), "days": np.array(days, np.int64), "returns": table.reshape(len(days), -1)}

    def restore(self, part: dict[str, Any]) -> None:
        """Take over what `part` gave."""
        self.names = tuple(part["names"])
        rows = part["returns"].tolist()
        self.days = {day: tuple(row) for day, row in zip(part["days"].tolist(), rows, strict=True)}
        self.revision += 1


def _part(found: Attributed) -> dict[str, Any]:
    days = sorted(found.days)
    rows = [(*found.days[day].contributions, found.days[day].specific, found.days[day].total) for day in days]
    return {"names": list(found.names), "days": np.array(days, np.int64), "rows": np.array(rows, np.float64)}


def _check(names: Sequence[str], values: Sequence[float], beside: int = 0) -> None:
    if len(names) + beside != len(values) or not all(map(math.isfinite, values)):
        raise ModelError(f"{len(values)} numbers of factors {names[:5]}", where="factors", expected="one number each")


def _shorten(days: dict[int, Any], most: int) -> None:
    while len(days) > most:
        del days[min(days)]


def _basis(method: str, days: Sequence[int], source: str, missing: int, *, synthetic: bool = False) -> Basis:
    return Basis(method, len(days), days[0] * DAY_NS, (days[-1] + 1) * DAY_NS - 1, source, missing, synthetic)


__all__ = ["MODEL", "Attributed", "Day", "Factors"]
