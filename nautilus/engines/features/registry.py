"""The registry of features: every definition with its version, and what names stand for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nautilus.maths.indicators import INPUTS, SOURCES, Compiled, Definition, every
from nautilus.model.errors import UnknownFeatureError
from nautilus.model.features import FeatureDefinition, FeatureRegistry, FeatureSource


class Output(NamedTuple):
    """One output of a feature: its source, its column in the program of that source, and its warm-up in rows."""

    name: str
    source: str
    column: int
    warm_up: int
    definition: Definition


class Registry:
    """All definitions, as compiled for streams.

    Attributes
    ----------
    programs : of all features of a source.
    outputs : by name.
    digest : of all definitions with their versions.
    """

    def __init__(self) -> None:
        self.programs: dict[str, Compiled] = {source: every(source) for source in SOURCES}
        self.outputs: dict[str, Output] = {}
        self._features: dict[str, list[Output]] = {}
        rows: list[FeatureDefinition] = []
        for source, made in self.programs.items():
            for each in made.definitions:
                begin, end = made.spans[each.name]
                self._features[each.name] = [
                    Output(made.outputs[column], source, column, made.warm_up[column], each)
                    for column in range(begin, end)
                ]
                self.outputs |= {output.name: output for output in self._features[each.name]}
                rows.append(_definition(each, made))
        self.definitions = tuple(sorted(rows, key=lambda row: row.name))
        whole = "\n".join(f"{row.name} {row.version} {row.digest}" for row in self.definitions)
        self.digest = hashlib.sha256(whole.encode()).hexdigest()

    def select(self, names: Sequence[str], source: str = "") -> list[Output]:
        """Outputs that names of features and outputs stand for, each once; none: all (of the source).

        Raises
        ------
        UnknownFeatureError
            There is none of a name (of that source).
        """
        if not names:
            return [output for output in self.outputs.values() if source in ("", output.source)]
        found: dict[str, Output] = {}
        for name in names:
            outputs = self._features.get(name) or ([self.outputs[name]] if name in self.outputs else [])
            outputs = [output for output in outputs if source in ("", output.source)]
            if not outputs:
                of = f" of a {source}" if source else ""
                raise UnknownFeatureError(f"feature {name!r}{of}", where="features", expected="one of the registry")
            found |= {output.name: output for output in outputs}
        return list(found.values())

    def output(self, name: str) -> Output:
        """The one output of a name. UnknownFeatureError: there is none, or the feature has several."""
        if name in self.outputs:
            return self.outputs[name]
        several = [output.name for output in self._features.get(name, ())]
        raise UnknownFeatureError(
            f"output {name!r}", where="features", expected=" or ".join(several) or "one of the registry"
        )

    def answer(self, source: str, family: str) -> FeatureRegistry:
        """The definitions of a source and a family; "": of all.

        Raises
        ------
        UnknownFeatureError
            There is no such source, or no such family of it.
        """
        if source and source not in self.programs:
            raise UnknownFeatureError(f"source {source!r}", where="features", expected=_listed(self.programs))
        rows = [row for row in self.definitions if source in ("", row.source)]
        families = {row.family for row in rows}
        if family and family not in families:
            of = f" of a {source}" if source else ""
            raise UnknownFeatureError(f"family {family!r}{of}", where="features", expected=_listed(sorted(families)))
        rows = [row for row in rows if family in ("", row.family)]
        return FeatureRegistry(tuple(rows), self.digest)


def _listed(names: Iterable[str]) -> str:
    return f"one of {', '.join(names)}"


def _definition(each: Definition, made: Compiled) -> FeatureDefinition:
    begin, end = made.spans[each.name]
    return FeatureDefinition(
        each.name,
        each.version,
        each.family,
        FeatureSource(each.source),
        INPUTS[each.source],
        each.outputs,
        {key: float(value) for key, value in each.parameters.items()},
        made.warm_up[begin:end],
        made.digests[each.name],
        each.summary,
        each.follows,
        each.lacks,
    )


__all__ = ["Output", "Registry"]
