"""A touch that a provider told as a QUOTE record: never better than it was told, and by whom."""

import math

import pytest

from nautilus.adapters.sources import SOURCES
from nautilus.model.datasets import DataKind, Provenance, QuoteFact
from nautilus.model.fact_quotes import PROVIDERS, touch_records
from nautilus.model.fact_records import RECORD_OF, fact_records, facts_of_records
from tests.kit.context import btcusdt

INSTRUMENT = btcusdt(instrument_id=7)  # a tick of 0.1, a lot of 0.001
IDS = {"BTCUSDT": 7}


def told(bid, ask, bid_quantity=None, ask_quantity=None, *, symbol="BTCUSDT", currency="USDT", **where):
    provenance = Provenance(**{"source": "yahoo", "url": "https://x", "fetched_ns": 11} | where)
    return QuoteFact(symbol, 5, 1.0, bid, ask, bid_quantity, ask_quantity, None, currency, "", provenance)


def quotes(*facts):
    records = fact_records(DataKind.QUOTE, facts, IDS)
    records["now_ns"] = 13
    return touch_records(records, {7: INSTRUMENT}).tolist()


def test_every_provider_has_a_number_and_its_name_on_every_record():
    assert set(PROVIDERS) == set(SOURCES)
    assert len(PROVIDERS) == len(set(PROVIDERS))
    for number, name in enumerate(PROVIDERS, 1):
        fact = told(1.0, 1.2, source=name)
        assert quotes(fact)[0][-1] == number
        records = fact_records(DataKind.QUOTE, [fact], IDS)
        assert facts_of_records(DataKind.QUOTE, records) == [fact]
        for dtype in RECORD_OF.values():
            assert dtype["source"].itemsize >= len(name)
            assert "url" in dtype.names


def test_a_touch_is_in_ticks_and_lots():
    assert quotes(told(163.2, 163.3, 0.5, 2.0)) == [(13, 5, 11, 1632, 500, 1633, 2000, 7, 0, 8)]


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (told(163.25, 163.31), (1632, 1, 1634, 1)),  # off tick: rounded away; no quantity: one lot
        (told(163.2, None), (1632, 1, 0, 0)),
        (told(None, 163.2, None, 0.0001), (0, 0, 1632, 1)),
        (told(0.1, 0.3, 0.0, 1.0), (1, 0, 3, 1000)),  # the provider says that nobody stands there
    ],
)
def test_a_touch_is_never_better_than_it_was_told(fact, expected):
    assert quotes(fact)[0][3:7] == expected


@pytest.mark.parametrize(
    "fact",
    [
        told(None, None),
        told(1.0, 1.2, symbol="ETHUSDT"),
        told(1.0, 1.2, currency="EUR"),
        told(1.0, 1.2, synthetic=True),
        told(1.0, 1.2, source="nobody"),
        told(1e30, 1e30),
        told(math.inf, 1.2),
        told(1.0, 1.2, -1.0, 1.0),
        told(1.0, 1.2, 1e30, 1.0),
    ],
)
def test_what_is_no_touch_of_it_is_no_quote(fact):
    assert quotes(fact) == []
