"""A live market as a market source, for trading on paper: its book rests in the core, its trades act there.

What the venue says comes from a process of its own (`nautilus.runtime.live_feed`). A book that went lost is emptied,
in the core too, and its records carry STALE, until the venue's snapshot is there again: nobody trades against a book
that may be wrong. A book that the hub's gate finds crossed, or to lack a change that it refused, is lost like that, and
the process is asked for a new one. When the process dies or hangs all books are lost, and it is started again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from nautilus.core.types import BOOK_DELTA, COMMAND, QUOTE, TRADE, BookAction, CommandKind, RecordFlag, Side
from nautilus.model.instrument import Instrument
from nautilus.model.records import Records
from nautilus.runtime.child import Backoff
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, wall_ns
from nautilus.runtime.live_feed import ASK, BLIND, FACTS, FAILED, HEAD, RECORDS, RESUMED, SILENT, FeedSettings
from nautilus.runtime.live_feed import BOOK as BOOK_KIND
from nautilus.runtime.live_feed import QUOTE as QUOTE_KIND
from nautilus.runtime.live_feed import SIGHTED as SIGHTED_KIND
from nautilus.runtime.live_feed import TRADE as TRADE_KIND
from nautilus.simulation.config import Cancellation
from nautilus.simulation.merging import merged_summary
from nautilus.simulation.recording import RecordedMarket
from nautilus.simulation.source import CoreView, Step

LOOK_NS = 100_000_000
"""Between looks whether the process lives, while it says nothing."""
HUNG_NS, BEGIN_NS = 5_000_000_000, 30_000_000_000
"""A process that has said nothing for so long hangs, as it speaks each second; at its begin it has longer."""
LEVELS = 1 << 18
"""Levels and resting orders that an instrument has room for: more than any venue shows, memory only where used."""
READ = 1 << 18
MOST_UPDATES = 4096
"""That wait here; what is beyond stays in the socket, and so with the venue."""
LAST, SNAPSHOT, STALE = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.STALE)
_DTYPES = {QUOTE_KIND: QUOTE, TRADE_KIND: TRADE}
_CHECKED = frozenset((QUOTE_KIND, TRADE_KIND, BOOK_KIND))
_NAMES = {QUOTE_KIND: "quotes", TRADE_KIND: "trades", BOOK_KIND: "book_updates"}
_LOGGER = logging.getLogger("nautilus.runtime")


class Heard(NamedTuple):
    """One thing that the venue, or the feed, said."""

    now_ns: int
    kind: int
    number: int
    records: Records


class LiveSource:
    """A live market. It comes to no end, and may begin again in a core that knows an earlier run.

    Parameters
    ----------
    instruments
        As they were resolved when the plan was made.
    settings
        Of the process that listens.
    clock
        Platform time.
    cancel
        See `RecordingConfig`.
    timer
        Time of the machine, by which a process hangs.
    """

    derives = False
    resumes = True
    check: Callable[[Records], Records] | None = None

    def __init__(
        self,
        instruments: Sequence[Instrument],
        settings: FeedSettings,
        clock: Callable[[], int],
        *,
        cancel: Cancellation = "back",
        timer: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._instruments = tuple(instruments)
        self._settings = settings
        self._clock = clock
        self._timer = timer
        first = wall_ns()  # nobody sends an order a nanosecond: beyond all ids that were used before
        self._markets = {
            each.instrument_id: RecordedMarket(each, cancel=cancel, number=place, capacity=LEVELS, first_order_id=first)
            for place, each in enumerate(self._instruments)
        }
        self._heard: deque[Heard] = deque()
        self._epoll: select.epoll | None = None
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._backoff = Backoff()
        self._begun_ns = self._due_ns = self._hung_ns = 0
        self._ended = False
        self._received = bytearray()
        self._now_ns = 0
        self._counts: dict[int, Counter[str]] = {key: Counter() for key in self._markets}
        self._blind: dict[int, int] = {}
        self._told: set[int] = set()  # of which BLIND was heard last, as far as was read
        self._doubted: set[int] = set()  # of which a new book was asked for; what is heard before BLIND is not of that
        self._broken: dict[int, str] = {}  # instruments that cannot be played any more, and why
        self._faults: deque[tuple[int, Exception]] = deque()
        self._quotes: dict[int, Records] = {}
        self._silent: dict[int, int] = {}
        self._blind_ns: Counter[int] = Counter()
        self._gaps: Counter[int] = Counter()
        self._facts: dict[str, Any] = {}
        self._notes: deque[str] = deque(maxlen=10)
        self.starts = 0

    def instruments(self) -> tuple[Instrument, ...]:
        """Return the instruments that were resolved."""
        return self._instruments

    def attach(self, core: CoreView) -> None:
        """Begin to listen."""
        self._start()

    def setup(self) -> Records:
        """COMMAND array that opens the accounts of all of them."""
        return np.concatenate([each.setup() for each in self._markets.values()])

    def begin(self, now_ns: int) -> Records:
        """Cancel what an earlier life has left resting."""
        accounts = [each.book_account for each in self._markets.values()]
        cancels = np.zeros(len(accounts), COMMAND)
        cancels["kind"], cancels["now_ns"], cancels["account_id"] = CommandKind.MASS_CANCEL, now_ns, accounts
        return cancels

    def fileno(self) -> int:
        """Readable when something was said; the same for as long as the source lives."""
        if self._epoll is None:
            self._epoll = select.epoll()
        return self._epoll.fileno()

    @property
    def waits(self) -> bool:
        """A book change is made of what rests."""
        return bool(self._heard) and self._heard[0].kind in (BOOK_KIND, BLIND)

    def next_ns(self) -> int | None:
        """Stamp of what was said next; a little later where nothing was."""
        if self._faults:
            return max(self._clock(), self._now_ns)
        if not self._heard:
            self._read()
            self._tend()
        if not self._heard:
            return self._clock() + LOOK_NS
        return max(self._heard[0].now_ns, self._now_ns)

    def step(self) -> Step:
        """Play what was said next. Only after `next_ns()` gave a time that has come."""
        if self._faults:
            self._now_ns = max(self._clock(), self._now_ns)
            return self._give_up(self._faults[0][0], self._now_ns, self._faults.popleft()[1])
        now_ns, kind, number, records = self._heard.popleft()
        self._now_ns = now_ns = max(now_ns, self._now_ns)
        if number in self._broken:
            return Step(now_ns, None, ())
        if kind == BLIND:
            self._doubted.discard(number)
            self._note_blind(number, now_ns)
        elif number in self._doubted and kind in (BOOK_KIND, SIGHTED_KIND):
            return Step(now_ns, None, ())
        elif kind == SIGHTED_KIND:
            self._note_sighted(number, now_ns)
        elif kind in (SILENT, RESUMED):
            self._note_silent(number, now_ns, kind == SILENT)
        else:
            self._counts[number][_NAMES[kind]] += 1
            if kind == TRADE_KIND:
                self._silent.pop(number, None)
        if kind in _CHECKED and self.check is not None:
            records = self.check(records)
            if kind == BOOK_KIND and len(records) and records["flags"][-1] & STALE:
                self._doubt(number, now_ns)
                kind, records = BLIND, self._cleared(number, now_ns)
        if not len(records):
            return Step(now_ns, None, ())
        if kind == QUOTE_KIND:
            self._quotes[number] = records[-1:]
            return Step(now_ns, None, (records,))
        market = self._markets[number]
        try:
            commands = (market.trade if kind == TRADE_KIND else market.book_update)(records, now_ns)
        except (MemoryError, ValueError) as error:
            return self._give_up(number, now_ns, error)
        given = (records, self._stale_quote(number, now_ns)) if kind == BLIND else (records,)
        return Step(now_ns, commands if len(commands) else None, given)

    def _doubt(self, number: int, now_ns: int) -> None:
        """A book that cannot be right is lost here at once, and asked for again."""
        self._doubted.add(number)
        self._note_blind(number, now_ns)
        _LOGGER.warning("the book of %s is not fit: asked for again", self._markets[number].instrument.symbol)
        if self._line is not None:
            with contextlib.suppress(OSError):  # it has died: all books are lost then
                self._line.send(ASK.pack(number))

    def _stale_quote(self, number: int, now_ns: int) -> Records:
        """The last quote without quantities, marked: who knows quotes alone has to learn of it too.

        It is none of the venue's, so it has no number.
        """
        quote = self._quotes[number].copy() if number in self._quotes else np.zeros(1, QUOTE)
        quote["now_ns"], quote["instrument_id"], quote["update_id"] = now_ns, number, 0
        quote["bid_quantity"] = quote["ask_quantity"] = 0
        quote["flags"] |= STALE
        return quote

    def _give_up(self, number: int, now_ns: int, error: Exception) -> Step:
        """An instrument cannot be played any more: its book stays empty and blind, the others go on."""
        market = self._markets[number]
        self._broken[number] = f"{market.instrument.symbol}: {error}"
        self._note_fault(self._broken[number])
        self._note_blind(number, now_ns)
        cancels = np.zeros(1, COMMAND)
        cancels["kind"], cancels["now_ns"] = CommandKind.MASS_CANCEL, now_ns
        cancels["account_id"] = market.book_account
        return Step(now_ns, cancels, (self._cleared(number, now_ns), self._stale_quote(number, now_ns)))

    def on_events(self, events: Records) -> None:
        """Take in an EVENT array of the core."""
        for number in set(events["instrument_id"].tolist()):
            market = self._markets.get(number)
            if market is None or number in self._broken:
                continue
            try:
                market.on_events(events)
            except MemoryError as error:
                self._faults.append((number, error))

    def summary(self) -> dict[str, Any]:
        """Sums, and under `instruments` by symbol: `blind_ns` of times that are over, `blind_since_ns` (0: it sees).

        `silent_since_ns`: since when trades are missed (0: they come); `broken`: why it cannot be played any more.
        """
        parts = {}
        for each in self._instruments:
            number = each.instrument_id
            market = self._markets[number].summary()
            parts[each.symbol] = {
                "format": self._settings.venue,
                "records": dict(self._counts[number]),
                "gaps": self._gaps[number],
                "blind_ns": self._blind_ns[number],
                "blind_since_ns": self._blind.get(number, 0),
                "silent_since_ns": self._silent.get(number, 0),
                "broken": self._broken.get(number, ""),
                "rejected": market.pop("rejected"),
                "market": market,
            }
        return {**merged_summary(parts), "notes": list(self._notes), "starts": self.starts, "feed": self._facts}

    @property
    def progress(self) -> float | None:
        """It has no end."""
        return None

    def close(self) -> None:
        """Listen no longer."""
        self._drop()
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None

    # The process.

    def _start(self) -> None:
        ours, its = socket.socketpair()
        ours.setblocking(False)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nautilus.runtime.live_feed", str(its.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=(its.fileno(),),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.json.encode(self._settings))
            self._process.stdin.close()
        self._line, self._received = ours, bytearray()
        self._begun_ns, self._due_ns = self._timer(), 0
        self._hung_ns, self._ended = self._begun_ns + BEGIN_NS, False
        self.starts += 1
        self.fileno()
        assert self._epoll is not None
        self._epoll.register(ours, select.EPOLLIN)

    def _drop(self) -> None:
        """Let go of the process."""
        if self._line is not None:
            if self._epoll is not None:
                self._epoll.unregister(self._line)
            self._line.close()
            self._line = None
        if self._process is not None:
            self._process.kill()  # also where it is stopped
            self._process.wait()
            self._process = None

    def _tend(self) -> None:
        """Where the process has ended or hangs, start another one after a while; until then all books are lost."""
        if self._process is not None:
            hangs = self._timer() >= self._hung_ns
            if self._process.poll() is None and not self._ended and not hangs:
                return
            code = self._process.returncode
            if code is None:
                what = "says nothing any more" if hangs else "has closed its line"
            else:
                what = f"ended with {code}"
            self._note_fault(f"the feed's process {what}")
            self._drop()
            wait_ns = self._backoff.next_ns(self._timer() - self._begun_ns)
            self._due_ns = self._timer() + wait_ns
            self._lose(self._markets, self._clock())
        elif self._due_ns and self._timer() >= self._due_ns:
            self._start()

    def _lose(self, numbers: Iterable[int], now_ns: int) -> None:
        """Books are lost, where that is not known already."""
        for number in numbers:
            if number not in self._told:
                self._told.add(number)
                self._heard.append(Heard(now_ns, BLIND, number, self._cleared(number, now_ns)))

    def _note_fault(self, text: str) -> None:
        if not self._notes or self._notes[-1] != text:
            _LOGGER.error("the feed of %s: %s", self._settings.venue, text)
            self._notes.append(text)

    def _read(self) -> None:
        """Take in what was said, as far as there is room for it."""
        line = self._line
        while line is not None and len(self._heard) < MOST_UPDATES:
            try:
                data = line.recv(READ)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._ended = True
                return
            self._hung_ns = self._timer() + HUNG_NS
            self._received += data
            self._cut()

    def _cut(self) -> None:
        received, at = self._received, 0
        while len(received) - at >= HEAD.size:
            size, kind, number, now_ns = HEAD.unpack_from(received, at)
            if len(received) - at - HEAD.size < size:
                break
            payload = bytes(received[at + HEAD.size : at + HEAD.size + size])
            at += HEAD.size + size
            if kind in RECORDS and number in self._markets:
                records: Records = np.frombuffer(payload, _DTYPES.get(kind, BOOK_DELTA)).copy()
                if kind == BLIND:
                    self._told.add(number)
                    if len(records):
                        records["flags"] |= STALE
                elif kind == SIGHTED_KIND:
                    self._told.discard(number)
                self._heard.append(Heard(now_ns, kind, number, records))
            elif kind == FACTS:
                self._facts = msgspec.json.decode(payload)
            elif kind == FAILED:
                error = msgspec.json.decode(payload)
                self._note_fault(f"{error.get('where', '')}: {error.get('what', '')}")
                self._lose([number] if number in self._markets else self._markets, now_ns)
        del received[:at]

    def _cleared(self, number: int, now_ns: int) -> Records:
        records = np.zeros(2, BOOK_DELTA)
        records["now_ns"], records["instrument_id"] = now_ns, number
        records["side"], records["action"] = (Side.BUY, Side.SELL), BookAction.CLEAR
        records["flags"] = SNAPSHOT | STALE
        records["flags"][-1] |= LAST
        return records

    def _note_blind(self, number: int, now_ns: int) -> None:
        if number not in self._blind:
            self._blind[number] = now_ns
            self._gaps[number] += 1

    def _note_silent(self, number: int, now_ns: int, silent: bool) -> None:
        counts = self._counts[number]
        if silent:
            if counts["trades"] and number not in self._silent:  # else there was nothing to lose
                counts["trade_losses"] += 1
            self._silent.setdefault(number, now_ns)
        else:
            self._silent.pop(number, None)

    def _note_sighted(self, number: int, now_ns: int) -> None:
        since_ns = self._blind.pop(number, 0)
        if since_ns:
            self._blind_ns[number] += now_ns - since_ns
            name = self._markets[number].instrument.symbol
            _LOGGER.info("the book of %s is right again after %.3f s", name, (now_ns - since_ns) / NANOSECONDS)
