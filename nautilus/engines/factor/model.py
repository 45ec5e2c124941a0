"""A model that was estimated: what it knows of each day, and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.factor.universe import DAY_NS
from nautilus.maths.covariance import CovarianceEstimate
from nautilus.maths.covariance import estimate as estimate_covariance
from nautilus.maths.errors import Undefined
from nautilus.model.basis import Basis
from nautilus.model.factor import FactorSettings

Array = NDArray[np.float64]
Days = NDArray[np.int64]


class Model:
    """Factor returns, residuals and exposures of the days that were estimated.

    Attributes
    ----------
    settings : that it was estimated with.
    names : market, sectors, styles.
    sectors : how many of them are sectors.
    days, returns, residuals, stocks, ranks : see `nautilus.maths.factors.FactorReturns`; `days` since the epoch.
    score_days, scores : days of which the universe's exposures are kept, and those, shape (K, days, N).
    ahead : scores of the lagged styles for the day to come.
    specific, observations : specific risk per day at the end, and residuals it rests on.
    last_day : of the universe, when it was estimated last; it may have had no result.
    left_out : days without a result.
    version : higher with each change.
    """

    def __init__(self, settings: FactorSettings, sector_names: tuple[str, ...]) -> None:
        self.settings = settings
        self.sector_names = sector_names
        self.names: tuple[str, ...] = ()
        self.days: Days = np.empty(0, np.int64)
        self.returns: Array = np.empty((0, 0))
        self.residuals: Array = np.empty((0, 0))
        self.stocks: Days = np.empty(0, np.int64)
        self.ranks: Days = np.empty(0, np.int64)
        self.score_days: Days = np.empty(0, np.int64)
        self.scores: Array = np.empty((0, 0, 0))
        self.ahead: dict[str, Array] = {}
        self.specific: Array = np.empty(0)
        self.observations: Days = np.empty(0, np.int64)
        self.last_day = -1
        self.left_out = 0
        self.version = 0

    @property
    def sectors(self) -> int:
        """How many factors are sectors."""
        return len(self.sector_names)

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles, in the order of their columns."""
        return self.names[1 + self.sectors :]

    @property
    def deficient(self) -> int:
        """Days of which the returns are those of least norm."""
        return int(np.sum(self.ranks < len(self.names) - 1))

    def extend(self, result: Mapping[str, Any], days: Days, first: int) -> Days:
        """Take over what `estimation.estimate` gave of the universe's days from row `first` on; the new days.

        Raises
        ------
        Undefined
            ``mismatch``: the factors are others than before.
        """
        names = tuple(result["names"])
        if self.names and names != self.names:
            raise Undefined("mismatch", "factors other than those of the model", "a model that is estimated anew")
        found = result["returns"]
        stocks = result["residuals"].shape[1]
        self.names = names
        new: Days = days[result["rows"] - first]
        self.days = np.concatenate([self.days, new])
        self.returns = np.concatenate([self.returns, found]) if len(self.returns) else found
        self.residuals = np.concatenate([wider(self.residuals, stocks), result["residuals"]])
        self.stocks = np.concatenate([self.stocks, result["stocks"]])
        self.ranks = np.concatenate([self.ranks, result["ranks"]])
        kept = self.settings.kept_days
        scores = result["scores"]
        if len(self.score_days):
            scores = np.concatenate([wider(self.scores, stocks), scores], axis=1)
        self.scores = np.ascontiguousarray(scores[:, -kept:])
        self.score_days = np.concatenate([self.score_days, days[-result["scores"].shape[1] :]])[-kept:]
        self.ahead = dict(result["ahead"])
        self.specific, self.observations = result["specific"], result["observations"]
        self.left_out += len(days) - len(new)
        self.last_day = int(days[-1])
        self.version += 1
        return new

    def pad(self, stocks: int) -> None:
        """Columns for stocks that the universe has since."""
        if self.residuals.shape[1] == stocks:
            return
        self.residuals = wider(self.residuals, stocks)
        self.scores = wider(self.scores, stocks)
        self.ahead = {name: wider(found, stocks) for name, found in self.ahead.items()}
        self.specific = wider(self.specific, stocks)
        self.observations = np.concatenate(
            [self.observations, np.zeros(stocks - len(self.observations), dtype=np.int64)]
        )

    def rows(self, begin_ns: int, end_ns: int) -> slice:
        """Of the days within the range; 0: no bound.

        Raises
        ------
        Undefined
            ``missing_days``: there is none.
        """
        begin = int(np.searchsorted(self.days, begin_ns // DAY_NS)) if begin_ns else 0
        end = int(np.searchsorted(self.days, end_ns // DAY_NS, side="right")) if end_ns else len(self.days)
        if begin >= end:
            raise Undefined("missing_days", "no day of the model in the range", f"a range within its {len(self.days)}")
        return slice(begin, end)

    def scores_on(self, days: Days) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Places of the days among those with exposures, and whether they are there."""
        places = np.searchsorted(self.score_days, days)
        known = np.zeros(len(days), dtype=bool)
        inside = places < len(self.score_days)
        known[inside] = self.score_days[places[inside]] == days[inside]
        return np.minimum(places, max(len(self.score_days) - 1, 0)), known

    def covariance(self, method: str, window: int, half_life: float, lags: int) -> tuple[CovarianceEstimate, Basis]:
        """Covariance of the last `window` days' factor returns, per day.

        Raises
        ------
        Undefined
            See `nautilus.maths.covariance.estimate`.
        """
        returns = self.returns[-window:]
        found = estimate_covariance(returns, method, half_life=half_life, lags=None if lags < 0 else lags)
        return found, self.basis(found.method, self.days[-window:])

    def basis(self, method: str, days: Days, missing: int = 0) -> Basis:
        """What a number of these days rests on; the engine adds where the universe is from."""
        return Basis(
            method=method,
            window=len(days),
            begin_ns=int(days[0]) * DAY_NS if len(days) else 0,
            end_ns=int(days[-1]) * DAY_NS if len(days) else 0,
            missing=missing,
        )

    # State.

    def bulk(self) -> dict[str, tuple[int, Callable[[], Any]]]:
        """For `Engine.bulk`."""
        return {
            "model returns": (self.version, self._returns_part),
            "model residuals": (self.version, lambda: {"residuals": self.residuals}),
            "model scores": (self.version, lambda: {"scores": self.scores, "score_days": self.score_days}),
        }

    def _returns_part(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "sector_names": list(self.sector_names),
            "names": list(self.names),
            "days": self.days,
            "returns": self.returns,
            "stocks": self.stocks,
            "ranks": self.ranks,
            "ahead": dict(self.ahead),
            "specific": self.specific,
            "observations": self.observations,
            "last_day": self.last_day,
            "left_out": self.left_out,
        }


def restored(parts: Mapping[str, Any]) -> Model | None:
    """The model that gave these parts of a state; None where one is missing, or they are not of one moment."""
    if set(parts) != {"model returns", "model residuals", "model scores"}:
        return None
    part = parts["model returns"]
    model = Model(part["settings"], tuple(part["sector_names"]))
    model.names = tuple(part["names"])
    for name in ("days", "returns", "stocks", "ranks", "specific", "observations", "last_day", "left_out"):
        setattr(model, name, part[name])
    model.ahead = dict(part["ahead"])
    model.residuals = parts["model residuals"]["residuals"]
    model.scores, model.score_days = parts["model scores"]["scores"], parts["model scores"]["score_days"]
    same = len(model.residuals) == len(model.days) and model.residuals.shape[1] == model.scores.shape[2]
    current = len(model.score_days) > 0 and int(model.score_days[-1]) == model.last_day
    if not same or not current:
        return None
    model.version = 1
    return model


def wider(values: Array, stocks: int) -> Array:
    """With NaN for stocks behind those that it has, in its last axis."""
    more = stocks - values.shape[-1]
    if not more:
        return values
    return np.concatenate([values, np.full((*values.shape[:-1], more), np.nan)], axis=-1)


__all__ = ["Model", "restored", "wider"]
