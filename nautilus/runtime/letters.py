"""Dead letters of a process: written to its log on disk, told to its log for people, and sent again where asked.

A client asks with a request to `LETTERS` whose payload names letters by number. What enters the market is never sent
again: its sender was told that it is unknown or refused, and has done something about it since.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from nautilus.bus import DeadLetter, Delivery, MessageKind
from nautilus.bus.allowed import paths_of
from nautilus.bus.carriers import ALL
from nautilus.bus.dead_letters import DeadLetterLog, LetterReader, StoredLetter
from nautilus.bus.envelope import UNREADABLE
from nautilus.bus.permissions import FORBIDDEN
from nautilus.bus.routing import CLIENTS
from nautilus.core.counters import Counters
from nautilus.core.types import COMMAND, CommandKind
from nautilus.model.commands import CommandBatch, ReplaceOrder, SubmitOrder
from nautilus.model.errors import BusError, ModelError
from nautilus.model.message import Message
from nautilus.model.queries import AmendRequest, OrderRequest
from nautilus.runtime.clock import NANOSECONDS, wall_ns
from nautilus.runtime.wire import from_wire

if TYPE_CHECKING:
    from nautilus.bus import Mesh
    from nautilus.runtime.buslog import BusLog

LETTERS = "letters"
DIRECTORY = "letters"
"""Below the data of an instance: one directory for each process."""
AGAIN_NS = 5 * NANOSECONDS
"""Until a letter that was sent again is given up again."""
MOST_AT_ONCE = 1_000
ENTERING = (SubmitOrder, ReplaceOrder, OrderRequest, AmendRequest)

_LOGGER = logging.getLogger("nautilus.runtime")


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """What became of the wish to send a letter again; `refused` says why it was not, "": it was."""

    number: int
    peer: str = ""
    refused: str = ""


_decode_numbers = msgspec.msgpack.Decoder(list[int]).decode
decode_outcomes = msgspec.msgpack.Decoder(list[Outcome]).decode


class Letters:
    """Of one process.

    Parameters
    ----------
    data
        Of the instance.
    bus_log
        Tells of them in the log of the process.
    """

    def __init__(self, process: str, data: str | Path, bus_log: BusLog, counters: Counters) -> None:
        self._process = process
        self._tell = bus_log.on_dead_letters
        self._counters = counters
        self._replayed = counters.counter("letters.replayed")
        self._refused = counters.counter("letters.refused")
        self._full = False
        self.directory = Path(data, DIRECTORY, process)
        self._log: DeadLetterLog | None = None
        try:
            self._log = DeadLetterLog(self.directory, wall_ns, counters)
        except OSError as error:
            _LOGGER.error("dead letters cannot be kept: %s", error, extra={"fields": {"code": "bus.letters"}})
            return
        if self._log.torn_bytes:
            _LOGGER.warning(
                "%d bytes of the last dead letter were cut off: an earlier life did not finish it", self._log.torn_bytes
            )

    def on_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Keep and tell."""
        self._tell(letters)
        if self._log is None:
            return
        lost = self._log.add(letters)
        if lost and not self._full:
            _LOGGER.error("no room for dead letters: %d were not kept", lost, extra={"fields": {"code": "bus.letters"}})
        self._full = lost > 0

    def replay(self, mesh: Mesh, take: Callable[[Delivery], object], asked_by: str, payload: bytes) -> bytes:
        """Send letters again; the outcome of each. BusError where the request cannot be read.

        `take` is given what came late to this process itself.
        """
        try:
            numbers = _decode_numbers(payload)
        except UNREADABLE:
            raise BusError("no list of numbers", where=LETTERS, expected="those of letters") from None
        if len(numbers) > MOST_AT_ONCE:
            raise BusError(f"{len(numbers):,} letters at once", where=LETTERS, expected=f"at most {MOST_AT_ONCE:,}")
        wanted = dict.fromkeys(numbers)
        found = {each.number: each for each in LetterReader(self.directory).read() if each.number in wanted}
        outcomes = []
        for number in wanted:
            letter = found.get(number)
            peer = "" if letter is None else self._process if letter.reason == "late" else letter.peer
            why = "there is no such letter" if letter is None else refusal(letter, mesh.peers())
            outcomes.append(Outcome(number, peer, why))
            fields: dict[str, Any] = {"number": number, "peer": peer, "asked_by": asked_by}
            if why or letter is None:
                self._counters.increment(self._refused)
                _LOGGER.warning("dead letter %d is not sent again: %s", number, why, extra={"fields": fields})
                continue
            self._counters.increment(self._replayed)
            fields |= {"reason": letter.reason, "to": letter.to, "sender": letter.sender, "bytes": len(letter.payload)}
            if letter.trace_id:
                fields["trace_id"] = letter.trace_id
            _LOGGER.info("dead letter %d is sent again to %s", number, peer, extra={"fields": fields})
            self._send(mesh, take, letter)
        return msgspec.msgpack.encode(outcomes)

    def _send(self, mesh: Mesh, take: Callable[[Delivery], object], letter: StoredLetter) -> None:
        kind, trace_id = MessageKind(letter.kind), int(letter.trace_id or "0", 16)
        if letter.reason == "late":
            take(
                Delivery(
                    kind, letter.id, letter.peer, letter.sender, letter.to, letter.payload, letter.priority, 0, trace_id
                )
            )
            return
        message = message_in(letter)
        mesh.post(
            letter.peer,
            to=letter.to,
            sender=letter.sender,
            kind=kind,
            payload=letter.payload,
            priority=letter.priority,
            deadline_ns=wall_ns() + AGAIN_NS,
            trace_id=trace_id,
            paths=ALL if message is None else paths_of(message),
        )

    def close(self) -> None:
        """Write no more."""
        if self._log is not None:
            self._log.close()


def refusal(letter: StoredLetter, peers: Any = ()) -> str:
    """Why a letter may not be sent again; "": it may.

    Parameters
    ----------
    peers
        Those that the process has dialled; a client that has gone is not among them.
    """
    if letter.left_out:
        return f"its payload of {letter.left_out:,} bytes was too large to keep"
    if letter.reason == FORBIDDEN:
        return f"{letter.peer} may not send it; grant it that, and let it send it again itself"
    if letter.peer.startswith(CLIENTS) and letter.reason != "late" and letter.peer not in peers:
        return "its receiver was a client, which has gone"
    if letter.kind not in (MessageKind.COMMAND, MessageKind.EVENT, MessageKind.REQUEST):
        return "it is no message"
    message = message_in(letter)
    if isinstance(message, ENTERING) or (isinstance(message, CommandBatch) and _enters(message)):
        return f"{type(message).__name__} enters the market: its sender was told of its fate; enter a new order instead"
    return ""


def _enters(batch: CommandBatch) -> bool:
    whole = len(batch.rows) // COMMAND.itemsize * COMMAND.itemsize
    kinds = np.frombuffer(batch.rows[:whole], COMMAND)["kind"].tolist()
    return not kinds or CommandKind.NEW in kinds or CommandKind.REPLACE in kinds


def message_in(letter: StoredLetter) -> Message | None:
    """The message of a letter; None where its payload is none."""
    try:
        return from_wire(letter.payload)
    except (ModelError, *UNREADABLE):
        return None


__all__ = ["DIRECTORY", "LETTERS", "Letters", "Outcome", "decode_outcomes", "message_in", "refusal"]
