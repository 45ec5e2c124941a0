"""A feed's ticks in shared memory: a process that reads a venue writes TICK records, the hub takes them in.

::

    DIRECTORY/instruments.json   what the ids in the ticks are
    DIRECTORY/ring               frames of TICK records (docs/marketdata-kernels.md), one or more in each

The writer never waits for the hub. Who may wait looks at `slowest` before it writes; else a hub that was held up for
longer than the ring lasts has lost ticks, knows it, and takes no book for right until its snapshot has come again.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import msgspec
import numpy as np

from nautilus.bus.ring import RingReader, RingWriter
from nautilus.core.ticks import TICK
from nautilus.model.errors import ConfigError
from nautilus.model.instrument import Instrument
from nautilus.model.records import Records
from nautilus.runtime.files import write_atomically

RING, INSTRUMENTS = "ring", "instruments.json"
CAPACITY = 1 << 24
"""Bytes: 262,144 ticks, a quarter of a second at a million a second."""
MOST_TICKS = 8_192
"""In a frame: what the hub takes in at once."""


class TickWriter:
    """One thread. Writes ticks for the hub that plays ``ticks:DIRECTORY``.

    Parameters
    ----------
    directory
        Made where it is not there; in ``/dev/shm`` nothing of it is written to a disk.
    instruments
        All whose ids the ticks will have.
    epoch
        Higher than that of the writer before, as the time in nanoseconds is.
    capacity
        Bytes of the ring, a power of two.
    """

    def __init__(
        self,
        directory: str | PathLike[str],
        instruments: tuple[Instrument, ...],
        *,
        epoch: int,
        capacity: int = CAPACITY,
    ) -> None:
        place = Path(directory)
        place.mkdir(parents=True, exist_ok=True)
        write_atomically(place / INSTRUMENTS, msgspec.json.encode(instruments))
        self._ring = RingWriter(place / RING, capacity=capacity, epoch=epoch)
        self._most = min(MOST_TICKS, self._ring.most // TICK.itemsize)

    def write(self, ticks: Records) -> None:
        """Add a TICK array and wake the hub. More at once than the ring holds is more than the hub can take."""
        if ticks.dtype != TICK:
            raise TypeError(f"ticks of {ticks.dtype}; expected TICK")
        for begin in range(0, len(ticks), self._most):
            self._ring.write(np.ascontiguousarray(ticks[begin : begin + self._most]))

    def slowest(self) -> int:
        """Bytes that the hub has not taken in yet; 0 where there is none."""
        return self._ring.writer.slowest()

    def readers(self) -> int:
        """Hubs that follow."""
        return len(self._ring.writer.held())

    def close(self) -> None:
        """The feed ends here: the hub takes no book for right any more."""
        self._ring.close()


def listed_in(directory: str | PathLike[str]) -> tuple[Instrument, ...]:
    """The instruments of a feed.

    Raises
    ------
    ConfigError
        There are none: no feed has begun here, or its list is damaged.
    """
    path = Path(directory) / INSTRUMENTS
    try:
        found = msgspec.json.decode(path.read_bytes(), type=tuple[Instrument, ...])
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"no list of instruments: {error}", where=str(path), expected="a feed that has begun"
        ) from error
    if not found or len({each.instrument_id for each in found}) != len(found):
        raise ConfigError("instruments", where=str(path), expected="one at least, each id once")
    return found


def follow(directory: str | PathLike[str]) -> RingReader:
    """The ring of a feed, from the oldest tick on, through all its writers."""
    return RingReader(Path(directory) / RING, oldest=True, doorbell=True)
