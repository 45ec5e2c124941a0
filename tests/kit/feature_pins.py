"""Hashes of every version of every feature's definition: `python -m tests.kit.feature_pins` adds those that are new.

A line that is there is never changed or taken away: a definition that changed gets a new version.
"""

from __future__ import annotations

import json
from pathlib import Path

from nautilus.maths.indicators import SOURCES, compiled

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "features.json"


def pinned() -> dict[tuple[str, int], str]:
    """Hash by name and version."""
    return {(name, version): digest for name, version, digest in json.loads(GOLDEN.read_text())}


def current() -> dict[tuple[str, int], str]:
    """Those of the definitions as they are."""
    out = {}
    for source, definitions in SOURCES.items():
        digests = compiled(source, definitions).digests
        out |= {(each.name, each.version): digests[each.name] for each in definitions}
    return out


if __name__ == "__main__":
    rows = sorted((current() | pinned()).items())
    lines = [json.dumps([name, version, digest]) for (name, version), digest in rows]
    GOLDEN.write_text("[\n" + ",\n".join(lines) + "\n]\n")
