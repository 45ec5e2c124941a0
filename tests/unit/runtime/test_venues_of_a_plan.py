"""External venues in the configuration: what is refused, what the plan, the core and its clients make of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from nautilus.adapters.lines import LinesAdapter
from nautilus.core.counters import Counters
from nautilus.core.types import COMMAND, CommandKind
from nautilus.model.errors import ConfigError
from nautilus.model.venue import VenuePlace
from nautilus.runtime.config import Configuration, load, resolve_sections
from nautilus.runtime.instance import Instance
from nautilus.runtime.market import instruments_of, setup_commands
from nautilus.runtime.plan import LAYOUTS, Plan
from nautilus.runtime.sections import SECTIONS
from nautilus.runtime.states import ProcessState
from nautilus.runtime.status import health_of
from nautilus.runtime.venue_settings import VENUES, VenueConfig, VenueInstrument
from nautilus.runtime.venues import make_adapter, venue_warnings, venues_of, venues_status, watched_venues
from nautilus.simulation.market import INSTRUMENT
from nautilus.trading.process import SLOTS
from nautilus.trading.venue_session import SessionState
from tests.kit.instances import configuration, own_place, plan_in

EXTUSD = VenueInstrument(101, "EXTUSD", "0.01", "1")
EXTEUR = VenueInstrument(102, "EXTEUR", "0.5", "0.001", quote="EUR", minimum="0.002")


def venue(**settings: Any) -> VenueConfig:
    return VenueConfig(
        **{"adapter": "lines", "venue_id": 9, "address": "ipc:///tmp/v", "instruments": (EXTUSD,), **settings}
    )


def configured(layout: str = "native", **venues: VenueConfig) -> Configuration:
    found = configuration(processes=layout)
    return found._replace(sections={**found.sections, **venues})


@pytest.fixture
def instance() -> Iterator[Instance]:
    with own_place() as place:
        made = Instance.create(place.name)
        yield made
        made.close()


def test_there_is_a_slot_for_the_session_of_each_section() -> None:
    assert [name for name in SLOTS if name in VENUES] == list(VENUES)
    assert all(SECTIONS[name] == "nautilus.runtime.venue_settings:VenueConfig" for name in VENUES)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_session_is_a_process_that_stops_after_who_sends_orders_and_before_the_core(
    layout: str, instance: Instance
) -> None:
    plan = plan_in(instance, configuration=configured(layout, venue0=venue(), venue2=VenueConfig()))
    plain = plan_in(instance, configuration=configured(layout))
    assert [spec.name for spec in plan.processes] == [*(spec.name for spec in plain.processes), "venue0"]
    session = plan.process("venue0")
    assert (session.kind, session.engines) == ("venue", ())
    ranks = {spec.name: spec.stop_rank for spec in plan.processes}
    others = [rank for name, rank in ranks.items() if name not in ("core", "venue0")]
    assert max(others) < ranks["venue0"] < ranks["core"]
    assert list(venues_of(plan)) == ["venue0"]
    assert venues_of(plain) == {}
    there = Plan.decode(plan.encode())
    assert (there.processes, venues_of(there)) == (plan.processes, venues_of(plan))


def test_its_instruments_are_known_to_clients_and_go_to_the_core_with_their_venue(instance: Instance) -> None:
    other = venue(venue_id=10, name="Elsewhere", instruments=(EXTEUR,), heartbeat_seconds=0.5)
    plan = plan_in(instance, configuration=configured(venue0=venue(), venue1=other))
    known = instruments_of(plan)
    assert [(each.symbol, each.venue, each.venue_id, each.routed) for each in known] == [
        (INSTRUMENT.symbol, INSTRUMENT.venue, INSTRUMENT.venue_id, False),
        ("EXTUSD", "venue0", 9, True),
        ("EXTEUR", "Elsewhere", 10, True),
    ]
    assert known[2].lots("0.002") == 2
    rows = np.frombuffer(b"".join(each.row for each in setup_commands(plan)), COMMAND)
    instruments = rows[rows["kind"] == CommandKind.INSTRUMENT]
    assert dict(zip(instruments["instrument_id"].tolist(), instruments["venue_reference"].tolist(), strict=True)) == {
        INSTRUMENT.instrument_id: 0,
        101: 9,
        102: 10,
    }
    assert {venue_id: (each.slot, each.silence_ns) for venue_id, each in watched_venues(plan).items()} == {
        9: ("venue0", 2_000_000_000),
        10: ("venue1", 500_000_000),
    }


@pytest.mark.parametrize(
    ("venues", "what"),
    [
        ({"venue0": venue(), "venue1": venue(instruments=(EXTEUR,))}, "venue_id 9 of venue0 too"),
        ({"venue0": venue(), "venue1": venue(venue_id=10)}, "instrument 101 'EXTUSD' trades elsewhere"),
        (
            {"venue0": venue(instruments=(msgspec.structs.replace(EXTUSD, symbol=INSTRUMENT.symbol),))},
            "trades elsewhere",
        ),
        (
            {"venue0": venue(instruments=(msgspec.structs.replace(EXTUSD, instrument_id=INSTRUMENT.instrument_id),))},
            "trades elsewhere",
        ),
    ],
)
def test_what_is_there_twice_is_refused(venues: dict[str, VenueConfig], what: str, instance: Instance) -> None:
    plan = plan_in(instance, configuration=configured(**venues))
    for ask in (instruments_of, setup_commands):
        with pytest.raises(ConfigError, match=what):
            ask(plan)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('adapter = "lines"', "venue_id = 0|venue_id 0"),
        ('adapter = "lines"\nvenue_id = 256', "venue_id = 256"),
        ('adapter = "lines"\nvenue_id = 9', "instruments"),
        ('instruments = [{symbol = "X"}]', "instruments"),
        ('instruments = [{instrument_id = 1, symbol = "X", tick = "1", lot = "1", tik = "1"}]', "instruments"),
        (
            'adapter = "lines"\nvenue_id = 9\ninstruments = [{instrument_id = 1, symbol = "X", tick = "0", lot = "1"}]',
            "tick",
        ),
        ("answer_seconds = 0", "answer_seconds = 0"),
        ("accounts = [0]", "accounts"),
    ],
)
def test_settings_that_make_no_venue_are_refused(text: str, what: str, tmp_path: Path) -> None:
    file = tmp_path / "n.toml"
    file.write_text(f"[venue1]\n{text}\n")
    with pytest.raises(ConfigError, match=what) as raised:
        load(resolve_sections(SECTIONS), path=str(file), environment={})
    assert "n.toml" in str(raised.value)


def test_a_venue_is_read_from_the_file_the_environment_and_flags(tmp_path: Path) -> None:
    file = tmp_path / "n.toml"
    file.write_text(
        '[venue1]\nadapter = "lines"\nvenue_id = 9\naddress = "tcp://127.0.0.1:9"\n'
        'instruments = [{instrument_id = 101, symbol = "EXTUSD", tick = "0.01", lot = "1"}]\n'
    )
    found = load(
        resolve_sections(SECTIONS), path=str(file), environment={"NAUTILUS__VENUE1__ACCOUNTS": "[1, 2]"}
    ).sections
    assert found["venue1"] == venue(address="tcp://127.0.0.1:9", accounts=(1, 2))
    assert found["venue0"] == VenueConfig()


class OwnAdapter:
    """An adapter as a user writes one."""

    def __init__(self, place: VenuePlace) -> None:
        if place.address == "bad":
            raise OSError("no such line")
        self.place = place


def test_the_adapter_is_the_one_for_lines_or_a_class_of_ones_own() -> None:
    made = make_adapter("venue0", venue())
    assert isinstance(made, LinesAdapter)
    assert made.venue_id == 9
    own: Any = make_adapter(
        "venue0", venue(adapter=f"{__name__}:OwnAdapter", connect_seconds=0.5, missing_seconds=0.25)
    )
    assert isinstance(own, OwnAdapter)
    assert own.place == VenuePlace(9, "ipc:///tmp/v", 500_000_000, 3_000_000_000, 250_000_000)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"adapter": "lines", "address": "tcp://192.0.2.1:1"}, "address"),
        ({"adapter": "letters"}, "adapter 'letters'"),
        ({"adapter": "no.such.module:Adapter"}, "cannot be made"),
        ({"adapter": f"{__name__}:Absent"}, "cannot be made"),
        ({"adapter": f"{__name__}:OwnAdapter", "address": "bad"}, "no such line"),
    ],
)
def test_an_adapter_that_cannot_be_made_says_why(settings: dict[str, str], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        make_adapter("venue0", venue(**settings))


def test_how_a_venue_is_comes_of_the_core_first(instance: Instance) -> None:
    plan = plan_in(instance, configuration=configured(venue0=venue(name="Elsewhere")))
    core = {"venue.venue0.session_alive": 1, "venue.venue0.open_accounts": 2, "venue.venue0.closings": 3}
    own = {"venue.venue0.state": int(SessionState.LIVE), "venue.venue0.orders_open": 4}
    status = venues_status(plan, {"core": core, "venue0": own})["venue0"]
    assert (status["name"], status["venue_id"], status["session"]) == ("Elsewhere", 9, "live")
    assert (status["open_accounts"], status["closings"], status["orders_open"]) == (2, 3, 4)
    # What a session that is gone said last is not how it is.
    gone = venues_status(plan, {"core": {**core, "venue.venue0.session_alive": 0}, "venue0": own})
    assert gone["venue0"]["session"] == "gone"
    assert venues_status(plan, {})["venue0"]["session"] == "gone"
    words = {
        state: venues_status(plan, {"core": core, "venue0": {"venue.venue0.state": int(state)}})["venue0"]["session"]
        for state in SessionState
    }
    assert words == {state: state.name.lower() for state in SessionState}


def test_what_is_wrong_with_a_venue_is_a_warning(instance: Instance) -> None:
    plan = plan_in(instance, configuration=configured(venue0=venue()))
    assert [warning.partition(";")[0] for warning in venue_warnings(plan)] == ["venue0: no session"]
    core, own = Counters(path=plan.counters_of("core")), Counters(path=plan.counters_of("venue0"))
    core.set(core.gauge("venue.venue0.session_alive"), 1)
    own.set(own.gauge("venue.venue0.state"), SessionState.RECOVERING)
    assert [warning.partition(";")[0] for warning in venue_warnings(plan)] == ["venue0: session recovering"]
    own.set(own.gauge("venue.venue0.state"), SessionState.LIVE)
    assert venue_warnings(plan) == []


def test_a_session_alone_does_not_make_a_platform_degraded_rather_than_unhealthy() -> None:
    core, session = ProcessState("core", (), "ready"), ProcessState("venue0", (), "ready")
    rim = ProcessState("rim", ("trading",), "ready")
    assert health_of((core, session, rim), "running") == "healthy"
    assert health_of((core, msgspec.structs.replace(session, state="not ready"), rim), "running") == "degraded"
    assert health_of((core, session, msgspec.structs.replace(rim, state="restarting")), "running") == "unhealthy"
