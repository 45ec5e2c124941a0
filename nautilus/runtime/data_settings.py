"""Settings of the hub's door to data providers: what it keeps, how long, and what it asks for ahead."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from nautilus.model.datasets import DataKind
from nautilus.policy.datacache import Lifetime

NANOSECONDS = 1_000_000_000
Seconds = Annotated[float, Meta(ge=0, le=31_536_000)]
Share = Annotated[float, Meta(ge=0, le=1)]


class DataConfig(msgspec.Struct, frozen=True):
    """The hub's door to data providers.

    Parameters
    ----------
    quote_seconds, bar_seconds, fundamental_seconds, economic_seconds, listing_seconds, event_seconds
        How long an answer of that kind is fresh: nobody is asked again.
    stale_factor
        For so many times as long again it is served, marked stale, while a new one is asked for.
    error_seconds
        And for so long after that where no new one can be had.
    negative_seconds
        How long it is kept that a provider has no such thing.
    retry_seconds
        After any other failure nobody is asked again for so long, where the provider does not say how long.
    entries, mib
        Answers that are kept, and their size, at most.
    questions
        Of which the answer is under way, at most; one more is refused.
    ask_seconds
        Until an answer has to be there.
    answer_mib
        One answer, at most.
    publish
        Records of one answer on the star, at most; the latest.
    prefetch
        Ask ahead what is likely to be wanted next.
    prefetch_confidence
        With this probability at least.
    prefetch_per_minute
        So many questions at most.
    prefetch_reserve
        Share of a provider's quota that is never used for it.
    """

    quote_seconds: Seconds = 5.0
    bar_seconds: Seconds = 60.0
    fundamental_seconds: Seconds = 86_400.0
    economic_seconds: Seconds = 3_600.0
    listing_seconds: Seconds = 86_400.0
    event_seconds: Seconds = 900.0
    stale_factor: Annotated[float, Meta(ge=0, le=1000)] = 4.0
    error_seconds: Seconds = 86_400.0
    negative_seconds: Seconds = 60.0
    retry_seconds: Seconds = 2.0
    entries: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    mib: Annotated[int, Meta(ge=1, le=65_536)] = 256
    questions: Annotated[int, Meta(ge=1, le=512)] = 256
    ask_seconds: Annotated[float, Meta(gt=0, le=300)] = 8.0
    answer_mib: Annotated[int, Meta(ge=1, le=1024)] = 32
    publish: Annotated[int, Meta(ge=0, le=1_000_000)] = 5_000
    prefetch: bool = True
    prefetch_confidence: Share = 0.6
    prefetch_per_minute: Annotated[float, Meta(ge=0, le=60_000)] = 300.0
    prefetch_reserve: Share = 0.5

    def lifetime(self, kind: DataKind) -> Lifetime:
        """Of answers of a kind."""
        fresh = float(getattr(self, f"{kind.value}_seconds"))
        return Lifetime(
            round(fresh * NANOSECONDS),
            round(fresh * self.stale_factor * NANOSECONDS),
            round(self.error_seconds * NANOSECONDS),
            round(self.negative_seconds * NANOSECONDS),
        )


__all__ = ["DataConfig"]
