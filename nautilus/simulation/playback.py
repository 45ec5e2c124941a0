"""A recording as a market source: one update of the venue a step, in file order, at its receive stamp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nautilus.model.instrument import Instrument
from nautilus.simulation.config import Cancellation
from nautilus.simulation.recording import LEVELS, NOTHING, RecordedMarket
from nautilus.simulation.source import CoreView, Step

Records = NDArray[np.void]

QUOTE, TRADE, BOOK, BAR = 1, 2, 3, 4  # kinds of an update; the numbers of the formats' UpdateKind
AUCTION, FLOW = 5, 6  # of stored ranges alone


class InstrumentHint(Protocol):
    """What a recording tells of its instrument."""

    def instrument(self, instrument_id: int = 1) -> Instrument:
        """Build the instrument."""


class Recording(Protocol):
    """What is asked of a recording: `nautilus.adapters.formats.open_recording` gives one."""

    @property
    def order_by_order(self) -> bool:
        """The deltas name single orders."""

    @property
    def hint(self) -> InstrumentHint:
        """The instrument, as far as the recording tells."""

    def updates(self, until_ns: int | None = None) -> Iterator[tuple[int, int, Records]]:
        """Give `(now_ns, kind, records)` in file order, once."""

    def summary(self) -> dict[str, Any]:
        """Counters and book checks of what was read."""

    @property
    def progress(self) -> float:
        """Part that was read, 0 to 1."""


class RecordedSource:
    """Plays a recording into the core and hands its records to the hub: `derives` is false.

    The recorded book that the checks look at is the recording's own, kept apart without anybody's orders.

    Parameters
    ----------
    recording : an open recording of one instrument.
    instrument : as it trades in the core; None: as the recording tells.
    cancel : see `RecordingConfig`.
    number, capacity : see `RecordedMarket`.

    Raises
    ------
    ConfigError
        `cancel` is unknown.
    """

    derives = False
    check: Callable[[Records], Records] | None = None

    def __init__(
        self,
        recording: Recording,
        instrument: Instrument | None = None,
        *,
        cancel: Cancellation = "back",
        number: int = 0,
        capacity: int = LEVELS,
    ) -> None:
        self.recording = recording
        traded = recording.hint.instrument() if instrument is None else instrument
        self.market = RecordedMarket(
            traded, cancel=cancel, by_order=recording.order_by_order, number=number, capacity=capacity
        )
        self.on_events = self.market.on_events  # bound once: the host calls it for every batch of events
        self.setup = self.market.setup
        self._by_order = recording.order_by_order
        self._updates = recording.updates()
        self._upcoming: tuple[int, int, Records] | None = None
        self._more: Records | None = None
        self._now_ns = 0
        self._ended = False

    def instruments(self) -> tuple[Instrument, ...]:
        """Return the recorded instrument."""
        return (self.market.instrument,)

    def attach(self, core: CoreView) -> None:
        """Nothing is read of the core: its events say all."""

    def begin(self, now_ns: int) -> Records:
        """Nothing to clear away: a recording plays into a core that has seen none of it."""
        return NOTHING

    @property
    def waits(self) -> bool:
        """A book update is made of what rests; trades and quotes are what they are, except order by order."""
        return self._by_order or (self._upcoming is not None and self._upcoming[1] == BOOK)

    def next_ns(self) -> int | None:
        """Receive stamp of the next update; None at the end.

        Raises
        ------
        VenueError
            The recording is broken from here on; everything before was played.
        """
        if self._by_order and self._more is None:
            self._more = self.market.follow_up()
        if self._more is not None:
            return self._now_ns
        if self._upcoming is None:
            if self._ended:
                return None
            self._upcoming = next(self._updates, None)
            if self._upcoming is None:
                self._ended = True
                return None
        return self._upcoming[0]

    def step(self) -> Step:
        """Play the next update. Only after `next_ns()` gave a time."""
        if self._more is not None:
            commands, self._more = self._more, None
            return Step(self._now_ns, commands, ())
        assert self._upcoming is not None, "step() without next_ns()"
        self._now_ns, kind, records = self._upcoming
        self._upcoming = None
        if self.check is not None:
            records = self.check(records)
            if not len(records):
                return Step(self._now_ns, None, ())
        if kind not in (BOOK, TRADE):
            return Step(self._now_ns, None, (records,))
        play = self.market.book_update if kind == BOOK else self.market.trade
        commands = play(records, self._now_ns)
        return Step(self._now_ns, commands if len(commands) else None, (records,))

    def summary(self) -> dict[str, Any]:
        """Return counters and book checks of what was played; under `market`, what its participants did in the core."""
        market = self.market.summary()
        return {**self.recording.summary(), "rejected": market.pop("rejected"), "market": market}

    @property
    def progress(self) -> float | None:
        """Part of the recording that was read."""
        return self.recording.progress
