"""Made-up data: the same for the same question, in order, and marked in every fact."""

from __future__ import annotations

import itertools

import pytest

from nautilus.model.datasets import FACTS, DataKind, GetData
from nautilus.model.fact_records import RECORD_OF, fact_records
from nautilus.model.marketdata import FactFlag
from nautilus.runtime.data_process import Told
from nautilus.runtime.data_synthetic import made_up

NOW_NS = 1_706_659_200_000_000_000


@pytest.mark.parametrize("kind", DataKind)
def test_it_is_deterministic_and_marked(kind):
    question = GetData(kind, "ABC", interval="1h" if kind is DataKind.BAR else "")
    facts, provenance = made_up(question, NOW_NS)
    assert (facts, provenance) == made_up(question, NOW_NS)
    assert facts
    assert provenance.synthetic
    assert {type(fact) for fact in facts} == {FACTS[kind]}
    assert all(fact.provenance.synthetic for fact in facts)


def test_a_bar_is_the_same_whatever_the_range():
    wide, _ = made_up(GetData(DataKind.BAR, "ABC", "", "1d", NOW_NS - 50 * 86_400_000_000_000, NOW_NS), NOW_NS)
    narrow, _ = made_up(GetData(DataKind.BAR, "ABC", "", "1d", 0, NOW_NS, 3), NOW_NS)
    assert wide[-3:] == narrow
    for bar in wide:
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
    for one, two in itertools.pairwise(wide):
        assert (one.end_ns, one.close) == (two.begin_ns, two.open)


@pytest.mark.parametrize("kind", RECORD_OF)
def test_records_are_marked_and_told_once(kind):
    facts, _ = made_up(GetData(kind, "ABC"), NOW_NS)
    records = fact_records(kind, facts, {"ABC": 7})
    assert len(records) == len(facts)
    assert set(records["flags"].tolist()) == {int(FactFlag.SYNTHETIC)}
    assert set(records["instrument_id"].tolist()) == {7}
    told = Told(most=100_000)
    assert told.news(records).tobytes() == records.tobytes()
    later = records.copy()
    later["fetched_ns"] += 1
    assert not len(told.news(later))
    later["flags"][0] = 0
    assert len(told.news(later)) == 1
