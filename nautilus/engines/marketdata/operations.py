"""What the hub answers, in its engine and, of data providers, in its host."""

from __future__ import annotations

from typing import Any

from nautilus.engines.base import Operation
from nautilus.model.datasets import (
    DataAnswer,
    GetBarFacts,
    GetData,
    GetEconomicFacts,
    GetEventFacts,
    GetFundamentalFacts,
    GetListingFacts,
    GetProviders,
    GetQuoteFact,
    ProviderStates,
)
from nautilus.model.message import Message
from nautilus.model.queries import (
    Book,
    GetBook,
    GetQuarantine,
    GetQueuePlace,
    GetQuotes,
    QuarantineLines,
    QueuePlace,
    QuoteLines,
)

_READ: dict[str, Any] = {"priority": "high", "fallback": "last"}
_OUTSIDE: dict[str, Any] = {"fallback": "error", "waits": True}
_DATA: tuple[tuple[str, type[Message], str], ...] = (
    ("data", GetData, "anything"),
    ("quote/{symbol}", GetQuoteFact, "the last quote"),
    ("bar/{symbol}", GetBarFacts, "bars"),
    ("fundamental/{symbol}", GetFundamentalFacts, "figures of a company"),
    ("economic/{symbol}", GetEconomicFacts, "a series"),
    ("listing/{symbol}", GetListingFacts, "what there is"),
    ("event/{symbol}", GetEventFacts, "what happens"),
)
"""What the host's door to the providers answers (`nautilus.runtime.data_door`): an engine asks nobody outside."""
ASKED_OUTSIDE: tuple[type[Message], ...] = (GetProviders, *(request for _, request, _ in _DATA))

OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/book/{instrument}", GetBook, Book, "best levels of an instrument's book", **_READ),
    Operation(
        "GET",
        "/queue/{account_id}/{order_id}",
        GetQueuePlace,
        QueuePlace,
        "what is ahead of an open order",
        **_READ,
    ),
    Operation(
        "GET",
        "/quotes",
        GetQuotes,
        QuoteLines,
        "last quote of every instrument, and how far the market is",
        **_READ,
    ),
    Operation(
        "GET",
        "/marketdata/quarantine",
        GetQuarantine,
        QuarantineLines,
        "records that the hub has refused to publish",
        priority="low",
        fallback="last",
    ),
    *(
        Operation("GET", f"/marketdata/{path}", request, DataAnswer, f"{what} of a data provider", **_OUTSIDE)
        for path, request, what in _DATA
    ),
    Operation("GET", "/marketdata/sources", GetProviders, ProviderStates, "how the data providers stand", **_OUTSIDE),
)

__all__ = ["ASKED_OUTSIDE", "OPERATIONS"]
