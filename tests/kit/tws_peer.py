"""TWS on a real socket: the wire protocol of its API, as its own clients speak it, with contents that a test gives.

Every message is four bytes of length and fields that end in NUL. Source: the messages that `ib_async` sends and
decodes, for server versions from 157 to 178.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

VERSION = 178
MARKET_DATA, CONTRACT, HISTORY, FUNDAMENTAL, START, MARKET_DATA_TYPE, SYMBOLS = "1", "9", "20", "52", "71", "59", "81"


class Asked(NamedTuple):
    """A request: its kind, its id, and all of its fields."""

    kind: str
    request: str
    fields: list[str]


@dataclass
class Traded:
    """A contract of the peer, and what it says of it."""

    con_id: int
    symbol: str
    kind: str = "STK"
    venue: str = "NASDAQ"
    currency: str = "USD"
    name: str = ""
    zone: str = "US/Eastern"
    ticks: list[tuple[int, float, float]] = field(default_factory=list)
    last_seconds: int = 0
    bars: Callable[[list[str]], list[list[object]]] = lambda fields: []
    report: str = ""


class TwsPeer:
    """Serves on 127.0.0.1 in the loop of the test; used with `async with`.

    Attributes
    ----------
    asked : every request, in order.
    script : what is done with the next requests of a kind, one each: an (code, text) error, ``hang`` or ``cut``.
    connections : so far.
    clients : ids of the clients that are connected.
    """

    def __init__(self, *contracts: Traded, version: int = VERSION) -> None:
        self.contracts = contracts
        self.version = version
        self.asked: list[Asked] = []
        self.script: dict[str, deque[object]] = {}
        self.connections = 0
        self.clients: set[int] = set()
        self.versions = ""
        self.port = 0
        self.silent = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> TwsPeer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        self.hang_up()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def kinds(self) -> list[str]:
        return [asked.kind for asked in self.asked]

    def hang_up(self) -> None:
        """End every connection at once."""
        for writer in list(self._writers):
            writer.transport.abort()

    def notice(self, code: int, text: str) -> None:
        """Tell every client something that belongs to no request."""
        for writer in self._writers:
            self._error(writer, "-1", code, text)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        client = -1
        try:
            assert await reader.readexactly(4) == b"API\0"
            self.versions = (await self._message(reader)).decode()
            if self.silent:
                await asyncio.Event().wait()
            self._send(writer, self.version, "20220301 18:10:03 EST")
            while True:
                fields = (await self._message(reader)).decode().split("\0")[:-1]
                if fields[0] == START:
                    client = int(fields[2])
                    if client in self.clients:
                        self._error(writer, "-1", 326, "Unable to connect as the client id is already in use.")
                        return
                    self.clients.add(client)
                    self._send(writer, 15, 1, "DU123456")
                    self._send(writer, 9, 1, 1)
                    self._error(writer, "-1", 2104, "Market data farm connection is OK:usfarm")
                elif not self._answer(writer, fields):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.clients.discard(client)
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _message(self, reader: asyncio.StreamReader) -> bytes:
        (size,) = struct.unpack(">I", await reader.readexactly(4))
        return await reader.readexactly(size)

    def _framed(self, *fields: object) -> bytes:
        data = b"".join(str(each).encode() + b"\0" for each in fields)
        return struct.pack(">I", len(data)) + data

    def _send(self, writer: asyncio.StreamWriter, *fields: object) -> None:
        writer.write(self._framed(*fields))

    def _error(self, writer: asyncio.StreamWriter, request: str, code: int, text: str) -> None:
        self._send(writer, 4, 2, request, code, text, "")

    def _answer(self, writer: asyncio.StreamWriter, fields: list[str]) -> bool:
        kind = fields[0]
        request = fields[1] if kind in (HISTORY, SYMBOLS) else fields[2]
        self.asked.append(Asked(kind, request, fields))
        steps = self.script.get(kind)
        step = steps.popleft() if steps else None
        if isinstance(step, tuple):
            self._error(writer, request, *step)
            return True
        if step == "hang":
            return True
        if step == "cut":
            whole = self._framed(17, request, "", "", 1, "20220301", 1, 2, 0.5, 1.5, 10, 1, 3)
            writer.write(whole[: len(whole) // 2])
            return False
        match kind:
            case "9":
                self._details(writer, request, fields[3:])
            case "20":
                contract = self._named(fields[2:])
                rows = contract.bars(fields) if contract else []
                values = [value for row in rows for value in row]
                self._send(writer, 17, request, "", "", len(rows), *values)
            case "1":
                self._ticks(writer, request, self._named(fields[3:]))
            case "52":
                contract = self._named([fields[3], fields[4]])
                self._send(writer, 51, 1, request, contract.report if contract else "")
            case "81":
                self._samples(writer, request, fields[2])
        return True

    def _named(self, fields: list[str]) -> Traded | None:
        found = self._all_named(fields)
        return found[0] if found else None

    def _all_named(self, fields: list[str]) -> list[Traded]:
        con_id, symbol = int(fields[0]), fields[1]
        return [
            each
            for each in self.contracts
            if (each.con_id == con_id if con_id else each.symbol == symbol and fields[2] == each.kind)
        ]

    def _details(self, writer: asyncio.StreamWriter, request: str, fields: list[str]) -> None:
        found = self._all_named(fields)
        if fields[8]:
            found = [each for each in found if each.venue == fields[8]]
        if not found:
            self._error(writer, request, 200, "No security definition has been found for the request")
            return
        for each in found:
            self._send(
                writer, 10, request, each.symbol, each.kind, "", 0, "", "SMART", each.currency, each.symbol, "NMS",
                each.symbol, each.con_id, 0.01, "", "LMT,MKT", "SMART,NASDAQ", 1, 0, each.name, each.venue, "",
                "Technology", "Computers", "Computers", each.zone, "20220301:0400-20220301:2000",
                "20220301:0930-20220301:1600", "", 0, 1, "ISIN", "US0378331005", 1, "", "", "26", "", "COMMON",
                1, 1, 100,
            )  # fmt: skip
        self._send(writer, 52, 1, request)

    def _ticks(self, writer: asyncio.StreamWriter, request: str, contract: Traded | None) -> None:
        assert contract is not None
        self._send(writer, 58, 1, request, 1)
        for kind, price, size in contract.ticks:
            if kind == 8:
                self._send(writer, 2, 6, request, kind, size)
            else:
                self._send(writer, 1, 6, request, kind, price, size, 0)
        if contract.last_seconds:
            self._send(writer, 46, 6, request, 45, contract.last_seconds)
        self._send(writer, 57, 1, request)

    def _samples(self, writer: asyncio.StreamWriter, request: str, pattern: str) -> None:
        found = [each for each in self.contracts if pattern.upper() in f"{each.symbol} {each.name}".upper()]
        values: list[object] = []
        for each in found:
            values += [each.con_id, each.symbol, each.kind, each.venue, each.currency, 2, "OPT", "WAR", each.name, ""]
        self._send(writer, 79, request, len(found), *values)
