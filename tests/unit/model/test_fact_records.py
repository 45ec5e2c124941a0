"""What providers tell goes onto the star and comes back as it was, its provenance too."""

import math

import numpy as np
import pytest

from nautilus.model.datasets import BarFact, DataKind, EconomicFact, FundamentalFact, Provenance, QuoteFact
from nautilus.model.fact_records import RECORD_OF, fact_records, facts_of_records
from nautilus.model.marketdata import FactFlag

FROM = Provenance("trading_economics", "https://api.example/historical?s=1", 1_700_000_000_000_000_000)
MADE_UP = Provenance("synthetic", "synthetic:BAR/X", 5, True)
FACTS = {
    DataKind.QUOTE: (
        QuoteFact("AAPL", 7, 1.5, None, 2.5, 0.0, None, 1e18, "USD", "NASDAQ", FROM),
        QuoteFact("É", 0, None, None, None, None, None, None, "", "", MADE_UP),
    ),
    DataKind.BAR: (
        BarFact("AAPL", "1d", 1, 2, 1.25, 2.0, 1.0, 1.5, None, 1.4999999, "USD", FROM),
        BarFact("X", "1mo", -5, 2, 1.0, 2.0, 1.0, 1.5, 10.0, None, "", MADE_UP),
    ),
    DataKind.FUNDAMENTAL: (
        FundamentalFact("AAPL", "us-gaap:" + "A" * 180, -3.5, "USD/shares", 0, 9, 11, "10-K/A", FROM),
        FundamentalFact("X", "Assets", None, "", 9, 9, 0, "", MADE_UP),
    ),
    DataKind.ECONOMIC: (
        EconomicFact("ECB/EXR/USD", 1, 2, None, "US dollars per euro", "daily, close of 14:15 C.E.T.", 3, FROM),
        EconomicFact("GDP", 1, 2, 0.1, "", "", 0, MADE_UP),
    ),
}


@pytest.mark.parametrize("kind", RECORD_OF)
def test_facts_come_back_as_they_were(kind):
    records = fact_records(kind, FACTS[kind], {"AAPL": 7, "GDP": 8})
    assert records.dtype is RECORD_OF[kind]
    assert tuple(facts_of_records(kind, np.frombuffer(records.tobytes(), records.dtype))) == FACTS[kind]
    assert records["flags"].tolist() == [0, int(FactFlag.SYNTHETIC)]
    assert set(records["instrument_id"].tolist()) <= {0, 7, 8}
    assert records.dtype.itemsize == sum(records.dtype[name].itemsize for name in records.dtype.names)
    assert not len(fact_records(kind, (), {}))


def test_what_is_no_number_stays_one_where_there_has_to_be_one():
    bar = BarFact("A", "1d", 1, 2, math.nan, 2.0, 1.0, 1.5, None, None, "", FROM)
    (found,) = facts_of_records(DataKind.BAR, fact_records(DataKind.BAR, [bar], {}))
    assert math.isnan(found.open)
    assert found.volume is None


def test_a_text_that_is_cut_is_flagged_and_cut_between_characters():
    long = Provenance("fred", "https://" + "é" * 200, 1, True)
    records = fact_records(DataKind.ECONOMIC, [EconomicFact("GDP", 1, 2, 0.1, "", "", 0, long)], {})
    assert records["flags"].tolist() == [FactFlag.SYNTHETIC | FactFlag.CUT]
    (found,) = facts_of_records(DataKind.ECONOMIC, records)
    assert found.provenance.url == "https://" + "é" * 124
    assert found.provenance.synthetic
