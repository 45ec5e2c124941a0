"""Questions to the router, and outcomes told to it."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from nautilus.gateway.schemas.words import LONGEST_MS, Answer, Deciding, Method, Milliseconds, Priority, Question, Share


class RouteQuestion(Question):
    """A request that is to be routed."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        json_schema_extra={
            "examples": [{"engine": "risk", "endpoint": "/risk/limits", "method": "GET", "priority": "high"}]
        },
    )

    engine: str = Field(min_length=1, max_length=64, description="Name of the engine.", examples=["risk"])
    endpoint: str = Field(default="/", max_length=2048, description="Path at the engine.", examples=["/risk/limits"])
    method: Method = Field(default="GET")
    priority: Priority = Field(default="normal")
    client: str = Field(default="", max_length=128, description="Whom an A/B test keeps on one side.")


class RouteAnswer(Answer):
    """Which way to take, and why."""

    engine: str
    strategy: Deciding = Field(description="That decided.")
    use_direct_access: bool = Field(description="Whether to ask the engine's own port rather than the gateway.")
    expected_latency_ms: Milliseconds = Field(description="Of that way.")
    confidence: Share = Field(description="0: nothing was learnt yet; 1: as sure as it gets.")
    reasoning: str = Field(description="What decided.", examples=["direct p95 1.2 ms against 2.0 ms over 340 outcomes"])


class OutcomeReport(Question):
    """How a request went."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        json_schema_extra={
            "examples": [
                {"engine": "risk", "strategy": "hybrid_intelligent", "actual_latency_ms": 4.2, "success": True}
            ]
        },
    )

    engine: str = Field(min_length=1, max_length=64, examples=["risk"])
    strategy: Deciding = Field(description="As `POST /route` answered it.")
    actual_latency_ms: float = Field(ge=0, le=LONGEST_MS, allow_inf_nan=False, description="From request to answer.")
    success: bool
    use_direct_access: bool | None = Field(
        default=None, description="The way that was taken; null: the one that the strategy gave last for this engine."
    )
    client: str = Field(default="", max_length=128, description="As in the question, where an A/B test decided.")


class OutcomeRecorded(Answer):
    """That the outcome counts."""

    recorded: bool
    engine: str
    strategy: Deciding
