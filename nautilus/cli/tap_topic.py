"""`nautilus tap TOPIC`: what is said on topics of a running instance, as it is said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nautilus.bus.client import BusClient
    from nautilus.model.topics import Topic
    from nautilus.runtime.instance import Instance

NANOSECONDS = 1_000_000_000
HEAD = ("at_ns", "topic", "type", "symbol", "sequence", "now_ns", "venue_ns")


def tap_topic(
    instance: Instance, pattern: str, symbol: str | None, count: int, for_seconds: float | None
) -> Iterator[dict[str, Any]]:
    """Messages and records on topics like a pattern, as plain values, until so many or for so long; 0, None: no end.

    Raises
    ------
    TopicError
        No topic is like that.
    ModelError
        No instrument has that symbol.
    """
    from nautilus.bus.routing import topics_like
    from nautilus.runtime.attach import attach
    from nautilus.runtime.clock import monotonic_ns

    topics = topics_like(pattern)
    end_ns = monotonic_ns() + int(for_seconds * NANOSECONDS) if for_seconds is not None else None
    with attach(instance, "tap") as client:
        symbols = _symbols(client)
        wanted = _instrument(symbols, symbol)
        waiting: list[dict[str, Any]] = []
        client.listen(topics, lambda topic, what: waiting.extend(lines_of(topic, what, symbols, wanted)))
        said = 0
        while (end_ns is None or monotonic_ns() < end_ns) and instance.is_live:
            client.turn(0.05)
            for line in waiting:
                yield line
                said += 1
                if said == count:
                    return
            waiting.clear()


def as_text(line: dict[str, Any]) -> str:
    """A line for a person: without what the line says already, and without what is nothing."""
    import datetime

    moment = datetime.datetime.fromtimestamp(line["at_ns"] / NANOSECONDS)
    said = {*HEAD, *(("instrument_id",) if "symbol" in line else ())}
    rest = (f"{name}={value}" for name, value in line.items() if name not in said and value not in (0, None, ""))
    sequence = f"{line['sequence']:>8} " if "sequence" in line else ""
    return " ".join([f"{moment:%H:%M:%S.%f} {sequence}{line['topic']} {line['type']}", line.get("symbol", ""), *rest])


def _symbols(client: BusClient) -> dict[int, str]:
    from nautilus.model.queries import GetQuotes, QuoteLines

    answer = client.request("marketdata", GetQuotes())
    assert isinstance(answer, QuoteLines)
    return {line.instrument_id: line.symbol for line in answer.quotes}


def _instrument(symbols: dict[int, str], symbol: str | None) -> int:
    for number, known in symbols.items():
        if symbol in (known, str(number)):
            return number
    if symbol is None:
        return 0
    raise click.UsageError(f"no instrument {symbol!r}; expected one of {', '.join(sorted(symbols.values()))}")


def lines_of(
    topic: Topic, what: Any, symbols: dict[int, str], wanted: int = 0, at_ns: int = 0
) -> Iterable[dict[str, Any]]:
    """Records or a message as plain values; `at_ns` 0: now."""
    from nautilus.model.marketdata import auctions, bars, book_deltas, flows, quotes, trades
    from nautilus.model.queries import Reports
    from nautilus.runtime.clock import wall_ns

    readers: dict[str, Any] = {
        "on_quote": quotes,
        "on_trade": trades,
        "on_book": book_deltas,
        "on_auction": auctions,
        "on_bar": bars,
        "on_flow": flows,
    }
    if topic.record is not None and topic.handler not in readers:
        yield from _rows(topic, what, symbols, wanted, at_ns or wall_ns())
        return
    if topic.record is not None:
        messages: Iterable[Any] = readers[topic.handler](what)
    else:
        messages = what.reports if isinstance(what, Reports) else (what,)
    at_ns = at_ns or wall_ns()
    for message in messages:
        instrument = getattr(message, "instrument_id", 0)
        if wanted and instrument != wanted:
            continue
        fields = {name: _plain(getattr(message, name)) for name in message.__struct_fields__}
        symbol = {"symbol": symbols[instrument]} if instrument in symbols else {}
        yield {"at_ns": at_ns, "topic": topic.name, "type": type(message).__name__, **symbol, **fields}


def _rows(topic: Topic, records: Any, symbols: dict[int, str], wanted: int, at_ns: int) -> Iterable[dict[str, Any]]:
    """Facts of providers and refused ticks, which no handler takes one by one: their columns."""
    from nautilus.core.ticks import TickKind, TickReason

    said = {
        "kind": {int(each): each.name for each in TickKind},
        "reason": {int(each): each.name for each in TickReason},
    }

    def plain(name: str, value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        return said[name].get(value, value) if name in said else None if value != value else value  # NaN: not told

    for row in records.tolist():
        fields = {
            name: plain(name, value)
            for name, value in zip(records.dtype.names, row, strict=True)
            if not name.startswith(("reserved", "padding"))
        }
        if wanted and fields["instrument_id"] != wanted:
            continue
        symbol = {"symbol": symbols[fields["instrument_id"]]} if fields["instrument_id"] in symbols else {}
        name = topic.name.removeprefix("marketdata.")
        yield {"at_ns": at_ns, "topic": topic.name, "type": name, **symbol, **fields}


def _plain(value: Any) -> Any:
    """A field as HTTP has it: enumerations by name."""
    import enum

    import msgspec

    return value.name if isinstance(value, enum.IntEnum) else msgspec.to_builtins(value)
