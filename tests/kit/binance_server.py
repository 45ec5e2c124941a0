"""Binance on real sockets: plays a recording to whoever listens, keeps the book that its requests ask for, and fails
where a script says so.

The venue goes on while nobody listens: what a script loses for a listener still changes the book that is served.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import WSMsgType, web

SHOWN = 1000  # levels of a side in a snapshot
UNKNOWN = '{"code":-1121,"msg":"Invalid symbol."}'
STEPS = {"spot": ("0.01000000", "0.00001000"), "futures": ("0.10", "0.001")}


class Line(NamedTuple):
    """One recorded message; `kind` is depth, bookTicker, trade or snapshot."""

    stamp_ns: int
    kind: str
    symbol: str
    text: str  # the data alone


def read_lines(path: Path, count: int = 0) -> list[Line]:
    """The first lines of a recording; 0: all."""
    lines = []
    with gzip.open(path, "rt") as file:
        for row in file:
            stamp, _, text = row.rstrip("\n").partition(" ")
            if text.startswith('{"lastUpdateId"'):
                lines.append(Line(int(stamp), "snapshot", "btcusdt", text))
            else:
                name, _, data = text.removeprefix('{"stream":"').partition('","data":')
                symbol, _, kind = name.partition("@")
                lines.append(Line(int(stamp), kind.partition("@")[0], symbol, data[:-1]))
            if len(lines) == count:
                break
    return lines


def renamed(lines: Sequence[Line], symbol: str) -> list[Line]:
    """The same of another symbol."""
    return [
        line._replace(symbol=symbol.lower(), text=line.text.replace('"s":"BTCUSDT"', f'"s":"{symbol}"'))
        for line in lines
    ]


class VenueBook:
    """The book by the venue's rules, kept as texts."""

    def __init__(self) -> None:
        self.last_id = 0
        self.known = asyncio.Event()
        self.recorded = ""  # the snapshot as it was recorded, served once
        self.sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self._early: list[dict[str, Any]] = []

    def start(self, text: str) -> None:
        snapshot = json.loads(text)
        self.recorded, self.last_id = text, snapshot["lastUpdateId"]
        self.sides = (dict(snapshot["bids"]), dict(snapshot["asks"]))
        for diff in self._early:
            self.change(diff)
        self.known.set()

    def change(self, diff: dict[str, Any]) -> None:
        if not self.last_id:
            self._early.append(diff)
            return
        if diff["u"] <= self.last_id:
            return
        self.last_id = diff["u"]
        for side, levels in zip(self.sides, (diff["b"], diff["a"]), strict=True):
            for price, quantity in levels:
                if float(quantity):
                    side[price] = quantity
                else:
                    side.pop(price, None)

    def snapshot(self) -> str:
        bids, asks = (sorted(side.items(), key=lambda level: float(level[0])) for side in self.sides)
        return json.dumps({"lastUpdateId": self.last_id, "bids": bids[::-1][:SHOWN], "asks": asks[:SHOWN]})

    def best(self) -> tuple[float, float, float, float]:
        """Price and quantity of the best bid and ask."""
        bid, ask = max(self.sides[0], key=float), min(self.sides[1], key=float)
        return float(bid), float(self.sides[0][bid]), float(ask), float(self.sides[1][ask])


class BinanceServer:
    """One market of the venue.

    Parameters
    ----------
    lines
        What is played once all of `listeners` connections stand.
    script
        By the number of a line: what is done instead of sending it (the names are methods, without their underscore),
        or a function that is called before it is sent and may wait.

    Attributes
    ----------
    now_ns : stamp of the line played last, for a clock.
    books : by symbol, in small letters.
    replies : what is done with the next requests for a snapshot: None, a status with headers, or a function that may
        wait and give a text.
    accepted, open : connections so far, and now, by path.
    refusing, refused : whether connections are refused, as requests are not, and how many were.
    lag : so many lines later everything is said on the connection that was the first.
    calm, heard : what the listener says of itself, see `listened`.
    """

    def __init__(
        self,
        market: str,
        lines: Sequence[Line],
        script: Mapping[int, str | Callable[[], Any]] | None = None,
        *,
        listeners: int = 1,
        away: int = 120,
    ) -> None:
        self.market = market
        self.lines = lines
        self.script = dict(script or {})
        self.now_ns = lines[0].stamp_ns
        self.books = {line.symbol: VenueBook() for line in lines}
        self.replies: deque[Any] = deque()
        self.snapshots = 0
        self.accepted: list[str] = []
        self.queries: list[str] = []
        self.pongs: list[bytes] = []
        self.used_weight = "5"
        self.always: dict[str, str] = {}  # the answer to every request for a snapshot, by symbol
        self.steps: dict[str, tuple[str, str]] = {}  # tick and lot by symbol, where they are other ones
        self.delisted: dict[str, str] = {}  # by symbol: its status in the list; "": it is not there any more
        self.refusing = False
        self.refused = 0
        self.lag = 0
        self.finished = asyncio.Event()
        self.open: dict[str, list[web.WebSocketResponse]] = {}
        self._streams: dict[web.WebSocketResponse, dict[tuple[str, str], str]] = {}
        self._requests: dict[web.WebSocketResponse, web.Request] = {}
        self._listeners = listeners
        self._away = away
        self._changed = asyncio.Event()
        self._lost = 0
        self.calm = False
        self.heard = 0
        self._said = 0
        self._late: deque[Line] = deque()
        self._first: web.WebSocketResponse | None = None

    async def settled(self) -> None:
        """Until the listener has heard everything and its book is right: what is done to one is done to such a one."""
        await self.until(lambda: self.calm and self.heard >= self._said)

    def listened(self, *, heard: int = 0, calm: bool | None = None) -> None:
        """Told by a listener: the update id of a ticker that it heard, and whether its book is right."""
        self.heard = max(self.heard, heard)
        self.calm = self.calm if calm is None else calm
        self._changed.set()

    async def __aenter__(self) -> BinanceServer:
        app = web.Application()
        for path in ("/stream", "/public/stream", "/market/stream"):
            app.router.add_get(path, self._listen)
        for base in ("/api/v3", "/fapi/v1"):
            app.router.add_get(f"{base}/depth", self._depth)
            app.router.add_get(f"{base}/exchangeInfo", self._instruments)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._player = asyncio.create_task(self._play())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._player.cancel()
        played = (await asyncio.gather(self._player, return_exceptions=True))[0]
        for socket in list(self._requests):
            await self._abort(socket)
        await self._runner.cleanup()
        if isinstance(played, Exception):
            raise played

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{'/api/v3' if self.market == 'spot' else '/fapi/v1'}"

    def stream_url(self, path: str = "/stream") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something about the connections or requests is so."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    @property
    def connected(self) -> int:
        return sum(map(len, self.open.values()))

    # The venue's side of a connection.

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        if self.refusing:
            self.refused += 1
            self._changed.set()
            return web.Response(status=503)
        socket = web.WebSocketResponse(autoping=False, timeout=1.0)
        await socket.prepare(request)
        self.queries.append(request.query["streams"])
        names = {}
        for stream in request.query["streams"].split("/"):
            symbol, _, kind = stream.partition("@")
            names[symbol, kind.partition("@")[0]] = stream
        self._streams[socket], self._requests[socket] = names, request
        self._first = self._first or socket
        self.accepted.append(request.path)
        self.open.setdefault(request.path, []).append(socket)
        self._changed.set()
        try:
            async for message in socket:
                if message.type is WSMsgType.PONG:
                    self.pongs.append(bytes(message.data))
                    self._changed.set()
                elif message.type is WSMsgType.PING:
                    await socket.pong(message.data)
        finally:
            self._forget(socket)
        return socket

    def _forget(self, socket: web.WebSocketResponse) -> None:
        request = self._requests.pop(socket, None)
        if request is not None:
            self.open[request.path].remove(socket)
            del self._streams[socket]
            self._changed.set()

    async def _abort(self, socket: web.WebSocketResponse) -> None:
        transport = self._requests[socket].transport
        self._forget(socket)
        if transport is not None:
            transport.abort()

    async def _play(self) -> None:
        await self.until(lambda: self.connected >= self._listeners)
        for place, line in enumerate(self.lines):
            step = self.script.get(place, "send")
            if isinstance(step, str) and step != "send":
                await self.settled()
            if callable(step):
                await step()
                step = "send"
            self.now_ns = line.stamp_ns
            self._follow(line)
            if line.kind == "snapshot":
                continue
            if self._lost:
                self._lost -= 1
                if not self._lost:
                    await self.until(lambda: self.connected >= self._listeners)
                continue
            await getattr(self, f"_{step}")(line)
        self.finished.set()

    def _follow(self, line: Line) -> None:
        if line.kind == "snapshot":
            self.books[line.symbol].start(line.text)
        elif line.kind == "depth":
            self.books[line.symbol].change(json.loads(line.text))

    def _framed(self, line: Line) -> list[tuple[web.WebSocketResponse, str]]:
        late = line
        if self.lag:
            self._late.append(line)
            late = self._late.popleft() if len(self._late) > self.lag else line._replace(kind="nothing")
        lines = [(socket, names, late if self.lag and socket is self._first else line)
                 for socket, names in self._streams.items()]  # fmt: skip
        return [
            (socket, f'{{"stream":"{names[said.symbol, said.kind]}","data":{said.text}}}')
            for socket, names, said in lines
            if (said.symbol, said.kind) in names
        ]

    async def _send(self, line: Line) -> None:
        for socket, text in self._framed(line):
            if line.kind == "bookTicker":
                self._said = json.loads(line.text)["u"]
            try:
                await socket.send_str(text)
            except ConnectionError:
                self._forget(socket)

    async def _twice(self, line: Line) -> None:
        await self._send(line)
        await self._send(line)

    async def _crossed(self, line: Line) -> None:
        """A diff with a bid above the ask, which the venue's own book does not have."""
        diff = json.loads(line.text)
        diff["b"].append([f"{self.books[line.symbol].best()[2] * 1.01:.2f}", "1.00000000"])
        await self._send(line._replace(text=json.dumps(diff)))

    async def _drop(self, line: Line) -> None:
        """The listener never gets it."""

    async def _garbage(self, line: Line) -> None:
        for socket, _ in self._framed(line):
            await socket.send_str('{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","U":1,\n"b":[[')
            await socket.send_str("\x00 not JSON")
            await socket.send_bytes(b"\x01\x02")
        await self._send(line)

    async def _ping(self, line: Line) -> None:
        for socket, _ in self._framed(line):
            await socket.ping(b"1723161255")
        await self._send(line)

    async def _cut(self, line: Line) -> None:
        """Half of a frame, and the connection is closed; then so many lines pass unheard."""
        for socket, text in self._framed(line):
            data = text.encode()
            transport = self._requests[socket].transport
            assert transport is not None
            transport.write(b"\x81\x7e" + len(data).to_bytes(2, "big") + data[: len(data) // 2])
            self._forget(socket)
            transport.close()
        self._lost = self._away

    async def _hang(self, line: Line) -> None:
        """Nothing more on this connection, which stays open."""
        for socket, _ in self._framed(line):
            accepted = len(self.accepted)
            self._streams[socket] = {}
            await self.until(lambda: len(self.accepted) > accepted)  # noqa: B023
        await self._send(line)

    async def _leave(self, line: Line) -> None:
        """A proper close, as after 24 hours."""
        for socket, _ in self._framed(line):
            self._forget(socket)
            await socket.close(code=1001)
        self._lost = self._away

    # Requests.

    def _unknown(self, symbol: str) -> bool:
        return symbol.lower() not in self.books or not self.delisted.get(symbol, "BREAK")

    async def _depth(self, request: web.Request) -> web.Response:
        reply = self.replies.popleft() if self.replies else None
        headers = {"X-MBX-USED-WEIGHT-1M": self.used_weight}
        if isinstance(reply, tuple):
            self._changed.set()
            return web.Response(status=reply[0], headers=headers | reply[1], text='{"code":-1003,"msg":"too many"}')
        if self._unknown(request.query["symbol"]):
            return web.Response(status=400, headers=headers, text=UNKNOWN)
        book = self.books[request.query["symbol"].lower()]
        await book.known.wait()
        text = await reply() if callable(reply) else self.always.get(request.query["symbol"], "")
        if not text:
            text, book.recorded = book.recorded or book.snapshot(), ""
        self.snapshots += 1
        self._changed.set()
        return web.Response(text=text, headers=headers, content_type="application/json")

    async def _instruments(self, request: web.Request) -> web.Response:
        if self.market == "spot" and any(map(self._unknown, json.loads(request.query.get("symbols", "[]")))):
            return web.Response(status=400, text=UNKNOWN)  # whichever it is
        rows = []
        for symbol in self.books:
            if self._unknown(symbol.upper()):
                continue
            status = self.delisted.get(symbol.upper(), "TRADING")
            tick, lot = self.steps.get(symbol.upper(), STEPS[self.market])
            row = {"symbol": symbol.upper(), "status": status, "baseAsset": symbol[:3].upper(), "quoteAsset": "USDT"}
            row |= {"contractType": "PERPETUAL"} if self.market == "futures" else {}
            filters = [{"filterType": "PRICE_FILTER", "tickSize": tick}, {"filterType": "LOT_SIZE", "stepSize": lot}]
            rows.append(row | {"filters": filters})
        return web.json_response({"timezone": "UTC", "symbols": rows})


@contextmanager
def served(server: BinanceServer) -> Iterator[asyncio.AbstractEventLoop]:
    """The venue in a thread of its own; gives its loop."""
    loop, ended, up = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def serve() -> None:
        async with server:
            up.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert up.wait(60)
        yield loop
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(60)
        loop.close()
