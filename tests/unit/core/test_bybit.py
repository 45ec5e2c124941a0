"""The decoder of Bybit logs against Python's own JSON, message by message."""

import json
import random

import pytest

from nautilus.core.bybit import DELTA, SNAPSHOT, BybitDecoder
from nautilus.core.types import BookAction, Side


def message(kind, update_id, bids, asks, symbol="XRPUSDT", ts=1_733_011_200_691, **more):
    levels = {"s": symbol, "b": bids, "a": asks, "u": update_id, "seq": 7 * update_id}
    return json.dumps(
        {"topic": f"orderbook.500.{symbol}", "type": kind, "ts": ts, "data": levels, "cts": ts - 2} | more
    )


def expected_of(text):
    """(side, action, price in 0.0001, quantity) as Python reads a message."""
    found = json.loads(text)
    out = []
    for side, name in ((Side.BUY, "b"), (Side.SELL, "a")):
        if found["type"] == "snapshot":
            out.append((side, BookAction.CLEAR, 0, 0))
        for price, quantity in found["data"][name]:
            out.append((side, BookAction.SET, round(float(price) * 10_000), int(quantity)))
    return out


def test_random_messages_are_those_of_python():
    chance = random.Random(1)

    def levels():
        return [
            [f"{chance.randrange(1, 10**6) / 1e4:.4f}", str(chance.randrange(10**6))]
            for _ in range(chance.randrange(6))
        ]

    texts = [message(chance.choice(["snapshot", "delta"]), i, levels(), levels()) for i in range(1, 300)]
    batch = BybitDecoder("0.0001", "1").decode("\n".join(texts).encode())
    assert batch.fault is None
    assert len(batch.lines) == len(texts)
    for line, text in zip(batch.lines, texts, strict=True):
        part = batch.deltas[line["first"] : line["first"] + line["count"]]
        found = list(zip(*(part[name].tolist() for name in ("side", "action", "price_ticks", "quantity")), strict=True))
        assert found == expected_of(text)
        document = json.loads(text)
        assert line["kind"] == (SNAPSHOT if document["type"] == "snapshot" else DELTA)
        assert (line["update_id"], line["sequence"]) == (document["data"]["u"], document["data"]["seq"])
        assert (line["now_ns"], line["venue_ns"]) == (document["ts"] * 10**6, document["cts"] * 10**6)


def test_other_topics_and_symbols_are_counted():
    decoder = BybitDecoder("0.0001", "1")
    text = "\n".join(
        [
            '{"success":true,"op":"subscribe"}',
            message("snapshot", 1, [], []),
            message("delta", 2, [], [], "BTCUSDT"),
            "",
        ]
    )
    batch = decoder.decode(text.encode())
    assert (decoder.symbol, decoder.topics_skipped, decoder.symbols_skipped, len(batch.lines)) == ("XRPUSDT", 1, 1, 1)


def test_topics_whose_data_is_a_list_are_counted():
    trade = {"topic": "publicTrade.XRPUSDT", "type": "snapshot", "ts": 1, "data": [{"s": "XRPUSDT", "p": "1.9"}]}
    decoder = BybitDecoder("0.0001", "1")
    batch = decoder.decode("\n".join([json.dumps(trade), message("snapshot", 1, [], [])]).encode())
    assert batch.fault is None
    assert (decoder.symbol, decoder.topics_skipped, len(batch.lines)) == ("XRPUSDT", 1, 1)
    torn = json.dumps({"topic": "orderbook.500.XRPUSDT", "type": "delta", "ts": 1, "data": ["x"]})
    assert decoder.decode(torn.encode()).fault.what == "field u is missing"


def test_an_empty_symbol_is_none():
    nameless, named = message("delta", 1, [], [], ""), message("delta", 2, [], [])
    together, apart = BybitDecoder("0.0001", "1"), BybitDecoder("0.0001", "1")
    assert len(together.decode(f"{nameless}\n{named}".encode()).lines) == 1
    assert [len(apart.decode(each.encode()).lines) for each in (nameless, named)] == [0, 1]
    assert together.symbols_skipped == apart.symbols_skipped == 1


def test_a_symbol_that_is_no_text_is_not_taken_for_the_wanted_one():
    decoder = BybitDecoder("0.0001", "1")
    odd = [message("delta", 1, [], [], symbol) for symbol in ([["1.5", "2"]], 5)]
    assert len(decoder.decode("\n".join([*odd, message("delta", 2, [], [])]).encode()).lines) == 1
    assert (decoder.symbol, decoder.symbols_skipped) == ("XRPUSDT", 2)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("hello", "line begins with 'hello'"),
        (message("delta", 1, [], [])[:-9], "malformed JSON at column"),
        (message("delta", 1, [], []) + "x", "malformed JSON at column"),
        (message("other", 1, [], []), "field type is 'other'"),
        (message("delta", 1, [["1.00001", "2"]], []), "price in field b is '1.00001'"),
        (message("delta", 1, [["1", "2.5"]], []), "quantity in field b is '2.5'"),
        (message("delta", 1, [["1"]], []), "levels in field b break off"),
        (message("delta", 1, [], [["-1", "2"]]), "number in field a is '-1'"),
        (message("delta", -1, [], []), "field u is '-1'"),
        (message("delta", 1, [], []).replace('"seq"', '"u"'), "field u appears twice"),
        (message("delta", 1, [], []).replace('"u"', '"v"'), "field u is missing"),
        (message("delta", 1, [], []).replace('"ts"', '"tz"'), "field ts is missing"),
    ],
)
def test_a_faulty_line_is_named_and_those_before_it_are_given(line, what):
    batch = BybitDecoder("0.0001", "1").decode((message("snapshot", 1, [["1", "1"]], []) + "\n" + line).encode())
    assert batch.fault is not None
    assert batch.fault.line == 2
    assert batch.fault.what.startswith(what)
    assert len(batch.lines) == 1
    assert len(batch.deltas) == 3
