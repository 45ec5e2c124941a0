"""Commands that come in one message of the mesh and are answered in one."""

from __future__ import annotations

import numpy as np

from nautilus.bus import Delivery
from nautilus.core.port import URGENT_SOURCE
from nautilus.core.types import COMMAND, CommandKind
from nautilus.engines.trading.acknowledge import batch_acknowledgement
from nautilus.model.codec import to_msgpack
from nautilus.model.commands import MOST_IN_BATCH, CommandBatch
from nautilus.model.errors import ModelError
from nautilus.trading.flight import InFlight

_KINDS = (CommandKind.NEW, CommandKind.CANCEL, CommandKind.REPLACE)
_SIZE = COMMAND.itemsize


class Batch:
    """What became of the commands of one message so far.

    Attributes
    ----------
    closed : it is answered; what is still heard of its commands tells nobody anything.
    """

    def __init__(self, count: int) -> None:
        self._left = count
        self._outcomes = [(0, 0, 0)] * count
        self.closed = False

    def note(self, place: int, outcome: int, reason: int, sequence: int) -> bool:
        """The answer to one command is there; whether it was the last one that was lacking."""
        self._outcomes[place] = (outcome, reason, sequence)
        self._left -= 1
        return not self._left

    def reply(self, now_ns: int) -> bytes:
        """The message that answers for all of them."""
        return to_msgpack(batch_acknowledgement(self._outcomes, now_ns))


def batch_in_flight(delivery: Delivery, message: CommandBatch) -> list[InFlight]:
    """The commands as the core gets them, in order.

    Raises
    ------
    ModelError
        It is no row of COMMAND records, or has some that do not come in batches.
    """
    count, rest = divmod(len(message.rows), _SIZE)
    if rest or not 0 < count <= MOST_IN_BATCH:
        raise ModelError(
            f"rows of {len(message.rows)} bytes",
            where="command batch",
            expected=f"1 to {MOST_IN_BATCH} records of {_SIZE} bytes",
        )
    records = np.frombuffer(message.rows, COMMAND)
    kinds, sources = records["kind"].tolist(), records["source_id"].tolist()
    for place, kind in enumerate(kinds):
        if kind not in _KINDS:
            raise ModelError(f"kind {kind}", where=f"command batch, rows[{place}]", expected="NEW, CANCEL or REPLACE")
    if max(sources) >= URGENT_SOURCE:
        raise ModelError(f"source_id {max(sources)}", where="command batch", expected=f"0 to {URGENT_SOURCE - 1}")
    numbers = records["source_sequence"].tolist()
    batch = Batch(count)
    return [
        InFlight(delivery, None, message.rows[place * _SIZE : (place + 1) * _SIZE], source, number, kind, batch, place)
        for place, (source, number, kind) in enumerate(zip(sources, numbers, kinds, strict=True))
    ]
