"""A platform of its own for a bench: real processes in private directories, on free ports, stopped at the end."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nautilus.engines import QUANTITATIVE
from nautilus.runtime.instance import Instance
from perf.harness import ROOT, check

FREE_PORTS = "platform.ports=free"
WITHOUT = "NAUTILUS__PLATFORM__WITHOUT"
TRADING_ALONE = json.dumps(QUANTITATIVE)
"""Value of `WITHOUT` for a platform of what trades: engines of analysis are measured by benches of their own."""
_NUMBERS = itertools.count(1)


@contextmanager
def platform(*arguments: str, settings: Sequence[str] = (), whole: bool = False) -> Iterator[Instance]:
    """A detached `nautilus up` with these arguments and `--set` settings, in a `private_place`.

    With the engines of analysis where it is to be `whole`.
    """
    with private_place(whole=whole) as name:
        sets = [word for setting in (FREE_PORTS, *settings) for word in ("--set", setting)]
        run_cli("up", "--detach", "--instance", name, *sets, *arguments)
        try:
            yield Instance.find(name)
        finally:
            run_cli("down", "--instance", name, "--timeout", "240")


@contextmanager
def private_place(*, whole: bool = False) -> Iterator[str]:
    """Private directories, named by `XDG_RUNTIME_DIR` and `XDG_DATA_HOME` meanwhile; gives a name for an instance."""
    names = ("XDG_RUNTIME_DIR", "XDG_DATA_HOME")
    # Shared memory is found by the name alone, whatever the directories: several may run beside each other.
    name = f"bench-{os.getpid()}-{next(_NUMBERS)}"
    before = {variable: os.environ.get(variable) for variable in (*names, WITHOUT)}
    # Where a command was given up, what it started may still be writing there: the first error is the one to be told.
    with tempfile.TemporaryDirectory(prefix="nb-", ignore_cleanup_errors=True) as place:
        for variable in names:
            directory = Path(place, variable[4:8].lower())
            directory.mkdir(mode=0o700)
            os.environ[variable] = str(directory)
        os.environ[WITHOUT] = "[]" if whole else TRADING_ALONE
        try:
            yield name
        finally:
            for variable, value in before.items():
                if value is None:
                    os.environ.pop(variable, None)
                else:
                    os.environ[variable] = value


def run_cli(*arguments: str, timeout: float = 300) -> str:
    """Output of a `nautilus` command that must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "nautilus", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    check(done.returncode == 0, f"nautilus {' '.join(arguments)}: exit code {done.returncode}, {done.stderr[-300:]}")
    return done.stdout


def ports(instance: Instance) -> dict[str, int]:
    """HTTP port of each engine."""
    return {engine: port for process in instance.state().processes for engine, port in process.ports.items()}


def proportional_mib(pids: Sequence[int]) -> float:
    """Memory of processes together: a page that several share counts once (PSS), in MiB."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def status(instance: Instance) -> dict[str, Any]:
    """What `nautilus status --json` says."""
    found: dict[str, Any] = json.loads(run_cli("status", "--json", "--instance", instance.name))
    return found


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found += [int(child), *descendants(int(child))]
    return found
