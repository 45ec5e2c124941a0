"""What the process of data providers answers with what its sources tell."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from nautilus.model.datasets import DataKind, Fact, GetData, Provenance, ProviderState
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
