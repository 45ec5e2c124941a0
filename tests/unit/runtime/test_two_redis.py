"""Each bus has a Redis of its own, or none: two addresses of one server are refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nautilus.bus.redis_link import same_server
from nautilus.model.errors import ConfigError
from nautilus.runtime.bus_settings import BusConfig
from nautilus.runtime.instance import Instance
from tests.kit.instances import configuration, own_place, plan_in


@pytest.fixture
def instance() -> Iterator[Instance]:
    with own_place() as place:
        made = Instance.create(place.name)
        yield made
        made.close()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("redis://127.0.0.1:6380/0", "redis://127.0.0.1:6381/0", False),
        ("redis://127.0.0.1:6380/0", "redis://127.0.0.1:6380/1", True),
        ("redis://127.0.0.1", "redis://:secret@localhost:6379/3", True),
        ("unix:///run/a", "unix:///run/b", False),
        ("unix:///run/a", "unix:///run/../run/a", True),
        ("unix:///run/a", "redis://127.0.0.1:6380", False),
    ],
)
def test_two_addresses_are_of_one_server_whatever_they_look_like(one: str, other: str, same: bool) -> None:
    assert same_server(one, other) is same
    assert same_server(other, one) is same


def test_a_link_to_a_socket_is_that_socket(tmp_path: Path) -> None:
    os.symlink(tmp_path / "a", tmp_path / "b")
    assert same_server(f"unix://{tmp_path}/a", f"unix://{tmp_path}/b")


@pytest.mark.parametrize("other", ["redis://127.0.0.1:6380/0", "redis://localhost:6380/1"])
def test_one_redis_for_both_buses_is_refused(instance: Instance, other: str) -> None:
    made = configuration()
    sections = dict(made.sections)
    sections["bus"] = BusConfig(redis_star="redis://127.0.0.1:6380/0", redis_mesh=other)
    with pytest.raises(ConfigError, match="one Redis for both buses"):
        plan_in(instance, configuration=made._replace(sections=sections))
    sections["bus"] = msgspec.structs.replace(sections["bus"], redis_mesh="redis://127.0.0.1:6381/0")
    plan = plan_in(instance, configuration=made._replace(sections=sections))
    assert (plan.redis("star"), plan.redis("mesh")) == ("redis://127.0.0.1:6380/0", "redis://127.0.0.1:6381/0")


def test_the_instance_starts_two_servers_of_its_own(instance: Instance) -> None:
    made = configuration()
    sections = {**made.sections, "bus": BusConfig(redis_star="start", redis_mesh="start")}
    plan = plan_in(instance, configuration=made._replace(sections=sections))
    assert [spec.name for spec in plan.processes if spec.kind == "redis"] == ["redis-star", "redis-mesh"]
    assert plan.redis("star") != plan.redis("mesh")
