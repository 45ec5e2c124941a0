"""Facts of providers and refused ticks as `nautilus tap` prints them: columns, words for numbers, nothing for NaN."""

import json

import numpy as np

from nautilus.cli.tap_topic import as_text, lines_of
from nautilus.core.ticks import QUARANTINE, TickKind, TickReason
from nautilus.model.datasets import DataKind, Provenance, QuoteFact
from nautilus.model.fact_records import fact_records
from nautilus.model.topics import QUARANTINES, QUOTE_FACTS


def test_a_fact_has_its_columns_and_says_nothing_where_it_was_told_nothing():
    where = Provenance("yahoo", "https://yahoo.example/É", 5)
    fact = QuoteFact("AAPL", 7, 1.5, None, 2.5, None, None, None, "USD", "", where)
    (line,) = lines_of(QUOTE_FACTS, fact_records(DataKind.QUOTE, [fact], {"AAPL": 3}), {3: "AAPL"}, 0, 9)
    assert (line["at_ns"], line["type"], line["symbol"], line["last"], line["bid"]) == (
        9,
        "quote.fact",
        "AAPL",
        1.5,
        None,
    )
    assert line["url"] == "https://yahoo.example/É"
    assert json.loads(json.dumps(line, allow_nan=False)) == line
    assert "last=1.5" in as_text(line)
    assert not list(lines_of(QUOTE_FACTS, fact_records(DataKind.QUOTE, [fact], {"AAPL": 3}), {}, 4, 9))


def test_a_refused_tick_says_what_it_was_and_why_it_was_refused():
    rows = np.zeros(1, QUARANTINE)
    rows["kind"], rows["reason"], rows["instrument_id"], rows["price"] = TickKind.TRADE, TickReason.JUMP, 1, 600
    (line,) = lines_of(QUARANTINES, rows, {1: "BTCUSDT"})
    assert (line["kind"], line["reason"], line["symbol"], line["price"]) == ("TRADE", "JUMP", "BTCUSDT", 600)
    assert "reserved" not in line
    assert "padding" not in line
