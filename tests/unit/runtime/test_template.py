"""The fork template: what it imports leaves it fit to fork, and what would not is named."""

import os
import subprocess
import sys

import pytest

from nautilus.runtime.launcher import ONE_THREAD
from tests.kit.supervised import ROOT

IMPORT = "from nautilus.runtime import template as t; "
SHOW = "print('; '.join(t.fork_hazards()))"


def _hazards(before: str) -> str:
    environment = {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}
    result = subprocess.run(
        [sys.executable, "-c", IMPORT + before + SHOW], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_what_the_template_imports_leaves_no_hazard() -> None:
    assert _hazards("import importlib; [importlib.import_module(name) for name in t.shared_modules()]; ") == ""


@pytest.mark.parametrize(
    ("before", "named"),
    [
        ("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start(); ", "2 threads"),
        ("import zmq; c = zmq.Context(); s = c.socket(zmq.PUB); ", "threads (python"),
        ("import socket; s = socket.socket(); ", "(socket:["),
        ("import asyncio; loop = asyncio.new_event_loop(); ", "eventpoll"),
        ("from prometheus_client import Counter; Counter('orders', 'x'); ", "metric orders"),
        ("import sys, types; sys.modules['numba'] = types.ModuleType('numba'); ", "module numba"),
    ],
    ids=["thread", "zmq", "socket", "loop", "metric", "numba"],
)
def test_what_a_fork_would_break_is_named(before: str, named: str) -> None:
    assert named in _hazards(before)
