"""Every command that docs/gateway.md and the README show for the gateway does what it is shown for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.platform import Platform, demo
from tests.kit.web_sockets import Blocking

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/gateway.md", "README.md")
PORT = "127.0.0.1:8001"


def _commands() -> list[str]:
    """Commands that ask the gateway, each once; lines that go on are one."""
    found: dict[str, None] = {}
    for page in PAGES:
        text = (ROOT / page).read_text()
        for block in re.findall(r"(?s)```sh\n(.*?)```", text):
            for command in block.replace("\\\n", " ").splitlines():
                if PORT in command:
                    found[command] = None
    return list(found)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with demo("--simulated", "--strategy", "quoting") as found:
        yield found


def test_there_are_commands() -> None:
    assert len(_commands()) >= 15


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.parametrize("command", _commands())
def test_the_command_answers_with_json(platform: Platform, command: str) -> None:
    done = subprocess.run(
        ["sh", "-c", command.replace(PORT, f"127.0.0.1:{platform.ports['gateway']}")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TOKEN": platform.instance.token()},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert isinstance(json.loads(done.stdout), dict)


def test_listeners_at_the_gateway_and_at_the_engine_get_the_same_events(platform: Platform) -> None:
    gateway, engine = platform.ports["gateway"], platform.ports["portfolio"]
    path = "/streams/positions"
    places = [(gateway, f"/api/v1/engines/portfolio{path}")] * 2 + [(engine, path)]
    listeners = [Blocking(port, where) for port, where in places]
    try:
        found = [[listener.text() for _ in range(20)] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()
    by_sequence = {event["sequence"]: event for event in found[0]}
    for events in found:
        first = events[0]["sequence"]
        assert [event["sequence"] for event in events] == list(range(first, first + 20))
        assert {(event["type"], event["epoch"]) for event in events} == {("PositionChanged", found[0][0]["epoch"])}
        same = [event for event in events if event["sequence"] in by_sequence]
        assert same == [by_sequence[event["sequence"]] for event in same]
