"""A hub with its door to data providers in a thread of the test's process, its child process and HTTP port real."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.model.message import Message
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.data_door import MODULE, DataDoor
from nautilus.runtime.live import LiveHost
from nautilus.runtime.views import serve_http
from nautilus.runtime.wire import Encoded
from tests.kit.context import btcusdt
from tests.kit.data_child import SERVER
from tests.kit.data_server import DataServer
from tests.kit.live_host import RunningHost, make_plan, short_directory

CHILD = "tests.kit.data_child"
ROUTED = btcusdt(
    instrument_id=2, symbol="AAPL", venue="EXCHANGE", venue_id=9, routed=True, base_currency="AAPL",
    quote_currency="USD", tick_table=(("0", "0.01"),), lot_size="1", product="equity", currency_decimals=2,
)  # fmt: skip
"""Traded at an external venue: nothing plays it here."""


class DataHub:
    """One hub.

    Attributes
    ----------
    door : its door; to be looked at by `running.do`.
    port : of its HTTP.
    """

    def __init__(
        self,
        directory: Path,
        sections: Mapping[str, Any],
        module: str,
        clock: Callable[[], int] = monotonic_ns,
        process: str = "marketdata",
        instruments: Mapping[str, int] | None = None,
        **plan: Any,
    ) -> None:
        self._clock = clock
        self._instruments = btcusdt(), ROUTED
        self._undo = ExitStack()
        self._module = module
        self._ids = instruments
        self.ports: dict[str, int] = {}
        self.door: DataDoor
        processes = {process: ("marketdata",), "risk": ("risk",)}
        self.plan = make_plan(directory, processes, sections=dict(sections), **plan)
        self.running = RunningHost(self.plan, process, {"marketdata": self._engine}, self._around).ready()

    def _engine(self) -> MarketDataEngine:
        return MarketDataEngine(MarketDataConfig(), self._instruments)

    def _around(self, host: LiveHost) -> None:
        ids = self._ids or {each.symbol: each.instrument_id for each in self._instruments}
        quoted = [each for each in self._instruments if each.routed]
        self.door = DataDoor(host, ids, self._module, self._clock, quoted)
        host.parts.append(self.door)
        self.ports = serve_http(host, self._undo)

    def ask(self, message: Message, *, asker: str = "", seconds: float = 20.0) -> Any:
        """The reply to a question of this name; raises the error that came instead."""
        host, came = self.running.host, Future[Any]()

        def answered(result: Message | Exception) -> None:
            if isinstance(result, Exception):
                came.set_exception(result)
            else:
                came.set_result(result)

        if asker:
            self.do(lambda: host.messages.serve("marketdata", message, answered, asker=asker))
            found = came.result(seconds)
        else:
            found = host.ask_engine("marketdata", message).result(seconds)
        return found.message() if isinstance(found, Encoded) else found

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["marketdata"], timeout=20)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            response = connection.getresponse()
            content = response.read()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return response.status, fields, json.loads(content) if "json" in fields["content-type"] else content
        finally:
            connection.close()

    def do(self, action: Callable[[], Any]) -> Any:
        """In the hub's thread."""
        return self.running.do(action)

    def close(self) -> None:
        """Stop."""
        self.running.stop()
        self._undo.close()


@contextmanager
def data_hub(
    server: DataServer | None = None,
    *,
    module: str = CHILD,
    directory: Path | None = None,
    clock: Callable[[], int] = monotonic_ns,
    kept: Path | None = None,
    token: str = "",
    instruments: Mapping[str, int] | None = None,
    **sections: Any,
) -> Iterator[DataHub]:
    """A hub whose providers ask a server, until the block ends.

    kept
        Its data, where that is not its own.
    token
        Of its port; "": whoever comes may do everything.
    instruments
        That the hub knows; None: one.
    """
    with ExitStack() as undo:
        if server is not None:
            before = os.environ.get(SERVER)
            os.environ[SERVER] = server.address
            undo.callback(os.environ.update, {SERVER: before} if before else {})
        place = directory or undo.enter_context(short_directory())
        plan: dict[str, Any] = {"data": str(kept)} if kept else {}
        if token:
            (place / "token").write_text(token)
            plan["demo"] = False
        hub = DataHub(place, sections, module, clock, instruments=instruments, **plan)
        undo.callback(hub.close)
        yield hub


__all__ = ["CHILD", "MODULE", "ROUTED", "DataHub", "data_hub"]
