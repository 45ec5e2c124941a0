"""Builds `loops.pyx` at first use, into build/perf: loops that only benches need are no part of the package."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "perf"


@cache
def loops() -> ModuleType:
    """The compiled module `loops`; built anew where a source is newer.

    Raises
    ------
    RuntimeError
        It could not be built; carries what the compiler said.
    """
    library = BUILD / ("loops" + sysconfig.get_config_var("EXT_SUFFIX"))
    sources = [HERE / "loops.pyx", *(HERE.parent / "nautilus" / "core").glob("*.pxd")]
    if not library.exists() or library.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        _build(library)
    spec = importlib.util.spec_from_file_location("loops", library)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{library}: not an extension module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(library: Path) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    source = BUILD / "loops.c"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    _call([sys.executable, "-m", "cython", "-3", "-X", "boundscheck=False", "-X", "wraparound=False", "-X",
           "cdivision=True", "-I", str(HERE.parent), str(HERE / "loops.pyx"), "-o", str(source)])  # fmt: skip
    _call([*compiler, "-O3", "-DNDEBUG", "-fno-strict-aliasing", "-fPIC", "-shared", "-w",
           "-I", sysconfig.get_path("include"), str(source), "-o", str(library), "-lpthread"])  # fmt: skip


def _call(command: list[str]) -> None:
    result = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
