"""A gateway in the loop of a test, on real sockets: its port with the data path alone, and a client of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from nautilus.core.counters import Counters
from nautilus.engines.base import Operation, Stream
from nautilus.gateway.data_path import RulesAccess
from nautilus.gateway.endpoints import Address, EngineSpec
from nautilus.gateway.headers import HeaderRules
from nautilus.gateway.pool import PoolSettings
from nautilus.gateway.proxy import Budgets, Proxy
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.fan_out import AudienceSettings
from nautilus.runtime.http.leases import Leases
from nautilus.runtime.http.port import Port
from tests.kit.hostile_upstream import passing

TOKEN = "token-of-the-instance"
SMALL = PoolSettings(4, 5.0, 0.5, 64)
PATH = b"/api/v1/engines/risk"


class Answer(NamedTuple):
    """What came back.

    Attributes
    ----------
    whole : the answer had all that its head promised.
    """

    status: int
    fields: dict[bytes, bytes]
    body: bytes
    whole: bool

    @property
    def code(self) -> str:
        """Of a problem."""
        return str(msgspec.json.decode(self.body)["code"])


class Plenty:
    """Allows so many more."""

    def __init__(self, left: int = 1000) -> None:
        self.left = left

    def deposit(self, now_ns: int) -> None:
        pass

    def withdraw(self, now_ns: int) -> bool:
        self.left -= 1
        return self.left >= 0


class GatewayInLoop:
    """Starts with `async with`.

    Parameters
    ----------
    ports
        Of the instances of the engine risk.
    """

    def __init__(
        self,
        *ports: int,
        operations: Sequence[Operation] = (),
        pool: PoolSettings = SMALL,
        timeout_seconds: float = 5.0,
        rules: HeaderRules | None = None,
        retries: int = 1000,
        hedges: int = 1000,
        body_bytes: int = 1 << 20,
        token: str | None = None,
        streams: Sequence[Stream] = (),
        listeners: AudienceSettings | None = None,
        connections: int = 4096,
        access: AccessRules | None = None,
    ) -> None:
        self.counters = Counters()
        addresses = tuple(Address(f"risk-{number}", "127.0.0.1", port) for number, port in enumerate(ports))
        spec = EngineSpec(
            "risk", addresses, tuple(operations), pool, timeout_seconds, rules or HeaderRules(), tuple(streams)
        )
        access = access or AccessRules(token)
        self.retries, self.hedges = Plenty(retries), Plenty(hedges)
        self.proxy = Proxy(
            [spec],
            RulesAccess(access),
            self.counters,
            token=TOKEN,
            budgets={"risk": Budgets(self.retries, self.hedges)},
            body_bytes=body_bytes,
            listeners=listeners,
        )
        self.leases = Leases(access, self.counters)
        self.listening = Port(self.proxy, self.counters, HttpConfig(connections=connections), leases=self.leases)
        self.port = 0
        self._clients: list[Client] = []

    async def __aenter__(self) -> GatewayInLoop:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        await self.listening.listen(listener)
        return self

    async def __aexit__(self, *error: object) -> None:
        for client in self._clients:
            client.close()
        self.proxy.close()
        self.leases.close()
        await self.listening.close(0.1)
        for engine in self.proxy.engines.values():
            for instance in engine.group.instances:
                for upstream in [*instance.pool.connections, *instance.probe_pool.connections]:
                    upstream.close()
        await passing(0.01)

    def count(self, name: str) -> int:
        """A counter of the engine."""
        return self.counters.snapshot().get(f"gateway.engine.risk.{name}", 0)

    async def connect(self) -> Client:
        """A new connection of a client."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22))
        self._clients.append(client)
        return client

    async def ask(
        self,
        path: bytes = b"/x",
        method: bytes = b"GET",
        body: bytes | None = None,
        fields: Sequence[tuple[bytes, bytes]] = (),
    ) -> Answer:
        """One request on a connection of its own."""
        client = await self.connect()
        try:
            return await client.ask(path, method, body, fields)
        finally:
            client.close()


class Client:
    """One connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(
        self,
        path: bytes = b"/x",
        method: bytes = b"GET",
        body: bytes | None = None,
        fields: Sequence[tuple[bytes, bytes]] = (),
    ) -> Answer:
        """Ask, and read the answer."""
        self.send(path, method, body, fields)
        return await self.answer(method)

    def send(
        self,
        path: bytes = b"/x",
        method: bytes = b"GET",
        body: bytes | None = None,
        fields: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """Ask."""
        lines = [b"%b %b%b HTTP/1.1" % (method, PATH, path), b"host: localhost"]
        lines += [name + b": " + value for name, value in fields]
        if body is not None:
            lines += [b"content-type: application/json", b"content-length: %d" % len(body)]
        self.writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + (body or b""))

    async def answer(self, method: bytes = b"GET") -> Answer:
        """The next answer; status 0 where there was none."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return Answer(0, {}, b"", False)
        start, *lines = head[:-4].split(b"\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        status = int(start.split(b" ")[1])
        if method == b"HEAD" or status in (101, 204, 304):
            return Answer(status, fields, b"", True)
        body = b""
        try:
            if fields.get(b"transfer-encoding") == b"chunked":
                while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
                    body += await self.reader.readexactly(size)
                    assert await self.reader.readexactly(2) == b"\r\n"
                assert await self.reader.readexactly(2) == b"\r\n"
            else:
                body = await self.reader.readexactly(int(fields[b"content-length"]))
        except asyncio.IncompleteReadError as error:
            return Answer(status, fields, body + error.partial, False)
        except ConnectionError:
            return Answer(status, fields, body, False)
        return Answer(status, fields, body, True)

    def close(self) -> None:
        """End it."""
        self.writer.close()
