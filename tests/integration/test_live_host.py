"""Engines as real processes, in a whole platform: what each answers, and that `kill -9` of an engine loses nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from nautilus.runtime.instance import Instance, NotRunningError
from tests.kit.effort import one_of
from tests.kit.live_host import eventually

ROOT = Path(__file__).resolve().parents[2]
ENGINES = ("trading", "marketdata", "risk", "portfolio", "strategy")


class Platform:
    """`nautilus up` with directories of its own."""

    def __init__(self, processes):
        self.base = Path(tempfile.mkdtemp(prefix="nau-"))
        self.name = f"t{uuid.uuid4().hex[:10]}"
        self.environment = {"XDG_RUNTIME_DIR": str(self.base), "XDG_DATA_HOME": str(self.base / "share")}
        self.command("up", "--simulated", "--strategy", "quoting", "--detach", "--for", "3600",
                     "--set", "platform.ports=free", "--set", f"platform.processes={processes}")  # fmt: skip

    def command(self, *words):
        return subprocess.run(
            [sys.executable, "-m", "nautilus", *words, "--instance", self.name],
            cwd=ROOT, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=240, check=True,
        ).stdout  # fmt: skip

    def state(self):
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            return Instance.find(self.name).state()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def process_of(self, engine):
        return next(process for process in self.state().processes if engine in process.engines)

    def running(self):
        return all(process.state == "ready" for process in self.state().processes)

    def get(self, engine, path):
        port = eventually(lambda: self.process_of(engine).ports.get(engine))  # of one that begins there are none yet
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return json.loads(answer.read())

    def is_well(self, engine):
        """Whether it is ready and healthy, which an engine that is late on a busy machine is not for a moment."""
        try:
            ready = self.get(engine, "/readyz")
        except urllib.error.HTTPError:
            return False
        return ready == {"status": "ready", "reasons": []} and self.get(engine, "/health")["status"] == "healthy"

    def positions(self):
        """What the portfolio says of the strategy's account, as text of whole numbers."""
        found = self.get("portfolio", "/positions/1")["positions"]
        return [(each["quantity_lots"], each["cost_units"], each["realised_units"]) for each in found]

    def core_positions(self):
        found = self.get("trading", "/core/state?accounts=1")["positions"]
        return [(each["quantity"], each["cost"], each["realised"]) for each in found]

    def equal(self):
        """Whether both say the same, which they do as soon as no fill is under way."""
        ours = self.positions()
        return ours == self.core_positions() and ours == self.positions() and bool(ours)

    def fills(self):
        return self.get("strategy", "/strategies")["strategies"][0]["fills"]

    def kill(self, engine):
        """SIGKILL, then wait until another process has taken its place."""
        before = self.process_of(engine)
        os.kill(before.pid, signal.SIGKILL)
        eventually(
            lambda: (
                (now := self.process_of(engine)).pid not in (0, before.pid)
                and now.state == "ready"
                and engine in now.ports
            )
        )

    def close(self):
        try:
            pids = [process.pid for process in self.state().processes]
        except NotRunningError:
            pids = []
        try:
            self.command("down")
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.base, ignore_errors=True)
        return pids


@pytest.fixture(scope="module", params=one_of("native", "compact"))
def platform(request):
    made = Platform(request.param)
    try:
        eventually(made.running)
        eventually(lambda: made.fills() > 3)
        made.native = request.param == "native"
        yield made
    finally:
        pids = made.close()
    eventually(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()])


def test_every_engine_is_healthy_and_answers_for_itself(platform):
    for engine in ENGINES:
        eventually(lambda engine=engine: platform.is_well(engine))
    assert platform.get("risk", "/risk/state")["breaches"] == []
    assert platform.get("marketdata", "/quotes")["quotes"][0]["bid"]
    [strategy] = platform.get("strategy", "/strategies")["strategies"]
    assert (strategy["name"], strategy["account_id"], strategy["stopped"]) == ("quoting", 1, False)
    eventually(platform.equal)


def test_nothing_is_lost_or_doubled_when_engines_are_killed(platform):
    """In the compact layout two of these share a process with the others."""
    for engine in ENGINES if platform.native else ("trading", "portfolio"):
        before = platform.fills()
        platform.kill(engine)
        eventually(platform.equal)
        eventually(lambda before=before: platform.fills() > before)
    eventually(platform.equal)
    assert platform.positions()
