"""A platform that other hosts reach, with keys: a process joins, leaves, is revoked; a stranger is turned away."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from nautilus.runtime.instance import Instance
from nautilus.runtime.status import read_facts
from tests.kit.two_instances import Hosted, Joined, hosted

PLAIN = "import sys, zmq; s = zmq.Context().socket(zmq.DEALER); s.connect(sys.argv[1]); s.send(b'x'); sys.stdin.read()"
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode())"
ORDER = """
import json, sys, urllib.error, urllib.request
order = {"instrument": "SIMUSD", "side": "BUY", "quantity": "0.010", "order_type": "MARKET", "time_in_force": "IOC"}
heads = {"Content-Type": "application/json", "Authorization": f"Bearer {sys.argv[2]}"}
heads["traceparent"] = f"00-{sys.argv[3]}-00f067aa0ba902b7-01"
try:
    answer = urllib.request.urlopen(urllib.request.Request(sys.argv[1], json.dumps(order).encode(), heads), timeout=120)
except urllib.error.HTTPError as error:
    answer = error
print(answer.read().decode())
"""
OTHERS = ("core", "gateway")
"""Processes that do not dial risk: its end is nothing to them."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory) -> Iterator[Hosted]:
    arguments = ("--simulated", "--strategy", "quoting", "--without", "risk")
    with hosted(tmp_path_factory.mktemp("hosted"), *arguments) as found:
        found.give_key("risk")
        yield found


def ask(platform: Hosted, program: str, engine: str, path: str, *words: str) -> str:
    """What a program on the platform's host prints that asks an engine there over HTTP."""
    state = Instance.find(platform.name).state()
    port = next(process.ports[engine] for process in state.processes if engine in process.ports)
    command = platform.here.command(sys.executable, "-c", program, f"http://127.0.0.1:{port}{path}", *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout


def fetch(platform: Hosted, engine: str, path: str) -> str:
    """A page of an engine of the platform."""
    return ask(platform, FETCH, engine, path)


def disturbed(platform: Hosted) -> dict[str, Any]:
    """What would show that somebody noticed."""
    counters = read_facts(Instance.find(platform.name)).counters
    star = {name: sum(found.get(f"star.{name}", 0) for found in counters.values()) for name in ("gaps", "lost")}
    letters = {name: counters[name].get("mesh.dead_lettered", 0) for name in OTHERS}
    # Retries and connections that break for a moment are a busy machine's own affair.
    return star | letters


def test_a_process_of_another_host_joins_leaves_and_comes_back_and_nobody_is_disturbed(platform) -> None:
    before = disturbed(platform)
    for _ in range(2):
        joined: Joined = platform.join("risk")
        try:
            assert joined.said["process"] == "risk"
            found = platform.until(lambda: platform.bus()["hosts"].get("risk"), "risk in the registry")
            assert found["host"] == platform.there.address
            assert found["n"].startswith(f"tcp://{platform.there.address}:")

            def seen() -> dict[str, int]:
                return dict(read_facts(platform.instance("risk")).counters["risk"])

            platform.until(lambda: seen().get("star.delivered", 0) > 20, "market data on the other host")
            platform.until(lambda: seen().get("mesh.acknowledged", 0) > 0, "answers over the mesh")
            assert seen().get("star.lost", 0) == seen().get("star.gaps", 0) == 0
            assert joined.leave() == 0
        finally:
            joined.close()
        platform.until(lambda: "risk" not in platform.bus()["hosts"], "its end in the registry")
    assert disturbed(platform) == before


@pytest.mark.long
def test_clients_of_either_host_need_no_key_of_their_own(platform) -> None:
    heard = platform.run(
        "tap", "marketdata.real_time.quote", "--count", "2", "--json", "--instance", platform.name
    ).splitlines()
    assert [json.loads(line)["topic"] for line in heard] == ["marketdata.real_time.quote"] * 2

    def answered(instance: str, process: str) -> bool:
        found = json.loads(platform.run("bus", "latency", "--count", "1", "--json", "--instance", instance))
        return all(lane["count"] for lane in found["processes"][process].values())

    platform.until(lambda: answered(platform.name, "trading"), "an answer of trading")
    joined = platform.join("risk")
    try:
        platform.until(lambda: answered(f"{platform.name}-risk", "risk"), "an answer of risk")
        words = (sys.executable, "-m", "nautilus", "tap", "risk.alert", "--instance", f"{platform.name}-risk")
        done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 2
        assert platform.hub in done.stderr, "where it could be heard"
        assert joined.leave() == 0
    finally:
        joined.close()
    platform.until(lambda: "risk" not in platform.bus()["hosts"], "its end in the registry")


@pytest.mark.long
def test_reports_of_orders_that_come_later_reach_it_and_carry_their_trace(platform) -> None:
    joined = platform.join("risk")
    try:
        state = platform.instance("risk").data / "state" / "risk.json"
        token = Instance.find(platform.name).token()

        def followed() -> bool:
            trace = uuid.uuid4().hex
            answer = json.loads(ask(platform, ORDER, "trading", "/orders", token, trace))
            if answer["status"] != "filled":
                return False  # no path to risk for a moment, as far as a busy machine can tell
            platform.until(lambda: json.loads(state.read_bytes())["report_sequence"] >= answer["sequence"], "the fill")
            shown = json.loads(platform.run("logs", "--trace", trace, "--json", "--instance", f"{platform.name}-risk"))
            return any(line.get("message") == "OrderFilled" for line in shown["lines"])

        platform.until(followed, "a fill with its trace on the other host", 300)
        assert joined.leave() == 0
    finally:
        joined.close()
    platform.until(lambda: "risk" not in platform.bus()["hosts"], "its end in the registry")


def test_a_peer_in_plain_text_is_turned_away_and_counted(platform) -> None:
    endpoints = {name: platform.bus()["hosts"][name]["n"] for name in ("marketdata", "core")}

    def turned_away(name: str) -> int:
        found = platform.bus()["processes"][name]["security"]
        # Who hangs up first was not seen to be plain.
        return int(found["plain_text"] + found["bad_handshakes"])

    for name, endpoint in endpoints.items():
        command = platform.there.command(sys.executable, "-c", PLAIN, endpoint)
        stranger = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            platform.until(lambda name=name: turned_away(name), f"the stranger at {name}")
        finally:
            assert stranger.stdin is not None
            stranger.stdin.close()
            stranger.wait(60)
    shown = json.loads(fetch(platform, "marketdata", "/health"))["bus"]["security"]
    assert shown["plain_text"] + shown["bad_handshakes"] > 0
    assert "nautilus_security_plain_text_total{" in fetch(platform, "marketdata", "/metrics")


@pytest.mark.long
def test_a_key_that_is_revoked_is_cut_off_at_once_by_the_core_too(platform) -> None:
    joined = platform.join("risk")
    try:
        platform.until(lambda: "risk" in platform.bus()["hosts"], "risk in the registry")
        delivered = platform.bus()["processes"]["portfolio"]["star"]["delivered"]
        platform.run("keys", "revoke", "risk", "--directory", str(platform.keys))
        for name in ("core", "trading", "marketdata"):
            platform.until(
                lambda name=name: platform.bus()["processes"][name]["security"]["revoked_keys"], f"its end at {name}"
            )
        platform.until(lambda: "risk" not in platform.bus()["hosts"], "its end in the registry")
        portfolio = platform.until(
            lambda: (found := platform.bus()["processes"]["portfolio"]["star"])["delivered"] > delivered and found,
            "market data for the others",
        )
        assert portfolio["lost"] == 0
        assert joined.process.poll() is None
    finally:
        joined.close()
