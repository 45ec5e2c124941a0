"""A client and the tools of the bus on a running platform: processes, sockets, a market."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from nautilus.bus.base import TopicError
from nautilus.bus.client import AnswerError, NoAnswerError
from nautilus.bus.routing import topics_like
from nautilus.core.counters import Counters
from nautilus.model.errors import BusError
from nautilus.model.position import Position, PositionChanged
from nautilus.model.queries import PERSON_ACCOUNT, GetBook, GetKillSwitch, GetRisk, KillRequest, RiskState
from nautilus.model.topics import EXECUTION_REPORTS, POSITIONS, QUOTES, TRADES
from nautilus.runtime.attach import attach
from nautilus.runtime.clock import monotonic_ns
from tests.kit.live_host import eventually
from tests.kit.platform import demo
from tests.kit.shell import call

SYMBOL = "SIMUSD"


@pytest.fixture(scope="module")
def platform():
    with demo() as found:
        yield found


@pytest.fixture
def client(platform):
    with attach(platform.instance, "test") as found:
        yield found


def turn_until(client, true, seconds=120):
    end_ns = monotonic_ns() + seconds * 10**9
    while not true():
        assert monotonic_ns() < end_ns, "it did not come about"
        client.turn(0.02)


def test_every_process_that_hosts_engines_answers_a_ping(client, platform):
    for spec in platform.instance.plan().processes:
        if spec.kind == "engines":
            assert client.ping(spec.name, timeout_seconds=60) > 0


def test_requests_go_to_the_engine_and_an_error_has_its_code(client):
    assert isinstance(client.request("risk", GetRisk(), timeout_seconds=60), RiskState)
    with pytest.raises(AnswerError) as found:
        client.request("marketdata", GetBook("NOSUCH"), timeout_seconds=60)
    assert found.value.code.startswith("model")
    assert "NOSUCH" in str(found.value)


def test_the_kill_switch_of_an_account_is_set_and_taken_back_over_the_bus(client):
    def ask(message):
        return client.request("trading", message, timeout_seconds=60)

    assert ask(KillRequest(True, account_id=PERSON_ACCOUNT)).on
    assert PERSON_ACCOUNT in [scope.account_id for scope in ask(GetKillSwitch()).scopes]
    ask(KillRequest(False, account_id=PERSON_ACCOUNT))
    assert ask(GetKillSwitch()).scopes == ()


def test_no_answer_is_said(client):
    with pytest.raises(NoAnswerError, match="in time"):
        client.ping("nobody", timeout_seconds=0.2)


def test_market_data_come_from_the_hub_and_a_symbol_that_it_has_not_is_named(client):
    found = client.get_data([SYMBOL], ["QUOTE", "LEVEL2", "LEVEL3"], levels=3, timeout_seconds=60)[SYMBOL]
    assert found["QUOTE"].value.bid_ticks < found["QUOTE"].value.ask_ticks
    assert (client.values.hits, client.values.misses) == (1, 0)
    assert len(found["LEVEL2"].value.bids) <= 3
    assert found["LEVEL3"].value.orders
    assert not any(value.stale for value in found.values())
    with pytest.raises(BusError, match=f"no QUOTE of 'NOSUCH'; expected {SYMBOL}"):
        client.get_data(["NOSUCH"], ["QUOTE"], timeout_seconds=60)
    with pytest.raises(BusError, match="expected QUOTE, LEVEL2, LEVEL3, TRADE"):
        client.get_data([SYMBOL], ["TICK"])


def test_a_client_hears_the_star_and_the_mesh_and_is_forgotten_when_it_leaves(client, platform):
    heard: dict[str, int] = {}
    client.listen(
        [QUOTES, TRADES, EXECUTION_REPORTS, POSITIONS],
        lambda topic, what: heard.update({topic.name: heard.get(topic.name, 0) + 1}),
    )
    turn_until(client, lambda: len(heard) == 4)
    plan = platform.instance.plan()
    sent = Counters.read(plan.counters_of("portfolio"))["mesh.dead_lettered"]
    client.close()
    with attach(platform.instance, "after") as after:
        assert after.ping("portfolio", timeout_seconds=60) > 0
    assert Counters.read(plan.counters_of("portfolio"))["mesh.dead_lettered"] - sent < 50


def test_what_a_client_publishes_reaches_every_subscriber(client, platform):
    """A position of an account that is none: each subscriber takes it, and says so once its handler has run."""
    event = PositionChanged(0, 1, 0, Position(4_000_000_000, 1))
    taken = client.mesh.acknowledged
    reached = client.publish("portfolio.position", event)
    assert reached == len(platform.instance.plan().routing.processes(POSITIONS)) > 0
    turn_until(client, lambda: client.mesh.acknowledged == taken + reached)
    with pytest.raises(TopicError):
        client.publish("portfolio.positions", event)


def command(platform, *words, code=0):
    """A command as a process of its own."""
    result = subprocess.run(
        [sys.executable, "-m", "nautilus", *words, "--instance", platform.instance.name],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert result.returncode == code, result.stderr
    return result


def here(platform, *words, code=0):
    """The same in this process, where the first of its kind was one of its own."""
    result = call(*words, "--instance", platform.instance.name)
    assert result.returncode == code, result.stderr
    return result


def test_bus_status_has_both_buses_process_by_process(platform, monkeypatch):
    found = json.loads(command(platform, "bus", "status", "--json").stdout)
    assert found["processes"]["marketdata"]["star"]["published"] > 0
    assert found["processes"]["strategy"]["mesh"]["sent"] > 0
    assert found["star"]["lost"] == 0
    assert {name: each["way"] for name, each in found["processes"].items() if each["way"]} == dict.fromkeys(
        ("risk", "portfolio", "strategy"), "ring"
    )
    assert found["peers"]["strategy"]["core"] in ("up", "slow")
    monkeypatch.setenv("COLUMNS", "80")
    text = here(platform, "bus", "status").stdout
    assert "star, records" in text
    assert "mesh, messages" in text
    assert max(map(len, text.splitlines())) <= 80


def test_bus_latency_measures_each_process_on_both_lanes(platform):
    found = json.loads(command(platform, "bus", "latency", "--count", "20", "--json").stdout)
    assert set(found["processes"]) == {"trading", "marketdata", "risk", "portfolio", "strategy", "gateway"}
    for lanes in found["processes"].values():
        assert [lanes[lane]["count"] for lane in ("urgent", "normal")] == [20, 20]
        assert all(0 < lane["p50"] <= lane["p99"] <= lane["max"] for lane in lanes.values())
    assert "round trips, us" in here(platform, "bus", "latency", "--count", "3").stdout


def test_tap_prints_what_is_said_and_names_what_there_is(platform):
    lines = command(platform, "tap", "*", "--count", "30", "--for", "60", "--json").stdout.splitlines()
    found = [json.loads(line) for line in lines]
    assert len(found) == 30
    assert {line["topic"] for line in found} <= {topic.name for topic in topics_like("*")}
    quotes = here(platform, "tap", QUOTES.name, "--instrument", SYMBOL, "--count", "2", "--for", "60").stdout
    assert quotes.count(f"Quote {SYMBOL} ") == 2
    assert "expected one of marketdata" in here(platform, "tap", "nothing", code=1).stderr
    assert SYMBOL in here(platform, "tap", "*", "--instrument", "NOSUCH", code=2).stderr


def test_bus_replay_prints_records_once_more(platform):
    words = ("bus", "replay", "marketdata.real_time.book", SYMBOL)
    found = [json.loads(line) for line in command(platform, *words, "--first", "3", "--json").stdout.splitlines()]
    assert [line["sequence"] for line in found] == list(range(3, 13))
    assert {line["type"] for line in found} == {"BookDelta"}
    text = here(platform, *words, "--first", "12", "--last", "12").stdout
    assert f"price_ticks={found[-1]['price_ticks']}" in text
    assert len(here(platform, *words, "--count", "4").stdout.splitlines()) == 4
    image = [json.loads(line) for line in here(platform, *words, "--image", "--json").stdout.splitlines()]
    assert [line["action"] for line in image[:2]] == ["CLEAR"] * 2
    assert {line["action"] for line in image[2:]} == {"SET"}
    assert "the newest record is" in here(platform, *words, "--first", "99999999", code=2).stderr
    assert "is after --last" in here(platform, *words, "--first", "9", "--last", "3", code=2).stderr
    assert "gone" in here(platform, *words, "--epoch", "7", "--first", "1", code=1).stderr
    assert "star" in here(platform, "bus", "replay", "trading.report", SYMBOL, code=1).stderr
    assert SYMBOL in here(platform, "bus", "replay", words[2], "NOSUCH", code=2).stderr


def test_without_an_instance_the_tools_say_so(platform):
    for words in (("bus", "status"), ("bus", "latency"), ("tap", "*")):
        result = call(*words, "--instance", "there-is-none")
        assert result.returncode == 3
        assert "bus.not_running" in result.stderr


@pytest.mark.long
def test_nobody_is_waited_for_once_a_client_is_killed(platform):
    """Its lease ends, and what was for it ends with its deadline: streams of the platform hold nothing for it."""
    program = (
        "import sys\n"
        "from nautilus.runtime.attach import attach\n"
        "from nautilus.bus.routing import topics_like\n"
        "client = attach(sys.argv[1], 'killed')\n"
        "heard = []\n"
        "client.listen(topics_like('trading.report'), lambda topic, what: heard.append(what))\n"
        "while not heard:\n"
        "    client.turn(0.05)\n"
        "print('heard', flush=True)\n"
        "while True:\n"
        "    client.turn(0.05)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, platform.instance.name], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "heard\n"
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    name = f"client.killed-{child.pid}"
    eventually(lambda: name not in json.dumps(platform_health(platform)), seconds=120)


def platform_health(platform):
    return platform.client().call("trading", "GET", "/health")["bus"]
