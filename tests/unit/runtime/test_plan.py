"""The plan: layouts, places, platform time, and settings that are refused."""

from collections.abc import Iterator

import msgspec
import pytest

from nautilus.engines import CATALOGUE, QUANTITATIVE
from nautilus.gateway.config import GatewayConfig
from nautilus.model.errors import ConfigError, InternalError
from nautilus.runtime.clock import ClockAnchor, PlatformClock, wall_ns
from nautilus.runtime.instance import Instance
from nautilus.runtime.plan import LAYOUTS, Plan
from nautilus.runtime.platform import CoreConfig, PlatformConfig
from tests.kit.instances import configuration, own_place, plan_in


@pytest.fixture
def instance() -> Iterator[Instance]:
    with own_place() as place:
        made = Instance.create(place.name)
        yield made
        made.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_hosts_every_engine_once_and_stops_the_core_last(layout: str) -> None:
    processes = LAYOUTS[layout]
    assert sorted(engine for spec in processes for engine in spec.engines) == sorted(CATALOGUE)
    core = processes[0]
    assert (core.name, core.kind, core.engines) == ("core", "core", ())
    assert all(spec.stop_rank < core.stop_rank for spec in processes[1:])
    rank = {engine: spec.stop_rank for spec in processes for engine in spec.engines}
    assert rank["strategy"] < rank["risk"] <= rank["portfolio"] < rank["trading"]


def test_a_plan_says_where_everything_is(instance: Instance) -> None:
    plan = plan_in(instance)
    assert plan.process_of("portfolio") == "portfolio"
    assert plan.endpoint("risk") == f"ipc://{instance.directory}/risk.n"
    assert plan.endpoint("risk", "u") == f"ipc://{instance.directory}/risk.u"
    assert plan.star == f"ipc://{instance.directory}/star"
    assert plan.lock_of("risk") == instance.directory / "risk.lock"
    assert plan.counters_of("risk") == f"{instance.shared}/counters.risk"
    ports = {"trading": 8000, "gateway": 8001, "marketdata": 8800}
    assert {engine: plan.port(engine) for engine in ports} == ports
    with pytest.raises(InternalError, match="no process hosts engine 'x'"):
        plan.process_of("x")
    with pytest.raises(InternalError, match="no process 'x'"):
        plan.process("x")


def test_a_compact_plan_has_five_processes_and_free_ports_where_asked(instance: Instance) -> None:
    plan = plan_in(instance, configuration=configuration(processes="compact", ports="free"))
    assert [spec.name for spec in plan.processes] == ["core", "rim", "accounts", "strategy", "gateway"]
    assert plan.process_of("marketdata") == plan.process_of("trading") == "rim"
    assert plan.port("trading") == 0


def test_a_plan_survives_the_way_to_a_process(instance: Instance) -> None:
    plan = plan_in(instance, market="simulated", seed=7, strategies=("quoting",), demo=True)
    assert Plan.decode(plan.encode()) == plan
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_settings_go_with_the_plan_and_come_back_as_their_structs(instance: Instance) -> None:
    plan = plan_in(instance, configuration=configuration(stop_seconds=1.5))
    assert plan.config("platform", PlatformConfig) == PlatformConfig(stop_seconds=1.5)
    assert Plan.decode(plan.encode()).config("core", CoreConfig) == CoreConfig()
    assert plan.config("absent", CoreConfig) == CoreConfig()


def test_a_later_plan_has_a_higher_epoch(instance: Instance) -> None:
    first, second = plan_in(instance), plan_in(instance)
    assert first.epoch < second.epoch <= wall_ns()


def test_platform_time_is_the_machines_unless_a_recording_plays(instance: Instance) -> None:
    plan = plan_in(instance)
    assert plan.clock.wall_ns == plan.clock.platform_ns
    before_ns = wall_ns()
    assert before_ns <= PlatformClock(plan.clock)() <= wall_ns()


def test_platform_time_reaches_the_first_record_after_the_lead(instance: Instance) -> None:
    plan = plan_in(instance, configuration=configuration(lead_seconds=1.5), market="x.log", speed=20.0, first_ns=10**18)
    clock = PlatformClock(plan.clock)
    assert clock.wall_of(10**18) == plan.clock.wall_ns + 1_500_000_000
    assert plan.clock.platform_ns == 10**18 - 30_000_000_000


@pytest.mark.parametrize("speed", [0.5, 1.0, 20.0, 2.5])
def test_platform_time_goes_at_its_speed(speed: float) -> None:
    start_ns = wall_ns() - 5_000_000_000
    clock = PlatformClock(ClockAnchor(start_ns, 1_000, speed))
    before_ns = wall_ns()
    now_ns = clock.now_ns()
    after_ns = wall_ns()
    assert 1_000 + int((before_ns - start_ns) * speed) <= now_ns <= 1_000 + int((after_ns - start_ns) * speed)
    assert abs(clock.wall_of(clock()) - wall_ns()) < 1e9


@pytest.mark.parametrize("speed", [0.0, -1.0, 2e6])
def test_a_speed_out_of_bounds_is_refused(instance: Instance, speed: float) -> None:
    with pytest.raises(ConfigError, match="speed"):
        plan_in(instance, speed=speed)


@pytest.mark.parametrize("bind", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_a_demonstration_open_to_others_is_refused(instance: Instance, bind: str) -> None:
    with pytest.raises(ConfigError, match="open to other machines; expected 127"):
        plan_in(instance, demo=True, configuration=configuration(bind=bind))


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_a_bind_address_of_this_machine_is_taken(bind: str) -> None:
    assert PlatformConfig(bind=bind).bind == bind


def test_a_wrong_instance_name_or_ring_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="instance 'A b'"):
        PlatformConfig(instance="A b")
    with pytest.raises(ConfigError, match="ring_capacity 100; expected a power of two"):
        CoreConfig(ring_capacity=100)


def test_a_socket_name_that_is_too_long_is_refused(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "directory", instance.directory / ("d" * 80))
    with pytest.raises(ConfigError, match="expected at most 100"):
        plan_in(instance)


@pytest.mark.parametrize(
    ("processes", "absent", "waiting"),
    [
        ("native", (), ()),
        ("native", ("risk",), ()),
        ("native", ("portfolio",), ()),
        ("native", ("trading",), ("risk", "portfolio", "analytics", "strategy")),
        ("native", ("trading", "strategy"), ("risk", "portfolio", "analytics")),
        ("native", ("marketdata",), ("risk", "portfolio", *QUANTITATIVE, "strategy")),
        ("compact", ("rim",), ("accounts", "strategy")),
    ],
)
def test_who_waits_for_what_was_left_out(
    instance: Instance, processes: str, absent: tuple[str, ...], waiting: tuple[str, ...]
) -> None:
    plan = plan_in(instance, configuration=configuration(processes=processes))
    assert plan.waiting_without(absent) == waiting


def test_a_free_port_that_was_chosen_is_kept(instance: Instance) -> None:
    plan = plan_in(instance, configuration=configuration(ports="free"))
    assert plan.port("risk") == 0
    assert msgspec.structs.replace(plan, chosen={"risk": 4711}).port("risk") == 4711


def test_a_plan_without_a_gateway_has_none(instance: Instance) -> None:
    settings = configuration()
    plan = plan_in(instance)
    assert plan.process_of("gateway") == "gateway"
    assert plan.process("gateway").stop_rank <= min(spec.stop_rank for spec in plan.processes)
    without = settings._replace(sections={**settings.sections, "gateway": GatewayConfig(enabled=False)})
    assert "gateway" not in [spec.name for spec in plan_in(instance, configuration=without).processes]
