"""Made-up data for development: deterministic, in the shape of what providers tell, and marked in every record.

Used where `marketdata.allow_synthetic` asks for it by name and no provider can answer. A symbol and a time always give
the same numbers, whatever the range that is asked for.
"""

from __future__ import annotations

from hashlib import blake2b
from math import exp

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
    QuoteFact,
)

SOURCE = "synthetic"
DAY_NS = 86_400 * 1_000_000_000
INTERVALS = {
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "1d": 86_400,
    "1w": 604_800,
    "1mo": 2_592_000,
}
MOST = 1_000
"""Facts of one answer."""
_CONCEPTS = (("Assets", 9e9), ("Revenues", 4e9), ("NetIncomeLoss", 5e8))


def made_up(question: GetData, now_ns: int) -> tuple[tuple[Fact, ...], Provenance]:
    """Facts for a question; none of them is true."""
    provenance = Provenance(SOURCE, f"synthetic:{question.kind}/{question.symbol}", now_ns, True)
    return tuple(_MAKERS[question.kind](question, now_ns, provenance)), provenance


def _unit(*parts: object) -> float:
    """A number from 0 up to 1 that stands for these."""
    digest = blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / (1 << 64)


def _price(symbol: str, at_ns: int) -> float:
    """A price that moves a little with every minute, hour, day and month."""
    base = 10 + 490 * _unit(symbol, "base")
    moved = 0.0
    for name, span_ns, width in (
        ("month", 30 * DAY_NS, 0.10),
        ("day", DAY_NS, 0.02),
        ("hour", 3_600_000_000_000, 0.005),
        ("minute", 60_000_000_000, 0.001),
    ):
        begin, part = divmod(at_ns, span_ns)
        one, two = (_unit(symbol, name, begin + step) for step in (0, 1))
        moved += width * (one + (two - one) * part / span_ns - 0.5)
    return float(round(base * exp(moved), 4))


def _steps(question: GetData, now_ns: int, step_ns: int) -> range:
    end = min(question.end_ns or now_ns, now_ns) // step_ns
    begin = -(-question.begin_ns // step_ns) if question.begin_ns else end - 250
    most = min(question.limit or MOST, MOST)
    return range(max(begin, end - most, 0), end)


def _quotes(question: GetData, now_ns: int, provenance: Provenance) -> list[Fact]:
    last = _price(question.symbol, now_ns)
    half = round(last * 0.0002, 4)
    return [
        QuoteFact(
            question.symbol, now_ns, last, last - half, last + half, 100.0, 100.0, None, "USD", SOURCE, provenance
        )
    ]  # fmt: skip


def _bars(question: GetData, now_ns: int, provenance: Provenance) -> list[Fact]:
    interval = question.interval if question.interval in INTERVALS else "1d"
    step_ns = INTERVALS[interval] * 1_000_000_000
    found: list[Fact] = []
    for step in _steps(question, now_ns, step_ns):
        begin_ns, end_ns = step * step_ns, (step + 1) * step_ns
        prices = [_price(question.symbol, begin_ns + part * (step_ns // 4)) for part in range(5)]
        volume = round(1e6 * _unit(question.symbol, "volume", interval, step))
        found.append(
            BarFact(
                question.symbol, interval, begin_ns, end_ns, prices[0], max(prices), min(prices), prices[-1],
                float(volume), prices[-1], "USD", provenance,
            )
        )  # fmt: skip
    return found


def _fundamentals(question: GetData, now_ns: int, provenance: Provenance) -> list[Fact]:
    step_ns = 91 * DAY_NS
    return [
        FundamentalFact(
            question.symbol, concept, round(size * (0.5 + _unit(question.symbol, concept, step)), 2), "USD",
            step * step_ns, (step + 1) * step_ns, (step + 1) * step_ns + 30 * DAY_NS, "10-Q", provenance,
        )
        for step in list(_steps(question, now_ns, step_ns))[-20:]
        for concept, size in _CONCEPTS
    ]  # fmt: skip


def _economics(question: GetData, now_ns: int, provenance: Provenance) -> list[Fact]:
    step_ns = 30 * DAY_NS
    return [
        EconomicFact(
            question.symbol, step * step_ns, (step + 1) * step_ns, round(100 * _unit(question.symbol, step), 3),
            "Index", "monthly", (step + 1) * step_ns, provenance,
        )
        for step in _steps(question, now_ns, step_ns)
    ]  # fmt: skip


def _listings(question: GetData, now_ns: int, provenance: Provenance) -> list[Fact]:
    return [
        ListingFact(
            f"{question.symbol}-{number}", f"Made-up {question.symbol} {number}", "synthetic", "made up", "USD", "",
            "", 0, 0, now_ns, (), provenance,
        )
        for number in range(1, 4)
    ]  # fmt: skip


def _events(question: GetData, now_ns: int, provenance: Provenance) -> list[Fact]:
    day = now_ns // DAY_NS
    return [
        EventFact(
            f"{question.symbol}-{day + ahead}", (day + ahead) * DAY_NS, "synthetic", "", f"Made-up {question.symbol}",
            "", "", "", "", provenance,
        )
        for ahead in (1, 8, 30)
    ]  # fmt: skip


_MAKERS = {
    DataKind.QUOTE: _quotes,
    DataKind.BAR: _bars,
    DataKind.FUNDAMENTAL: _fundamentals,
    DataKind.ECONOMIC: _economics,
    DataKind.LISTING: _listings,
    DataKind.EVENT: _events,
}

__all__ = ["SOURCE", "made_up"]
