"""The section of the gateway: instances and header rules of single engines."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from nautilus.core.limiter import Limiters
from nautilus.core.route import Routes
from nautilus.engines import CATALOGUE
from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.data_path import limit_for
from nautilus.gateway.endpoints import Address, EndpointTable, EngineSpec, other_instances, specs_of
from nautilus.gateway.headers import HeaderRules
from nautilus.model.errors import ConfigError


def test_more_instances_and_rules_come_to_the_engines() -> None:
    given = {
        "instances": {"risk": ["127.0.0.1:9200#eu", "[::1]:9201"]},
        "headers": {"risk": {"add_request": {"X-Desk": "7"}, "remove_answer": ["Server"]}},
    }
    config = msgspec.convert(given, GatewayConfig)
    ports = {"risk": 8200, "portfolio": 8900}
    risk, portfolio = specs_of(ports, more=other_instances(config), rules=config.headers)
    assert risk.instances == (
        Address("risk", "127.0.0.1", 8200),
        Address("risk-2", "127.0.0.1", 9200, "eu"),
        Address("risk-3", "::1", 9201),
    )
    assert risk.rules == HeaderRules({"X-Desk": "7"}, remove_answer=("Server",))
    assert (portfolio.instances, portfolio.rules) == ((Address("portfolio", "127.0.0.1", 8900),), HeaderRules())


def test_the_pools_are_those_that_the_platform_names() -> None:
    named = {"strategy": (25, 20, 5), "risk": (20, 15, 10), "analytics": (15, 10, 15), "ml": (15, 10, 30)}
    named |= {"factor": (10, 5, 30), "portfolio": (7, 8, 9)}
    specs = specs_of(dict.fromkeys(named, 1), pool_size=7, keepalive_seconds=8, timeout_seconds=9)
    found = {each.name: (each.pool.size, each.pool.keep_alive_seconds, each.timeout_seconds) for each in specs}
    assert found == named


@pytest.mark.parametrize(
    "place", ["10.0.0.1:80", "8.8.8.8:80#eu", "localhost:80", "127.0.0.1", "127.0.0.1:0", "::1:80"]
)
def test_an_instance_that_is_not_of_this_machine_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="instances"):
        GatewayConfig(instances={"risk": (place,)})


@pytest.mark.parametrize("key", ["instances", "headers"])
@pytest.mark.parametrize("engine", ["risc", "gateway"])
def test_an_engine_that_there_is_not_is_refused(key: str, engine: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: no engine"):
        msgspec.convert({key: {engine: [] if key == "instances" else {}}}, GatewayConfig)


def test_paths_that_are_remembered_take_little_memory() -> None:
    table = EndpointTable(EngineSpec("risk", ()))
    for number in range(1000):
        path = f"/{number:06}".ljust(60_000, "a")
        found = table.find("GET", path.encode(), path)
    assert table.find("GET", b"/short", "/short") is found
    assert sum(len(path) for _, path in table.known) < 1000
    assert table.known["GET", b"/short"] is found


@pytest.mark.parametrize("size", [1, 25, 256, 257, 10_000])
def test_every_size_of_a_pool_has_a_limit(size: int) -> None:
    config = msgspec.convert({"pool_size": size}, GatewayConfig)
    limiter = Limiters().limiter("portfolio", limit_for(config.pool_size))
    assert limiter.limit == min(2 * size, 512)


def test_there_is_room_for_as_many_workers_as_there_may_be_while_all_are_replaced(tmp_path: Path) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"workers": 16}, GatewayConfig)
    most = msgspec.convert({"workers": 15}, GatewayConfig).workers
    lead = 2
    tables = [Routes(path=tmp_path / "routes") for _ in range(lead + 2 * most)]
    with pytest.raises(OSError, match="living processes"):
        Routes(path=tmp_path / "routes")
    del tables


def test_what_an_engine_never_refuses_the_gateway_does_not_either() -> None:
    exempt = 0
    for spec in specs_of(dict.fromkeys(CATALOGUE, 1)):
        table = EndpointTable(spec)
        for operation in spec.operations:
            path = re.sub(r"\{\w+\}", "1", operation.path)
            assert table.find(operation.method, path.encode(), path).exempt == operation.exempt, operation
            exempt += operation.exempt
    assert exempt
