"""The four depths of an answer: what each has, and the time that it may take. Each has all of the one before."""

from __future__ import annotations

from typing import Final, NamedTuple

from nautilus.model.analytics import AskAnalytics, GetAnalytics, GetAnalyticsBatch
from nautilus.model.errors import ModelError


class Depth(NamedTuple):
    """One depth.

    Attributes
    ----------
    name : as it is asked for.
    level : its place; a section is there from a level on.
    budget_ms : the time in which it has to be answered.
    sections : that it has beyond those of the depth before.
    """

    name: str
    level: int
    budget_ms: float
    sections: tuple[str, ...]


SIMPLE: Final = Depth("simple", 0, 50.0, ("value", "summary"))
STANDARD: Final = Depth("standard", 1, 150.0, ("drawdown", "distribution", "tails", "relative"))
COMPREHENSIVE: Final = Depth(
    "comprehensive", 2, 300.0, ("confidence", "drawdowns", "calendar", "rolling", "volatility", "regime")
)
INSTITUTIONAL: Final = Depth("institutional", 3, 800.0, ("positions", "stress", "factors"))
DEPTHS: Final = {depth.name: depth for depth in (SIMPLE, STANDARD, COMPREHENSIVE, INSTITUTIONAL)}

KINDS: Final = {
    "performance": (
        "value",
        "summary",
        "drawdown",
        "distribution",
        "relative",
        "confidence",
        "drawdowns",
        "calendar",
        "rolling",
    ),
    "risk": ("value", "summary", "drawdown", "tails", "drawdowns", "positions", "stress"),
    "attribution": ("value", "summary", "relative", "factors"),
    "ml_inference": ("value", "summary", "volatility", "regime"),
}
"""Of a question of a kind: the sections that it is about."""


LEAST: Final = {"ml_inference": COMPREHENSIVE, "attribution": INSTITUTIONAL}
"""Attribution and the models are sections of a deeper answer: a question of that kind has at least this depth."""
REALTIME_MS: Final = 200.0
"""Budget of the critical operation, and the least of a question for many portfolios."""


class UnknownDepthError(ModelError):
    """A depth that there is not."""

    code = "model.depth"


class UnknownKindError(ModelError):
    """A kind of question that there is not."""

    code = "model.request_kind"


def depth_of(name: str) -> Depth:
    """The depth of that name; UnknownDepthError where there is none."""
    found = DEPTHS.get(name)
    if found is None:
        raise UnknownDepthError(f"depth {name!r}", where="depth", expected=", ".join(DEPTHS))
    return found


def kind_of(name: str) -> tuple[str, ...]:
    """Sections of a kind; UnknownKindError where there is none."""
    found = KINDS.get(name)
    if found is None:
        raise UnknownKindError(f"kind {name!r}", where="kind", expected=", ".join(KINDS))
    return found


def depth_for(asked: AskAnalytics) -> Depth:
    """How deep a question of a kind goes; UnknownDepthError where it names a depth that there is not."""
    depth = depth_of(asked.depth)
    return max(depth, LEAST.get(asked.kind, depth), key=lambda each: each.level)


def budget_of(asked: GetAnalytics | GetAnalyticsBatch | AskAnalytics) -> float:
    """Milliseconds that the answer may take: those of its depth; of a depth that there is not, those of the deepest."""
    try:
        depth = depth_for(asked) if isinstance(asked, AskAnalytics) else depth_of(asked.depth)
    except UnknownDepthError:
        depth = INSTITUTIONAL
    return max(depth.budget_ms, REALTIME_MS) if isinstance(asked, GetAnalyticsBatch) else depth.budget_ms


__all__ = [
    "COMPREHENSIVE",
    "DEPTHS",
    "INSTITUTIONAL",
    "KINDS",
    "LEAST",
    "REALTIME_MS",
    "SIMPLE",
    "STANDARD",
    "Depth",
    "UnknownDepthError",
    "UnknownKindError",
    "budget_of",
    "depth_for",
    "depth_of",
    "kind_of",
]
