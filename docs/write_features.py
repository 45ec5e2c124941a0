"""Writes the table of all features into `docs/features.md`, from the registry.

`python docs/write_features.py` writes the block between the marks; `--check` writes nothing and exits with 1 where it
is not current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nautilus.engines.features.registry import Registry
from nautilus.model.features import FeatureDefinition

PAGE = Path(__file__).parent / "features.md"
BEGIN, END = "<!-- features: written by docs/write_features.py -->\n", "<!-- end of features -->\n"


def table() -> str:
    """One table for each source, in the order of families and names."""
    registry = Registry()
    parts = []
    for source in registry.programs:
        rows = [each for each in registry.definitions if each.source == source]
        parts.append(f"### Of {source}s: {len(rows)} features, {sum(len(each.outputs) for each in rows)} outputs\n")
        parts.append("| feature | version | outputs | parameters | warm-up | what it is | follows | no value |")
        parts.append("|---|---|---|---|---|---|---|---|")
        parts += [_row(each) for each in sorted(rows, key=lambda row: (row.family, row.name))]
        parts.append("")
    return "\n".join(parts)


def _row(each: FeatureDefinition) -> str:
    outputs = "" if each.outputs == (each.name,) else ", ".join(f"`{name}`" for name in each.outputs)
    parameters = ", ".join(f"{key} {value:g}" for key, value in each.parameters.items())
    warm_up = "/".join(str(rows) for rows in dict.fromkeys(each.warm_up))
    cells = (f"`{each.name}`", str(each.version), outputs, parameters, warm_up, each.summary, each.follows)
    lacks = f"`{each.undefined}`" if each.undefined else ""
    return f"| {' | '.join(cells)} | {lacks} |".replace("|  |", "| |").replace("|  |", "| |")


def page() -> str:
    """The page with the table as it is to be."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Write it, or compare."""
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
