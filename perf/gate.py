"""Ratios of figures of one run, against those that were measured before: they hold on a slower machine too.

`perf/baselines/<bench>.json` is a list of ratios; `of` and `to` name figures of that bench.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec


class Ratio(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure divided by another one of the same run.

    Parameters
    ----------
    of, to
        Names of figures.
    ratio
        As it was measured.
    worse
        Share of it by which a run may be worse.
    lower_is_better
        For times and sizes.
    """

    of: str
    to: str
    ratio: float
    worse: float = 0.3
    lower_is_better: bool = False

    @property
    def limit(self) -> float:
        """The worst that passes."""
        return self.ratio * (1 + self.worse if self.lower_is_better else 1 - self.worse)

    def passes(self, found: float) -> bool:
        """Whether a run with this ratio is no worse than it may be."""
        return found <= self.limit if self.lower_is_better else found >= self.limit


def judge(baseline: Path, result: Path) -> Iterator[tuple[Ratio, float]]:
    """Each ratio of a baseline, with what a result file has.

    Raises
    ------
    KeyError
        The result lacks a figure.
    """
    medians = {figure["name"]: figure["median"] for figure in _read(result)["figures"]}
    for ratio in load(baseline):
        yield ratio, medians[ratio.of] / medians[ratio.to]


def load(baseline: Path) -> list[Ratio]:
    """Ratios of a baseline file."""
    return msgspec.json.decode(baseline.read_bytes(), type=list[Ratio])


def renew(baseline: Path, result: Path) -> None:
    """Put the ratios of a result file into a baseline."""
    found = [msgspec.structs.replace(ratio, ratio=round(value, 4)) for ratio, value in judge(baseline, result)]
    baseline.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
