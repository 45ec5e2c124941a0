"""Commands of the mesh that are on their way through one ring of the core, and which answer belongs to which."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nautilus.bus import Delivery
from nautilus.core.port import Port
from nautilus.core.types import COMMAND, CommandKind
from nautilus.model.commands import TradingCommand
from nautilus.model.records import command_row

if TYPE_CHECKING:
    from nautilus.trading.batch import Batch

_ENTERING = (CommandKind.NEW, CommandKind.REPLACE)


class InFlight(NamedTuple):
    """A command as the core gets it; `source_id` and `number` come back with its last event.

    Attributes
    ----------
    delivery : who is to be answered; None: nobody any more.
    command : None of a batch, or a mark.
    batch, place : the message that it came in with others, and which of them it is.
    """

    delivery: Delivery | None
    command: TradingCommand | None
    row: bytes
    source_id: int
    number: int
    kind: int
    batch: Batch | None = None
    place: int = 0

    @property
    def entering(self) -> bool:
        """May be refused before it is sequenced; everything else the core always takes."""
        return self.kind in _ENTERING


def mark(number: int) -> InFlight:
    """A command without effect: where it is answered, everything before it was."""
    kind = CommandKind.TIME
    return InFlight(None, None, command_row(kind=kind, now_ns=0, source_sequence=number), 0, number, kind)


class Flight:
    """Commands of one ring, in their order; answers come in the same one."""

    def __init__(self) -> None:
        self._held: deque[InFlight] = deque()
        self._sent: deque[InFlight] = deque()

    def __bool__(self) -> bool:
        return bool(self._sent or self._held)

    @property
    def held(self) -> bool:
        """Something could not be sent yet."""
        return bool(self._held)

    def send(self, port: Port, new: Iterable[InFlight] = ()) -> list[InFlight]:
        """Hand over what is held, then what is new. Where there is no room new orders are given back; the rest is held.

        What is held keeps its place: a sender's later command would else make a repeat of its earlier one.
        """
        waiting = [*self._held, *new]
        self._held.clear()
        sent = 0
        if waiting:
            sent = port.send(np.frombuffer(bytearray(b"".join(item.row for item in waiting)), COMMAND))
        self._sent.extend(waiting[:sent])
        refused = []
        for item in waiting[sent:]:
            if item.entering:
                refused.append(item)
            else:
                self._held.append(item)
        return refused

    def answered(self, source_id: int, number: int, kind: int) -> list[InFlight]:
        """The command that this answer is of comes last; those before it, the core has refused unheard. Empty: none."""
        sent = self._sent
        if sent:
            item = sent[0]
            if item.number == number and item.source_id == source_id and item.kind == kind:
                return [sent.popleft()]  # as nearly always
        for place, item in enumerate(sent):
            if item.source_id == source_id and item.number == number and item.kind == kind:
                return [sent.popleft() for _ in range(place + 1)]
        return []

    def give_up(self, *, unnumbered: bool) -> list[InFlight]:
        """What is not to be answered any more; it keeps its place, as its answer may come.

        Parameters
        ----------
        unnumbered
            Only new orders without a number: once some answers were missed, theirs cannot be told apart.
        """
        given_up = []
        for place, item in enumerate(self._sent):
            if item.delivery is not None and (not unnumbered or (item.entering and not item.number)):
                given_up.append(item)
                self._sent[place] = item._replace(delivery=None)
        return given_up
