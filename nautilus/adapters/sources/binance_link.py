"""One WebSocket connection to Binance that is kept up: opened again after a loss, replaced before the venue ends it.

::

    venue ──frames──> Link ──(stamp, message)──> Inbox ──> who decodes
                        └──(stamp, OPENED or LOST and why)──┘

Source: Binance, "WebSocket streams", for the spot market and for USD-M futures (pings, 24 hours, combined streams).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import NamedTuple

import aiohttp

from nautilus.adapters.sources.binance_config import BinanceConfig, Route

LARGEST_MESSAGE = 16 << 20


class ItemKind(IntEnum):
    """What an item of the inbox is."""

    MESSAGE = 1
    SNAPSHOT = 2  # `text` is the answer of the REST API
    OPENED = 3
    LOST = 4  # `text` says why
    REFUSED = 5  # the venue does not know `symbol` any more; `text` says what it said
    DOUBTED = 6  # the book of `symbol` is not right, by who listens


class Item(NamedTuple):
    """Something that came in, in order.

    `symbol` is that of a snapshot or its refusal, `turn` how often connections with books had been opened or lost when
    it was asked for; `since_ns` is the last message before a loss.
    """

    now_ns: int
    kind: ItemKind
    text: bytes
    link: Link | None = None
    symbol: str = ""
    since_ns: int = 0
    turn: int = 0

    @property
    def line(self) -> bytes:
        """The line that a log would have; a line end inside of JSON is but white space."""
        text = self.text.replace(b"\n", b" ") if b"\n" in self.text else self.text
        return b"%d %s\n" % (self.now_ns, text)


class Inbox:
    """What came in and was not taken yet. Sockets are not read while `most` wait, so nothing is dropped here.

    Attributes
    ----------
    waits : times that a socket was left unread, as too much waited here.
    """

    def __init__(self, most: int) -> None:
        self.waits = 0
        self._most = most
        self._items: list[Item] = []
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()

    def put(self, item: Item) -> None:
        """Add an item, also over the limit."""
        self._items.append(item)
        if len(self._items) == 1:
            self._filled.set()

    @property
    def full(self) -> bool:
        """Whether a socket should wait."""
        return len(self._items) >= self._most

    async def room(self) -> None:
        """Wait until everything was taken."""
        self.waits += 1
        self._emptied.clear()
        await self._emptied.wait()

    async def take(self) -> list[Item]:
        """All that is there, once something is."""
        await self._filled.wait()
        self._filled.clear()
        items, self._items = self._items, []
        self._emptied.set()
        return items

    def wake(self) -> None:
        """Let `take` return, if with nothing."""
        self._filled.set()


class Backoff:
    """Waits between attempts: doubled each time, drawn between half and all of that."""

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._attempts = 0

    def reset(self) -> None:
        """The last attempt went well."""
        self._attempts = 0

    def next_seconds(self) -> float:
        """How long to wait before the next attempt."""
        wait: float = min(self._longest, self._first * 2 ** min(self._attempts, 30))
        self._attempts += 1
        return wait * random.uniform(0.5, 1.0)

    async def wait(self, least_seconds: float = 0.0) -> None:
        """Wait before the next attempt, at least so long."""
        await asyncio.sleep(max(least_seconds, self.next_seconds()))


class Overlap:
    """Two connections that say the same, one maybe later than the other: until then, the older one alone is heard.

    What the newer one says first is held, until the older one has said it too.

    Attributes
    ----------
    complete : the newer one has told of every book, and the older one has come as far as it began, on each stream.
    """

    def __init__(self, books: int) -> None:
        self.complete = asyncio.Event()
        self._books = books
        self._last: dict[bytes, int] = {}  # numbers of the older one, by stream
        self._first: dict[bytes, int] = {}  # first numbers of the newer one that the older one has not reached
        self._begun: set[bytes] = set()
        self._held: dict[tuple[bytes, int], bytes] = {}

    def hear_older(self, data: bytes) -> None:
        """Note what the older connection says."""
        stream, number = _numbered(data)
        self._last[stream] = number
        self._held.pop((stream, number), None)
        if stream in self._first and number >= self._first[stream]:
            del self._first[stream]
            self._judge()

    def hold(self, data: bytes) -> None:
        """Keep what the newer connection says, where the older one has not said it yet."""
        stream, number = _numbered(data)
        ahead = number < 0 or number > self._last.get(stream, -1)
        if ahead:
            self._held[stream if number >= 0 else data, number] = data
        if stream not in self._begun:
            self._begun.add(stream)
            self._books -= b"@depth" in stream
            if ahead and number >= 0:
                self._first[stream] = number
            self._judge()

    def held(self) -> list[bytes]:
        """What the older connection has not said, in order."""
        return list(self._held.values())

    def _judge(self) -> None:
        if self._books <= 0 and self._begun and not self._first:
            self.complete.set()


def _numbered(data: bytes) -> tuple[bytes, int]:
    """The stream of a message and its number there; -1: it has none."""
    stream = data[: data.find(b'",')]
    _, _, number = data.partition(b'"t":' if b"@trade" in stream else b'"u":')
    digits = number[: number.find(b",")]
    return stream, int(digits) if digits.isdigit() else -1


class Connection:
    """A WebSocket that is read until it ends.

    Attributes
    ----------
    messages : data messages so far.
    reason : why it ended, as a word and what was found; "" before.
    later, earlier : shared with the connection that is to replace it, and with the one that it is to replace.
    """

    def __init__(self, link: Link, socket: aiohttp.ClientWebSocketResponse, earlier: Overlap | None = None) -> None:
        self.messages = 0
        self.reason = ""
        self.later: Overlap | None = None
        self.earlier = earlier
        self._link = link
        self._socket = socket
        self.reader = asyncio.ensure_future(self._read())

    def replace(self, old: Connection) -> None:
        """Hand on what was held, and all that comes; `old` is read no longer."""
        old.reader.cancel()
        overlap, self.earlier = self.earlier, None
        assert overlap is not None
        for data in overlap.held():
            self._put(data)

    async def close(self, reason: str) -> None:
        """End it and stop reading; the venue is told."""
        self.reason = self.reason or reason
        self.reader.cancel()
        await asyncio.wait({self.reader})
        await self._socket.close()

    async def _read(self) -> None:
        link, socket = self._link, self._socket
        while True:
            message = await socket.receive()
            kind = message.type
            if kind is aiohttp.WSMsgType.TEXT:
                data = message.data if isinstance(message.data, bytes) else message.data.encode()
                self.messages += 1
                if self.earlier is not None:
                    self.earlier.hold(data)
                    continue
                if self.later is not None:
                    self.later.hear_older(data)
                self._put(data)
                if link.inbox.full:
                    await link.inbox.room()
            elif kind is aiohttp.WSMsgType.PING:
                link.pings += 1
                await socket.pong(message.data)
            elif kind is aiohttp.WSMsgType.PONG:
                continue
            elif kind is aiohttp.WSMsgType.BINARY:
                link.binary += 1
            else:
                error = socket.exception()
                closed = f"closed: {message.extra}" if message.extra else f"closed with code {socket.close_code}"
                self.reason = f"closed: {error or type(error).__name__}" if error is not None else closed
                return

    def _put(self, data: bytes) -> None:
        link = self._link
        link.last_ns = now_ns = link.clock()
        link.inbox.put(Item(now_ns, ItemKind.MESSAGE, data, link))


class Link:
    """Keeps one connection up and hands on what it says.

    Attributes
    ----------
    opened, failed, renewed, pings, binary : connections opened; attempts that failed; replacements without a loss;
        pings answered; messages that were no text.
    last_ns : stamp of the last message.
    last_error : why it was last lost or not to be had.
    """

    def __init__(
        self,
        route: Route,
        symbols: Sequence[str],
        config: BinanceConfig,
        session: aiohttp.ClientSession,
        clock: Callable[[], int],
        inbox: Inbox,
    ) -> None:
        self.route = route
        self.has_books = any(stream.startswith("depth") for stream in route.streams)
        self.clock = clock
        self.inbox = inbox
        self.opened = 0
        self.failed = 0
        self.renewed = 0
        self.pings = 0
        self.binary = 0
        self.last_ns = 0
        self.last_error = ""
        streams = [f"{symbol.lower()}@{stream}" for symbol in symbols for stream in route.streams]
        self.url = f"{route.url}?streams={'/'.join(streams)}"
        self._books = len(symbols) if self.has_books else 0
        self._config = config
        self._session = session
        self._backoff = Backoff(config.backoff_seconds, config.longest_backoff_seconds)
        self._connection: Connection | None = None

    @property
    def connected(self) -> bool:
        """Whether it is open now."""
        return self._connection is not None

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        try:
            while True:
                connection = await self._open()
                if connection is None:
                    await self._backoff.wait()
                    continue
                self._connection = connection
                self.inbox.put(Item(self.clock(), ItemKind.OPENED, b"", self))
                await self._watch()
                connection, self._connection = self._connection, None
                reason = connection.reason
                await connection.close(reason)
                self.last_error = reason
                self.inbox.put(Item(self.clock(), ItemKind.LOST, reason.encode(), self, since_ns=self.last_ns))
                if connection.messages:
                    self._backoff.reset()
                await self._backoff.wait()
        finally:
            if self._connection is not None:
                await self._connection.close("closed by us")
                self._connection = None

    async def _open(self, overlap: Overlap | None = None) -> Connection | None:
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                socket = await self._session.ws_connect(
                    self.url,
                    heartbeat=self._config.ping_seconds,
                    autoping=False,
                    max_msg_size=LARGEST_MESSAGE,
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.failed += 1
            self.last_error = f"cannot connect: {str(error) or type(error).__name__}"
            return None
        self.opened += 1
        return Connection(self, socket, overlap)

    async def _watch(self) -> None:
        """Until the connection is lost, for whatever reason; it may have become another one."""
        loop = asyncio.get_running_loop()
        config = self._config
        tick = config.stalled_seconds / 4 if self.has_books else config.renew_seconds
        renew_at = loop.time() + config.renew_seconds
        heard, heard_at = -1, loop.time()
        while True:
            connection = self._connection
            assert connection is not None
            await asyncio.wait({connection.reader}, timeout=max(0.0, min(tick, renew_at - loop.time())))
            now = loop.time()
            if connection.reader.done():
                if not connection.reader.cancelled() and connection.reader.exception() is not None:
                    connection.reason = f"closed: {connection.reader.exception()!r}"
                return
            if connection.messages != heard or self.inbox.full:
                heard, heard_at = connection.messages, now
            elif self.has_books and now - heard_at >= config.stalled_seconds:
                connection.reason = f"stalled: nothing for {config.stalled_seconds:g} s"
                return
            if now >= renew_at:
                renewed = self.renewed
                if not await self._renew(connection):
                    return
                if self.renewed > renewed:
                    self._backoff.reset()
                    renew_at = loop.time() + config.renew_seconds
                else:
                    renew_at = loop.time() + self._backoff.next_seconds()
                heard = -1

    async def _renew(self, old: Connection) -> bool:
        """Go over to another connection; False where the old one ended before the new one had all that it said."""
        old.later = overlap = Overlap(self._books)
        try:
            new = await self._open(overlap)
            if new is None:
                return not old.reader.done()  # tried again soon
            waiting = asyncio.ensure_future(overlap.complete.wait())
            try:
                await asyncio.wait(
                    {waiting, old.reader, new.reader},
                    timeout=self._config.stalled_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            except asyncio.CancelledError:
                await new.close("closed by us")
                raise
            finally:
                waiting.cancel()
            if new.reader.done():
                await new.close("closed")
                return not old.reader.done()
            if old.reader.done() and not overlap.complete.is_set():
                await new.close("closed by us")
                return False
            self._connection = new
            new.replace(old)
            await old.close("renewed")
            self.renewed += 1
            return True
        finally:
            old.later = None
