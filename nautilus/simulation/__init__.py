"""Markets that play into the core: recordings as participants, and a simulated market of agents."""

from nautilus.simulation.config import RecordingConfig, SimulationConfig
from nautilus.simulation.market import SimulatedMarket
from nautilus.simulation.merging import MergedSource
from nautilus.simulation.playback import RecordedSource
from nautilus.simulation.recording import BOOK_ACCOUNT, TAPE_ACCOUNT, RecordedMarket
from nautilus.simulation.simulated import SimulatedSource
from nautilus.simulation.source import CoreView, MarketSource, Step
from nautilus.simulation.stored import StoredRecording

__all__ = [
    "BOOK_ACCOUNT",
    "TAPE_ACCOUNT",
    "CoreView",
    "MarketSource",
    "MergedSource",
    "RecordedMarket",
    "RecordedSource",
    "RecordingConfig",
    "SimulatedMarket",
    "SimulatedSource",
    "SimulationConfig",
    "Step",
    "StoredRecording",
]
