"""From the histories of an engine to its universe."""

from __future__ import annotations

from typing import Final

import numpy as np

from nautilus.engines.factor.universe import DAY_NS, Universe
from nautilus.engines.panel import Panel
from nautilus.maths.errors import Undefined
from nautilus.model.factor import UniverseField
from nautilus.model.history import SeriesKind

_ENDS: Final = {field: f".{field.value}" for field in UniverseField}


def collect(universe: Universe, panel: Panel, symbols: tuple[str, ...]) -> list[int | None]:
    """Take over the histories of these symbols (none: of all with prices); the first days that changed, by field.

    Raises
    ------
    UnknownSeriesError
        A symbol has no history.
    Undefined
        ``empty``: there is no history of prices; ``duplicate_time``: one has two values on a day; and see
        `Universe.put`.
    """
    symbols = symbols or tuple(
        name
        for name in panel.names()
        if panel.series(name).kind is SeriesKind.PRICE and not name.endswith(tuple(_ENDS.values()))
    )
    if not symbols:
        raise Undefined("empty", "no history of prices", "some, or symbols")
    wanted = {UniverseField.PRICE: {symbol: symbol for symbol in symbols}}
    for field, end in _ENDS.items():
        named = {symbol: symbol + end for symbol in symbols if symbol + end in panel}
        if field is not UniverseField.PRICE and named:
            wanted[field] = named
    return [_take(universe, panel, field, names) for field, names in wanted.items()]


def _take(universe: Universe, panel: Panel, field: UniverseField, names: dict[str, str]) -> int | None:
    series = {symbol: panel.series(name) for symbol, name in names.items()}
    days = {symbol: found.times_ns // DAY_NS for symbol, found in series.items()}
    for symbol, found in days.items():
        if len(np.unique(found)) != len(found):
            raise Undefined("duplicate_time", f"two values of {symbol} on one day", "one a day")
    every = np.unique(np.concatenate(list(days.values())))
    values = np.full((len(every), len(series)), np.nan)
    for place, (symbol, history) in enumerate(series.items()):
        values[np.searchsorted(every, days[symbol]), place] = history.values
    changed = universe.put_matrix(field, tuple(series), every, values)
    universe.sources.update(history.source for history in series.values())
    universe.synthetic |= any(history.synthetic for history in series.values())
    return changed


__all__ = ["collect"]
