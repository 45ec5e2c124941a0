"""HTTP clients that keep their connections and ask again and again, and account for every request."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

from tests.kit.hostile_upstream import passing


@dataclass
class Account:
    """What became of all requests, and of the connections.

    Attributes
    ----------
    answered : with status 200.
    other : with another one: how often, by status, code and detail of the problem.
    lost : sent, and not answered.
    connects : connections that were made.
    closed : by the other side while nothing was asked on them.
    """

    answered: int = 0
    other: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    connects: int = 0
    closed: int = 0


class SteadyClients:
    """While entered: so many connections, a few that never pause, the others with pauses, as people have them.

    Parameters
    ----------
    connections, busy
        How many, and how many of them never pause.
    path
        What they ask.
    """

    def __init__(self, port: int, connections: int = 100, busy: int = 4, path: str = "/livez") -> None:
        self.account = Account()
        self._port = port
        self._connections = connections
        self._busy = busy
        self._request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._failure: BaseException | None = None

    def __enter__(self) -> SteadyClients:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None and self._failure is not None:
            raise self._failure

    @property
    def begun(self) -> bool:
        """Every connection has had an answer."""
        return self.account.answered >= self._connections

    async def _run(self) -> None:
        try:
            await asyncio.gather(*(self._client(number < self._busy) for number in range(self._connections)))
        except BaseException as error:
            self._failure = error

    async def _client(self, never_pauses: bool) -> None:
        account = self.account
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        while not self._stop.is_set():
            if reader is None or writer is None or reader.at_eof():
                if writer is not None:
                    account.closed += 1
                    writer.close()
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError:
                    account.lost += 1
                    await passing(0.01)
                    continue
                account.connects += 1
            try:
                writer.write(self._request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                body = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            except (OSError, asyncio.IncompleteReadError):
                account.lost += 1
                writer.close()
                reader = writer = None
                continue
            if head.startswith(b"http/1.1 200 "):
                account.answered += 1
            else:
                found = json.loads(body) if b"application/problem+json" in head else {}
                account.other[f"{head[9:12].decode()} {found.get('code', '')} {found.get('detail', '')}"] += 1
            if not never_pauses:
                await passing(0.05)
        if writer is not None:
            writer.close()
