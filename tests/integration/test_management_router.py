"""The management API as a guest: in a plain FastAPI application, served by the house's HTTP on a real socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse

from nautilus.core.breaker import FAILURE, Breakers
from nautilus.core.counters import Counters
from nautilus.core.route import Routes
from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.management import BASE_PATH, hybrid_router
from nautilus.gateway.settings import SharedSettings
from nautilus.gateway.views import SharedBreakers, SharedRouting
from nautilus.policy.breaker import BreakerRegistry
from nautilus.policy.routing import Router
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.asgi import AsgiExchange
from nautilus.runtime.http.port import Port
from tests.kit.effort import share
from tests.kit.management import NAMES, MemoryServices
from tests.kit.openapi import Explorer

OUTCOME = {"engine": "risk", "strategy": "gateway_only", "actual_latency_ms": 3.0, "success": True}


class Guest:
    """The application of somebody else, with breakers, router and settings of the gateway's own."""

    def __init__(self, shared: Path, access: AccessRules | None) -> None:
        self.breakers = BreakerRegistry(Breakers(path=str(shared / "breakers")))
        self.settings = SharedSettings(str(shared), GatewayConfig())
        router = Router(Routes(64, str(shared / "routes")))
        for name in NAMES:
            router.add_instance(name, name)
        self.parts = MemoryServices()
        self.app = FastAPI(title="somebody else's")
        self.app.include_router(
            hybrid_router(
                self.parts.services(
                    breakers=SharedBreakers(self.breakers, NAMES),
                    routing=SharedRouting(router, self.settings),
                    settings=self.settings,
                    access=access,
                )
            )
        )

        @self.app.get("/own")
        async def own() -> dict[str, bool]:
            return {"own": True}

        @self.app.exception_handler(Exception)
        async def any_error(request: Request, error: Exception) -> JSONResponse:
            return JSONResponse({"somebody": "else's error"}, 599)

    @contextmanager
    def serving(self) -> Iterator[int]:
        """On a free port, in a thread with a loop of its own."""
        listener = socket.create_server(("127.0.0.1", 0))
        number = listener.getsockname()[1]
        loop = asyncio.new_event_loop()
        port = Port(lambda exchange: AsgiExchange(self.app, exchange) and None, Counters(), name="guest")
        begun = threading.Event()

        async def begin() -> None:
            await port.listen(listener)
            begun.set()

        def run() -> None:
            asyncio.set_event_loop(loop)
            loop.run_until_complete(begin())
            loop.run_forever()

        thread = threading.Thread(target=run)
        thread.start()
        assert begun.wait(60)
        try:
            yield number
        finally:
            asyncio.run_coroutine_threadsafe(port.close(1.0), loop).result(60)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(60)
            loop.close()


Ask = Callable[..., tuple[int, Any]]


@contextmanager
def asking(number: int) -> Iterator[Ask]:
    connection = http.client.HTTPConnection("127.0.0.1", number, timeout=60)

    def ask(method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    yield ask
    connection.close()


def test_the_router_works_beside_what_the_application_has(tmp_path: Path) -> None:
    guest = Guest(tmp_path, AccessRules("right"))
    with guest.serving() as number, asking(number) as ask:
        assert ask("GET", "/own") == (200, {"own": True})
        assert ask("GET", f"{BASE_PATH}/status")[1]["default_strategy"] == "hybrid_intelligent"
        change = {"default_strategy": "direct_only"}
        status, told = ask("PUT", f"{BASE_PATH}/config", change)
        assert (status, told["code"]) == (401, "http.token")
        status, changed = ask("PUT", f"{BASE_PATH}/config", change, "right")
        assert (status, changed["settings"]["default_strategy"]["origin"]) == (200, "PUT /config by instance")
        assert guest.settings.strategy == "direct_only"
        assert ask("POST", f"{BASE_PATH}/route", {"engine": "risk"})[1]["use_direct_access"] is True
        assert ask("POST", f"{BASE_PATH}/record-outcome", OUTCOME, "right")[0] == 200
        breaker = guest.breakers.breaker("risk")
        for _ in range(3):
            breaker.release(breaker.acquire(monotonic_ns()), monotonic_ns(), FAILURE)
        assert ask("GET", f"{BASE_PATH}/circuit-breakers")[1]["risk"]["state"] == "open"
        assert ask("POST", f"{BASE_PATH}/circuit-breakers/risk/reset", {}, "right")[1]["state"] == "closed"
        status, told = ask("POST", f"{BASE_PATH}/circuit-breakers/risc/reset", {}, "right")
        assert (status, told["code"]) == (404, "gateway.unknown_breaker")
        assert ask("PUT", f"{BASE_PATH}/config", {"default_strategy": "x"}, "right")[1]["code"] == "http.fields"
    assert [line[:3] for line in guest.parts.written] == [
        ("instance", "config.change", "gateway"),
        ("instance", "breaker.reset", "risk"),
    ]


def test_without_access_rules_everything_may_be_read_and_nothing_changed(tmp_path: Path) -> None:
    guest = Guest(tmp_path, None)
    with guest.serving() as number, asking(number) as ask:
        for path in ("health", "status", "engines", "config", "metrics", "circuit-breakers"):
            assert ask("GET", f"{BASE_PATH}/{path}")[0] == 200, path
        assert ask("POST", f"{BASE_PATH}/route", {"engine": "risk"})[0] == 200
        for token in ("", "any"):
            assert ask("PUT", f"{BASE_PATH}/config", {"default_strategy": "direct_only"}, token)[0] == 401
            assert ask("POST", f"{BASE_PATH}/record-outcome", OUTCOME, token)[0] == 401
    assert guest.settings.revision == 0


@pytest.mark.parametrize("mode", ["good", "bad"])
def test_the_documents_of_the_application_are_true_of_the_router_too(tmp_path: Path, mode: str) -> None:
    guest = Guest(tmp_path, AccessRules("right"))
    with guest.serving() as number:
        explorer = Explorer(f"http://127.0.0.1:{number}", {"Authorization": "Bearer right"})
        own = [operation for operation in explorer if BASE_PATH in operation]
        assert len(own) == 14
        found = [each for operation in own for each in explorer.complaints(operation, mode, share(8), accepted=True)]
        explorer.close()
    assert found == []
