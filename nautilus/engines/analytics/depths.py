"""The four depths of an answer: what each has, and the time that it may take. Each has all of the one before."""

from __future__ import annotations

from typing import Final, NamedTuple

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


__all__ = [
    "COMPREHENSIVE",
    "DEPTHS",
    "INSTITUTIONAL",
    "KINDS",
    "SIMPLE",
    "STANDARD",
    "Depth",
    "UnknownDepthError",
    "UnknownKindError",
    "depth_of",
    "kind_of",
]
