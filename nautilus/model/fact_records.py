"""What providers tell as records of the star, and back: facts of one kind, their text cut to fixed columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import isnan, nan
from operator import attrgetter
from typing import Any, Final, NamedTuple, get_args, get_type_hints

import numpy as np

from nautilus.model.datasets import FACTS, DataKind, Fact, Provenance
from nautilus.model.marketdata import ECONOMIC_FACT, FUNDAMENTAL_FACT, HISTORICAL_BAR, QUOTE_FACT, FactFlag
from nautilus.model.records import Records

RECORD_OF: Final[Mapping[DataKind, np.dtype[np.void]]] = {
    DataKind.BAR: HISTORICAL_BAR,
    DataKind.FUNDAMENTAL: FUNDAMENTAL_FACT,
    DataKind.ECONOMIC: ECONOMIC_FACT,
    DataKind.QUOTE: QUOTE_FACT,
}
"""Kinds that the star carries; listings and events have text of any length."""
_HOLDER: Final = ("now_ns", "instrument_id", "flags")
_PROVENANCE: Final = ("fetched_ns", "source", "url")


class _Form(NamedTuple):
    """How a kind's facts and its records belong together.

    Attributes
    ----------
    numbers, texts : those columns of a fact, in the order of the record.
    widths : of the texts, in bytes.
    at : place of each column in a record.
    optional : columns that may say nothing.
    """

    numbers: Callable[[Fact], tuple[Any, ...]]
    texts: Callable[[Fact], tuple[str, ...]]
    widths: tuple[int, ...]
    at: Mapping[str, int]
    optional: frozenset[str]


@cache
def _form(kind: DataKind) -> _Form:
    dtype = RECORD_OF[kind]
    names = [name for name in dtype.names or () if name not in _HOLDER]
    paths = {name: f"provenance.{name}" if name in _PROVENANCE else name for name in names}
    texts = [name for name in names if dtype[name].kind == "S"]
    hints = get_type_hints(FACTS[kind])
    return _Form(
        attrgetter(*(paths[name] for name in names if name not in texts)),
        attrgetter(*(paths[name] for name in texts)),
        tuple(dtype[name].itemsize for name in texts),
        {name: at for at, name in enumerate(dtype.names or ())},
        frozenset(name for name in names if type(None) in get_args(hints.get(name))),
    )


def fact_records(kind: DataKind, facts: Sequence[Fact], instruments: Mapping[str, int]) -> Records:
    """Facts of one kind as records, `now_ns` still 0.

    Parameters
    ----------
    instruments
        Instrument id by symbol.
    """
    form = _form(kind)
    rows: list[tuple[Any, ...]] = []
    for fact in facts:
        flags = int(FactFlag.SYNTHETIC) if fact.provenance.synthetic else 0
        texts = []
        for text, width in zip(form.texts(fact), form.widths, strict=True):
            data = text.encode()
            if len(data) > width:  # between characters
                data, flags = data[:width].decode(errors="ignore").encode(), flags | FactFlag.CUT
            texts.append(data)
        numbers = [nan if value is None else value for value in form.numbers(fact)]
        name = str(getattr(fact, "symbol", "") or getattr(fact, "series", ""))
        rows.append((0, *numbers, instruments.get(name, 0), int(flags), *texts))
    return np.array(rows, RECORD_OF[kind])


def facts_of_records(kind: DataKind, records: Records) -> list[Fact]:
    """Inverse of `fact_records`, but for what was cut."""
    form = _form(kind)
    at, optional = form.at, form.optional
    struct: Any = FACTS[kind]
    names = [name for name in struct.__struct_fields__ if name != "provenance"]
    source, url, fetched, flags = (at[name] for name in ("source", "url", "fetched_ns", "flags"))
    facts: list[Fact] = []
    for row in records.tolist():
        provenance = Provenance(
            _said(row[source]), _said(row[url]), row[fetched], bool(row[flags] & FactFlag.SYNTHETIC)
        )
        values = [None if name in optional and isnan(row[at[name]]) else _said(row[at[name]]) for name in names]
        facts.append(struct(*values, provenance))
    return facts


def _said(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


__all__ = ["RECORD_OF", "fact_records", "facts_of_records"]
