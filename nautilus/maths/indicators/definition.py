"""What a feature is: a name, a version, parameters, inputs, outputs, and one formula for streams and batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nautilus.core.indicators import Program
from nautilus.maths.indicators.graph import Graph, Ref

BAR = ("open", "high", "low", "close", "volume")
QUOTE = ("bid", "bid_size", "ask", "ask_size")
TRADE = ("price", "size", "sign", "bid", "ask")
INPUTS = {"bar": BAR, "quote": QUOTE, "trade": TRADE}

Build = Callable[[Graph], tuple[Ref, ...]]


class Definition(NamedTuple):
    """A feature, of one or more outputs.

    Parameters
    ----------
    name
        With its parameters: ``rsi_14``.
    family
        What it tells: ``average``, ``band``, ``momentum`` ...
    source
        What one row of its inputs is: ``bar``, ``quote`` or ``trade``.
    outputs
        Names of what it gives; one output has the feature's own.
    parameters
        By name.
    build
        Makes its nodes in a graph of the inputs of `source`.
    summary
        One line for people.
    follows
        The function or the paper whose definition it has.
    version
        Goes up when the formula or a parameter changes: `digest` changes with them, and a test holds both.
    lacks
        Why it may have no value behind its warm-up (a code of `nautilus.maths.errors`); "": it always has one.
    """

    name: str
    family: str
    source: str
    outputs: tuple[str, ...]
    parameters: Mapping[str, float]
    build: Build
    summary: str
    follows: str
    version: int = 1
    lacks: str = ""


class Compiled(NamedTuple):
    """Definitions of one source as one program.

    `outputs[k]` is the k-th column that it gives, `warm_up[k]` the rows that come before its first value; `digests` are
    of the definitions, by name; `reads` the inputs that each one uses.
    """

    source: str
    definitions: tuple[Definition, ...]
    program: Program
    outputs: tuple[str, ...]
    warm_up: tuple[int, ...]
    digests: dict[str, str]
    spans: dict[str, tuple[int, int]]


def compiled(source: str, definitions: Sequence[Definition]) -> Compiled:
    """One program of all definitions, which share what is equal in them.

    Raises
    ------
    ValueError
        Two have one name, or one is of another source or gives another number of outputs than it names.
    """
    graph = Graph(INPUTS[source])
    refs: list[Ref] = []
    names: list[str] = []
    digests: dict[str, str] = {}
    spans: dict[str, tuple[int, int]] = {}
    for each in definitions:
        if each.source != source or each.name in digests:
            raise ValueError(f"{each.name}: of {each.source}, expected one of {source}, once")
        made = tuple(graph.plain(ref) for ref in each.build(graph))
        if len(made) != len(each.outputs):
            raise ValueError(f"{each.name}: {len(made)} outputs, expected {len(each.outputs)}")
        digests[each.name] = digest(each, [graph.text(ref) for ref in made], [ref.start for ref in made])
        spans[each.name] = (len(refs), len(refs) + len(made))
        refs += made
        names += each.outputs
    if len(set(names)) != len(names):
        raise ValueError(f"outputs of {source}: a name twice, expected each once")
    return Compiled(
        source,
        tuple(definitions),
        graph.program(refs),
        tuple(names),
        tuple(ref.start for ref in refs),
        digests,
        spans,
    )


def digest(definition: Definition, formulas: Sequence[str], starts: Sequence[int]) -> str:
    """SHA-256 of all that its numbers depend on: inputs, parameters, formulas down to the inputs, warm-up."""
    whole = json.dumps(
        [
            definition.name,
            definition.source,
            INPUTS[definition.source],
            definition.outputs,
            sorted((key, repr(float(value))) for key, value in definition.parameters.items()),
            list(formulas),
            list(starts),
        ]
    )
    return hashlib.sha256(whole.encode()).hexdigest()


__all__ = ["BAR", "INPUTS", "QUOTE", "TRADE", "Compiled", "Definition", "compiled", "digest"]
