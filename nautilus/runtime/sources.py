"""Markets for a run."""

from __future__ import annotations

from pathlib import Path

from nautilus.adapters.formats import open_recording
from nautilus.simulation import MarketSource, RecordedSource
from nautilus.simulation.config import RecordingConfig


def open_source(path: str | Path, config: RecordingConfig | None = None) -> MarketSource:
    """The recording at a path, as a market; its format is told by its content.

    Raises
    ------
    FormatError
        It is none that is known, or cannot be read.
    """
    settings = config or RecordingConfig()
    recording = open_recording(path, price_increment=settings.price_increment, lot_size=settings.lot_size)
    return RecordedSource(recording, cancel=settings.cancel)


def derives(source: MarketSource) -> bool:
    """Whether market data is to be derived from the core: a recording brings its own."""
    return not isinstance(source, RecordedSource)
