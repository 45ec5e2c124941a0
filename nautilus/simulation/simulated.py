"""The simulated market as a market source: one waking agent a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus.model.errors import ConfigError
from nautilus.model.instrument import Instrument
from nautilus.simulation.config import SimulationConfig
from nautilus.simulation.market import INSTRUMENT, SimulatedMarket
from nautilus.simulation.source import CoreView, Step

Records = NDArray[np.void]

START_NS = 1_704_153_600_000_000_000  # 2024-01-02 00:00 UTC
LEVELS = 10


class SimulatedSource:
    """The simulated market as a market source: one waking agent a step. Quotes, trades and deltas come of the core.

    Parameters
    ----------
    instrument, seed, config : see `SimulatedMarket`.
    for_ns : virtual time after which it ends; None: never.
    start_ns : virtual time at which it begins.

    Raises
    ------
    ConfigError
        `for_ns` is not positive.
    """

    check: Callable[[Records], Records] | None = None

    def __init__(
        self,
        instrument: Instrument = INSTRUMENT,
        seed: int = 1,
        config: SimulationConfig | None = None,
        *,
        for_ns: int | None = None,
        start_ns: int = START_NS,
    ) -> None:
        if for_ns is not None and for_ns <= 0:
            raise ConfigError(f"for_ns {for_ns}", where="SimulatedSource", expected="more than 0 nanoseconds")
        self.market = SimulatedMarket(instrument, seed, config)
        self.seed = seed
        self.on_events = self.market.on_events  # bound once: the host calls it for every batch of events
        self.setup = self.market.setup
        self._start_ns = start_ns
        self._for_ns = for_ns
        self._core: CoreView | None = None
        self._next_ns = start_ns

    def instruments(self) -> tuple[Instrument, ...]:
        """Return the instrument that the agents trade."""
        return (self.market.instrument,)

    def attach(self, core: CoreView) -> None:
        """Hand in the core, whose depth the agents see."""
        self._core = core

    def begin(self, now_ns: int) -> Records:
        """Begin at this time; the accounts' orders of an earlier run are cancelled."""
        self._start_ns = now_ns
        return self.market.take_over(now_ns)

    @property
    def waits(self) -> bool:
        """Each agent sees what the one before has done."""
        return True

    def next_ns(self) -> int | None:
        """Virtual time of the next waking; None after `for_ns`."""
        self._next_ns = self.market.next_ns if self.market.now_ns else self._start_ns
        return None if self._for_ns is not None and self._next_ns > self._start_ns + self._for_ns else self._next_ns

    def step(self) -> Step:
        """Wake the next agent; commands are None where it does nothing."""
        if not self.market.now_ns:
            return Step(self._start_ns, self.market.start(self._start_ns), ())
        assert self._core is not None, "step() before attach()"
        # The time that was said, though a strategy may since have emptied a side, which asks for an earlier one.
        now_ns = self._next_ns
        bids, asks = self._core.depth(self.market.instrument.instrument_id, LEVELS)
        commands = self.market.step(now_ns, _pairs(bids), _pairs(asks))
        return Step(now_ns, commands if len(commands) else None, ())

    def summary(self) -> dict[str, Any]:
        """Counters under `market`; `rejected` by reason; nothing recorded, so no checks, gaps or losses."""
        facts = self.market.summary()
        rejected = facts.pop("rejected")
        return {
            "format": "simulated",
            "records": {},
            "gaps": 0,
            "lost": 0,
            "book_checks": {"compared": 0, "equal": 0},
            "rejected": rejected,
            "market": {"seed": self.seed, **facts},
        }

    @property
    def progress(self) -> float | None:
        """Part of `for_ns` that has passed."""
        if self._for_ns is None:
            return None
        return min(1.0, max(0, self.market.now_ns - self._start_ns) / self._for_ns)


def _pairs(levels: Records) -> list[tuple[int, int]]:
    return list(zip(levels["price_ticks"].tolist(), levels["quantity"].tolist(), strict=True))
