"""Two hubs of a platform as users start it: one is killed, one is stopped, replaced and continued."""

from __future__ import annotations

import json
import os
import signal
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import zmq

from nautilus.bus.base import HEADER
from nautilus.cli.bus import bus_status
from nautilus.cli.main import main
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.status import read_facts
from tests.kit.platform import Platform, demo
from tests.kit.recorded_http import Answer, RecordedServer, Request

READERS = ("risk", "portfolio", "strategy")


def status(platform: Platform) -> dict[str, Any]:
    return bus_status(read_facts(platform.instance))


def hub_is(platform: Platform, name: str) -> bool:
    """It is the hub, the other one stands by, and what it publishes comes through the ring to every reader."""
    found = status(platform)
    by_ring = all(found["processes"][reader]["way"] == "ring" for reader in READERS)
    return (found["hub"]["process"], found["hub"]["standby_is"]) == (name, "stands by") and by_ring


def no_series(request: Request) -> Answer:
    """A FRED that has no series."""
    return Answer(b'{"error_code":400,"error_message":"Bad Request.  The series does not exist."}', 400)


def settings_of(provider: RecordedServer) -> tuple[str, ...]:
    own = {"base_url": provider.url, "key": "0123456789abcdef0123456789abcdef", "retries": 0}
    return ("bus.standby=true", *(f"source_fred.{name}={value}" for name, value in own.items()))


def answer(platform: Platform) -> str:
    """Code of what the hub answers to a question for a provider; "" while nobody answers."""
    path = "/marketdata/economic/GDP?source=fred"
    try:
        with urlopen(f"http://127.0.0.1:{platform.ports['marketdata']}{path}", timeout=30) as response:
            return str(response.status)
    except HTTPError as error:
        with error:
            return str(json.load(error)["code"])
    except (OSError, KeyError):
        return ""


def delivered(platform: Platform) -> list[int]:
    return [status(platform)["processes"][reader]["star"]["delivered"] for reader in READERS]


def wait_for_more(platform: Platform) -> None:
    before = delivered(platform)
    platform.wait(lambda: all(map(int.__gt__, delivered(platform), before)), "market data for every reader")


@pytest.mark.long
def test_a_hub_that_is_killed_and_one_that_is_stopped_are_replaced_and_not_heard_again(capsys) -> None:
    with (
        RecordedServer(no_series) as provider,
        demo("--simulated", "--strategy", "quoting", settings=settings_of(provider)) as platform,
        zmq.Context() as context,
    ):
        plan = platform.instance.plan()
        platform.wait(lambda: hub_is(platform, "marketdata"), "the first hub")
        wait_for_more(platform)
        platform.wait(lambda: answer(platform) == "source.not_found", "an answer of the provider")
        assert answer(platform) == "source.not_found"  # kept
        asked = len(provider.requests)

        os.kill(platform.pid("marketdata"), signal.SIGKILL)
        platform.wait(lambda: hub_is(platform, "marketdata2"), "its successor")
        wait_for_more(platform)
        platform.wait(lambda: answer(platform) == "source.not_found", "an answer of the successor")
        assert len(provider.requests) == 2 * asked > 0  # it has a cache of its own

        with context.socket(zmq.SUB) as heard:
            heard.subscribe(b"")
            heard.connect(plan.star_of(1))
            assert heard.poll(60_000)
            stopped = platform.pid("marketdata2")
            os.kill(stopped, signal.SIGSTOP)
            stopped_ns = wall_ns()
            # Silence is no reason to take over: it may go on.
            platform.wait(lambda: status(platform)["processes"]["risk"]["way"] == "zmq", "silence")
            assert status(platform)["hub"]["process"] == "marketdata2"
            assert main(["bus", "promote", "--instance", platform.instance.name, "--timeout", "60"]) == 0
            wait_for_more(platform)
            assert status(platform)["hub"]["process"] == "marketdata"
            os.kill(stopped, signal.SIGCONT)
            platform.wait(lambda: platform.restarts("marketdata2") == 1, "the end of the one that was stopped")
            while heard.poll(0):
                *_, sent_ns = HEADER.unpack_from(heard.recv())
                assert sent_ns < stopped_ns
        platform.wait(lambda: hub_is(platform, "marketdata"), "one that stands by again")
        wait_for_more(platform)
        assert "registry is active with epoch" in capsys.readouterr().out
        assert "bus.fenced" in (platform.data / "logs" / "supervisor.jsonl").read_text()
        assert status(platform)["star"]["lost"] == 0
        platform.freeze()
        platform.wait(platform.agrees, "agreement")
