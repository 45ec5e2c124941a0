"""What the process of data providers answers with what its sources tell."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from nautilus.model.datasets import BarFact, DataKind, Fact, GetData, Provenance, ProviderState
from nautilus.model.fact_records import fact_records
from nautilus.runtime import data_process
from nautilus.runtime.data_frames import Ask, Begin, Failed, Found
from nautilus.runtime.data_process import DataProcess

BEGIN = Begin({}, "", "", False, {}, 100, 5.0)


class Told(NamedTuple):
    """What a source answers."""

    facts: tuple[Fact, ...]
    provenance: Provenance


class Source:
    """Tells nothing, from there."""

    def __init__(self, provenance: Provenance) -> None:
        self.provenance = provenance

    async def fetch(self, _: GetData) -> Told:
        return Told((), self.provenance)

    def state(self) -> ProviderState:
        return ProviderState("edgar", "ready", (DataKind.LISTING,))

    async def close(self) -> None:
        pass


def test_an_answer_that_was_never_fetched_is_refused() -> None:
    """Its age would be that of the epoch, and it would be told so to whoever asks."""
    ask = Ask(1, GetData(DataKind.LISTING, "tesla", "edgar"))

    def answered(fetched_ns: int) -> object:
        source = Source(Provenance("edgar", "https://www.sec.gov/files", fetched_ns))
        return asyncio.run(DataProcess(BEGIN, {"edgar": source}).answer(ask))

    assert isinstance(answered(1), Found)
    refused = answered(0)
    assert isinstance(refused, Failed)
    assert refused.code == "internal"
    assert "never fetched" in refused.what


@pytest.mark.parametrize("more", ["", "x" * 300])
def test_a_bar_that_is_fetched_again_by_another_url_is_no_news(more: str) -> None:
    told = data_process.Told()

    def news(close: float, url: str, fetched_ns: int) -> int:
        bar = BarFact("AAPL", "1d", 1, 2, 1.0, 2.0, 1.0, close, 9.0, None, "USD", Provenance("yahoo", url, fetched_ns))
        return len(told.news(fact_records(DataKind.BAR, [bar], {})))

    assert news(1.5, "https://query1/AAPL?period2=1", 7) == 1
    assert news(1.5, "https://query1/AAPL?period2=2" + more, 8) == 0
    assert news(1.6, "https://query1/AAPL?period2=3", 9) == 1
