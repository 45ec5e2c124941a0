"""Markets for a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nautilus.adapters.formats import open_recording
from nautilus.model.errors import ConfigError
from nautilus.model.instrument import Instrument
from nautilus.runtime.market_name import MarketName, market_name
from nautilus.runtime.stored import first_ns_of, open_stored
from nautilus.simulation import MarketSource, MergedSource, RecordedSource
from nautilus.simulation.config import RecordingConfig
from nautilus.simulation.playback import Recording
from nautilus.simulation.recording import LEVELS, LEVELS_OF_MANY


def open_source(path: str | Path | MarketName, config: RecordingConfig | None = None) -> MarketSource:
    """The recording at a path, or all that a market's name says, as one market.

    Raises
    ------
    FormatError
        It is none that is known, or cannot be read.
    ConfigError
        The name is not that of recordings or of a stored range.
    """
    name = path if isinstance(path, MarketName) else market_name(str(path))
    settings = config or RecordingConfig()
    if name.kind == "files":
        return _side_by_side(_open_files(name.paths, settings), settings)
    if name.kind == "catalog":
        return _side_by_side(open_stored(name), settings)
    raise ConfigError(f"market {str(name)!r}", expected="recordings")


def begin_ns_of(name: MarketName, config: RecordingConfig | None = None) -> int:
    """Receive stamp of the first record; only heads are read."""
    if name.kind == "catalog":
        return first_ns_of(name)
    settings = config or RecordingConfig()
    return min(
        open_recording(path, price_increment=settings.price_increment, lot_size=settings.lot_size).start_ns
        for path in name.paths
    )


def derives(source: MarketSource) -> bool:
    """Whether market data is to be derived from the core: a recording brings its own."""
    return bool(getattr(source, "derives", True))


def distinct_symbols(instruments: Sequence[Instrument]) -> tuple[Instrument, ...]:
    """The same, with symbols told apart: those that several have get the product behind them, and else a number."""
    found = list(instruments)
    for ending in (lambda each, place: each.product, lambda each, place: str(place + 1)):
        counts = Counter(each.symbol for each in found)
        found = [
            each
            if counts[each.symbol] == 1
            else msgspec.structs.replace(each, symbol=f"{each.symbol}.{ending(each, place)}")
            for place, each in enumerate(found)
        ]
    return tuple(found)


def _open_files(paths: Sequence[str], settings: RecordingConfig) -> list[Recording]:
    return [
        open_recording(path, price_increment=settings.price_increment, lot_size=settings.lot_size, instrument_id=number)
        for number, path in enumerate(paths, 1)
    ]


def _side_by_side(recordings: Sequence[Recording], settings: RecordingConfig) -> MarketSource:
    """One market of recordings, whose records carry instrument ids from 1 on, in their order."""
    if len(recordings) == 1:
        return RecordedSource(recordings[0], cancel=settings.cancel)
    instruments = distinct_symbols(
        [recording.hint.instrument(number) for number, recording in enumerate(recordings, 1)]
    )
    capacity = LEVELS if len(recordings) < 4 else LEVELS_OF_MANY
    return MergedSource(
        [
            RecordedSource(recording, instrument, cancel=settings.cancel, number=number, capacity=capacity)
            for number, (recording, instrument) in enumerate(zip(recordings, instruments, strict=True))
        ]
    )
