"""The process that listens to a live market: asyncio here, packed records to the hub over a socket.

::

    venue ── WebSocket, REST ──▶ this process ── frames ──▶ hub's process: `nautilus.runtime.live_source`

A frame is a head (bytes of the payload, kind, instrument id, stamp) and a payload: records of the star, or JSON. Back
come instrument ids alone: of books that the hub does not take for right, to be begun anew (BLIND, then a snapshot). It
ends when the hub does, or closes its end. When the hub does not read, the venue is not read either.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from nautilus.model.errors import NautilusError
from nautilus.model.instrument import Instrument
from nautilus.runtime.clock import ClockAnchor, PlatformClock
from nautilus.runtime.kernelcalls import signal_at_parent_end

if TYPE_CHECKING:
    from nautilus.adapters.sources.binance_config import BinanceConfig
    from nautilus.core.quotas import Quotas

HEAD: Final = struct.Struct("<IBxxxIq")
"""Bytes of the payload, kind, instrument id, stamp."""
ASK: Final = struct.Struct("<I")
"""From the hub: the instrument id of a book."""
QUOTE, TRADE, BOOK, BLIND, SIGHTED = range(1, 6)
"""Kinds with records, as `FeedKind`; `BLIND` and `SIGHTED` may have none."""
FAILED, FACTS = 6, 7
"""Kinds with JSON: why the feed is not open (with an id: of one instrument), and what it has counted."""
SILENT, RESUMED = 8, 9
"""Without records: trades are missed, and come again."""
FACTS_SECONDS = 1.0
"""`FACTS` come so often, also while the feed is not open: a process that says nothing hangs."""
AGAIN_SECONDS = (0.25, 10.0)
"""First and longest wait before the feed is opened again."""
RECORDS = frozenset((QUOTE, TRADE, BOOK, BLIND, SIGHTED, SILENT, RESUMED))
MARKETS = {"binance": "spot", "binance-futures": "futures"}
"""By venue's name."""


class FeedSettings(msgspec.Struct, frozen=True):
    """What the process is to listen to, the platform's clock, and its data directory, where requests are counted.

    `steps` has the price increment and the lot size of each symbol, as hub and core count them.
    """

    venue: str
    config: dict[str, Any]
    instruments: dict[str, int]
    clock: ClockAnchor
    data: str = ""
    steps: dict[str, tuple[str, str]] = {}


def steps_of(instruments: Iterable[Instrument]) -> dict[str, tuple[str, str]]:
    """Price increment and lot size by symbol."""
    return {each.symbol: (str(each.price_increment), str(each.lot_size)) for each in instruments}


def config_of(venue: str, config: BinanceConfig) -> BinanceConfig:
    """The settings of a venue's feed, of its own market."""
    return msgspec.structs.replace(config, market=MARKETS[venue])


def _quotas(data: str) -> Quotas | None:
    """Where all processes count what they ask of venues, in a data directory that is there."""
    from nautilus.adapters.sources.limits import open_quotas

    return open_quotas(Path(data, "sources")) if data and Path(data).is_dir() else None


async def resolve(venue: str, config: BinanceConfig, symbols: Sequence[str], data: str = "") -> tuple[Instrument, ...]:
    """The instruments of symbols as the venue trades them now, with ids from 1 on.

    What is asked is counted in the data directory `data`, "": in this process alone.

    Raises
    ------
    SourceError
        The venue cannot be asked, or trades no such symbol.
    """
    import aiohttp

    from nautilus.adapters.sources.binance_rest import BinanceRest

    async with aiohttp.ClientSession() as session:
        rest = BinanceRest(config_of(venue, config).concluded(len(symbols)), session, _quotas(data))
        hints = await rest.instruments(symbols)
    return tuple(hints[symbol].instrument(number) for number, symbol in enumerate(symbols, 1))


async def listen(settings: FeedSettings, line: socket.socket) -> None:
    """Hand on what the venue says until the other end closes the line."""
    from nautilus.adapters.sources.binance_live import BinanceConfig, BinanceFeed

    feeds: list[BinanceFeed] = []
    config = config_of(settings.venue, msgspec.convert(settings.config, BinanceConfig))
    clock = PlatformClock(settings.clock).now_ns
    quotas = _quotas(settings.data)
    reader, writer = await asyncio.open_connection(sock=line)

    def say(kind: int, payload: bytes, number: int = 0, now_ns: int = 0) -> None:
        writer.write(HEAD.pack(len(payload), kind, number, now_ns) + payload)

    async def feed() -> None:
        wait, longest = AGAIN_SECONDS
        while True:
            try:
                async with BinanceFeed(
                    config,
                    list(settings.instruments),
                    clock,
                    instrument_ids=settings.instruments,
                    quotas=quotas,
                    steps=settings.steps,
                ) as opened:
                    feeds[:] = [opened]
                    wait = AGAIN_SECONDS[0]
                    async for update in opened:
                        number, payload = settings.instruments[update.symbol], update.records.tobytes()
                        if update.kind == FAILED and update.interruption is not None:
                            told = {"where": update.symbol, "what": update.interruption.detail}
                            payload = msgspec.json.encode(told)
                        say(update.kind, payload, number, update.now_ns)
                        await writer.drain()
            except NautilusError as error:
                say(FAILED, msgspec.json.encode(error.as_dict()), 0, clock())
            feeds.clear()
            await asyncio.sleep(wait)
            wait = min(2 * wait, longest)

    async def tell() -> None:
        while True:
            await asyncio.sleep(FACTS_SECONDS)
            facts = feeds[0].summary() if feeds else {}
            say(FACTS, msgspec.json.encode(facts, enc_hook=str), 0, clock())

    async def asked() -> None:
        symbols = {number: symbol for symbol, number in settings.instruments.items()}
        with contextlib.suppress(asyncio.IncompleteReadError):  # the hub has closed its end
            while True:
                (number,) = ASK.unpack(await reader.readexactly(ASK.size))
                for each in feeds:
                    each.doubt(symbols[number])

    running, telling = asyncio.create_task(feed()), asyncio.create_task(tell())
    closed = asyncio.create_task(asked())
    await asyncio.wait((running, telling, closed), return_when=asyncio.FIRST_COMPLETED)
    for task in (running, telling, closed):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError, ConnectionError):
        await running


def main(descriptor: str) -> None:
    """Read the settings from standard input, then serve the socket of that descriptor."""
    signal_at_parent_end(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=FeedSettings)
    with socket.socket(fileno=int(descriptor)) as line:
        line.setblocking(False)
        with contextlib.suppress(ConnectionError):
            asyncio.run(listen(settings, line))


if __name__ == "__main__":
    main(sys.argv[1])
