"""What is on a tear sheet: figures, tables and series."""

from __future__ import annotations

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """A number with its name.

    Parameters
    ----------
    label
        Its name.
    value
        None: it has no value, and `reason` says why.
    kind
        ``percent`` (of a part of one), ``ratio``, ``count`` or ``money``.
    reason
        A code, such as ``too_few``.
    """

    label: str
    value: float | None
    kind: str = "ratio"
    reason: str = ""


class Table(msgspec.Struct, frozen=True):
    """A table; a column is of one kind: those of `Figure`, ``text`` or ``day`` (nanoseconds, 0: none)."""

    title: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]
    note: str = ""


class Sheet(msgspec.Struct, frozen=True):
    """What a tear sheet shows. What is empty is left out.

    Parameters
    ----------
    title, subtitle
        Whose it is, and of what.
    headline
        The figures on top.
    tables
        Of measures, forecasts, attribution ...
    times_ns
        Ends of the periods; empty: they have none, and are numbered from 1.
    wealth, drawdowns
        After each period, of one unit at the beginning.
    benchmark, benchmark_wealth
        Its name, and what one unit became in it after each period.
    rolling_window, rolling_sharpe, rolling_volatility
        Of the last so many periods, after each period from that number on.
    calendar
        (year, month, return); month 0: of the whole year.
    marks
        (name, return) in the histogram, such as the value at risk.
    basis
        (term, text): method, range, source.
    """

    title: str
    subtitle: str = ""
    headline: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    times_ns: tuple[int, ...] = ()
    wealth: tuple[float, ...] = ()
    drawdowns: tuple[float, ...] = ()
    benchmark: str = ""
    benchmark_wealth: tuple[float, ...] = ()
    rolling_window: int = 0
    rolling_sharpe: tuple[float, ...] = ()
    rolling_volatility: tuple[float, ...] = ()
    calendar: tuple[tuple[int, int, float], ...] = ()
    marks: tuple[tuple[str, float], ...] = ()
    basis: tuple[tuple[str, str], ...] = ()
