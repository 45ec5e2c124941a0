"""How long a process lets market data gather before it takes them, and what it makes of them then.

Whoever takes frames one by one is woken by each; an engine that needs none of them at once (`Engine.patience_ns`) takes
some milliseconds of them together. A process is as patient as the least patient of its engines that take market data.
Messages, questions and times are never waited with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import numpy as np

from nautilus.bus.star_reader import Batch, Marked
from nautilus.engines.base import Engine
from nautilus.model.topics import Topic
from nautilus.runtime.bus_settings import BusConfig


def patience_of(settings: BusConfig, engines: Iterable[Engine], topics: Sequence[Topic]) -> int:
    """Nanoseconds for which the process of these engines lets frames of these topics gather; 0: it takes each."""
    if not settings.patient:
        return 0
    takers = [engine for engine in engines if not set(engine.subscribes).isdisjoint(topics)]
    own = [settings.patience_us.get(engine.name, engine.patience_ns // 1_000) * 1_000 for engine in takers]
    return min(own, default=0)


def together(batches: Sequence[Batch], whole: Callable[[Topic], bool]) -> Iterable[Batch]:
    """The same records in the same order, those of a topic that follow one another as one array where it is `whole`.

    What an image brings, or else has flags, stays by itself.
    """
    if len(batches) < 2:
        return batches
    found: list[Batch] = []
    for (topic, plain), group in groupby(batches, lambda batch: (batch[0], not isinstance(batch, Marked))):
        several = list(group)
        if plain and len(several) > 1 and whole(topic):
            found.append((topic, np.concatenate([records for _, records in several])))
        else:
            found += several
    return found


__all__ = ["patience_of", "together"]
