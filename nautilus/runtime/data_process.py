"""The process that asks data providers: asyncio, one connection each, questions of the hub's door answered encoded.

What comes and goes is msgpack of known types (`nautilus.runtime.data_frames`): nothing is unpickled. It ends when the
hub does, or closes its end.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from nautilus.adapters.sources import SOURCES, SourceConfig, open_sources
from nautilus.core.clock import now_ns
from nautilus.model.datasets import DataAnswer, DataKind, Fact, GetData, Provenance, ProviderState
from nautilus.model.errors import InternalError, NautilusError, VenueError
from nautilus.model.fact_records import RECORD_OF, fact_records
from nautilus.model.marketdata import FactFlag
from nautilus.model.records import Records
from nautilus.model.topics import ECONOMICS, FUNDAMENTALS, HISTORICAL_BARS, QUOTE_FACTS
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.data_frames import (
    LENGTH,
    Ask,
    Begin,
    Failed,
    Found,
    Frame,
    States,
    body_head,
    packed,
    to_begin,
    to_child,
    wire_head,
)
from nautilus.runtime.data_synthetic import made_up
from nautilus.runtime.http.forms import form_of
from nautilus.runtime.kernelcalls import signal_at_parent_end

STATES_SECONDS = 1.0
CLOSE_SECONDS = 0.5
ANSWER_SHARE = 0.95
"""Of the hub's time for a question: so that a source tells itself why there is no answer."""
TOPIC_OF = {
    DataKind.BAR: HISTORICAL_BARS.name,
    DataKind.FUNDAMENTAL: FUNDAMENTALS.name,
    DataKind.ECONOMIC: ECONOMICS.name,
    DataKind.QUOTE: QUOTE_FACTS.name,
}
MOST_TOLD = 200_000
"""Records that are known to be on the star already."""
NOT_FOUND = "source.not_found"
_LOGGER = logging.getLogger("nautilus.runtime")
_FORM = form_of(DataAnswer)
_ENCODER = msgspec.json.Encoder()


class Fetched(Protocol):
    """What a provider answered."""

    @property
    def facts(self) -> tuple[Fact, ...]:
        """In order of time."""
        ...

    @property
    def provenance(self) -> Provenance:
        """Of the answer as a whole."""
        ...


class Source(Protocol):
    """A provider (`nautilus.adapters.sources.base.Source`)."""

    async def fetch(self, question: GetData, /) -> Fetched:
        """Ask it; raises an error of the platform where it does not answer."""
        ...

    def state(self) -> ProviderState:
        """How it stands."""
        ...

    async def close(self) -> None:
        """Give back its connection."""
        ...


class Told:
    """Which facts the star has had: each is published once."""

    def __init__(self, most: int = MOST_TOLD) -> None:
        self._most = most
        self._known: OrderedDict[int, None] = OrderedDict()

    def news(self, records: Records) -> Records:
        """Those that are new, whenever and by whatever URL they were fetched."""
        bare = records.copy()
        bare["fetched_ns"], bare["url"] = 0, b""
        bare["flags"] &= ~np.uint32(FactFlag.CUT)  # of the URL, perhaps
        size, content = bare.dtype.itemsize, bare.tobytes()
        known, fresh = self._known, []
        for at in range(len(records)):
            mark = hash(content[at * size : (at + 1) * size])
            if mark in known:
                known.move_to_end(mark)
            else:
                known[mark] = None
                fresh.append(at)
        while len(known) > self._most:
            known.popitem(last=False)
        return records if len(fresh) == len(records) else records[fresh]


class DataProcess:
    """Answers the questions of one hub.

    Parameters
    ----------
    begin
        What the hub said first.
    sources
        By name, those for a kind in the order in which they are preferred.
    """

    def __init__(self, begin: Begin, sources: Mapping[str, Source]) -> None:
        self._begin = begin
        self._sources = sources
        self._told = Told()

    async def answer(self, ask: Ask) -> Frame:
        """The one answer to a question."""
        question = ask.question
        try:
            facts, provenance = await self._fetch(question, ask.may_make_up)
            return self._found(ask.number, question, facts, provenance)
        except Exception as error:
            return failed(ask.number, error)

    async def _fetch(self, question: GetData, may_make_up: bool) -> tuple[tuple[Fact, ...], Provenance]:
        source = self._sources.get(question.source)
        error: Exception
        if source is None:
            error = _no_source(question, self._sources)
        else:
            try:
                async with asyncio.timeout(self._begin.ask_seconds):
                    fetched = await source.fetch(question)
                return fetched.facts, fetched.provenance
            except TimeoutError as late:
                error = NoAnswerError(
                    f"no answer within {self._begin.ask_seconds:g} s", where=question.source, expected="one in time"
                )
                error.__cause__ = late
            except NautilusError as refusal:
                error = refusal
        if may_make_up and self._begin.allow_synthetic and getattr(error, "code", "") != NOT_FOUND:
            return made_up(question, now_ns())
        raise error

    def _found(self, number: int, question: GetData, facts: tuple[Fact, ...], provenance: Provenance) -> Found:
        if provenance.fetched_ns <= 0:  # its age would be that of the epoch
            raise InternalError(
                f"an answer to {question.kind} {question.symbol} that was never fetched",
                where=provenance.source,
                expected="the provenance of what was asked last, or of what is remembered",
            )
        answer = DataAnswer(question.kind, question.symbol, provenance.source, facts, provenance)
        assert _FORM.leave is not None
        wire, body = wire_head(answer), body_head(_ENCODER.encode(_FORM.leave(answer)))
        if len(wire) + len(body) > self._begin.answer_bytes:
            # Before anything is marked as told.
            raise TooLargeError(
                f"an answer of {len(wire) + len(body):,} bytes",
                where=provenance.source,
                expected=f"at most {self._begin.answer_bytes:,}: a shorter range or a limit",
            )
        topic, rows = TOPIC_OF.get(question.kind, ""), b""
        if topic and facts and self._begin.publish:
            records = fact_records(question.kind, facts[-self._begin.publish :], self._begin.instruments)
            assert records.dtype is RECORD_OF[question.kind]
            rows = self._told.news(records).tobytes()
        return Found(
            number,
            provenance.source,
            wire,
            body,
            provenance.fetched_ns,
            provenance.synthetic,
            topic if rows else "",
            rows,
        )

    def states(self) -> States:
        """How the sources stand."""
        return States(tuple(source.state() for source in self._sources.values()))

    async def close(self) -> None:
        """Give back all connections."""
        await asyncio.gather(*(source.close() for source in self._sources.values()), return_exceptions=True)


class NoAnswerError(VenueError):
    """A provider did not answer in time."""

    code = "source.timeout"


class TooLargeError(VenueError):
    """An answer is larger than the hub takes."""

    code = "source.too_large"


class NoSourceError(VenueError):
    """No provider is there for it."""

    code = "source.unsupported"


def _no_source(question: GetData, sources: Mapping[str, Source]) -> NoSourceError:
    if question.source:
        return NoSourceError(
            f"no source {question.source!r}", where="source", expected=f"one of {', '.join(sources)}" if sources else ""
        )
    return NoSourceError(f"no source has {question.kind} data", where="sources", expected="one that is configured")


def failed(number: int, error: Exception) -> Failed:
    """An error, for the hub."""
    if isinstance(error, NautilusError):
        said = error.as_dict()
        wait = max(float(getattr(error, "retry_seconds", 0.0)), 0.0)
        return Failed(number, said["code"], said["what"], said["where"], said["expected"], wait)
    _LOGGER.error("a question failed: %s", error, exc_info=error)
    return Failed(number, "source.malformed", f"{type(error).__name__}: {error}", "data process", "")


async def serve(connection: socket.socket, begin: Begin, opens: Callable[[Begin], Mapping[str, Source]]) -> None:
    """Answer a hub until it closes its end."""
    reader, writer = await asyncio.open_connection(sock=connection)
    work = DataProcess(begin, opens(begin))
    lock = asyncio.Lock()

    async def say(frame: Frame) -> None:
        async with lock:  # who waits for room waits alone
            writer.write(packed(frame))
            await writer.drain()

    last: States | None = None

    async def tell_news() -> None:
        nonlocal last
        states = work.states()
        if states != last:
            last = states
            await say(states)

    async def take(ask: Ask) -> None:
        answer = await work.answer(ask)
        await tell_news()  # what it took is counted before it is answered, whatever becomes of this process
        await say(answer)

    async def tell() -> None:
        while True:
            await tell_news()
            await asyncio.sleep(STATES_SECONDS)

    tasks: set[asyncio.Task[None]] = {asyncio.create_task(tell())}
    try:
        while (frame := await _next(reader)) is not None:
            task = asyncio.create_task(take(frame))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(CLOSE_SECONDS):
            await work.close()
        writer.close()


async def _next(reader: asyncio.StreamReader) -> Ask | None:
    try:
        length = LENGTH.unpack(await reader.readexactly(LENGTH.size))[0]
        return to_child(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _in_time(config: SourceConfig, ask_seconds: float) -> SourceConfig:
    """As configured, but with an answer within the hub's time: what has to wait for longer is refused at once."""
    most = ask_seconds * ANSWER_SHARE
    return config if config.answer_seconds <= most else msgspec.structs.replace(config, answer_seconds=most)


def open_all(begin: Begin) -> Mapping[str, Source]:
    """The sources that the configuration has, by name."""
    configs: dict[str, SourceConfig] = {
        name: _in_time(msgspec.convert(begin.sections.get(f"source_{name}", {}), kind), begin.ask_seconds)
        for name, (_, kind) in SOURCES.items()
    }
    directory = Path(begin.data, "sources")
    directory.mkdir(exist_ok=True)
    return open_sources(configs, directory=directory, clock=wall_ns)


def main(number: int, opens: Callable[[Begin], Mapping[str, Source]] = open_all) -> None:
    """Serve the hub at the other end of a socket; what it works with comes by its input."""
    begin = to_begin(sys.stdin.buffer.read())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor's affair
    signal_at_parent_end(signal.SIGKILL)
    with socket.socket(fileno=number) as connection:
        connection.setblocking(False)
        asyncio.run(serve(connection, begin, opens))


if __name__ == "__main__":
    main(int(sys.argv[1]))
