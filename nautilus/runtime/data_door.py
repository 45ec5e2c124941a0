"""The hub's door to data providers: answers `GetData` and `GetProviders` from what it keeps, or has one provider asked.

::

    mesh, HTTP ──▶ door ──▶ kept? ── yes ──▶ answered at once, encoded before
                     │        └── no ──▶ waits with all who ask the same ──▶ child process ──▶ the provider
                     └──▶ what follows most likely is asked ahead               │
                                                          star ◀── new facts ◀──┘

A part of the hub's host, in its thread, which never waits: sockets to providers, and asyncio, are the child's
(`nautilus.runtime.data_process`). What a child that dies was asked is answered with an error, and the next question
starts another one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from nautilus.bus.base import BY_NAME
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.model.datasets import AnyGetFacts, DataKind, GetData, GetProviders, ProviderState, ProviderStates
from nautilus.model.errors import ModelError
from nautilus.model.fact_quotes import touch_records
from nautilus.model.fact_records import RECORD_OF
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.records import Records
from nautilus.model.topics import QUOTE_FACTS
from nautilus.policy.datacache import DataCache, Entry, Lifetime, Standing
from nautilus.policy.prefetch import Markov, PrefetchBudget
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, wall_ns
from nautilus.runtime.data_errors import ProviderError, kept_refusal, no_question, no_source
from nautilus.runtime.data_frames import Ask, Begin, Failed, Found, FromChild, States
from nautilus.runtime.data_line import DataLine
from nautilus.runtime.data_meters import DataMeters, fresh_rate_of
from nautilus.runtime.data_settings import DataConfig
from nautilus.runtime.durable import Answer
from nautilus.runtime.wire import Encoded

if TYPE_CHECKING:
    from nautilus.runtime.live import LiveHost

MODULE = "nautilus.runtime.data_process"
LOOK_NS = NANOSECONDS // 4
"""Between looks for questions whose time is up."""
GRACE_NS = NANOSECONDS // 2
"""The child says itself that a time is up; so much later it is not waited for."""
START_NS = 60 * NANOSECONDS
"""A child that has said nothing for so long will not begin."""
MOST_SILENT = 3
"""Questions whose time is up without a word of the child on anything: it hangs."""
MOST_LATE = 1024
"""Questions that nobody waits for any more, of which an answer is still taken."""
FRAME_BYTES = 1 << 16
"""Of a frame, beside its answer and its records."""
PUBLISHED_AT_ONCE = 512
"""Records of one turn; the next ones follow."""
MOST_KNOWN = 20_000
"""Latest questions by symbol and kind, to ask ahead."""
MOST_GLANCES = 1 << 16
"""Answers of the thread of HTTP that the hub's thread has not counted."""
NOT_FOUND = "source.not_found"
DAILY = "1d"
RECORD_BYTES = max(dtype.itemsize for dtype in RECORD_OF.values())
SECTION = "source_"
"""Sections of the configuration that begin so are for the child."""


class Kept(NamedTuple):
    """An answer, encoded; `lag_ns`: how old it was when it came."""

    wire: bytes
    body: bytes
    lag_ns: int


class _Asked(NamedTuple):
    question: GetData
    ahead: bool
    until_ns: int


class DataDoor:
    """Of the hub's process; a part of its host (`nautilus.runtime.live.Part`).

    Parameters
    ----------
    host
        Of the hub.
    instruments
        Instrument id by symbol.
    quoted
        Instruments that the market of the plan does not play: the touch that a provider tells of them is published as
        their quote, too.
    module
        What the child runs.
    clock
        Of lifetimes.
    """

    ready = True
    refuses = ""

    def __init__(
        self,
        host: LiveHost,
        instruments: Mapping[str, int],
        module: str = MODULE,
        clock: Callable[[], int] = monotonic_ns,
        quoted: Iterable[Instrument] = (),
    ) -> None:
        plan = host.plan
        self._quoted = {each.instrument_id: each for each in quoted}
        self._clock = clock
        self._host = host
        self._context = host.contexts["marketdata"]
        self._config = config = plan.config("data", DataConfig)
        self._lifetimes = {kind: config.lifetime(kind) for kind in DataKind}
        self.cache: DataCache[GetData, Kept, Answer] = DataCache(config.entries, config.mib << 20)
        self.meters = DataMeters(host.counters)
        self._markov: Markov[tuple[str, DataKind]] = Markov()
        self._budget = PrefetchBudget(config.prefetch_per_minute, config.prefetch_reserve)
        self._latest: OrderedDict[tuple[str, DataKind], GetData] = OrderedDict()
        self._sources: tuple[ProviderState, ...] = ()
        self._by_name: dict[str, ProviderState] = {}
        self._first: dict[DataKind, str] = {}
        self._known = False
        self._early: deque[tuple[GetData, Answer, str, int]] = deque()
        self._asked: dict[int, _Asked] = {}
        self._late: OrderedDict[int, _Asked] = OrderedDict()
        self._silent = 0
        self._spoken = False  # this life of the child has said something
        self._mute_ns = 0  # since when it was waited for in vain before that
        self._number = 0
        self._looking = False
        self._rows: deque[Records] = deque()
        self._glanced: deque[GetData] = deque(maxlen=MOST_GLANCES)
        self._makes_up = plan.config("marketdata", MarketDataConfig).allow_synthetic
        begin = Begin(
            sections={name: found for name, found in plan.sections.items() if name.startswith(SECTION)},
            shared=plan.shared,
            data=plan.data,
            allow_synthetic=self._makes_up,
            instruments=dict(instruments),
            publish=config.publish,
            ask_seconds=config.ask_seconds,
            answer_bytes=config.answer_mib << 20,
        )
        most = begin.answer_bytes + config.publish * RECORD_BYTES + FRAME_BYTES
        self.line = DataLine(host, module, begin, most, self._on_frame, self._on_lost)
        self._serves: dict[type, Any] = {
            GetData: self._get,
            GetProviders: self._states,
            **dict.fromkeys(AnyGetFacts.__args__, self._get_facts),
        }
        host.set_server("marketdata", self.serve)
        host.glances["marketdata"] = self.glance
        host.outlook.also.append(self.warnings)
        host.outlook.looks.append(self._look_around)

    # As the host runs it.

    def start(self) -> None:
        """Nothing is asked before somebody asks."""

    def open(self) -> None:
        """It is open."""

    def stop(self) -> None:
        """End the child; who still waits is told so."""
        self.line.stop()
        self._refuse_all("the process is about to end")

    def warnings(self) -> Iterator[str]:
        """Providers that fail."""
        for source in self._sources:
            if source.state == "failing":
                yield f"source {source.name}: {source.last_error} ({source.last_code})"

    def view(self) -> dict[str, Any]:
        """For `/health`."""
        meters = self.meters
        return {
            **meters.counts(),
            "hit_rate": round(meters.hit_rate, 4),
            "fresh_rate": round(fresh_rate_of(meters.counts()), 4),
            "entries": len(self.cache),
            "bytes": self.cache.size,
            "under_way": self.cache.under_way,
            "process": {"pid": self.line.pid, "starts": self.line.starts, "deaths": self.line.deaths},
            "sources": {source.name: source.state for source in self._sources},
        }

    # Questions.

    def serve(self, message: Message, answer: Answer) -> None:
        """Answer a request of the engine's: see `nautilus.runtime.messages.Server`."""
        serves = self._serves.get(type(message))
        if serves is not None:
            serves(message, answer)
            return
        self._host.messages.serve_by_engine(self._context, message, answer)

    def glance(self, message: Message) -> Encoded | None:
        """What is kept and fresh, for the thread of HTTP; the hub's thread hears of it later. None: ask that."""
        try:
            question = message if type(message) is GetData else message.question()  # type: ignore[attr-defined]
        except (AttributeError, ModelError):
            return None
        named = self._named(question)
        now_ns = self._clock()
        entry = None if named is None else self.cache.fresh(named, now_ns)
        if named is None or entry is None:
            return None
        self._glanced.append(named)
        return self._encoded(entry, now_ns, cached=True)

    def _take_glances(self) -> None:
        """Count what the thread of HTTP has answered, and look ahead from there."""
        glanced = self._glanced
        for _ in range(len(glanced)):
            question, now_ns = glanced.popleft(), self._clock()
            self.meters.add("hits")
            _, entry = self.cache.look(question, now_ns)
            if entry is not None:
                self._use(entry)
            if self._config.prefetch:
                self._look_ahead(question, "", now_ns)

    def _get_facts(self, message: Any, answer: Answer) -> None:
        try:
            question: GetData = message.question()
        except ModelError as error:
            answer(error)
            return
        self._get(question, answer)

    def _get(self, question: GetData, answer: Answer) -> None:
        asker = self._host.messages.asker
        if self._glanced:
            self._take_glances()
        wrong = no_question(question)
        if wrong is not None:
            answer(wrong)
            return
        named = self._named(question)
        if named is None:
            self._hold(question, answer, asker)
        elif named.source and named.source not in self._by_name and not self._makes_up:
            answer(no_source(named.source, self._by_name))  # or the cache would keep what nobody can ever have
        else:
            self._take(named, answer, asker)

    def _named(self, question: GetData) -> GetData | None:
        """With what was left out; None: it is not known yet which providers there are."""
        if question.kind is DataKind.BAR and not question.interval:
            question = msgspec.structs.replace(question, interval=DAILY)
        if not self._known:
            return None
        if question.source:
            return question
        return msgspec.structs.replace(question, source=self._first.get(question.kind, ""))

    def _take(self, question: GetData, answer: Answer, asker: str) -> None:
        now_ns = self._clock()
        standing, entry = self.cache.look(question, now_ns)
        meters = self.meters
        if standing is Standing.FRESH:
            assert entry is not None
            meters.add("hits")
            self._use(entry)
            answer(self._encoded(entry, now_ns, cached=True))
        elif standing is Standing.NEGATIVE:
            assert entry is not None
            assert entry.refusal is not None
            meters.add("negative")
            answer(kept_refusal(entry.refusal, entry.until_ns - now_ns))
        elif standing is Standing.STALE or (
            standing is Standing.ENDED
            and not self.cache.is_asked(question)
            and not self.cache.may_ask(question, now_ns)
        ):
            assert entry is not None
            meters.add("stale")
            self._use(entry)
            answer(self._encoded(entry, now_ns, cached=True, stale=True))
            if self.cache.may_ask(question, now_ns):
                self._ask(question, now_ns)
        elif self.cache.is_asked(question):
            meters.join(question.source)
            self.cache.join(question, answer)
        else:
            meters.add("misses")
            self.cache.join(question, answer)
            self._ask(question, now_ns, joined=True)
        if self._config.prefetch:
            self._look_ahead(question, asker, now_ns)

    def _use(self, entry: Entry[Kept]) -> None:
        if entry.ahead:
            entry.ahead = False
            self.meters.add("prefetch_used")

    def _encoded(self, entry: Entry[Kept], now_ns: int, *, cached: bool = False, stale: bool = False) -> Encoded:
        kept = entry.value
        assert kept is not None
        age = (now_ns - entry.kept_ns + kept.lag_ns) / NANOSECONDS
        reason = "" if entry.refusal is None else f"{entry.refusal.code}: {entry.refusal}"  # type: ignore[attr-defined]
        return Encoded(kept.wire, kept.body, age, stale, cached, reason)

    def _hold(self, question: GetData, answer: Answer, asker: str) -> None:
        """Until it is known which providers there are."""
        if len(self._early) >= self._config.questions:
            answer(self._busy())
        elif not self.line.start():
            answer(self._away())
        else:
            wait_ns = max(round(self._config.ask_seconds * NANOSECONDS), START_NS) + GRACE_NS
            self._early.append((question, answer, asker, monotonic_ns() + wait_ns))
            self._look_later()

    # To the child.

    def _ask(self, question: GetData, now_ns: int, *, ahead: bool = False, joined: bool = False) -> bool:
        if not joined:
            self.cache.join(question)
        self._number += 1
        full = len(self._asked) >= self._config.questions
        nothing = self.cache.peek(question, now_ns) in (Standing.MISS, Standing.NEGATIVE)
        try:
            sent = not full and self.line.send(Ask(self._number, question, nothing))
        except (OverflowError, TypeError, ValueError) as error:  # it cannot be encoded
            refusal = ProviderError.of("source.unsupported", f"no question: {error}", "hub", "one that can be sent", 1)
            self._refused(question, refusal, now_ns)
            return False
        if not sent:
            self._refused(question, self._busy() if full or self.line.pid else self._away(), now_ns)
            return False
        until_ns = monotonic_ns() + round(self._config.ask_seconds * NANOSECONDS) + GRACE_NS
        self._asked[self._number] = _Asked(question, ahead, until_ns)
        self.meters.add("asked")
        self._look_later()
        return True

    def _busy(self) -> ProviderError:
        return ProviderError.of("source.busy", f"{len(self._asked)} questions are under way", "hub", "fewer at once", 1)

    def _away(self) -> ProviderError:
        wait = self.line.wait_seconds
        return ProviderError.of("source.unavailable", "the process of data providers is being started", "hub", "", wait)

    def _look_ahead(self, question: GetData, asker: str, now_ns: int) -> None:
        key = question.symbol, question.kind
        latest = self._latest
        latest[key] = question
        latest.move_to_end(key)
        if len(latest) > MOST_KNOWN:
            latest.popitem(last=False)
        self._markov.observe(asker, key, now_ns)
        for guess in self._markov.guesses(asker, self._config.prefetch_confidence):
            wanted = latest.get(guess.key)
            if wanted is None or wanted == question:
                continue
            at_ns = now_ns + guess.gap_ns
            if (
                guess.gap_ns >= self._lifetimes[wanted.kind].fresh_ns
                or self.cache.peek(wanted, at_ns) is Standing.FRESH
                or not self.cache.may_ask(wanted, now_ns)
            ):
                continue
            state = self._by_name.get(wanted.source)
            if state is None or state.state != "ready":
                continue
            if not self._budget.take(now_ns, state.day_left, state.day_limit):
                self.meters.add("prefetch_held")
                return
            if self._ask(wanted, now_ns, ahead=True):
                self.meters.add("prefetched")

    # From the child.

    def _on_frame(self, frame: FromChild) -> None:
        self._silent, self._spoken, self._mute_ns = 0, True, 0
        if isinstance(frame, States):
            self._on_states(frame.sources)
            return
        asked = self._asked.pop(frame.number, None)
        late = self._late.pop(frame.number, None)
        now_ns = self._clock()
        if asked is None:
            # Its facts are told to the star once, and this is the time; who asks next has it.
            if late is None or isinstance(frame, Failed):
                return
            asked = late
        if isinstance(frame, Failed):
            self.meters.add("errors")
            error = ProviderError.of(frame.code, frame.what, frame.where, frame.expected, frame.retry_seconds)
            self._refused(asked.question, error, now_ns, frame.retry_seconds)
            return
        kept = Kept(frame.wire, frame.body, max(wall_ns() - frame.fetched_ns, 0))
        size = len(kept.wire) + len(kept.body)
        lifetime = self._lifetimes[asked.question.kind]
        if frame.synthetic:
            # Never in the way of what is true for longer than a failure would be.
            retry_ns = round(self._config.retry_seconds * NANOSECONDS)
            lifetime = Lifetime(min(lifetime.fresh_ns, retry_ns), 0, 0, lifetime.negative_ns)
        waiting, entry = self.cache.keep(asked.question, kept, size, lifetime, now_ns, ahead=asked.ahead)
        self.meters.add("synthetic", int(frame.synthetic))
        if asked.ahead and waiting:
            self.meters.add("prefetch_used")
        if waiting:
            self._answer_all(waiting, self._encoded(entry, now_ns))
        if frame.rows:
            self._publish(frame)

    def _refused(self, question: GetData, error: ProviderError, now_ns: int, retry_seconds: float = 0.0) -> None:
        lifetime = self._lifetimes[question.kind]
        negative = error.code == NOT_FOUND
        wait_ns = round((retry_seconds or self._config.retry_seconds) * NANOSECONDS)
        if error.code == "source.busy":
            wait_ns = 0
        waiting, entry = self.cache.refuse(question, error, now_ns, lifetime, wait_ns=wait_ns, negative=negative)
        if not waiting:
            return
        if entry is None:
            self._answer_all(waiting, error)
        else:
            self.meters.add("stale", len(waiting))
            self._answer_all(waiting, self._encoded(entry, now_ns, cached=True, stale=True))

    def _answer_all(self, waiting: list[Answer], result: Message | Exception) -> None:
        for answer in waiting:
            try:
                answer(result)
            except Exception as error:  # of one that waits: the others do, too
                self._host.calls.errors.add("an answer of the data door", error)

    def _on_states(self, sources: tuple[ProviderState, ...]) -> None:
        self._sources = sources
        self._by_name = {source.name: source for source in sources}
        self.meters.note(sources)
        first: dict[DataKind, str] = {}
        for able in ("ready", "limited", "failing", "unconfigured"):
            for source in sources:
                if source.state == able:
                    for kind in source.kinds:
                        first.setdefault(kind, source.name)
        if not self._known:
            # For its life: a provider that fails for a while keeps its questions, and what is kept of them.
            self._first, self._known = first, True
        early, self._early = self._early, deque()
        for question, answer, asker, _ in early:
            self._host.messages.asker = asker
            try:
                self._get(question, answer)
            except Exception as error:
                self._answer_all([answer], error)

    def _on_lost(self) -> None:
        self._silent, self._spoken, self._mute_ns = 0, False, 0
        self._late.clear()
        self.meters.restart()
        self._refuse_all("the process of data providers died")

    def _refuse_all(self, what: str) -> None:
        error = ProviderError.of("source.unavailable", what, "hub", "to be asked again", 1)
        asked, self._asked = self._asked, {}
        now_ns = self._clock()
        for each in asked.values():
            waiting, entry = self.cache.refuse(each.question, error, now_ns, self._lifetimes[each.question.kind])
            if waiting:
                found = error if entry is None else self._encoded(entry, now_ns, cached=True, stale=True)
                self._answer_all(waiting, found)
        early, self._early = self._early, deque()
        self._answer_all([answer for _, answer, _, _ in early], error)

    # Facts, on the star.

    def _publish(self, frame: Found) -> None:
        layout = BY_NAME[frame.topic]
        rows: Records = np.frombuffer(bytearray(frame.rows), layout.dtype)
        rows["now_ns"] = self._host.clock.now_ns()
        if self._quoted and frame.topic == QUOTE_FACTS.name:
            quotes = touch_records(rows, self._quoted)
            if len(quotes):
                engine = self._context.engine
                assert isinstance(engine, MarketDataEngine)
                self._host.call(self._context, engine.on_provider_quotes, quotes)
        idle = not self._rows
        self._rows.extend(rows[at : at + PUBLISHED_AT_ONCE] for at in range(0, len(rows), PUBLISHED_AT_ONCE))
        if idle:
            self._publish_next()

    def _publish_next(self) -> None:
        if not self._rows:
            return
        rows = self._rows.popleft()
        self.meters.add("published", len(rows))
        self._host.messages.publish(self._context, rows)
        if self._rows:
            self._host.later(0, self._publish_next)

    # Now and then.

    def _look_later(self) -> None:
        if not self._looking:
            self._looking = True
            self._host.later(LOOK_NS, self._look)

    def _look(self) -> None:
        self._looking = False
        now_ns = self._clock()
        late = [number for number, each in self._asked.items() if each.until_ns <= monotonic_ns()]
        for number in late:
            each = self._late[number] = self._asked.pop(number)
            question = each.question
            error = ProviderError.of(
                "source.timeout", f"no answer within {self._config.ask_seconds:g} s", question.source or "hub", "", 1
            )
            self.meters.add("errors")
            self._refused(question, error, now_ns)
        while len(self._late) > MOST_LATE:
            self._late.popitem(last=False)
        # The child itself says when a time is up: one that says nothing at all hangs, or is slow to begin.
        if self._spoken:
            self._silent += len(late)
        elif late:
            self._mute_ns = self._mute_ns or monotonic_ns()
        mute = bool(self._mute_ns) and monotonic_ns() - self._mute_ns >= START_NS
        if mute or self._silent >= MOST_SILENT or (self._early and self._early[0][3] <= monotonic_ns()):
            self.line.restart("it does not answer")
        if self._asked or self._early:
            self._look_later()

    def _look_around(self) -> None:
        self._take_glances()
        self.meters.show(len(self.cache), self.cache.size, self.cache.under_way, self.cache.unused)
        self._host.outlook.more[self._context.name] = {"data": self.view()}

    def _states(self, message: GetProviders, answer: Answer) -> None:
        self._take_glances()
        if not self._known and self.line.start():
            # Who looks first has it started: what is configured is known to the child alone.
            self._host.later(LOOK_NS // 5, partial(self._states_later, answer, monotonic_ns() + 5 * NANOSECONDS))
            return
        answer(self.meters.states(self._sources))

    def _states_later(self, answer: Answer, until_ns: int) -> None:
        if not self._known and monotonic_ns() < until_ns:
            self._host.later(LOOK_NS // 5, partial(self._states_later, answer, until_ns))
            return
        answer(self.meters.states(self._sources))

    def providers(self) -> ProviderStates:
        """How the providers stand, as far as it is known."""
        return self.meters.states(self._sources)


__all__ = ["DataDoor", "ProviderError"]
