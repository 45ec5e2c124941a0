"""Sound and spoilt arguments of functions of numbers: one `Case` gives sizes and chance, kinds make values from it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nautilus.maths import covariance as covariances
from nautilus.maths import margin_book, regime_model
from nautilus.maths.strategies import Options, Underlyings

DAY_NS = 86_400_000_000_000
BAD_FLOATS = (math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, -2.0, 1e300, -1e300, 1e160, 1e61, 1e-300, -1e-300, 5e-324)
BAD_WHOLE = (-(1 << 62), -1000, -1, 0, 1, 2, 1_000, 1_000_000, 1 << 31, 1 << 40, 1 << 62)


class Case:
    """Sizes of one call, and the chance that its values come of."""

    def __init__(self, seed: int, rows: int, columns: int) -> None:
        self.seed = seed
        self.chance = np.random.default_rng(seed)
        self.rows, self.columns = rows, columns


Kind = Callable[[Case], Any]


# Values


def number(low: float, high: float) -> Kind:
    """A float between."""
    return lambda case: float(case.chance.uniform(low, high))


def whole(low: int, high: int) -> Kind:
    """An int from low to high, both of them possible."""
    return lambda case: int(case.chance.integers(low, high + 1))


def choice(*values: Any) -> Kind:
    """One of these."""
    return lambda case: values[int(case.chance.integers(len(values)))]


def maybe(kind: Kind) -> Kind:
    """It, or None."""
    return lambda case: kind(case) if case.chance.random() < 0.5 else None


class Sound:
    """A value that is never spoilt: what another function has checked, or code gives."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def __call__(self, case: Case) -> Any:
        return self._kind(case)


def together(make: Callable[..., Any], *kinds: Kind) -> Kind:
    """What `make` makes of some."""
    return lambda case: make(*(kind(case) for kind in kinds))


# Arrays


def series(case: Case) -> np.ndarray:
    """Returns of periods, shape (rows,)."""
    return case.chance.normal(0.0, 0.01, case.rows)


def prices(case: Case) -> np.ndarray:
    """Above 0, shape (rows,)."""
    return 100.0 * np.exp(np.cumsum(series(case)))


def positive(case: Case) -> np.ndarray:
    """Above 0, shape (rows,)."""
    return case.chance.uniform(0.5, 3.0, case.rows)


def walk(case: Case) -> np.ndarray:
    """Bids in tenths that often stay, the same walk whenever it is asked for; shape (rows,)."""
    steps = np.random.default_rng(case.seed).integers(-2, 3, case.rows)
    return 100.0 + 0.1 * np.cumsum(np.sign(steps) * (np.abs(steps) > 1))


def hits(case: Case) -> np.ndarray:
    """True and False, shape (rows,)."""
    return case.chance.random(case.rows) < 0.2


def matrix(case: Case) -> np.ndarray:
    """Returns, shape (rows, columns)."""
    return case.chance.normal(0.0, 0.01, (case.rows, case.columns))


def long_matrix(case: Case) -> np.ndarray:
    """Returns, shape (12, columns)."""
    return case.chance.normal(0.0, 0.01, (12, case.columns))


def positive_matrix(case: Case) -> np.ndarray:
    """Above 0, shape (rows, columns)."""
    return case.chance.uniform(0.5, 3.0, (case.rows, case.columns))


def loadings(case: Case) -> np.ndarray:
    """Exposures to two factors, shape (columns, 2)."""
    return case.chance.normal(0.0, 1.0, (case.columns, 2))


def tensor(case: Case) -> np.ndarray:
    """Exposures to two factors by period, shape (rows, columns, 2)."""
    return case.chance.normal(0.0, 1.0, (case.rows, case.columns, 2))


def pairs(case: Case) -> np.ndarray:
    """Returns of two factors, shape (rows, 2)."""
    return case.chance.normal(0.0, 0.01, (case.rows, 2))


def column(low: float = -1.0, high: float = 1.0) -> Kind:
    """Numbers between, shape (columns,)."""
    return lambda case: case.chance.uniform(low, high, case.columns)


def rows_of(low: float, high: float) -> Kind:
    """Numbers between, shape (rows,)."""
    return lambda case: case.chance.uniform(low, high, case.rows)


def weights(case: Case) -> np.ndarray:
    """Of sum 1, shape (columns,)."""
    return case.chance.dirichlet(np.ones(case.columns))


def weight_rows(case: Case) -> np.ndarray:
    """Each row of sum 1, shape (rows, columns)."""
    return case.chance.dirichlet(np.ones(case.columns), case.rows)


def covariance(case: Case) -> np.ndarray:
    """Positive definite, shape (columns, columns)."""
    found = case.chance.normal(0.0, 0.01, (4 * case.columns + 4, case.columns))
    return found.T @ found / len(found)


def two_by_two(case: Case) -> np.ndarray:
    """A covariance of two factors."""
    found = case.chance.normal(0.0, 0.01, (20, 2))
    return found.T @ found / len(found)


def correlations(case: Case) -> np.ndarray:
    """Shape (columns, columns)."""
    return covariances.correlation(covariance(case))[0]


def distances(case: Case) -> np.ndarray:
    """Symmetric, of noughts on the diagonal, shape (columns, columns)."""
    found = np.sqrt((1.0 - correlations(case)) / 2.0)
    np.fill_diagonal(found, 0.0)
    return found


def integers(low: int, high: int, of: str = "rows") -> Kind:
    """Whole numbers from low to high, both possible, shape (rows,) or (columns,)."""
    return lambda case: case.chance.integers(low, high + 1, getattr(case, of))


def times(case: Case) -> np.ndarray:
    """Ascending times, shape (rows,)."""
    return 1_600_000_000_000_000_000 + np.cumsum(case.chance.integers(1, 3 * DAY_NS, case.rows))


def scenarios(case: Case) -> np.ndarray:
    """Gains in sixteen scenarios, shape (columns, 16)."""
    return case.chance.normal(0.0, 100.0, (case.columns, 16))


def groups(case: Case) -> np.ndarray:
    """A number below `columns` for each column, ascending."""
    return np.sort(case.chance.integers(0, case.columns, case.columns))


def gains(case: Case) -> np.ndarray:
    """Shape (columns, 10)."""
    return case.chance.normal(0.0, 100.0, (case.columns, 10))


def bars(case: Case) -> dict[str, np.ndarray]:
    """Columns of bars."""
    close = prices(case)
    opened = close * (1.0 + 0.1 * series(case))
    return {
        "open": opened,
        "high": np.maximum(opened, close) * 1.001,
        "low": np.minimum(opened, close) * 0.999,
        "close": close,
        "volume": positive(case),
    }


def book(case: Case) -> np.ndarray:
    """Positions of every kind, rows of `margin_book.POSITION`."""
    chance, count = case.chance, case.columns + 1
    found = np.zeros(count, margin_book.POSITION)
    found["kind"] = chance.integers(0, 5, count)
    found["quantity"] = chance.integers(-9, 10, count)
    found["underlying"] = chance.integers(0, 3, count)
    found["group"] = found["underlying"] // 2
    found["of_future"] = found["underlying"] == 2
    found["spot"] = chance.uniform(80.0, 120.0, count)
    option = (found["kind"] == margin_book.CALL) | (found["kind"] == margin_book.PUT)
    found["price"] = np.where(option, chance.uniform(0.5, 9.0, count), found["spot"])
    found["multiplier"] = np.where(option, 100.0, 1.0)
    found["strike"] = np.where(option, np.rint(chance.uniform(80.0, 120.0, count)), 0.0)
    found["years"] = chance.uniform(0.01, 1.5, count)
    found["rate"], found["yield_rate"] = 0.03, 0.01
    found["sigma"] = chance.uniform(0.1, 0.9, count)
    found["price_range"], found["vol_range"] = 10.0, 0.05
    found["initial_each"], found["maintenance_each"] = 1100.0, 1000.0
    found["spread_each"], found["short_least"] = 100.0, 50.0
    found["delta"] = chance.uniform(-1.0, 1.0, count)
    found["month"] = chance.integers(1, 5, count)
    found["early"] = chance.integers(0, 2, count)
    found["table"] = np.where(found["kind"] == margin_book.PERPETUAL, 0, -1)
    return found


def options(case: Case) -> Options:
    """Options of up to `columns` underlyings, as many as `rows`."""
    chance, count = case.chance, case.rows
    return Options(
        np.sort(chance.integers(0, case.columns, count)),
        chance.integers(-9, 10, count).astype(float),
        np.full(count, 100.0),
        chance.uniform(0.1, 9.0, count),
        np.rint(chance.uniform(80.0, 120.0, count)),
        chance.uniform(0.01, 1.5, count),
        chance.integers(1, 5, count),
        chance.random(count) < 0.5,
    )


def underlyings(case: Case) -> Underlyings:
    """As many as `columns`."""
    chance, count = case.chance, case.columns
    return Underlyings(
        chance.uniform(80.0, 120.0, count),
        chance.integers(-500, 500, count).astype(float),
        np.full(count, 0.25),
        np.full(count, 0.30),
        chance.random(count) < 0.3,
    )


def regimes(case: Case) -> regime_model.RegimeModel:
    """A model of two states."""
    stay = float(case.chance.uniform(0.6, 0.99))
    return regime_model.RegimeModel(
        np.array([0.5, 0.5]),
        np.array([[stay, 1.0 - stay], [1.0 - stay, stay]]),
        np.array([0.001, -0.002]),
        np.array([1e-4, 9e-4]),
        0.0,
        1,
        True,
        1,
        100,
    )


# What is done to them


def spoil(value: Any, chance: np.random.Generator) -> Any:
    """The value, or one part of it, made bad; what has no bad form is given back."""
    if isinstance(value, np.ndarray):
        with np.errstate(all="ignore"):
            return _spoilt_array(value, chance)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return BAD_WHOLE[int(chance.integers(len(BAD_WHOLE)))]
    if isinstance(value, float):
        return BAD_FLOATS[int(chance.integers(len(BAD_FLOATS)))]
    if isinstance(value, str):
        return "another"
    if isinstance(value, dict) and value:
        name = list(value)[int(chance.integers(len(value)))]
        if chance.random() < 0.2:
            return {key: each for key, each in value.items() if key != name}
        return value | {name: spoil(value[name], chance)}
    if isinstance(value, list | tuple) and value:
        place = int(chance.integers(len(value)))
        parts = [spoil(each, chance) if at == place else each for at, each in enumerate(value)]
        return value._replace(**dict(zip(value._fields, parts, strict=True))) if _named(value) else type(value)(parts)
    return value


def _named(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _spoilt_array(array: np.ndarray, chance: np.random.Generator) -> Any:
    shape = int(chance.integers(10))
    if shape == 0:
        return array[:0]
    if shape == 1:
        return array[: int(chance.integers(1, 4))]
    if shape == 2:
        return array[..., None] if array.dtype.names is None and chance.random() < 0.5 else array[:-1]
    if shape == 3 and array.size and array.dtype.names is None:
        return array.ravel()[0] if chance.random() < 0.5 else array.T[..., :-1]
    if shape == 4:
        return array[::-1].copy()
    if shape == 5 and array.size:
        return np.repeat(array[:1], len(array), axis=0)
    return _spoilt_values(array.copy(), chance)


def _spoilt_values(array: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    if not array.size:
        return array
    if array.dtype.names is not None:
        name = array.dtype.names[int(chance.integers(len(array.dtype.names)))]
        column = _spoilt_values(array[name].copy(), chance)
        if column.dtype == array[name].dtype:
            array[name] = column
        return array
    place = tuple(int(chance.integers(size)) for size in array.shape)
    if array.dtype == np.bool_:
        array[...] = chance.random() < 0.5
    elif np.issubdtype(array.dtype, np.integer):
        bad = BAD_WHOLE[int(chance.integers(len(BAD_WHOLE)))]
        how = int(chance.integers(4))
        if how == 0:
            array[...] = bad
        elif how == 1:
            other = array.astype(np.float64)
            other[place] = (math.nan, 0.5, math.inf, 1e300)[int(chance.integers(4))]
            return other
        else:
            array[place] = bad
    else:
        bad = BAD_FLOATS[int(chance.integers(len(BAD_FLOATS)))]
        how = int(chance.integers(6))
        if how == 0:
            array[...] = bad
        elif how == 1:
            array *= 10.0 ** int(chance.choice([-300, -160, -60, 59, 100, 160, 290]))
        elif how == 2:
            array *= -1.0
        else:
            array[place] = bad
    return array


def every_array(value: Any, change: Callable[[np.ndarray], Any]) -> Any:
    """The value with each array in it changed."""
    if isinstance(value, np.ndarray):
        return change(value)
    if isinstance(value, dict):
        return {key: every_array(each, change) for key, each in value.items()}
    if _named(value):
        return type(value)(*(every_array(each, change) for each in value))
    if isinstance(value, list | tuple):
        return type(value)(every_array(each, change) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {each.name: every_array(getattr(value, each.name), change) for each in dataclasses.fields(value)}
        return dataclasses.replace(value, **parts)
    return value


def strided(array: np.ndarray) -> np.ndarray:
    """The same numbers, each second place of a larger array, where nothing may be written."""
    if not array.ndim:
        return array
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    view = wide[..., ::2]
    view.flags.writeable = False
    return view


def fortran(array: np.ndarray) -> np.ndarray:
    """The same numbers, columns first, where nothing may be written."""
    found = np.array(array, order="F")
    found.flags.writeable = False
    return found
