"""What each stream of the star becomes in the catalog: records of an instrument, or facts by whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from nautilus.bus.base import LAYOUTS
from nautilus.model.datasets import DataKind, Fact
from nautilus.model.fact_records import RECORD_OF, facts_of_records
from nautilus.model.instrument import Instrument
from nautilus.model.records import Records
from nautilus.model.topics import QUARANTINES
from nautilus.store.catalog_errors import CatalogError
from nautilus.store.catalog_facts import fact_key
from nautilus.store.catalog_instruments import StoredInstrument, describe, named
from nautilus.store.catalog_intake import MARKED
from nautilus.store.catalog_kinds import FACT_KINDS

_REAL_TIME: Final = "marketdata.real_time."
QUARANTINE: Final = "quarantine"
RECORDS: Final = {
    layout.kind: QUARANTINE if layout.topic is QUARANTINES else layout.topic.name.removeprefix(_REAL_TIME)
    for layout in LAYOUTS
    if layout.topic is QUARANTINES or layout.topic.name.startswith(_REAL_TIME)
}
"""Kinds of frames whose streams are of one instrument, by their names in the catalog."""
FACTS: Final[Mapping[int, DataKind]] = {
    layout.kind: kind for kind, dtype in RECORD_OF.items() for layout in LAYOUTS if layout.dtype is dtype
}
"""Kinds of frames that carry facts of providers; a stream has those of many symbols."""
RECORDED: Final = frozenset((*RECORDS, *FACTS))
_NAMES: Final = {kind: name for name, kind in FACT_KINDS.items()}
ORIGIN: Final = "star"
"""As a source of the catalog; its mark is the last life of the hub that was recorded."""
UNKNOWN_VENUE: Final = "unknown"
"""Where what was refused belongs whose instrument nobody knows: ``17@unknown``."""


class FactGroup:
    """Facts of one kind and key, and the number of the last of them in its stream."""

    __slots__ = ("facts", "position")

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.position = 0


class Owners:
    """Whose the records of a stream are.

    Parameters
    ----------
    instruments
        By id.
    """

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._known: dict[int, Instrument] = {each.instrument_id: each for each in instruments}
        self._unknown: dict[int, StoredInstrument] = {}

    def of(self, stream: int) -> Instrument | StoredInstrument | None:
        """The instrument; what was refused of one that is not known is kept by its number. None: it is not kept."""
        number = stream & 0xFFFF_FFFF
        found = self._known.get(number)
        if found is not None or RECORDS.get(stream >> 32) != QUARANTINE:
            return found
        if number not in self._unknown:
            self._unknown[number] = named(str(number), UNKNOWN_VENUE)
        return self._unknown[number]


def origin_of(epoch: int, stream: int | None = None) -> str:
    """Name of a life of the hub as a source of the catalog; of one of its streams, where that has many keys."""
    return f"{ORIGIN}:{epoch}" if stream is None else f"{ORIGIN}:{epoch}/{stream:x}"


def key_of(owner: Any) -> str:
    """Key in the catalog."""
    return describe(owner).key


def taken_of(kept: Mapping[tuple[str, str], int]) -> int:
    """How far a stream of facts was taken, with all its keys."""
    return kept.get(MARKED, 0)


def fact_groups(
    kind: DataKind, parts: Sequence[tuple[int, Records]], kept: Mapping[tuple[str, str], int]
) -> tuple[list[FactGroup], int]:
    """Facts of a stream by their keys, without what the catalog has; and how many no key fits.

    Parameters
    ----------
    parts
        Records, each with the number of its first.
    kept
        Number of the last fact of a kind and key that is stored.
    """
    groups: dict[str, FactGroup] = {}
    unfit = 0
    for first, records in parts:
        for sequence, fact in enumerate(facts_of_records(kind, records), first):
            try:
                key = fact_key(fact).key
            except CatalogError:
                unfit += 1
                continue
            if sequence <= kept.get((_NAMES[kind], key), 0):
                continue
            group = groups.get(key)
            if group is None:
                group = groups[key] = FactGroup()
            group.facts.append(fact)
            group.position = sequence
    return list(groups.values()), unfit


__all__ = [
    "FACTS",
    "ORIGIN",
    "RECORDED",
    "RECORDS",
    "FactGroup",
    "Owners",
    "fact_groups",
    "key_of",
    "origin_of",
    "taken_of",
]
