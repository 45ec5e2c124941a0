"""Settings that change at run time: in force at once in every process, never lost, never torn."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.headers import HeaderRules
from nautilus.gateway.settings import STRATEGIES, SharedSettings
from nautilus.runtime.files import FileLock
from nautilus.runtime.http.problems import HttpError
from tests.kit.effort import share

ROOT = Path(__file__).resolve().parents[3]
WRITER = """
import sys
from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.settings import STRATEGIES, SharedSettings
from nautilus.runtime.http.problems import HttpError

shared, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
settings = SharedSettings(shared, GatewayConfig())
print("ready", flush=True)
sys.stdin.readline()
for turn in range(count):
    key = {"even": "hybrid_routing_enabled", "odd": "default_strategy"}[name.partition("-")[0]]
    value = bool(turn % 2) if key == "hybrid_routing_enabled" else STRATEGIES[turn % len(STRATEGIES)]
    while True:  # where the machine stands still whoever waits is told to come again
        try:
            settings.apply({key: value}, name)
            break
        except HttpError as error:
            assert error.code == "gateway.busy", error
"""


@pytest.fixture
def shared(tmp_path: Path) -> str:
    return str(tmp_path)


def writer(shared: str, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, shared, name, str(count)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def begin(*writers: subprocess.Popen[str]) -> None:
    for each in writers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in writers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()


def end(*writers: subprocess.Popen[str]) -> list[int]:
    codes = []
    for each in writers:
        each.communicate()
        codes.append(each.returncode)
    return codes


def test_the_configuration_holds_until_a_change_and_says_where_it_comes_from(shared: str) -> None:
    found = SharedSettings(
        shared,
        GatewayConfig(default_strategy="direct_only", pool_size=7),
        {"default_strategy": "environment HYBRID_DEFAULT_STRATEGY", "pool_size": "config/nautilus.toml:3"},
    )
    assert (found.enabled, found.strategy, found.revision) == (True, "direct_only", 0)
    told = found.current()
    assert told.settings["default_strategy"].origin == "environment HYBRID_DEFAULT_STRATEGY"
    assert told.settings["pool_size"].origin == "config/nautilus.toml:3"
    assert told.settings["http2"].origin == "default"
    assert told.settings["http2"].variable == "HTTP2_ENABLED"
    assert [key for key, each in told.settings.items() if each.changeable] == [
        "hybrid_routing_enabled",
        "default_strategy",
    ]
    assert set(told.settings) == set(GatewayConfig.__struct_fields__)


def test_what_is_secret_among_the_settings_is_not_shown(shared: str) -> None:
    rules = {"risk": HeaderRules(add_request={"X-Key": "hidden"}, add_answer={"X-Seen": "1"})}
    config = GatewayConfig(cache_redis="redis://user:hidden@127.0.0.1:6379/0", headers=rules)
    shown = SharedSettings(shared, config).current()
    assert shown.settings["cache_redis"].value == "redis://***@127.0.0.1:6379/0"
    assert "hidden" not in shown.model_dump_json()
    assert shown.settings["headers"].value["risk"]["add_answer"] == {"X-Seen": "1"}
    assert config.headers["risk"].add_request == {"X-Key": "hidden"}


def test_a_change_is_in_force_in_others_at_once_and_names_who_made_it(shared: str) -> None:
    one, other = SharedSettings(shared, GatewayConfig()), SharedSettings(shared, GatewayConfig())
    told = asyncio.run(one.change({"hybrid_routing_enabled": False}, "ops"))
    assert (other.enabled, other.strategy, other.revision) == (False, "hybrid_intelligent", 1)
    assert told == other.current()
    assert told.settings["hybrid_routing_enabled"].origin == "PUT /config by ops"
    assert told.settings["default_strategy"].origin == "default"


def test_a_change_outlives_every_process_of_the_gateway(shared: str) -> None:
    one = SharedSettings(shared, GatewayConfig())
    one.apply({"default_strategy": "gateway_only"}, "ops")
    one.close()
    (Path(shared) / "gateway.settings").unlink()  # as if the machine had lost what was only mapped
    again = SharedSettings(shared, GatewayConfig())
    assert (again.strategy, again.revision) == ("gateway_only", 1)


def test_changes_of_many_processes_are_all_counted_and_none_undoes_anothers(shared: str) -> None:
    found = SharedSettings(shared, GatewayConfig())
    writers = [writer(shared, name, 40) for name in ("even-1", "odd-1", "even-2", "odd-2")]
    begin(*writers)
    seen = set()
    while any(each.poll() is None for each in writers):
        told = found.current()
        seen.add(told.revision)
        assert told.default_strategy in STRATEGIES
    assert end(*writers) == [0, 0, 0, 0]
    told = found.current()
    assert (told.revision, found.revision) == (160, 160)
    assert (told.hybrid_routing_enabled, told.default_strategy) == (True, STRATEGIES[39 % len(STRATEGIES)])
    assert (found.enabled, found.strategy) == (told.hybrid_routing_enabled, told.default_strategy)
    assert "even" in told.settings["hybrid_routing_enabled"].origin
    assert "odd" in told.settings["default_strategy"].origin


def test_one_who_is_killed_in_a_change_leaves_the_old_or_the_new_one(shared: str) -> None:
    found = SharedSettings(shared, GatewayConfig())
    for turn in range(share(12)):
        one = writer(shared, "odd-1", 100_000)
        begin(one)
        before = found.revision
        while found.revision < before + 1 + turn:
            assert one.poll() is None
        os.kill(one.pid, signal.SIGKILL)
        assert end(one) == [-signal.SIGKILL]
        told = found.current()
        assert (found.enabled, found.strategy, found.revision) == (
            told.hybrid_routing_enabled,
            told.default_strategy,
            told.revision,
        )
        after = found.apply({"hybrid_routing_enabled": bool(turn % 2)}, "ops")
        assert (after, found.enabled) == (told.revision + 1, bool(turn % 2))


def test_a_change_that_cannot_be_made_is_told_and_changes_nothing(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nautilus.gateway.settings.WAIT_SECONDS", 0.0)
    found = SharedSettings(shared, GatewayConfig())
    lock = FileLock.take(Path(shared) / "gateway.changing")
    assert lock is not None
    with pytest.raises(HttpError) as caught:
        asyncio.run(found.change({"hybrid_routing_enabled": False}, "ops"))
    assert (caught.value.status, caught.value.code) == (503, "gateway.busy")
    assert (found.enabled, found.revision) == (True, 0)
    lock.release()
    assert asyncio.run(found.change({"hybrid_routing_enabled": False}, "ops")).revision == 1


class AgainstModel(RuleBasedStateMachine):
    """Several processes' views of one place, and a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.place = tempfile.TemporaryDirectory()
        self.model = {"hybrid_routing_enabled": True, "default_strategy": "hybrid_intelligent"}
        self.revision = 0

    @initialize(count=st.integers(1, 3))
    def start(self, count: int) -> None:
        self.views = [SharedSettings(self.place.name, GatewayConfig()) for _ in range(count)]

    @rule(
        which=st.integers(0, 9),
        change=st.fixed_dictionaries(
            {}, optional={"hybrid_routing_enabled": st.booleans(), "default_strategy": st.sampled_from(STRATEGIES)}
        ),
    )
    def change(self, which: int, change: dict[str, object]) -> None:
        self.revision = self.views[which % len(self.views)].apply(change, "somebody")
        self.model |= change

    @rule(which=st.integers(0, 9))
    def restart(self, which: int) -> None:
        self.views[which % len(self.views)].close()
        self.views[which % len(self.views)] = SharedSettings(self.place.name, GatewayConfig())

    @invariant()
    def all_see_the_model(self) -> None:
        for view in getattr(self, "views", ()):
            told = view.current()
            assert {"hybrid_routing_enabled": view.enabled, "default_strategy": view.strategy} == self.model
            assert (told.revision, view.revision) == (self.revision, self.revision)

    def teardown(self) -> None:
        for view in getattr(self, "views", ()):
            view.close()
        self.place.cleanup()


TestAgainstModel = AgainstModel.TestCase
TestAgainstModel.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


@given(st.sampled_from(STRATEGIES), st.booleans())
def test_any_configuration_is_what_is_in_force(strategy: str, enabled: bool) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        found = SharedSettings(place, GatewayConfig(default_strategy=strategy, hybrid_routing_enabled=enabled))
        assert (found.enabled, found.strategy) == (enabled, strategy)
        found.close()
