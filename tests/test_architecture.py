"""The house's rules: imports point one way, names follow the style, documents tell the truth.

Each rule is a function of `tests/kit/source_rules.py`; each is run on this repository and on a bad example.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shlex
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import click
import pytest

import nautilus
from nautilus.cli.main import cli
from perf.__main__ import BENCHES
from tests.kit import source_rules as rules
from tests.kit.source_rules import Source

ROOT = Path(__file__).resolve().parents[1]


def _tracked() -> list[str]:
    """Files under version control and new ones that are not ignored; every text file where there is no git."""
    try:
        found = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        names = found.stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        made = re.compile(r"(?:^|/)(?:\.[^/]+|__pycache__|build|dist|[^/]+\.egg-info)/|\.so$")
        found_here = (path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*"))
        names = [name for name in found_here if name.startswith(".ci/") or not made.search(name)]
    return sorted(name for name in names if (ROOT / name).is_file())


def _read(path: str) -> Source | None:
    try:
        return Source(path, (ROOT / path).read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return None


PATHS = _tracked()
SOURCES = [source for source in map(_read, PATHS) if source is not None]
DOCUMENTS = [source for source in SOURCES if source.path.endswith(".md")]

ON_SOURCES = {
    rule.__name__: rule
    for rule in (
        rules.check_import_directions,
        rules.check_engines_stand_alone,
        rules.check_pure_packages,
        rules.check_one_clock,
        rules.check_core_imports,
        rules.check_cython_functions,
        rules.check_compiled_modules,
        rules.check_lengths,
        rules.check_names,
        rules.check_unpickling,
        rules.check_numba,
        rules.check_tests,
        rules.check_words,
    )
}
ON_PATHS = {rule.__name__: rule for rule in (rules.check_file_names, rules.check_layout)}


@pytest.mark.parametrize("rule", ON_SOURCES)
def test_the_sources_keep_the_rule(rule: str) -> None:
    assert ON_SOURCES[rule](SOURCES) == []


@pytest.mark.parametrize("rule", ON_PATHS)
def test_the_files_keep_the_rule(rule: str) -> None:
    assert ON_PATHS[rule](PATHS) == []


LONG = "\n" * 601
BAD_SOURCES = [
    ("check_import_directions", "nautilus/core/x.py", "from nautilus.model import errors"),
    ("check_import_directions", "nautilus/core/x.pyx", "from nautilus.model.ids cimport thing"),
    ("check_import_directions", "nautilus/model/x.py", "import nautilus.engines.base"),
    ("check_import_directions", "nautilus/model/x.py", "from nautilus import engines"),
    ("check_import_directions", "nautilus/model/x.py", "def f():\n    from ..engines import base"),
    ("check_import_directions", "nautilus/adapters/x.py", "from nautilus.runtime import clock"),
    ("check_import_directions", "nautilus/bus/x.py", "from nautilus.adapters import formats"),
    ("check_import_directions", "nautilus/maths/x.py", "from nautilus.model import ids"),
    ("check_import_directions", "nautilus/runtime/x.py", "from nautilus.cli import main"),
    ("check_engines_stand_alone", "nautilus/engines/risk.py", "from nautilus.engines.strategy import Strategy"),
    ("check_engines_stand_alone", "nautilus/engines/risk.py", "from nautilus.engines import strategy"),
    *(
        ("check_pure_packages", "nautilus/engines/x.py", f"import {name}")
        for name in ("time", "random", "uuid", "os", "os.path", "threading", "asyncio", "socket", "logging")
    ),
    ("check_pure_packages", "nautilus/policy/x.py", "from time import monotonic"),
    ("check_pure_packages", "nautilus/maths/x.py", "import datetime\nx = datetime.datetime.now()"),
    ("check_pure_packages", "nautilus/engines/x.py", "from datetime import datetime\nf = datetime.utcnow"),
    ("check_one_clock", "nautilus/runtime/lockstep.py", "from time import perf_counter_ns"),
    ("check_core_imports", "nautilus/core/x.pyx", "from cyarray.carray cimport UIntArray"),
    ("check_core_imports", "nautilus/core/x.py", "import msgspec"),
    ("check_cython_functions", "nautilus/core/x.pyx", "cdef void push(int x) except *:\n    pass"),
    ("check_cython_functions", "nautilus/core/x.pxd", "cdef inline int push(int x) except -1 nogil"),
    ("check_cython_functions", "nautilus/core/x.pxd", "cdef int push(int x,\n             int y) nogil"),
    ("check_lengths", "nautilus/core/x.pyx", f'"""Short words."""{LONG}'),
    ("check_names", "nautilus/model/x.py", "class BookManagers: ..."),
    ("check_names", "nautilus/model/x.py", "class OrderHelper: ..."),
    ("check_names", "nautilus/model/x.py", "def f(timeout: float) -> None: ..."),
    ("check_names", "nautilus/model/x.py", "class C:\n    retry_interval: int = 3"),
    ("check_unpickling", "nautilus/store/x.py", "import pickle"),
    ("check_unpickling", "tests/x.py", "import numpy\nnumpy.load('x', allow_" + "pickle=True)"),
    ("check_numba", "nautilus/engines/x.py", "from numba import njit"),
    ("check_tests", "tests/unit/test_x.py", "import time\ntime.sleep(1)"),
    ("check_tests", "tests/unit/test_x.py", "from unittest.mock import patch"),
    ("check_tests", "tests/unit/test_x.py", "assert 0 < (monotonic_ns() - begun_ns) / 1000 < 50, 'slow'"),
    ("check_tests", "tests/unit/test_x.py", "def test_x() -> None: ..."),
    ("check_words", "docs/x.md", "as in " + "nautilus" + "_trader"),
    ("check_words", "docs/x.md", "see " + "/ro" + "ot/x"),
    ("check_words", "README.md", "It is production" + "-ready."),
    ("check_words", "nautilus/model/x.py", "# TO" + "DO: later"),
    ("check_words", "README.md", "Quick \N{ROCKET}"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BAD_SOURCES)
def test_the_rule_finds_a_bad_source(rule: str, path: str, text: str) -> None:
    assert len(ON_SOURCES[rule]([Source(path, text)])) == 1


GOOD_SOURCES = [
    ("check_import_directions", "nautilus/runtime/x.py", "from nautilus.simulation import market"),
    ("check_import_directions", "nautilus/cli/x.py", "from nautilus.runtime import replay"),
    ("check_engines_stand_alone", "nautilus/engines/risk.py", "from nautilus.engines.base import Engine"),
    ("check_engines_stand_alone", "nautilus/engines/strategy/a.py", "from nautilus.engines.strategy.b import B"),
    ("check_core_imports", "nautilus/core/x.pyx", "from libc.stdint cimport int64_t\nimport numpy as np\nimport os"),
    ("check_cython_functions", "nautilus/core/x.pxd", "cdef inline int push(int x) noexcept nogil"),
    ("check_tests", "tests/unit/test_x.py", "while not found():\n    assert time.monotonic() - begun < 60"),
    ("check_tests", "tests/unit/test_x.py", "assert time.monotonic() - begun >= 1"),
    ("check_lengths", "nautilus/core/x.pyx", f'"""One table.\n\nLength: the table is one thing."""{LONG}'),
    ("check_names", "nautilus/model/x.py", "def f(timeout_ns: int, latency: Latency) -> None: ..."),
    ("check_words", "docs/differential.md", "beside " + "nautilus" + "_trader"),
]


@pytest.mark.parametrize(("rule", "path", "text"), GOOD_SOURCES)
def test_the_rule_lets_a_good_source_be(rule: str, path: str, text: str) -> None:
    assert ON_SOURCES[rule]([Source(path, text)]) == []


BAD_PATHS = [
    ("check_file_names", ["nautilus/engines/ultra_router.py"]),
    ("check_file_names", ["tests/unit/test_book_v2.py"]),
    ("check_file_names", ["nautilus/utils/x.py"]),
    ("check_layout", ["nautilus/things/x.py"]),
    ("check_layout", ["nautilus/bus/__init__.py"]),
    ("check_layout", ["tests/unit/bus/test_x.py"]),
]


BAD_MODULES = [
    [("nautilus/core/x.pyx", "x = 1")],
    [("nautilus/core/x.pyx", "cdef class X:\n    pass"), ("nautilus/core/x.pyi", "")],
    [("nautilus/core/x.pyx", ""), ("nautilus/core/x.pyi", ""), ("nautilus/core/x.py", "")],
    [("nautilus/bus/x.pyx", ""), ("nautilus/bus/x.pyi", "")],
]


@pytest.mark.parametrize("files", BAD_MODULES)
def test_a_compiled_module_that_lacks_a_part_is_found(files: list[tuple[str, str]]) -> None:
    assert len(rules.check_compiled_modules([Source(*file) for file in files])) == 1


@pytest.mark.parametrize(("rule", "paths"), BAD_PATHS)
def test_the_rule_finds_a_bad_path(rule: str, paths: list[str]) -> None:
    assert len(ON_PATHS[rule](paths)) == 1


def test_links_of_the_documents_lead_somewhere() -> None:
    assert rules.check_links(DOCUMENTS, PATHS) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    assert rules.check_links([Source("docs/x.md", "[a](../README.md) [b](y.md#z)")], ["README.md", "docs/x.md"]) == [
        "docs/x.md: link to y.md, which is not there"
    ]


def test_half_of_the_modules_have_at_most_150_lines() -> None:
    lengths = [
        source.text.count("\n")
        for source in SOURCES
        if source.path.startswith("nautilus/") and source.path.endswith((".py", ".pyx"))
    ]
    assert statistics.median(lengths) <= 150


def _packages() -> list[str]:
    return sorted(
        path.removesuffix("/__init__.py").replace("/", ".")
        for path in PATHS
        if path.startswith("nautilus/") and path.endswith("/__init__.py")
    )


def _unpinned(module: ModuleType) -> list[str]:
    """Public names of its own that a package binds beyond its `__all__`, or names there that do not exist."""
    pinned = set(getattr(module, "__all__", ()))
    bound = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and name not in ("annotations", "TYPE_CHECKING")
        and (getattr(value, "__module__", None) or "").split(".")[0] not in sys.stdlib_module_names
    }
    return sorted((bound - pinned) | {name for name in pinned if not hasattr(module, name)})


@pytest.mark.parametrize("package", _packages())
def test_a_package_exports_exactly_what_it_says(package: str) -> None:
    assert _unpinned(importlib.import_module(package)) == []


def test_an_export_that_is_not_said_is_found() -> None:
    module = ModuleType("example")
    vars(module).update({"said": 1, "unsaid": 2, "_private": 3, "__all__": ["said", "absent"]})
    assert _unpinned(module) == ["absent", "unsaid"]


EXPORTS = ROOT / "tests" / "golden" / "exports.txt"


def _lost_exports(pinned: str) -> list[str]:
    """Names that were public once and are not any more; lines are "package name"."""
    names = [line.split() for line in pinned.splitlines()]
    return [f"{package} {name}" for package, name in names if not hasattr(importlib.import_module(package), name)]


def test_what_was_exported_once_stays_exported() -> None:
    assert _lost_exports(EXPORTS.read_text()) == []


def test_a_lost_export_is_found() -> None:
    assert _lost_exports("nautilus.model Instrument\nnautilus.model Instrumental\n") == ["nautilus.model Instrumental"]


def _versions(project: str, changelog: str) -> set[str]:
    newest = re.search(r"(?m)^## \[?([0-9][^\s\]]*)", changelog)
    return {tomllib.loads(project)["project"]["version"], newest[1] if newest else "none"}


def test_changelog_and_package_have_the_version_of_the_project() -> None:
    versions = _versions((ROOT / "pyproject.toml").read_text(), (ROOT / "CHANGELOG.md").read_text())
    assert versions == {nautilus.__version__}


def test_a_changelog_of_another_version_is_found() -> None:
    assert len(_versions('[project]\nversion = "1.1"', "# Changelog\n\n## 1.0\n")) == 2


def _unknown_commands(document: Source) -> list[str]:
    """Commands in a document that nobody could run: of `nautilus`, `make` and `python -m perf`."""
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))
    complaints = []
    for line, text in rules.commands_in(document):
        try:
            words = shlex.split(text, comments=True)
        except ValueError:
            continue
        while words and re.fullmatch(r"[A-Z_0-9]+=\S*", words[0]):
            words = words[1:]
        if not words:
            continue
        place = f"{document.path}:{line}"
        words[0] = words[0].removeprefix(".venv/bin/")
        if words[0] == "make":
            wanted = [word for word in words[1:] if re.fullmatch(r"[a-z]+", word)]
            complaints += [f"{place}: make {word}" for word in wanted if word not in targets]
        elif words[0] == "nautilus" and len(words) > 1:
            complaints += [f"{place}: {problem}" for problem in _unknown_options(words[1:])]
        elif words[:3] == ["python", "-m", "perf"] and words[3:4] == ["run"] and len(words) > 4:
            name = words[4]
            if name not in BENCHES and name != "all" and name != "NAME":
                complaints.append(f"{place}: no bench {name}")
    return complaints


def _unknown_options(words: list[str]) -> list[str]:
    command: click.Command = cli
    context = click.Context(cli)
    path = ["nautilus"]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            return [f"{' '.join(path)} has no command {words[0]}"]
        path.append(words[0])
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h", "--version"}
    return [
        f"{' '.join(path)} has no option {word}"
        for word in words
        if word.startswith("--") and word.split("=")[0] not in known
    ]


def test_commands_in_the_documents_exist() -> None:
    assert [complaint for document in DOCUMENTS for complaint in _unknown_commands(document)] == []


@pytest.mark.parametrize(
    "text",
    ["`make everything`", "`nautilus fly`", "```sh\nnautilus config show --orign\n```", "`python -m perf run warp`"],
)
def test_a_command_that_does_not_exist_is_found(text: str) -> None:
    assert len(_unknown_commands(Source("docs/x.md", text))) == 1


def _flow() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_flow", ROOT / "docs" / "draw_flow.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_flow_is_drawn_from_engines_and_topics_as_they_are() -> None:
    flow = _flow()
    assert flow.PICTURE.read_text() == flow.as_svg(), "run python docs/draw_flow.py"
    page = flow.PAGE.read_text()
    assert flow.page_with(flow.as_text(), page) == page, "run python docs/draw_flow.py"


def test_a_flow_that_is_not_current_is_found() -> None:
    flow = _flow()
    page = flow.PAGE.read_text()
    assert flow.page_with("another engine\n", page) != page


README_BLOCKS = [block for source in SOURCES if source.path == "README.md" for block in rules.python_blocks(source)]


@pytest.mark.parametrize("block", README_BLOCKS, ids=lambda block: block.splitlines()[0][:40])
def test_python_in_the_readme_runs(block: str, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(block)
    strategy = re.search(r"(?m)^class (\w+)\(Strategy\)", block)
    runs = ["example.py"]
    if strategy:
        runs = ["-m", "nautilus", "demo", "--market-for", "20", "--strategy", f"example.py:{strategy[1]}", "--json"]
    result = subprocess.run(
        [sys.executable, *runs], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    assert not strategy or json.loads(result.stdout)["orders"] > 0
