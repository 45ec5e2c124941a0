"""What the hub's door to data providers counts: in the counters of its process, for metrics and status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from nautilus.core.counters import Counters
from nautilus.model.datasets import ProviderState, ProviderStates

COUNTED: Final = (
    "hits",
    "misses",
    "stale",
    "negative",
    "joined",
    "prefetched",
    "prefetch_used",
    "prefetch_held",
    "asked",
    "errors",
    "synthetic",
    "published",
)
SHOWN: Final = ("entries", "bytes", "under_way", "prefetch_unused")
TOLD_OF_SOURCE: Final = ("calls", "errors", "not_modified")
"""By the source itself, from 0 in each process."""
OF_SOURCE: Final = (*TOLD_OF_SOURCE, "joined")
SHOWN_OF_SOURCE: Final = ("day_left", "day_limit", "connections")
STATES: Final = ("ready", "limited", "failing", "unconfigured")
MILLI: Final = 1000
MOST_SOURCES: Final = 32
"""Whose counters are kept apart: labels are bounded."""


class DataMeters:
    """Counters of one door."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._at = {name: counters.counter(f"data.{name}") for name in COUNTED}
        self._gauges = {name: counters.gauge(f"data.{name}") for name in SHOWN}
        self._before: dict[str, ProviderState] = {}
        self._costs: dict[str, float] = {}
        self._known: dict[str, dict[str, int]] = {}

    def add(self, name: str, count: int = 1) -> None:
        """Count."""
        self._counters.add(self._at[name], count)

    def get(self, name: str) -> int:
        """So many."""
        return self._counters.get(self._at[name])

    def counts(self) -> dict[str, int]:
        """All of them."""
        return {name: self.get(name) for name in COUNTED}

    @property
    def hit_rate(self) -> float:
        """Share of questions that were answered without that a provider was waited for."""
        return hit_rate_of(self.counts())

    def show(self, entries: int, size: int, under_way: int, unused: int) -> None:
        """What is kept now."""
        for name, value in zip(SHOWN, (entries, size, under_way, unused), strict=True):
            self._counters.set(self._gauges[name], value)

    def note(self, sources: Iterable[ProviderState]) -> None:
        """How the providers stand; their counts go on where a new child begins again at 0."""
        for source in sources:
            places = self._places(source.name)
            if not places:
                continue
            before = self._before.get(source.name) or ProviderState(source.name, "", ())
            self._before[source.name] = source
            for name in TOLD_OF_SOURCE:
                self._counters.add(places[name], max(getattr(source, name) - getattr(before, name), 0))
            cost = self._costs[source.name] = self._costs.get(source.name, 0.0) + max(source.cost - before.cost, 0.0)
            for name in SHOWN_OF_SOURCE:
                self._counters.set(places[name], getattr(source, name))
            self._counters.set(places["cost_milli"], round(cost * MILLI))
            self._counters.set(places["state"], STATES.index(source.state) if source.state in STATES else 2)

    def join(self, source: str) -> None:
        """A question has joined one to this provider that was under way."""
        self.add("joined")
        places = self._known.get(source)  # of a provider that has told how it stands: names are bounded
        if places is not None:
            self._counters.add(places["joined"], 1)

    def restart(self) -> None:
        """The child is gone: the next one begins at 0, and has no connection yet."""
        self._before.clear()
        for places in self._known.values():
            self._counters.set(places["connections"], 0)

    def states(self, sources: tuple[ProviderState, ...]) -> ProviderStates:
        """The reply to `GetProviders`."""
        found = self.counts()
        return ProviderStates(
            tuple(map(self._whole, sources)),
            hits=found["hits"],
            misses=found["misses"],
            stale=found["stale"],
            negative=found["negative"],
            joined=found["joined"],
            prefetched=found["prefetched"],
            prefetch_used=found["prefetch_used"],
            hit_rate=round(hit_rate_of(found), 6),
            fresh_rate=round(fresh_rate_of(found), 6),
        )

    def _whole(self, source: ProviderState) -> ProviderState:
        """With what was counted in all processes that there were; connections are those of the one that there is."""
        places = self._known.get(source.name)
        if places is None:
            return source
        counted = {name: self._counters.get(places[name]) for name in (*OF_SOURCE, "connections")}
        return msgspec.structs.replace(source, cost=round(self._costs[source.name], 9), **counted)

    def _places(self, source: str) -> dict[str, int]:
        places = self._known.get(source)
        if places is None:
            if len(self._known) >= MOST_SOURCES:
                return {}
            head = f"source.{source}."
            places = self._known[source] = {
                **{name: self._counters.counter(head + name) for name in OF_SOURCE},
                **{name: self._counters.gauge(head + name) for name in (*SHOWN_OF_SOURCE, "cost_milli", "state")},
            }
        return places


def hit_rate_of(counts: Mapping[str, int]) -> float:
    """Of counts by name; 0 where nothing was asked.

    What joined a question that was under way waited for a provider, too: it is no hit.
    """
    served = counts.get("hits", 0) + counts.get("stale", 0) + counts.get("negative", 0)
    asked = served + counts.get("misses", 0) + counts.get("joined", 0)
    return served / asked if asked else 0.0


def fresh_rate_of(counts: Mapping[str, int]) -> float:
    """Share of questions that got what was kept and fresh: without what was stale, and refusals that were kept."""
    asked = sum(counts.get(name, 0) for name in ("hits", "stale", "negative", "misses", "joined"))
    return counts.get("hits", 0) / asked if asked else 0.0


def data_status(counters: Mapping[str, int]) -> dict[str, Any]:
    """Of a process's counters, for `nautilus status`: empty where nothing was ever asked."""
    if not any(counters.get(f"data.{name}") for name in (*COUNTED, "entries")):
        return {}
    counts = {name: counters.get(f"data.{name}", 0) for name in (*COUNTED, *SHOWN)}
    sources: dict[str, dict[str, Any]] = {}
    for name, value in counters.items():
        group, _, rest = name.partition(".")
        source, _, what = rest.partition(".")
        if group == "source" and what:
            sources.setdefault(source, {})[what] = value
    for found in sources.values():
        state = found.pop("state", 0)
        found["state"] = STATES[state] if 0 <= state < len(STATES) else "failing"
        found["cost"] = found.pop("cost_milli", 0) / MILLI
    rates = {"hit_rate": round(hit_rate_of(counts), 6), "fresh_rate": round(fresh_rate_of(counts), 6)}
    return {**counts, **rates, "sources": sources}


__all__ = ["COUNTED", "DataMeters", "data_status", "fresh_rate_of", "hit_rate_of"]
