"""A data process whose sources ask a counting server over real sockets, one connection each."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from nautilus.core.clock import now_ns
from nautilus.model.datasets import (
    BarFact,
    DataKind,
    EconomicFact,
    EventFact,
    Fact,
    FundamentalFact,
    GetData,
    ListingFact,
    Provenance,
    ProviderState,
    QuoteFact,
)
from nautilus.model.errors import VenueError
from nautilus.runtime import data_process
from nautilus.runtime.data_frames import Begin

SERVER = "NAUTILUS_TEST_DATA_SERVER"
KINDS: dict[str, tuple[DataKind, ...]] = {
    "ibkr": (DataKind.QUOTE, DataKind.BAR),
    "alpha_vantage": (DataKind.BAR, DataKind.FUNDAMENTAL, DataKind.QUOTE),
    "fred": (DataKind.ECONOMIC,),
    "edgar": (DataKind.FUNDAMENTAL, DataKind.EVENT),
    "datagov": (DataKind.LISTING,),
    "trading_economics": (DataKind.EVENT, DataKind.ECONOMIC),
    "dbnomics": (DataKind.ECONOMIC, DataKind.LISTING),
    "yahoo": (DataKind.QUOTE, DataKind.BAR, DataKind.LISTING),
}
"""The eight providers of the platform, and what they are asked for in the access pattern."""


class LineError(VenueError):
    """The server went away."""

    code = "source.unavailable"


class MissingError(VenueError):
    """The server has no such thing."""

    code = "source.not_found"


class LimitedError(VenueError):
    """The server says that it was asked too often."""

    code = "source.rate_limited"

    def __init__(self, what: str, retry_seconds: float) -> None:
        super().__init__(what)
        self.retry_seconds = retry_seconds


class LineSource:
    """Asks a line, gets a line of JSON: a provider with one connection, kept open."""

    def __init__(self, name: str, kinds: tuple[DataKind, ...], address: str) -> None:
        self.name = name
        self.kinds = kinds
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._lock = asyncio.Lock()
        self.calls = self.errors = 0
        self.last = ""

    async def fetch(self, question: GetData) -> data_process.Fetched:
        """One question at a time over the one connection."""
        async with self._lock:
            self.calls += 1
            try:
                told = await self._ask(question)
            except OSError as error:
                self.errors += 1
                self.last = str(error)
                await self.close()
                raise LineError(f"the server is away: {error}", where=self.name) from None
            except EOFError:
                self.errors += 1
                await self.close()
                raise LineError("the server closed", where=self.name) from None
        if told.get("error") == "not_found":
            raise MissingError(f"no {question.symbol}", where=self.name)
        if told.get("error") == "limited":
            raise LimitedError("asked too often", float(told["retry"]))
        provenance = Provenance(self.name, f"line://{self._host}/{question.kind}/{question.symbol}", now_ns())
        return Answer(
            tuple(fact(question, index, told["value"], provenance) for index in range(told["rows"])), provenance
        )

    async def _ask(self, question: GetData) -> dict[str, object] | dict[str, float]:
        if self._ends is None:
            self._ends = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._ends
        asked = {"source": self.name, "kind": question.kind, "symbol": question.symbol}
        writer.write(json.dumps(asked).encode() + b"\n")
        await writer.drain()
        line = await reader.readline()
        if not line:
            raise EOFError
        return json.loads(line)

    def state(self) -> ProviderState:
        """How it stands."""
        return ProviderState(
            self.name,
            "failing" if self.last else "ready",
            self.kinds,
            calls=self.calls,
            errors=self.errors,
            day_left=1000 - self.calls,
            day_limit=1000,
            cost=0.01 * self.calls,
            connections=int(self._ends is not None),
            last_error=self.last,
            last_code="source.unavailable" if self.last else "",
        )

    async def close(self) -> None:
        """Close the connection."""
        if self._ends is not None:
            self._ends[1].close()
            self._ends = None


class Answer:
    """What was fetched."""

    def __init__(self, facts: tuple[Fact, ...], provenance: Provenance) -> None:
        self.facts = facts
        self.provenance = provenance


def fact(question: GetData, index: int, value: float, provenance: Provenance) -> Fact:
    """One of each kind."""
    name, begin = question.symbol, index * 86_400_000_000_000
    end = begin + 86_400_000_000_000
    match question.kind:
        case DataKind.QUOTE:
            touch = value - 0.005, value + 0.005, 250.0, None
            return QuoteFact(name, begin, value, *touch, None, "USD", "", provenance)
        case DataKind.BAR:
            return BarFact(name, "1d", begin, end, value, value, value, value, None, None, "USD", provenance)
        case DataKind.FUNDAMENTAL:
            return FundamentalFact(name, "Assets", value, "USD", begin, end, end, "10-Q", provenance)
        case DataKind.ECONOMIC:
            return EconomicFact(name, begin, end, value, "Index", "monthly", end, provenance)
        case DataKind.LISTING:
            return ListingFact(name, name, "", "", "", "", "", begin, end, 0, (), provenance)
        case DataKind.EVENT:
            return EventFact(name, begin, "", "", name, "", "", "", "", provenance)


def sources(begin: Begin) -> dict[str, data_process.Source]:
    """All eight, at the server of the environment."""
    return {name: LineSource(name, kinds, os.environ[SERVER]) for name, kinds in KINDS.items()}


if __name__ == "__main__":
    data_process.main(int(sys.argv[1]), sources)
