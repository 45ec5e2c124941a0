"""The engine's model: estimated on all days, followed day by day, and known to be stale where days have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.base import Context, Work
from nautilus.engines.factor import estimation
from nautilus.engines.factor.model import Model, restored
from nautilus.engines.factor.parts import Parts, method_of, sourced
from nautilus.maths.errors import Undefined
from nautilus.model.factor import FactorsEstimated, FactorSettings
from nautilus.model.message import Message

Array = NDArray[np.float64]
Days = NDArray[np.int64]

_MOST_CHANGES = 1_000
# Days that come at once of which portfolios are told; more are an upload, and are asked for.
_MOST_ATTRIBUTED = 10


class _Given(NamedTuple):
    """Days that a job was given; `first` is the row of the first of them in its arrays."""

    days: Days
    first: int
    version: int  # of the universe


class Estimates:
    """Of one universe.

    Parameters
    ----------
    tell
        Called with the model, how many of its last days are to be told, how many of them portfolios' parts too, and
        the context.
    version
        Models have higher ones.

    Attributes
    ----------
    model : None before the first estimate.
    reason : why the last day that ended by itself has no estimate; "": it has.
    """

    def __init__(self, parts: Parts, tell: Callable[[Model, int, int, Context], None], version: int = 0) -> None:
        self._parts = parts
        self._tell = tell
        self._changes: list[tuple[int, int]] = []  # version of the universe, first day that changed
        self._jobs: dict[int, tuple[int, _Given]] = {}  # number -> version of the model, what it was given
        self._restored: dict[str, Any] = {}
        self._version = version
        self.model: Model | None = None
        self.reason = ""

    def current(self) -> Model:
        """The model, with a column for each stock. Undefined (`empty`): there is none."""
        if self.model is None:
            raise Undefined("empty", "no model yet", "one that was estimated: POST /factor/estimate")
        self.model.pad(len(self._parts.universe))
        return self.model

    def note_change(self, day: int | None) -> None:
        """The universe has changed from a day on; None: it has not."""
        if day is None:
            return
        version = self._parts.universe.version
        self._changes.append((version, day))
        if len(self._changes) > _MOST_CHANGES:
            self._changes = [(version, min(day for _, day in self._changes))]

    @property
    def version(self) -> int:
        """Of the model; where there is none, one that is below that of any to come."""
        return self._version if self.model is None else self.model.version

    @property
    def stale(self) -> bool:
        """Days that the model knows have changed, or there are other sectors."""
        model = self.model
        return model is not None and (self._sectors_changed(model) or self._days_changed(model))

    def estimate(self, settings: FactorSettings, ctx: Context) -> Work:
        """The model on all days. Undefined (`empty`): there are none."""
        universe = self._parts.universe
        version, days = universe.version, universe.days
        if not len(days):
            raise Undefined("empty", "a universe without days", "returns, market capitalisations and sectors")
        sectors = universe.sectors()
        nothing = np.empty((0, len(universe))), np.full(len(universe), np.nan)
        arguments = (settings, self._fields(settings), sectors.names, sectors.codes, 0, *nothing)

        def finish(result: dict[str, Any]) -> Message:
            model = Model(settings, sectors.names)
            model.version = self.version
            new = model.extend(result, days, 0)
            model.pad(len(universe))
            self.model = model
            self._known(version)
            self._tell(model, min(len(new), settings.kept_days), 1, ctx)
            return self._estimated(model, new)

        return Work(estimation.estimate, arguments, finish, background=True)

    def update(self, ctx: Context) -> Work:
        """The days behind those of the model.

        Raises
        ------
        Undefined
            ``empty``: there is no model; ``mismatch``: it is stale; ``missing_days``: there is no such day.
        """
        model = self.current()
        arguments, given = self._behind(model)
        version = model.version

        def finish(result: dict[str, Any]) -> Message:
            if self.model is not model or model.version != version:
                raise Undefined("mismatch", "the model was changed meanwhile", "one update after the other")
            return self._estimated(model, self._extend(model, result, given, ctx))

        return Work(estimation.estimate, arguments, finish, background=True)

    def follow(self, ctx: Context) -> None:
        """The same at the end of a day, of which nobody asked; `on_result` follows."""
        if self.model is None or self._jobs:
            return
        try:
            arguments, given = self._behind(self.current())
        except Undefined as error:
            self.reason = "" if error.code == "missing_days" else str(error)
            return
        self._jobs[ctx.submit(estimation.estimate, arguments)] = (self.model.version, given)

    def on_result(self, number: int, result: Any, ctx: Context) -> None:
        """What a job of `follow` gave."""
        version, given = self._jobs.pop(number, (0, None))
        if given is None:
            return  # of a universe that was dropped
        if isinstance(result, Exception):
            self.reason = str(result)
        elif self.model is not None and self.model.version == version:
            self._extend(self.model, result, given, ctx)

    # State.

    def bulk(self) -> dict[str, tuple[int, Callable[[], Any]]]:
        """For `Engine.bulk`: the model."""
        self.assemble()
        return {} if self.model is None else self.model.bulk()

    def restore_bulk(self, name: str, part: Any) -> None:
        """For `Engine.restore_bulk`."""
        self._restored[name] = part

    def assemble(self) -> None:
        """Make a model of the parts that were restored."""
        if self._restored:
            self.model, self._restored = restored(self._restored), {}

    @property
    def stale_from(self) -> int | None:
        """The first day of those that the model does not know; None: it knows all."""
        return min((day for _, day in self._changes), default=None)

    def _days_changed(self, model: Model) -> bool:
        return any(day <= model.last_day for _, day in self._changes)

    def _sectors_changed(self, model: Model) -> bool:
        return self._parts.universe.sector_names() != model.sector_names

    def _behind(self, model: Model) -> tuple[tuple[Any, ...], _Given]:
        """Arguments of `estimation.estimate` for the days behind those of the model, and what they are of."""
        if self._days_changed(model):
            raise Undefined("mismatch", "days that the model knows were changed", "a model that is estimated anew")
        if self._sectors_changed(model):
            raise Undefined("mismatch", "sectors other than those of the model", "a model that is estimated anew")
        universe, settings = self._parts.universe, model.settings
        first = int(np.searchsorted(universe.days, model.last_day, side="right"))
        if first == len(universe.days):
            raise Undefined("missing_days", "no day after the last one of the model", "one that was put")
        sectors = universe.sectors()
        fields = self._fields(settings)
        begin = estimation.rows_before(settings, fields, first)
        arguments = (
            settings,
            {name: values[begin:] for name, values in fields.items()},
            sectors.names,
            sectors.codes if sectors.codes.ndim == 1 else sectors.codes[begin:],
            first - begin,
            model.residuals[-settings.specific_days :],
            estimation.last_before(fields["market_cap"], begin) if "market_cap" in fields else np.empty(0),
        )
        return arguments, _Given(universe.days[first:], first - begin, universe.version)

    def _fields(self, settings: FactorSettings) -> dict[str, Array]:
        """What a model needs of the universe, as far as anything was told of it."""
        universe = self._parts.universe
        return {field.value: universe.values(field) for field in estimation.fields_of(settings) if universe.has(field)}

    def _extend(self, model: Model, result: dict[str, Any], given: _Given, ctx: Context) -> Days:
        """Take over what was estimated of these days; those that it has a result of."""
        new = model.extend(result, given.days, given.first)
        model.pad(len(self._parts.universe))
        self._known(given.version)
        self._tell(model, len(new), min(len(new), _MOST_ATTRIBUTED), ctx)
        return new

    def _known(self, version: int) -> None:
        """The model knows all that had changed up to this version of the universe."""
        self._changes = [change for change in self._changes if change[0] > version]
        self.reason = ""

    def _estimated(self, model: Model, days: Days) -> FactorsEstimated:
        unknown = int(np.sum(~np.isfinite(model.specific)))
        return FactorsEstimated(
            days=len(days),
            left_out=model.left_out,
            stocks=int(model.stocks[-1]),
            deficient=model.deficient,
            day=int(model.days[-1]),
            names=model.names,
            returns=tuple(model.returns[-1].tolist()),
            basis=sourced(self._parts, model.basis(method_of(model), days, model.left_out)),
            undefined={f"specific_volatility of {unknown} stocks": "too_few"} if unknown else {},
        )


__all__ = ["Estimates"]
