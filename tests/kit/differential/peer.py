"""Find the interpreter that has the peer, and run flows on it.

`make differential` makes `build/differential` with the requirements of the extra `differential`; `NAUTILUS_PEER` names
another interpreter. Where there is none, tests skip and say so.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.kit.data import ROOT
from tests.kit.differential.steps import Step, Trace

PROCESS = Path(__file__).with_name("peer_process.py")
LIMIT_SECONDS = 1200


@cache
def interpreter() -> str:
    """The interpreter with the peer; skips the test, with the reason, where there is none."""
    path = os.environ.get("NAUTILUS_PEER") or str(ROOT / "build" / "differential" / "bin" / "python")
    if not Path(path).exists():
        pytest.skip(f"no interpreter with nautilus_trader at {path} (`make differential` makes it)")
    asked = subprocess.run(
        [path, "-I", "-c", "import nautilus_trader as n; print(n.__version__)"], capture_output=True, text=True
    )
    if asked.returncode:
        pytest.skip(f"{path} cannot import nautilus_trader: {asked.stderr.strip().splitlines()[-1]}")
    return path


def run(flows: list[list[Step]]) -> list[Trace]:
    """The peer's traces of these flows, each with every order's end as its last line."""
    lines = [step for flow in flows for step in ({"do": "begin"}, *flow, {"do": "final"})]
    done = subprocess.run(
        [interpreter(), "-I", str(PROCESS)],
        input="\n".join(json.dumps(line) for line in lines) + "\n",
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    if done.returncode:
        raise AssertionError(f"the peer's process ended with {done.returncode}: {done.stderr[-3000:]}")
    answers = iter([json.loads(line) for line in done.stdout.splitlines()])
    return [[next(answers) for _ in range(len(flow) + 2)][1:] for flow in flows]
