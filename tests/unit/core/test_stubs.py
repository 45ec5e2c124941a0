"""Every `.pyi` of the core says what its `.pyx` has: the same classes, methods, properties, functions and parameters.

mypy's own stub test cannot see the parameters of compiled functions; here they are read from the source.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CORE = Path(__file__).parents[3] / "nautilus" / "core"
STUBS = sorted(CORE.glob("*.pyi"))
DEFINITION = re.compile(
    r"^( {4})?(def|cpdef|cdef class|class) (?:\w+ (?=\w+\())?(\w+)(\(([^()]|\([^()]*\))*\))?", re.MULTILINE
)
Shape = tuple[tuple[str, ...], tuple[str, ...]]


def plain(parameters: str) -> str:
    """The parameters without C types, annotations and defaults (`=0` stays where there is one)."""
    words = []
    while "[" in parameters:
        parameters = re.sub(r"\[[^][]*\]", "", parameters)
    for part in re.split(r",(?![^(]*\))", parameters):
        name, equals, _ = part.replace(" not None", "").partition("=")
        words.append(name.split(":")[0].split()[-1] + "=0" * bool(equals) if name.strip() else "")
    return ", ".join(filter(None, words))


def shape(arguments: ast.arguments) -> Shape:
    """Parameters in order, `=` behind those with a default; keyword-only ones sorted."""
    named = [each.arg for each in arguments.posonlyargs + arguments.args]
    required = len(named) - len(arguments.defaults)
    order = [name + "=" * (at >= required) for at, name in enumerate(named) if name not in ("self", "cls")]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return tuple(order), tuple(sorted(each.arg + "=" * (default is not None) for each, default in pairs))


def source_shapes(text: str) -> dict[str, Shape]:
    """{class.method or function: parameters} of a `.pyx`; what begins with one underscore is left out."""
    found: dict[str, Shape] = {}
    owner = ""
    for indent, word, name, parameters, _ in DEFINITION.findall(text):
        if word not in ("def", "cpdef"):
            owner = f"{name}."
            continue
        if not indent:
            owner = ""
        function = ast.parse(f"def f({plain(parameters[1:-1])}): pass").body[0]
        assert isinstance(function, ast.FunctionDef)
        found[owner + name] = shape(function.args)
    return found


def stub_shapes(text: str) -> dict[str, Shape]:
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = shape(node.args)
        elif isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.FunctionDef):
                    found[f"{node.name}.{each.name}"] = shape(each.args)
    return found


def public(shapes: dict[str, Shape]) -> dict[str, Shape]:
    """Without private names and special methods, but for the constructor; `__cinit__` is one."""
    kept: dict[str, Shape] = {}
    for name, each in shapes.items():
        last = name.rpartition(".")[2]
        if last == "__init__" or not last.startswith("_"):
            kept[name] = each
        elif last == "__cinit__" and name.replace("__cinit__", "__init__") not in shapes:
            kept[name.replace("__cinit__", "__init__")] = each
    return {name: each for name, each in kept.items() if not (name.endswith(".__init__") and each == ((), ()))}


def readonly_fields(path: Path) -> set[str]:
    """C fields that Python may read; a stub shows them as properties."""
    lines = re.findall(r"^ {4}cdef readonly \w+ ([\w, ]+)", path.read_text(), re.MULTILINE) if path.exists() else []
    return {name.strip() for line in lines for name in line.split(",")}


def whole(path: Path) -> str:
    """The source with the parts that it includes in their places."""
    return re.sub(
        r'^include "([\w.]+)"$',
        lambda found: (path.parent / found[1]).read_text(),
        path.read_text(),
        flags=re.MULTILINE,
    )


@pytest.mark.parametrize("stub", STUBS, ids=[stub.stem for stub in STUBS])
def test_stub_says_what_the_source_has(stub: Path) -> None:
    source = public(source_shapes(whole(stub.with_suffix(".pyx"))))
    fields = readonly_fields(stub.with_suffix(".pyx")) | readonly_fields(stub.with_suffix(".pxd"))
    stated = public(stub_shapes(stub.read_text()))
    # A constructor that the stub leaves out is not for callers.
    source = {name: each for name, each in source.items() if name in stated or not name.endswith(".__init__")}
    assert {name: each for name, each in stated.items() if name.rpartition(".")[2] not in fields} == source


def test_every_module_of_the_core_has_its_stub() -> None:
    assert {stub.stem for stub in STUBS} == {source.stem for source in CORE.glob("*.pyx")}


def test_a_stub_with_another_parameter_is_found() -> None:
    source = source_shapes(
        "cdef class A:\n    def put(self, uint32_t index, const char[::1] data not None, int n=0): 1"
    )
    assert source == {"A.put": (("index", "data", "n="), ())}
    assert stub_shapes("class A:\n    def put(self, index: int, data: bytes, n: int) -> None: ...") != source
