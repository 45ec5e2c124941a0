"""Plays a market into the trading core in platform time.

::

                  due steps: commands                      every event, in order
    market source ────────────────────▶ core ──────────────▶ market source: what became of its orders
          │                                  └─────────────▶ hub, where it derives market data
          └── records, once the core has answered ─────────▶ hub, where the market brings its own

A step's records are published after the core has carried out its commands. Steps that are due go to the core together
wherever the source does not have to see the events in between, and what they publish goes out in few frames. A market
that falls behind plays on and says how far: nothing is skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from nautilus.core.counters import Counters
from nautilus.core.types import COMMAND
from nautilus.engines.marketdata import MarketDataEngine, MarketStatus
from nautilus.engines.marketdata.engine import LATE_NS
from nautilus.model.errors import VenueError
from nautilus.model.records import Records, joined
from nautilus.model.topics import AUCTIONS, BARS, BOOK_DELTAS, FLOWS, QUOTES, TRADES, topic_of
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.files import write_atomically
from nautilus.runtime.market_feed import LOOK_NS, TURN_NS, Host, HubContext, HubFeed
from nautilus.runtime.market_line import Core, MarketLine
from nautilus.simulation.source import MarketSource, Step

TURN_STEPS = 64
WAIT_NS = 1_000_000
"""So long a turn waits for the core; then the core's answer wakes it."""
PACE_NS = 2_000_000
"""Faster than the market was, turns are so far apart: each costs this process and every subscriber a wake-up."""
BEGUN, PLAYED = "market.begun", "market.json"
"""In the instance's directory: that a recording has begun, and at the end what was played."""
_LOGGER = logging.getLogger("nautilus.runtime")


class Phase(Enum):
    """Where a market is in its life."""

    CLOSED = "closed"
    CLEARING = "clearing"  # what an earlier run left
    PLAYING = "playing"
    ENDED = "ended"


class MarketDriver:
    """Plays a market source; without one it only feeds the hub. A part of the host of the hub's process.

    Parameters
    ----------
    host, context, connect
        See `HubFeed`.
    source
        What plays; None: nothing.
    counters
        Of the process.
    name
        Of the market, for people.
    speed
        Of platform time; delays are told in the machine's.
    directory, epoch
        Of the instance: a recording that has begun is noted there, as nobody can go on with it, and at the end what
        was played.
    finished
        Called once when the market has come to its end, with what ended it early ("": nothing).
    timer
        Measures how long a turn takes.

    Attributes
    ----------
    phase : where the market is.
    """

    def __init__(
        self,
        host: Host,
        context: HubContext,
        connect: Callable[[MarketDataEngine], Core | None],
        source: MarketSource | None,
        counters: Counters,
        *,
        name: str = "",
        speed: float = 1.0,
        directory: str | Path | None = None,
        epoch: int = 0,
        finished: Callable[[str], object] | None = None,
        timer: Callable[[], int] = monotonic_ns,
    ) -> None:
        self.phase = Phase.CLOSED
        self._feed = HubFeed(host, context, connect, counters, speed, self._go_on, self._tell_source, timer)
        self._timer = timer
        self._clock = host.clock
        self._host = host
        self._descriptor = -1
        self._watched = False
        self._source = source
        self._name = name
        self._speed = speed
        self._pace_ns = int(PACE_NS * speed) if speed > 1 else 0
        self._directory = Path(directory) if directory is not None else None
        self._epoch = epoch
        self._finished = finished
        self._status = MarketStatus()  # the hub's, once the market has opened
        self._opened = self._stopped = False
        self._broken = ""
        self._commands: list[Records] = []  # of steps that were taken, not sent yet
        self._held: list[Records] = []  # what steps publish whose commands the core has not answered yet
        self._repeat_ns = 0
        self._latest_ns = 0
        self._counts = counters
        self._steps = counters.counter("market.steps")
        self._records = counters.counter("market.records")
        self._late = counters.gauge("market.late_ns")
        self._latest = counters.gauge("market.late_most_ns")
        self._starts = counters.gauge("market.feed_starts") if hasattr(source, "starts") else -1

    # As the host runs it.

    @property
    def ready(self) -> bool:
        """The hub knows all that the core did before."""
        return self._feed.ready

    @property
    def refuses(self) -> str:
        """See `nautilus.runtime.live.Part`: a market takes nothing from anybody."""
        return ""

    def start(self) -> None:
        """Follow the core."""
        self._feed.start()

    def open(self) -> None:
        """The market opens, as soon as this is ready."""
        self._opened = True
        if self.ready:
            self._go_on()

    def stop(self) -> None:
        """Play no further."""
        if not self._stopped:
            self._stopped = True
            if self._feed.line is not None and self._feed.hub.gate is not None:
                self._feed.tell_hub(self._feed.hub.on_refused)
            self._feed.stop()
            self._watch(False)
            self._note_played()
            close = getattr(self._source, "close", None)
            if close is not None:
                close()

    def summary(self) -> dict[str, Any]:
        """What was played, and how."""
        status, line = self._status, self._feed.line
        return {
            **(self._source.summary() if self._source is not None else {}),
            "name": self._name,
            "seconds": (status.now_ns - status.begin_ns) / NANOSECONDS,
            "finished": status.finished,
            "broken": status.broken,
            "steps": self._counts.get(self._steps),
            "commands": line.commands if line is not None else 0,
            "refused": line.refused if line is not None else 0,
            "repeated": line.repeated if line is not None else 0,
            "late_most_ns": self._latest_ns,
        }

    # Between turns.

    def _go_on(self) -> None:
        """Take up what was left off: an answer to come, the opening, a step that is due."""
        source, line = self._source, self._feed.line
        if self._stopped or source is None or line is None or not self._settled(line):
            self._watch(False)  # what it says can wait, and would wake this in vain
            return
        self._watch(self.phase is not Phase.ENDED)
        self._publish()
        if self.phase is Phase.CLOSED and self._opened:
            self._begin(source, line)
        if self.phase is Phase.CLEARING and self._settled(line):
            self.phase = Phase.PLAYING
        if self.phase is Phase.PLAYING:
            self._play(source, line)

    def _begin(self, source: MarketSource, line: MarketLine) -> None:
        hub = self._feed.hub
        self._status = hub.market
        self._status.name = self._name
        if not hub.derives:
            self._status.played_ns = 0
        if not hub.derives and not getattr(source, "resumes", False) and not self._is_first():
            # Its participants' orders are in the core, but what they stand for is not known here.
            self._end("the hub was restarted during the recording")
            return
        try:
            source.attach(hub)
        except VenueError as error:
            self._fail(error)
            self._end(self._broken)
            return
        source.check = hub.gate.passed if hub.gate is not None else None
        if hasattr(source, "fileno"):
            # A live market says when it has said something.
            self._descriptor = source.fileno()
            self._watch(True)
        self.phase = Phase.CLEARING
        line.send(source.begin(self._clock()))

    def _watch(self, on: bool) -> None:
        """Be woken by a live market, or not."""
        if self._descriptor < 0 or on == self._watched:
            return
        self._watched = on
        if on:
            self._host.add_source(self._descriptor, self._go_on, arm=getattr(self._source, "arm", None))
        else:
            self._host.remove_source(self._descriptor)

    def _is_first(self) -> bool:
        """Whether nobody of this instance has begun to play before; notes that somebody has."""
        if self._directory is None:
            return True
        note, mark = self._directory / BEGUN, str(self._epoch).encode()
        if note.exists() and note.read_bytes() == mark:
            return False
        write_atomically(note, mark)
        return True

    def _tell_source(self, events: Records) -> None:
        """Events of the core, in order; those before the market's own are none of its business."""
        if self._source is None or self.phase not in (Phase.CLEARING, Phase.PLAYING):
            return
        try:
            self._source.on_events(events)
        except Exception as error:
            self._fail(error)

    # Playing.

    def _play(self, source: MarketSource, line: MarketLine) -> None:
        """Play what is due, as far as a turn goes, and publish it once the core has answered for all of it."""
        next_turn_ns = self._clock() + self._pace_ns
        try:
            next_ns = self._take_steps(source, line)
        except Exception as error:
            self._fail(error)
            next_ns = None
        if self._starts >= 0:
            self._counts.set(self._starts, source.starts)  # type: ignore[attr-defined]
        progress = source.progress
        self._status.progress = -1.0 if progress is None else progress
        if not self._settled(line):
            self._watch(False)
            return
        self._publish()
        if next_ns is None:
            self._end(self._broken)
        else:
            self._note_played_to(next_ns)
            self._feed.call_at(next_ns if next_ns <= self._clock() else max(next_ns, next_turn_ns))

    def _take_steps(self, source: MarketSource, line: MarketLine) -> int | None:
        """Take steps that are due; when to take the next, None where there is none."""
        clock, begun_ns, steps = self._clock, self._timer(), 0
        now_ns = clock()
        while not self._broken:
            if self._commands and source.waits and not self._settled(line):
                return now_ns
            next_ns = source.next_ns()
            if next_ns is None:
                return None
            if next_ns > now_ns and next_ns > (now_ns := clock()):
                return next_ns
            if self._commands and source.waits and not self._settled(line):
                return now_ns
            if not steps:
                self._note_delay(now_ns - next_ns)
            elif steps >= TURN_STEPS or (steps & 7 == 7 and self._timer() - begun_ns > TURN_NS):
                return now_ns
            self._note_step(source.step())
            steps += 1
        return None

    def _note_step(self, step: Step) -> None:
        self._counts.increment(self._steps)
        status = self._status
        status.begin_ns = status.begin_ns or step.now_ns
        status.now_ns = step.now_ns
        if step.commands is not None:
            self._commands.append(step.commands)
        self._held += step.records

    def _note_played_to(self, next_ns: int) -> None:
        """All before the next step is published; of a live market something may still be on its way here."""
        status, now_ns = self._status, self._clock()
        if status.played_ns < 0:
            return
        if next_ns <= now_ns:  # the turn was long enough: there may be more that is due
            next_ns = status.now_ns
        live = self._descriptor >= 0
        status.played_ns = max(status.played_ns, min(next_ns, now_ns - LATE_NS) if live else next_ns)

    def _note_delay(self, delay_ns: int) -> None:
        """How late the first step of a turn is, by the machine's clock."""
        late_ns = int(max(delay_ns, 0) / self._speed)
        self._counts.set(self._late, late_ns)
        if late_ns > self._latest_ns:
            self._latest_ns = late_ns
            self._counts.set(self._latest, late_ns)

    def _settled(self, line: MarketLine) -> bool:
        """Send what was taken and wait a while for the answers; whether all of them are there.

        Where they are not, the market goes on when the core has answered.
        """
        if self._commands:
            line.send(joined(self._commands, COMMAND))
            self._commands = []
        if line.idle:
            return True
        if line.paused and self._clock() >= self._repeat_ns:
            line.repeat()
        begun_ns, left_ns = self._timer(), WAIT_NS
        while not (line.idle or line.paused) and left_ns > 0:
            self._feed.poll(left_ns)
            line.push()
            left_ns = begun_ns + WAIT_NS - self._timer()
        if line.idle:
            return True
        if line.paused and self._clock() >= self._repeat_ns:
            self._repeat_ns = self._clock() + int(LOOK_NS * self._speed)
        self._feed.call_after(LOOK_NS)
        return False

    def _publish(self) -> None:
        """Publish what was held, by kind, so that each stream gets one frame; and what was refused."""
        held, hub = self._held, self._feed.hub
        if hub.gate is not None and hub.gate.untold:
            self._feed.tell_hub(hub.on_refused)
        if not held:
            return
        self._held = []
        if hub.derives_streams:
            self._counts.add(self._records, sum(map(len, held)))
            self._feed.tell_hub(hub.on_turn, held)
            return
        by_kind: dict[str, list[Records]] = {}
        for records in held:
            by_kind.setdefault(topic_of(records).name, []).append(records)
        for topic in (BOOK_DELTAS, TRADES, QUOTES, AUCTIONS, BARS, FLOWS):
            parts = by_kind.get(topic.name)
            if parts and topic.record is not None:
                records = joined(parts, topic.record)
                self._counts.add(self._records, len(records))
                self._feed.tell_hub(hub.on_records, records)

    # Its end.

    def _fail(self, error: Exception) -> None:
        """The source cannot go on; what it gave before is played."""
        if self._broken:
            return
        if isinstance(error, VenueError):
            self._broken = str(error)
        else:
            self._broken = f"{type(error).__name__}: {error}"
            _LOGGER.exception("market %s", self._name, exc_info=error)

    def _end(self, broken: str) -> None:
        self.phase = Phase.ENDED
        if self._descriptor >= 0:
            # Nobody takes what a live market says any more.
            self._watch(False)
            self._descriptor = -1
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
        self._status.finished, self._status.broken = True, broken
        if broken:
            _LOGGER.error("market %s broke off: %s", self._name, broken)
        self._note_played()
        if self._finished is not None:
            self._finished(broken)

    def _note_played(self) -> None:
        if self._directory is not None and self._source is not None:
            write_atomically(self._directory / PLAYED, msgspec.json.encode(self.summary()))
