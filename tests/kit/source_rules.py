"""Rules about the sources, each a function from sources to complaints, so that each can be fed a bad example."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

LEVELS = {
    "core": 0,
    "model": 1,
    "maths": 1,
    "policy": 1,
    "engines": 2,
    "bus": 2,
    "runtime": 3,
    "adapters": 3,
    "trading": 3,
    "store": 3,
    "simulation": 3,
    "gateway": 4,
    "cli": 4,
    "data": 4,
}
SIDEWAYS = {("runtime", name) for name in ("adapters", "trading", "store", "simulation")} | {
    ("cli", "gateway"),
    ("cli", "data"),
}
SHARED = ("base", "panel", "toxicity", "undefined")
"""Modules of `engines` that belong to no engine."""
PURE = ("engines", "maths", "policy")
IMPURE_MODULES = ("time", "random", "uuid", "os", "threading", "asyncio", "socket", "logging")
CLOCK_MODULE = "nautilus/runtime/clock.py"
CORE_CIMPORTS = ("libc", "posix", "cpython", "cython", "numpy", "nautilus.core")
UNPICKLING = ("pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib")
MAX_LINES = 600
LENGTH_REASON = "Length:"
FORBIDDEN_FILE_WORDS = ("ultra", "fast", "hybrid", "v2", "simple", "universal", "manager")
FORBIDDEN_PACKAGES = ("common", "utils", "util", "helpers", "misc")
# The right-hand column of the table of names.
FORBIDDEN_NAMES = (
    "exchange_handler",
    "symbol_info",
    "book_manager",
    "order_mode",
    "trade_result",
    "holding_data",
    "smart_brain",
    "data_point",
    "universal_client",
)
CLOCKS = re.compile(r"(?:^|\.)(?:monotonic|perf_counter|time|now|wall)(?:_ns)?$")
NEEDS_UNIT = re.compile(r"(?:^|_)(?:timeout|latency|interval|delay|duration|elapsed|lifetime)$")
# Written in parts, so that this file does not hold them.
OTHER_PROJECT = re.compile("nautilus" + r"[-_ ]?" + "trader", re.IGNORECASE)
# What runs beside the project as its peer, and what says so: there alone that project is named.
PEER_NAMED_IN = frozenset(
    {
        "docs/differential.md",
        "pyproject.toml",
        "tests/kit/differential/peer.py",
        "tests/kit/differential/peer_process.py",
    }
)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:" + "|".join(("work", "root", "home", "Users", "opt")) + r")/[\w.]")
UNWELCOME = re.compile(
    r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "production" + "[ -]ready")) + r")\b"
    "|[\U0001f300-\U0001faff\u2600-\u27bf]"
)


class Source(NamedTuple):
    """One file: its path from the root of the repository, and its text."""

    path: str
    text: str

    @property
    def package(self) -> str | None:
        """First directory under `nautilus/`, or None outside of it."""
        parts = PurePosixPath(self.path).parts
        return parts[1] if len(parts) > 2 and parts[0] == "nautilus" else None

    @property
    def is_python(self) -> bool:
        return self.path.endswith((".py", ".pyi"))

    @property
    def is_cython(self) -> bool:
        return self.path.endswith((".pyx", ".pxd", ".pxi"))


Complaints = list[str]


class Import(NamedTuple):
    """One imported module, absolute."""

    line: int
    module: str
    names: tuple[str, ...]


@functools.cache
def _nodes(text: str) -> tuple[ast.AST, ...]:
    """Of a Python file; every rule looks at the same ones."""
    return tuple(ast.walk(ast.parse(text)))


def imports(source: Source) -> Iterator[Import]:
    """Every import of a Python or Cython file, wherever it stands; relative ones made absolute."""
    if source.is_cython:
        yield from _cython_imports(source, "import")
        return
    package = PurePosixPath(source.path).with_suffix("").parts[:-1]
    for node in _nodes(source.text):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, ())
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield Import(node.lineno, module, tuple(alias.name for alias in node.names))


def cimports(source: Source) -> Iterator[Import]:
    """Every cimport of a Cython file."""
    yield from _cython_imports(source, "cimport")


def _cython_imports(source: Source, word: str) -> Iterator[Import]:
    pattern = re.compile(rf"^\s*(?:from\s+([\w.]+)\s+{word}\s+(.*)|{word}\s+([\w., ]+))")
    for number, line in enumerate(source.text.splitlines(), 1):
        match = pattern.match(line.split("#")[0])
        if match and match[1]:
            yield Import(number, match[1], tuple(re.findall(r"\w+", match[2])))
        elif match:
            for name in match[3].split(","):
                yield Import(number, name.split(" as ")[0].strip(), ())


def _full_names(item: Import) -> list[str]:
    """`from nautilus import cli` names `nautilus.cli`."""
    if item.module == "nautilus" and item.names:
        return [f"nautilus.{name}" for name in item.names]
    return [item.module]


def check_import_directions(sources: Iterable[Source]) -> Complaints:
    """A package imports only smaller numbers; within one number only what SIDEWAYS names."""
    complaints = []
    for source in sources:
        own = source.package
        if own is None or not (source.is_python or source.is_cython):
            continue
        found = [*imports(source), *(cimports(source) if source.is_cython else ())]
        for item in found:
            for name in _full_names(item):
                parts = name.split(".")
                if parts[0] != "nautilus" or len(parts) < 2 or parts[1] == own or parts[1] not in LEVELS:
                    continue
                other = parts[1]
                forbidden = (own, other) not in SIDEWAYS and LEVELS[other] >= LEVELS[own]
                if forbidden or (own, other) == ("maths", "model"):
                    complaints.append(f"{source.path}:{item.line}: {own} imports {other}")
    return complaints


def check_engines_stand_alone(sources: Iterable[Source]) -> Complaints:
    """An engine's module imports of `engines` only what all share and the modules of its own package."""
    complaints = []
    for source in sources:
        parts = PurePosixPath(source.path).with_suffix("").parts
        if parts[:2] != ("nautilus", "engines") or not source.is_python or parts[2] in ("__init__", "base"):
            continue
        for item in imports(source):
            names = [item.module]
            if item.module == "nautilus.engines":
                names = [f"nautilus.engines.{name}" for name in item.names] or [item.module]
            for name in names:
                other = name.split(".")
                if other[:2] == ["nautilus", "engines"] and (len(other) < 3 or other[2] not in (*SHARED, parts[2])):
                    complaints.append(f"{source.path}:{item.line}: an engine imports {name}")
    return complaints


def check_pure_packages(sources: Iterable[Source]) -> Complaints:
    """Engines, maths and policy read no clock, draw no chance and do no input or output."""
    complaints = []
    for source in sources:
        if source.package not in PURE or not source.is_python:
            continue
        complaints += [
            f"{source.path}:{item.line}: {source.package} imports {item.module}"
            for item in imports(source)
            if item.module.split(".")[0] in IMPURE_MODULES
        ]
        complaints += [
            f"{source.path}:{node.lineno}: {source.package} calls {ast.unparse(node)}"
            for node in _nodes(source.text)
            if isinstance(node, ast.Attribute)
            and node.attr in ("now", "utcnow", "today")
            and ast.unparse(node.value).rpartition(".")[2] in ("datetime", "date", "dt")
        ]
    return complaints


def check_one_clock(sources: Iterable[Source]) -> Complaints:
    """Only `runtime/clock.py` reads a clock."""
    return [
        f"{source.path}:{item.line}: imports time; {CLOCK_MODULE} reads the clock"
        for source in sources
        if source.package and source.is_python and source.path != CLOCK_MODULE
        for item in imports(source)
        if item.module == "time"
    ]


def check_core_imports(sources: Iterable[Source]) -> Complaints:
    """The core builds on libc and numpy: cimports, and beside them only the standard library."""
    complaints = []
    for source in sources:
        if source.package != "core":
            continue
        if source.is_cython:
            complaints += [
                f"{source.path}:{item.line}: cimports {item.module}"
                for item in cimports(source)
                if not any(item.module == name or item.module.startswith(f"{name}.") for name in CORE_CIMPORTS)
            ]
        if source.is_python or source.is_cython:
            for item in imports(source):
                top = item.module.split(".")[0]
                typing_only = source.path.endswith(".pyi") and top == "typing_extensions"
                if top not in ("numpy", "nautilus") and not typing_only and top not in sys.stdlib_module_names:
                    complaints.append(f"{source.path}:{item.line}: imports {item.module}")
    return complaints


def _headers(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines of Cython that declare a C function: (line, header)."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number].split("#")[0]
        start = number + 1
        number += 1
        if not re.match(r"\s*(?:cdef|cpdef)\b.*\(", line) or re.match(r"\s*cdef\s+(?:class|extern)\b", line):
            continue
        while line.count("(") > line.count(")") and number < len(lines):
            line += " " + lines[number].split("#")[0].strip()
            number += 1
        yield start, line.strip()


def check_cython_functions(sources: Iterable[Source]) -> Complaints:
    """No exception crosses a function without the interpreter's lock: such a function returns a status code."""
    complaints = []
    for source in sources:
        if not source.is_cython:
            continue
        for line, header in _headers(source.text):
            tail = header[header.rindex(")") :]
            name = re.search(r"(\w+)\s*\(", header)
            called = f"{source.path}:{line}: {name[1] if name else header}"
            if re.search(r"\bexcept\s*\*", tail) and re.match(r"(?:cdef|cpdef)\s+(?:inline\s+)?void\b", header):
                complaints.append(f"{called}: void with `except *`; return a status code")
            elif re.search(r"\bnogil\b", tail) and not re.search(r"\bnoexcept\b", tail):
                complaints.append(f"{called}: nogil without noexcept; return a status code")
    return complaints


def check_compiled_modules(sources: Iterable[Source]) -> Complaints:
    """Compiled code of the package lives in `core/`; x.pyx has x.pyi, no x.py, and x.pxd where others can use it."""
    known = {source.path: source for source in sources}
    complaints = []
    for path, source in sorted(known.items()):
        if not (path.endswith(".pyx") and path.startswith("nautilus/")):
            continue
        stem = path.removesuffix(".pyx")
        if not path.startswith("nautilus/core/"):
            complaints.append(f"{path}: compiled code outside of nautilus/core/")
        if f"{stem}.pyi" not in known:
            complaints.append(f"{path}: no {stem}.pyi")
        if f"{stem}.pxd" not in known and re.search(r"(?m)^cdef class ", source.text):
            complaints.append(f"{path}: a class without its fields in {stem}.pxd")
        if f"{stem}.py" in known:
            complaints.append(f"{path}: beside {stem}.py")
    return complaints


def check_lengths(sources: Iterable[Source]) -> Complaints:
    """At most 600 lines, or a docstring that says why (a line that begins with "Length:")."""
    complaints = []
    for source in sources:
        if not (source.is_python or source.is_cython):
            continue
        lines = source.text.count("\n")
        docstring = re.search(r'(?s)^(?:\s*#[^\n]*\n)*\s*r?"""(.*?)"""', source.text)
        if lines > MAX_LINES and not (docstring and LENGTH_REASON in docstring[1]):
            complaints.append(f"{source.path}: {lines} lines, at most {MAX_LINES} or a reason in its docstring")
    return complaints


def check_file_names(paths: Iterable[str]) -> Complaints:
    """No file or directory name carries a word of praise or of vagueness; golden files name the version they are of."""
    complaints = []
    for path in paths:
        if path.startswith("tests/golden/"):
            continue
        for part in PurePosixPath(path).parts:
            words = re.split(r"[^a-z0-9]+", part.lower())
            complaints += [f"{path}: the word {word!r}" for word in FORBIDDEN_FILE_WORDS if word in words]
            if part in FORBIDDEN_PACKAGES or PurePosixPath(part).stem in FORBIDDEN_PACKAGES:
                complaints.append(f"{path}: a place for anything is a place for cycles")
    return complaints


def check_layout(paths: Iterable[str]) -> Complaints:
    """Every package is one of the house's, none is empty, and unit tests mirror the packages."""
    known = sorted(paths)
    complaints = []
    packages: dict[str, int] = {}
    for path in known:
        parts = PurePosixPath(path).parts
        if parts[0] == "nautilus" and len(parts) > 2:
            modules = path.endswith((".py", ".pyx")) and parts[-1] != "__init__.py"
            packages[parts[1]] = packages.get(parts[1], 0) + modules
        elif parts[:2] == ("tests", "unit") and len(parts) > 3 and f"nautilus/{parts[2]}/__init__.py" not in known:
            complaints.append(f"{path}: no package nautilus/{parts[2]}")
    complaints += [f"nautilus/{name}: not a package of the house" for name in packages if name not in LEVELS]
    complaints += [f"nautilus/{name}: empty package" for name, count in packages.items() if not count]
    return complaints


def check_names(sources: Iterable[Source]) -> Complaints:
    """Standard words, and a unit in the name of every plain number that measures time."""
    complaints = []
    for source in sources:
        if source.package is None or not source.is_python:
            continue
        for node in _nodes(source.text):
            place = f"{source.path}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", node.name).lower()
                complaints += [
                    f"{place}: {node.name}: say it in the field's words" for n in FORBIDDEN_NAMES if n in words
                ]
                if isinstance(node, ast.ClassDef) and words.endswith(("_manager", "_helper", "_util", "_utils")):
                    complaints.append(f"{place}: {node.name} says nothing about what it does")
            name, kind = None, None
            if isinstance(node, ast.arg):
                name, kind = node.arg, node.annotation
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                name, kind = node.target.id, node.annotation
            if name and kind and NEEDS_UNIT.search(name) and re.match(r"(?:int|float)\b", ast.unparse(kind)):
                complaints.append(f"{place}: {name}: {ast.unparse(kind)} without its unit (_ns, _us, _ms, _seconds)")
    return complaints


def check_unpickling(sources: Iterable[Source]) -> Complaints:
    """Nothing unpickles."""
    complaints = []
    for source in sources:
        if not (source.is_python or source.is_cython):
            continue
        complaints += [
            f"{source.path}:{item.line}: imports {item.module}"
            for item in imports(source)
            if item.module.split(".")[0] in UNPICKLING
        ]
        for found in re.finditer("allow_" + r"pickle\s*=\s*True", source.text):
            complaints.append(f"{source.path}:{source.text.count(chr(10), 0, found.start()) + 1}: allows pickle")
    return complaints


def check_numba(sources: Iterable[Source]) -> Complaints:
    """Numba costs 400 ms and 140 MiB to import: only `maths` does."""
    return [
        f"{source.path}:{item.line}: imports numba"
        for source in sources
        if source.is_python and source.package not in (None, "maths")
        for item in imports(source)
        if item.module.split(".")[0] == "numba"
    ]


def check_tests(sources: Iterable[Source]) -> Complaints:
    """Tests never sleep, bound no time by the clock and use no stand-ins; their names read as sentences."""
    complaints = []
    for source in sources:
        if not source.path.startswith("tests/") or not source.is_python:
            continue
        complaints += [
            f"{source.path}:{item.line}: imports {item.module}"
            for item in imports(source)
            if item.module.startswith(("unittest.mock", "mock", "pytest_mock"))
        ]
        nodes = _nodes(source.text)
        waits = {each for loop in nodes if isinstance(loop, ast.While) for each in ast.walk(loop)}
        for node in nodes:
            if isinstance(node, ast.Assert) and node not in waits and _bounds_time(node):
                complaints.append(f"{source.path}:{node.lineno}: a machine that stands still breaks this bound of time")
            if isinstance(node, ast.Call) and _called(node) in ("time.sleep", "sleep", "asyncio.sleep"):
                complaints.append(f"{source.path}:{node.lineno}: sleeps")
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and node.name.count("_") < 3:
                complaints.append(f"{source.path}:{node.lineno}: {node.name} does not read as a sentence")
    return complaints


def _called(node: ast.Call) -> str:
    short = isinstance(node.func, ast.Name) or (isinstance(node.func, ast.Attribute) and node.func.attr == "sleep")
    return ast.unparse(node.func) if short else ""


def _bounds_time(node: ast.Assert) -> bool:
    """Whether it says that no more than so much has passed since some time."""
    for compare in ast.walk(node.test):
        if isinstance(compare, ast.Compare):
            for operand, operator in zip([compare.left, *compare.comparators], compare.ops, strict=False):
                passed = [
                    each.left.func
                    for each in ast.walk(operand)
                    if isinstance(each, ast.BinOp) and isinstance(each.op, ast.Sub) and isinstance(each.left, ast.Call)
                ]
                if isinstance(operator, ast.Lt | ast.LtE) and any(CLOCKS.search(ast.unparse(each)) for each in passed):
                    return True
    return False


def check_words(sources: Iterable[Source]) -> Complaints:
    """No other project's name (but the peer's, where it is one), no path of a machine, no boast, no note to self."""
    complaints = []
    for source in sources:
        for number, line in enumerate(source.text.splitlines(), 1):
            for pattern, text in (
                (OTHER_PROJECT, "the name of another project"),
                (MACHINE_PATH, "a path of one machine"),
                (UNWELCOME, "a note to self, a boast or an emoji"),
            ):
                if pattern is OTHER_PROJECT and source.path in PEER_NAMED_IN:
                    continue
                match = pattern.search(line)
                if match:
                    complaints.append(f"{source.path}:{number}: {text}: {match[0]!r}")
    return complaints


def check_links(sources: Iterable[Source], paths: Iterable[str]) -> Complaints:
    """Relative links of Markdown files lead to files."""
    known = {parent for path in paths for parent in (path, *map(str, PurePosixPath(path).parents))}
    complaints = []
    for source in sources:
        if not source.path.endswith(".md"):
            continue
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", source.text):
            if "://" in target or target.startswith("mailto:"):
                continue
            joined: list[str] = []
            for part in (*PurePosixPath(source.path).parent.parts, *PurePosixPath(target).parts):
                if part == "..":
                    joined = joined[:-1]
                elif part != ".":
                    joined.append(part)
            if "/".join(joined) not in known:
                complaints.append(f"{source.path}: link to {target}, which is not there")
    return complaints


def commands_in(source: Source) -> Iterator[tuple[int, str]]:
    """Command lines in a Markdown file: lines of fenced blocks without a language or of shell, and inline code."""
    inside, shell = False, False
    for number, line in enumerate(source.text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
            shell = line.strip().removeprefix("```").strip() in ("", "sh", "bash", "console", "shell")
            continue
        if inside:
            if shell:
                yield number, line.strip().removeprefix("$ ")
        else:
            for code in re.findall(r"`([^`]+)`", line):
                yield number, code


def python_blocks(source: Source) -> list[str]:
    """The fenced blocks of a Markdown file that are marked as Python."""
    return re.findall(r"(?ms)^```python\n(.*?)^```", source.text)
