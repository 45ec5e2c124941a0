"""What the recorder could not have: a table of the catalog, written before anything that comes behind the gap."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from nautilus.runtime.clock import wall_ns
from nautilus.runtime.recorded_streams import FACTS, ORIGIN, RECORDS, key_of, origin_of
from nautilus.store.catalog_open import AnyWriter
from nautilus.store.catalog_parts import arrow

TABLE: Final = "recorder_gaps"
UNKNOWN: Final = -1
"""Records of a gap of which nobody knows how large it is."""


class Gaps:
    """Gaps on their way to the catalog, each stored once.

    Parameters
    ----------
    writer
        Of the catalog.
    """

    def __init__(self, writer: AnyWriter) -> None:
        self._writer = writer
        self._waiting: deque[tuple[str, int, dict[str, Any] | None]] = deque()

    def begin(self, epoch: int) -> None:
        """A life of the hub is recorded from here on: the next recorder asks what was behind it."""
        self._waiting.append((ORIGIN, epoch, None))

    def add(self, epoch: int, stream: int, owner: Any, first: int, last: int) -> None:
        """Records of a stream that are nowhere any more."""
        kind = stream >> 32
        name = RECORDS.get(kind) or str(FACTS.get(kind, ""))
        instrument = key_of(owner) if owner is not None else ""
        row = _row(epoch, name, instrument, stream, first, last, last - first + 1)
        self._waiting.append((f"{origin_of(epoch, stream)}/gaps", last, row))

    def add_unknown(self, epoch: int) -> None:
        """A life of the hub of which nobody knows where it ended."""
        self._waiting.append((f"{origin_of(epoch)}/gaps", 1, _row(epoch, "", "", 0, 0, 0, UNKNOWN)))

    def hand_in(self) -> bool:
        """Give the catalog what waits; whether it has taken all."""
        while self._waiting:
            origin, position, row = self._waiting[0]
            if row is None:
                taken = self._writer.mark(origin, position, wait=False)
            else:
                table = arrow().table({name: [value] for name, value in row.items()})
                taken = self._writer.append_table(TABLE, table, time="told_ns", origin=origin, position=position)
            if not taken:
                return False
            self._waiting.popleft()
        return True


def _row(epoch: int, kind: str, instrument: str, stream: int, first: int, last: int, records: int) -> dict[str, Any]:
    return {
        "told_ns": wall_ns(),
        "epoch": epoch,
        "kind": kind,
        "instrument": instrument,
        "stream": stream,
        "first": first,
        "last": last,
        "records": records,
    }


__all__ = ["TABLE", "UNKNOWN", "Gaps"]
