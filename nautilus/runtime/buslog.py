"""What the bus tells the host of a process, in its log: line by line, and where there are too many, how many more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from nautilus.bus import DeadLetter, PeerChange
from nautilus.bus.failover import PathChange
from nautilus.model.topics import Topic
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns

LINES = 20
"""Of a kind, in each window."""
WINDOW_NS = NANOSECONDS

_DEAD = {"late": ("a message came too late", "from"), "forbidden": ("a message was refused", "from")}
"""What became of a dead letter, and whether its peer is the sender; of other reasons: it was given up."""

_LOGGER = logging.getLogger("nautilus.runtime")


class _Lines:
    """Warnings of one kind."""

    __slots__ = ("_begun_ns", "_clock", "_left_out", "_said", "_what")

    def __init__(self, what: str, clock: Callable[[], int]) -> None:
        self._what = what
        self._clock = clock
        self._begun_ns = self._said = self._left_out = 0

    def room(self) -> bool:
        """Whether one more may be said now; it counts as left out if not."""
        self.flush()
        if self._said < LINES:
            self._said += 1
            return True
        self._left_out += 1
        return False

    def flush(self, *, at_once: bool = False) -> None:
        """Once the window is over: say how many were left out, and begin a new one."""
        now_ns = self._clock()
        if now_ns - self._begun_ns < WINDOW_NS and not at_once:
            return
        if self._left_out:
            _LOGGER.warning("%d more %s", self._left_out, self._what, extra={"fields": {"left_out": self._left_out}})
        self._begun_ns = now_ns
        self._said = self._left_out = 0


class BusLog:
    """Takes what a `Mesh` and a `Subscriber` call back with."""

    def __init__(self, clock: Callable[[], int] = monotonic_ns) -> None:
        self._dead = _Lines("messages were given up or came late", clock)
        self._gaps = _Lines("gaps in what peers sent", clock)
        self._peers = _Lines("changes of peers", clock)
        self._pressure = _Lines("queues that filled up or emptied", clock)
        self._star_gaps = _Lines("gaps in market data", clock)

    def on_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Messages were not delivered, or not known to be."""
        for letter in letters:
            if self._dead.room():
                fields = {
                    "reason": letter.reason,
                    "peer": letter.peer,
                    "kind": letter.kind.name,
                    "id": letter.id,
                    "priority": letter.priority,
                    "sender": letter.sender,
                    "to": letter.to,
                    "deadline_ns": letter.deadline_ns,
                    "bytes": len(letter.payload),
                }
                if letter.trace_id:
                    fields["trace_id"] = f"{letter.trace_id:032x}"
                text, way = _DEAD.get(letter.reason, ("a message was given up", "to"))
                # What is left at an ordinary stop is for processes that have stopped before.
                level = logging.INFO if letter.reason == "closed" else logging.WARNING
                _LOGGER.log(
                    level,
                    "%s: %s %s %s (%s)", text, letter.kind.name, way, letter.peer, letter.reason,
                    extra={"fields": fields},
                )  # fmt: skip

    def on_gap(self, peer: str, priority: int, first: int, last: int) -> None:
        """A peer gave messages up that this process has not had."""
        if self._gaps.room():
            fields = {"peer": peer, "priority": priority, "first": first, "last": last}
            _LOGGER.warning("%s gave up messages", peer, extra={"fields": fields})

    def on_standing(self, change: PeerChange) -> None:
        """A peer is in another standing, or for another cause."""
        if self._peers.room():
            fields = {
                "peer": change.peer,
                "standing": change.after.name.lower(),
                "before": change.before.name.lower(),
                "cause": change.cause,
                "after_ms": change.after_ns // 1_000_000,
            }
            _LOGGER.info("%s is %s: %s", change.peer, fields["standing"], change.cause, extra={"fields": fields})

    def on_path(self, peer: str, before: str, after: str, cause: str) -> None:
        """Messages to a peer take another path."""
        fields = {"peer": peer, "before": before, "after": after, "cause": cause}
        # Before a peer was reached for the first time nothing has broken.
        level = logging.INFO if after == "zmq" or cause == "not connected yet" else logging.WARNING
        _LOGGER.log(level, "messages to %s go by %s: %s", peer, after, cause, extra={"fields": fields})

    def on_star_path(self, change: PathChange) -> None:
        """Market data take another path."""
        fields = {"before": change.before, "after": change.after, "cause": change.cause}
        level = logging.INFO if change.after in ("ring", "zmq") else logging.WARNING
        _LOGGER.log(level, "market data come by %s: %s", change.after, change.cause, extra={"fields": fields})

    def on_pressure(self, peer: str, priority: int, high: bool) -> None:
        """The stream to a peer is filling up, or has emptied again."""
        if self._pressure.room():
            fields = {"peer": peer, "priority": priority, "high": high}
            level, text = (logging.WARNING, "is filling up") if high else (logging.INFO, "has emptied again")
            _LOGGER.log(level, "the queue of messages for %s %s", peer, text, extra={"fields": fields})

    def on_star_gap(self, topic: Topic, stream: int, first: int, last: int) -> None:
        """Records of the star are missing."""
        if self._star_gaps.room():
            fields = {"topic": topic.name, "instrument_id": stream & 0xFFFFFFFF, "first": first, "last": last}
            _LOGGER.warning("market data is missing", extra={"fields": fields | {"stream": f"{stream:x}"}})

    def on_star_way(self, before: str, way: str, cause: str) -> None:
        """Market data come by another way: "ring" or "zmq"."""
        fields = {"before": before, "way": way, "cause": cause}
        _LOGGER.warning("market data come by %s, no longer by %s: %s", way, before, cause, extra={"fields": fields})

    def on_star_epoch(self, before: int, epoch: int) -> None:
        """The star has a new life: what the earlier one lost last is not known."""
        fields = {"before": before, "epoch": epoch}
        _LOGGER.warning("market data begins anew: its hub was started again", extra={"fields": fields})

    def flush(self, *, at_once: bool = False) -> None:
        """Say how many lines were left out; to be called now and then, and `at_once` at the end."""
        for lines in (self._dead, self._gaps, self._peers, self._pressure, self._star_gaps):
            lines.flush(at_once=at_once)
