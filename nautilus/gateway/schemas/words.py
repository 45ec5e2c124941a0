"""What bodies of the management API are made of: words, numbers with their bounds, strict and frozen models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from nautilus.policy.routing import StrategyName

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False, examples=[99.5])]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, examples=[0.87])]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False, examples=[1.25])]
Count = Annotated[int, Field(ge=0, examples=[120])]
HealthState = Literal["healthy", "degraded", "unhealthy"]
EngineHealthState = Literal["healthy", "degraded", "unhealthy", "unknown"]
BreakerState = Literal["closed", "open", "half-open", "forced-open", "disabled"]
Deciding = Literal["direct_only", "gateway_only", "hybrid_performance", "hybrid_intelligent", "ab_split"]
"""What may have decided: the strategies, and an A/B test between two of them."""
Priority = Literal["critical", "high", "normal", "low"]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
LONGEST_MS = 3_600_000.0


class Question(BaseModel):
    """A body of a request."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Nothing(Question):
    """An object without fields: what is asked is all in the path. An empty body will do."""


class Answer(BaseModel):
    """A body of an answer."""

    model_config = ConfigDict(strict=True, frozen=True)


__all__ = [
    "LONGEST_MS",
    "Answer",
    "BreakerState",
    "Count",
    "Deciding",
    "EngineHealthState",
    "HealthState",
    "Method",
    "Milliseconds",
    "Nothing",
    "Percent",
    "Priority",
    "Question",
    "Share",
    "StrategyName",
]
