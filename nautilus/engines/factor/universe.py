"""The stocks of the model: a matrix of days and stocks for each field, filled in any order.

A row is a day that somebody told a value of, a column a stock; NaN is what nobody told. A field of which nothing was
told takes no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.factor.upload import check_values, matrix_of
from nautilus.maths.errors import Undefined, check_times
from nautilus.maths.factors import Sectors
from nautilus.model.factor import UniverseField

Array = NDArray[np.float64]
Days = NDArray[np.int64]

DAY_NS: Final = 86_400_000_000_000
# Rows that are saved together; those that nothing changed in are not saved again.
_BLOCK_DAYS = 64


def day_of(time_ns: int) -> int:
    """Days since the epoch, UTC."""
    return time_ns // DAY_NS


class Universe:
    """Values of fields, by day and stock; sectors, by time.

    Parameters
    ----------
    most_days, most_stocks
        What it refuses to grow beyond.
    version
        Its parts have higher ones.

    Attributes
    ----------
    symbols : columns.
    days : rows, increasing.
    synthetic : some of it was made up.
    sources : where it is from.
    """

    def __init__(self, most_days: int, most_stocks: int, version: int = 0) -> None:
        self._most_days = most_days
        self._most_stocks = most_stocks
        self.symbols: list[str] = []
        self.days: Days = np.empty(0, np.int64)
        self.synthetic = False
        self.sources: set[str] = set()
        self._columns: dict[str, int] = {}
        self._fields: dict[UniverseField, Array] = {}
        self._counts: dict[UniverseField, int] = {}
        self._sectors: dict[str, list[tuple[int, str]]] = {}  # from a day on
        self._version = version
        self._versions: dict[tuple[UniverseField, int], int] = {}
        self._parts: list[tuple[int, UniverseField, Any]] = []  # restored, not yet put together

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._columns

    def __len__(self) -> int:
        return len(self.symbols)

    def column(self, symbol: str) -> int | None:
        """Of a stock; None: it is none of them."""
        return self._columns.get(symbol)

    def has(self, field: UniverseField) -> bool:
        """Whether anything was told of a field."""
        return field in self._fields

    def values(self, field: UniverseField, rows: slice = slice(None)) -> Array:
        """Of a field, shape (T, N); not to be written to."""
        found = self._fields.get(field)
        if found is None:
            return np.full((len(self.days[rows]), len(self.symbols)), np.nan)
        return found[: len(self.days)][rows]

    def row(self, day: int) -> int | None:
        """Of a day; None: it has none."""
        place = int(np.searchsorted(self.days, day))
        return place if place < len(self.days) and self.days[place] == day else None

    def coverage(self) -> dict[UniverseField, int]:
        """How many values each field has, of those that something was told of."""
        return {field: self._counts[field] for field in UniverseField if field in self._fields}

    # Filling.

    def put(
        self,
        field: UniverseField,
        symbols: Sequence[str],
        times_ns: Sequence[int],
        rows: Sequence[Sequence[float | None]],
    ) -> int | None:
        """Take over values, None: none; the first day of which a model would take something else, or None.

        Raises
        ------
        Undefined
            ``mismatch``: rows do not have a value for each symbol, or a symbol is there twice; ``duplicate_time``,
            ``unsorted``: times of one day, or not increasing; ``not_finite``; ``negative_price``: prices and
            capitalisations have to be above 0; ``out_of_range``: returns above -1, volumes 0 or more, and within the
            bounds of the universe. Nothing is changed then.
        """
        values = matrix_of(symbols, times_ns, rows)
        days = np.asarray(times_ns, dtype=np.int64) // DAY_NS
        check_times(days, "days")
        return self.put_matrix(field, symbols, days, values)

    def put_matrix(self, field: UniverseField, symbols: Sequence[str], days: Days, values: Array) -> int | None:
        """The same of increasing days and a matrix; NaN: none."""
        check_values(field, values)
        self._room(symbols, days)
        columns = self._add_symbols(symbols)
        places = self._add_days(days)
        priced = field is UniverseField.PRICE
        known = self._field(field)[np.ix_(np.arange(int(places[0]), int(places[-1]) + 1), columns)] if priced else None
        written = self._write(field, places, columns, values)
        derived = self._derive_returns(int(places[0]), columns, known) if known is not None else None
        first = min((row for row in (written, derived) if row is not None), default=None)
        if first is None:
            return None
        self._touched(first)
        # No model takes a price, only the returns that were made of it.
        told = derived if field is UniverseField.PRICE else written
        return None if told is None else int(self.days[told])

    def put_sectors(self, sectors: Mapping[str, str], from_ns: int = 0) -> int | None:
        """Take over sectors; the first day of which a model would take another one, or None.

        Raises
        ------
        Undefined
            ``out_of_range``: too many stocks.
        """
        self._room(list(sectors), np.empty(0, np.int64))
        self._add_symbols(list(sectors))
        day = day_of(from_ns) if from_ns else -(1 << 40)
        changed = []
        for symbol, sector in sectors.items():
            known = dict(self._sectors.get(symbol, ()))
            if known.get(day) != sector:
                changed.append(self._columns[symbol])
            known[day] = sector
            self._sectors[symbol] = sorted(known.items())
        self._version += 1
        # Of a stock that has no return yet no model has taken anything.
        there = np.isfinite(self.values(UniverseField.RETURN)[:, changed]).any(axis=1)
        return max(day, int(self.days[np.argmax(there)])) if there.any() else None

    def sectors(self, rows: slice = slice(None)) -> Sectors:
        """Of the stocks: codes of shape (N,) where none ever changes, else (T, N)."""
        names = self.sector_names()
        code = {name: place for place, name in enumerate(names)}
        if all(len(self._sectors.get(symbol, ())) <= 1 and self._always(symbol) for symbol in self.symbols):
            codes = [code[self._sectors[symbol][0][1]] if symbol in self._sectors else -1 for symbol in self.symbols]
            return Sectors(names, np.array(codes, dtype=np.int64))
        days = self.days[rows]
        matrix = np.full((len(days), len(self.symbols)), -1, dtype=np.int64)
        for place, symbol in enumerate(self.symbols):
            for day, sector in self._sectors.get(symbol, ()):
                matrix[int(np.searchsorted(days, day)) :, place] = code[sector]
        return Sectors(names, matrix)

    def sector_names(self) -> tuple[str, ...]:
        """Every sector that a stock was ever of, in order."""
        return tuple(sorted({sector for found in self._sectors.values() for _, sector in found}))

    def sectors_on(self, day: int) -> dict[int, str]:
        """The sector of every stock on a day, by column; "": none."""
        return {column: self.sector(symbol, day) for column, symbol in enumerate(self.symbols)}

    def sector(self, symbol: str, day: int | None = None) -> str:
        """Of a stock on a day (None: the newest); "": none."""
        found = [sector for begin, sector in self._sectors.get(symbol, ()) if day is None or begin <= day]
        return found[-1] if found else ""

    def add_day(self, day: int, values: Mapping[UniverseField, Array]) -> None:
        """A day behind all others, with a value of each field for every stock (NaN: none).

        Raises
        ------
        Undefined
            ``unsorted``: it is not behind them; ``out_of_range``: too many days.
        """
        if len(self.days) and day <= self.days[-1]:
            raise Undefined("unsorted", f"day {day}", f"one after {self.days[-1]}")
        days = np.array([day], dtype=np.int64)
        self._room((), days)
        self._add_days(days)
        for field, row in values.items():
            self._field(field)[-1] = row
            self._counts[field] += int(np.isfinite(row).sum())
        self._touched(len(self.days) - 1)

    # State.

    def bulk(self) -> dict[str, tuple[int, Callable[[], Any]]]:
        """For `Engine.bulk`: blocks of days of each field, which are written again where something in them changed."""
        self._assemble()
        parts: dict[str, tuple[int, Callable[[], Any]]] = {}
        for field in self._fields:
            for begin in range(0, len(self.days), _BLOCK_DAYS):
                version = self._versions.setdefault((field, begin), self._version)
                parts[f"universe {field.value} {begin}"] = (version, partial(self._part, field, begin))
        return parts

    def restore_bulk(self, name: str, part: Any) -> bool:
        """For `Engine.restore_bulk`: whether the part was one of a universe."""
        kind, _, rest = name.partition(" ")
        if kind != "universe":
            return False
        field, _, begin = rest.partition(" ")
        self._parts.append((int(begin), UniverseField(field), part))
        return True

    def state(self) -> dict[str, Any]:
        """What is no part of `bulk`."""
        return {
            "sectors": {symbol: [list(entry) for entry in found] for symbol, found in self._sectors.items()},
            "sources": sorted(self.sources),
            "synthetic": self.synthetic,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave, in a new universe that has its parts."""
        self._assemble()
        self._add_symbols(list(state["sectors"]))
        self._sectors = {
            symbol: [(int(day), str(sector)) for day, sector in found] for symbol, found in state["sectors"].items()
        }
        self.sources = set(state["sources"])
        self.synthetic = bool(state["synthetic"])

    def _part(self, field: UniverseField, begin: int) -> dict[str, Any]:
        rows = slice(begin, begin + _BLOCK_DAYS)
        return {"symbols": list(self.symbols), "days": self.days[rows], "values": self._field(field)[rows]}

    def _assemble(self) -> None:
        """Make a universe of the parts that were restored; columns are as they were, in whatever order parts come."""
        if not self._parts:
            return
        parts, self._parts = sorted(self._parts, key=lambda part: (part[0], part[1])), []
        self._add_symbols(max((part["symbols"] for _, _, part in parts), key=len))
        self._add_days(np.unique(np.concatenate([part["days"] for _, _, part in parts])))
        for _, field, part in parts:
            rows = np.searchsorted(self.days, part["days"])
            self._field(field)[rows, : part["values"].shape[1]] = part["values"]
            self._counts[field] += int(np.isfinite(part["values"]).sum())

    def _always(self, symbol: str) -> bool:
        found = self._sectors.get(symbol)
        return found is None or not len(self.days) or found[0][0] <= self.days[0]

    def _field(self, field: UniverseField) -> Array:
        """Values of a field, to be written to."""
        found = self._fields.get(field)
        if found is None:
            found = self._fields[field] = np.full((len(self.days), len(self.symbols)), np.nan)
            self._counts[field] = 0
        return found[: len(self.days)]

    def _room(self, symbols: Iterable[str], days: Days) -> None:
        stocks = len(self.symbols) + sum(symbol not in self._columns for symbol in symbols)
        if stocks > self._most_stocks:
            raise Undefined("out_of_range", f"{stocks} stocks", f"at most {self._most_stocks}")
        rows = len(np.union1d(self.days, days))
        if rows > self._most_days:
            raise Undefined("out_of_range", f"{rows} days", f"at most {self._most_days}")

    def _add_symbols(self, symbols: Sequence[str]) -> NDArray[np.int64]:
        new = [symbol for symbol in symbols if symbol not in self._columns]
        if new:
            for symbol in new:
                self._columns[symbol] = len(self.symbols)
                self.symbols.append(symbol)
            for field, matrix in self._fields.items():
                wider = np.full((len(self.days), len(self.symbols)), np.nan)
                wider[:, : matrix.shape[1]] = matrix[: len(self.days)]
                self._fields[field] = wider
            self._touched(0)
        return np.array([self._columns[symbol] for symbol in symbols], dtype=np.int64)

    def _add_days(self, days: Days) -> NDArray[np.int64]:
        known = self.days
        every = np.union1d(known, days)
        if len(every) > len(known):
            kept = np.searchsorted(every, known)
            moved = np.flatnonzero(kept != np.arange(len(known)))
            for field, matrix in self._fields.items():
                if len(moved) or len(every) > len(matrix):
                    # With room for some more: most days come behind the others, one after the other.
                    taller = np.full((len(every) + max(len(every) // 16, _BLOCK_DAYS), len(self.symbols)), np.nan)
                    taller[kept] = matrix[: len(known)]
                    self._fields[field] = taller
            self.days = every
            self._touched(int(moved[0]) if len(moved) else len(known))
        return np.searchsorted(self.days, days)

    @property
    def version(self) -> int:
        """Higher with each change."""
        return self._version

    def _write(self, field: UniverseField, places: Days, columns: Days, values: Array) -> int | None:
        """Write what is told; the first row in which that is new."""
        target = self._field(field)
        block = target[np.ix_(places, columns)]
        new = np.isfinite(values) & (values != block)
        if not new.any():
            return None
        target[np.ix_(places, columns)] = np.where(new, values, block)
        self._counts[field] += int((new & np.isnan(block)).sum())
        return int(places[np.flatnonzero(new.any(axis=1))[0]])

    def _derive_returns(self, begin: int, columns: Days, known: Array) -> int | None:
        """Returns from prices, of the stocks whose prices came, where none is told; the first row with a new one.

        `known` are the prices of the rows from `begin` on that were there before. A return over a day whose price came
        only now is made anew from that, so that the order in which prices come makes no difference.
        """
        prices = self._field(UniverseField.PRICE)
        returns = self._field(UniverseField.RETURN)
        before = np.full(len(columns), np.nan)
        for row in range(begin - 1, -1, -1):  # the stock's last price before these days
            missing = np.isnan(before)
            if not missing.any():
                break
            before[missing] = prices[row, columns[missing]]
        first = None
        former = before  # without the prices that filled a gap
        for row in range(begin, len(self.days)):
            price = prices[row, columns]
            there = np.isfinite(price)
            was = known[row - begin] if row < begin + len(known) else price
            told = returns[row, columns]
            found = np.where(there & np.isfinite(before), price / before - 1.0, np.nan)
            anew = np.isfinite(was) & (before != former) & (told == was / former - 1.0) & (told != found)
            fill = np.isfinite(found) & (np.isnan(told) | anew)
            if fill.any():
                self._counts[UniverseField.RETURN] += int((fill & np.isnan(told)).sum())
                returns[row, columns[fill]] = found[fill]
                first = row if first is None else first
            before = np.where(there, price, before)
            former = np.where(np.isfinite(was), price, former)
            if row >= begin + len(known) and there.all():
                break  # nothing that came has to do with later days
        return first

    def _touched(self, row: int) -> None:
        """Blocks from this row on are to be saved again."""
        self._version += 1
        for key in [key for key in self._versions if key[1] + _BLOCK_DAYS > row]:
            del self._versions[key]


__all__ = ["DAY_NS", "Universe", "day_of"]
