"""Facts in the order of their times, and as many of them as were asked for."""

from __future__ import annotations

from collections.abc import Iterable

from nautilus.model.datasets import (
    BarFact,
    DataKind,
    EconomicFact,
    EventFact,
    Fact,
    FundamentalFact,
    GetData,
    ListingFact,
    QuoteFact,
)


def time_of(fact: Fact) -> int:
    """By what a fact is put in order: the beginning of its period, or its time."""
    match fact:
        case BarFact() | EconomicFact() | FundamentalFact():
            return fact.begin_ns
        case QuoteFact() | EventFact():
            return fact.time_ns
        case ListingFact():
            return 0


def within(facts: Iterable[Fact], question: GetData) -> tuple[Fact, ...]:
    """Those in the range asked for, in order of time, the latest `limit` of them (of a listing: the first)."""
    if question.kind is DataKind.LISTING:
        found = tuple(facts)
        return found[: question.limit] if question.limit else found
    begin_ns, end_ns = question.begin_ns, question.end_ns
    kept = [
        fact
        for fact in facts
        if question.kind is DataKind.QUOTE
        or ((not begin_ns or time_of(fact) >= begin_ns) and (not end_ns or time_of(fact) < end_ns))
    ]
    kept.sort(key=time_of)
    return tuple(kept[-question.limit :] if question.limit else kept)
