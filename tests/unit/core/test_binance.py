"""The decoder of raw Binance logs, against json.loads and Decimal."""

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nautilus.core import binance
from nautilus.core.binance import BinanceDecoder
from nautilus.core.types import BookAction, RecordFlag, Side

DIFF = (
    '{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1001,"T":1000,"s":"BTCUSDT","U":5,"u":9,"pu":4,'
    '"b":[["100.10","0.014"],["99.0","0.000"]],"a":[["100.3","2.000"]]}}'
)
TICKER = (
    '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":7,"s":"BTCUSDT","b":"100.10","B":"2.507",'
    '"a":"100.30","A":"2.510","T":1002,"E":1003}}'
)
TRADE = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":1005,"T":1004,"s":"BTCUSDT","t":77,"p":"100.30","q":"0.006",'
    '"X":"MARKET","m":false}}'
)
SNAPSHOT = '{"lastUpdateId":8,"E":1001,"T":999,"bids":[["100.1","1.000"]],"asks":[["100.3","3.000"],["101.0","0.500"]]}'


def decode(*lines, increment="0.1", lot="0.001", **options):
    """Decode lines, stamped 10, 20, ... unless they are bytes already."""
    text = b"".join(
        line if isinstance(line, bytes) else f"{10 * i} {line}\n".encode() for i, line in enumerate(lines, 1)
    )
    return BinanceDecoder(increment, lot, **options).decode(text)


def changed(line, **fields):
    """A line with other fields in its data; None takes a field out."""
    message = json.loads(line)
    data = message.get("data", message)
    for name, value in fields.items():
        if value is None:
            data.pop(name, None)
        else:
            data[name] = value
    return json.dumps(message)


def test_diff_becomes_absolute_levels():
    batch = decode(DIFF, instrument_id=3)
    assert batch.fault is None
    line = batch.lines[0]
    assert (line["kind"], line["first_id"], line["last_id"], line["previous_id"]) == (binance.LINE_DIFF, 5, 9, 4)
    assert (line["first"], line["count"], line["now_ns"], line["venue_ns"]) == (0, 3, 10, 1_000_000_000)
    assert line["marks"] == binance.MARK_FUTURES | binance.MARK_PREVIOUS
    last = int(RecordFlag.LAST)
    assert batch.deltas.tolist() == [
        (10, 10**9, 9, 0, 1001, 14, 3, Side.BUY, BookAction.SET, 0),
        (10, 10**9, 9, 0, 990, 0, 3, Side.BUY, BookAction.SET, 0),
        (10, 10**9, 9, 0, 1003, 2000, 3, Side.SELL, BookAction.SET, last),
    ]


def test_snapshot_begins_each_side_with_clear():
    batch = decode(SNAPSHOT)
    actions = [int(a) for a in batch.deltas["action"]]
    clear, put = int(BookAction.CLEAR), int(BookAction.SET)
    assert actions == [clear, put, clear, put, put]
    assert all(flags & RecordFlag.SNAPSHOT for flags in batch.deltas["flags"].tolist())
    assert [bool(flags & RecordFlag.LAST) for flags in batch.deltas["flags"].tolist()] == [False] * 4 + [True]
    assert batch.lines[0]["last_id"] == 8


def test_ticker_and_trade_of_the_futures_market():
    batch = decode(TICKER, TRADE, changed(TRADE, m=True))
    assert batch.quotes.tolist() == [(10, 1002 * 10**6, 7, 1001, 2507, 1003, 2510, 1, RecordFlag.LAST, 0)]
    assert batch.trades["side"].tolist() == [Side.BUY, Side.SELL]
    assert batch.trades[0].tolist() == (20, 1004 * 10**6, 77, 1003, 6, 1, Side.BUY, 0, RecordFlag.LAST)
    assert set(batch.lines["marks"].tolist()) == {binance.MARK_FUTURES}


def test_ticker_of_the_spot_market_has_neither_event_nor_time():
    line = '{"stream":"x","data":{"u":7,"s":"BTCUSDT","b":"1.1","B":"2","a":"1.2","A":"3"}}'
    batch = decode(line)
    assert batch.quotes["venue_ns"].tolist() == [0]
    assert batch.lines["marks"].tolist() == [binance.MARK_SPOT]


def test_event_time_stands_in_for_a_missing_transaction_time():
    assert decode(changed(DIFF, T=None)).lines["venue_ns"].tolist() == [1001 * 10**6]


def test_messages_without_the_combined_stream_wrapper_are_read():
    bare = [json.dumps(json.loads(line)["data"]) for line in (DIFF, TICKER, TRADE)]
    assert decode(*bare).lines["kind"].tolist() == [binance.LINE_DIFF, binance.LINE_QUOTE, binance.LINE_TRADE]


@pytest.mark.parametrize(
    "line",
    [
        '{"result":null,"id":1}',
        "{}",
        '{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":1,"o":"1","x":[{"y":"]}"}]}}}',
        '{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1,"s":"BTCUSDT","p":"1","q":"1"}}',
        '{"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":1,"bids":[["1","1"]],"asks":[]}}',
        DIFF.replace("@depth@0ms", "@depth5@100ms"),
        '{"stream":"!ticker@arr","data":[{"e":"24hrTicker","s":"BTCUSDT"}]}',
    ],
)
def test_other_streams_are_counted_and_skipped(line):
    decoder = BinanceDecoder("0.1", "0.001", "BTCUSDT")
    batch = decoder.decode(f"1 {line}\n2 {TRADE}\n".encode())
    assert batch.fault is None
    assert len(batch.lines) == 1
    assert len(batch.deltas) == 0
    assert (decoder.streams_skipped, decoder.lines) == (1, 2)


def test_other_symbols_are_counted_and_skipped_whatever_their_tick():
    decoder = BinanceDecoder("0.1", "0.001")
    other = changed(DIFF, s="XRPUSDT", b=[["0.12345", "7"]])
    batch = decoder.decode(f"1 {DIFF}\n2 {other}\n3 {TRADE}\n".encode())
    assert batch.fault is None
    assert batch.lines["line"].tolist() == [1, 3]
    assert (decoder.symbol, decoder.symbols_skipped) == ("BTCUSDT", 1)


@pytest.mark.parametrize("fields", [{"q": "0"}, {"p": "0.00"}])
def test_trade_of_nothing_is_counted_and_skipped(fields):
    decoder = BinanceDecoder("0.1", "0.001", "BTCUSDT")
    assert len(decoder.decode(f"1 {changed(TRADE, **fields)}\n".encode()).lines) == 0
    assert decoder.void_trades == 1


def test_receive_stamp_that_goes_back_is_raised_and_counted():
    decoder = BinanceDecoder("0.1", "0.001")
    batch = decoder.decode(f"50 {TRADE}\n40 {TRADE}\n60 {TRADE}\n".encode())
    assert batch.lines["now_ns"].tolist() == [50, 50, 60]
    assert decoder.stamps_raised == 1


def test_line_ends_blanks_and_blank_lines_do_not_matter():
    spaced = DIFF.replace(":", " : ").replace(",", " ,\t").replace("depth @ 0ms", "depth@0ms").replace("]", " ]")
    batch = decode(f"\r\n\n7\t {spaced} \r\n\n8 {TICKER}".encode())
    assert batch.fault is None
    assert batch.lines["line"].tolist() == [3, 5]
    assert len(batch.deltas) == 3


@pytest.mark.parametrize(
    ("line", "what", "expected"),
    [
        (b"{}\n", "line begins with '{}'", "a receive stamp"),
        (b"12 \n", "line begins with '12 '", "a receive stamp"),
        (b"12 x\n", "line begins with '12 x'", "a receive stamp"),
        (b"99999999999999999999 {}\n", "line begins with", "a receive stamp"),
        (b"12 {\n", "malformed JSON at column 5", "one whole JSON object"),
        (b'12 {"a"\n', "malformed JSON", "one whole JSON object"),
        (b'12 {"a":\n', "malformed JSON", "one whole JSON object"),
        (b'12 {"a":[1\n', "malformed JSON", "one whole JSON object"),
        (b'12 {"a":"1\n', "malformed JSON", "one whole JSON object"),
        (b'12 {"a":1,}\n', "malformed JSON", "one whole JSON object"),
        (b'12 {"a":1}}\n', "malformed JSON at column 11", "one whole JSON object"),
        (b"12 {a:1}\n", "malformed JSON", "one whole JSON object"),
        (changed(DIFF, u=None), "field u is missing", "all fields"),
        (changed(DIFF, b=None), "field b is missing", "all fields"),
        (changed(TRADE, m=None), "field m is missing", "all fields"),
        (changed(TRADE, m=3), "field m is '3'", "true or false"),
        (changed(DIFF, u="x"), "field u is 'x'", "a whole number"),
        (changed(DIFF, u=-1), "field u is '-1'", "a whole number"),
        (changed(DIFF, u=1.5), "field u is '1.5'", "a whole number"),
        (changed(DIFF, u=2**63), "field u is", "a whole number below 2^63"),
        (changed(DIFF, T=2**62), "number in field T", "64 bits"),
        (changed(TRADE, p="100.35"), "price in field p is '100.35'", "a multiple of 0.1"),
        (changed(TRADE, q="0.0005"), "quantity in field q is '0.0005'", "a multiple of 0.001"),
        (changed(TRADE, p="1e5"), "number in field p is '1e5'", "a decimal without sign or exponent"),
        (changed(TRADE, p="-1"), "number in field p is '-1'", "a decimal"),
        (changed(TRADE, p="NaN"), "number in field p is 'NaN'", "a decimal"),
        (changed(TRADE, p=""), "number in field p is ''", "a decimal"),
        (changed(TRADE, p="1."), "number in field p is '1.'", "a decimal"),
        (changed(TRADE, p=".5"), "number in field p is '.5'", "a decimal"),
        (changed(TRADE, p="1.2.3"), "number in field p is '1.2.3'", "a decimal"),
        (changed(TRADE, p="9" * 19), "number in field p is", "64 bits"),
        (changed(DIFF, b=[["1", "1.0001"]]), "quantity in field b is '1.0001'", "a multiple of 0.001"),
        (changed(DIFF, a=[["1.01", "1"]]), "price in field a is '1.01'", "a multiple of 0.1"),
        (changed(DIFF, b="1"), "levels in field b break off", "[["),
        (changed(DIFF, b=[1]), "levels in field b break off", "[["),
        (changed(DIFF, b=[["1"]]), "levels in field b break off", "[["),
        (changed(SNAPSHOT, asks=None), "field asks is missing", "all fields"),
        ('{"u":1,"u":2}', "field u appears twice", "each field once"),
    ],
)
def test_faulty_line_is_named_and_lines_before_it_are_kept(line, what, expected):
    faulty = line if isinstance(line, bytes) else f"12 {line}\n".encode()
    batch = decode(TRADE, faulty, TRADE, symbol="BTCUSDT")
    assert len(batch.lines) == 1
    assert len(batch.deltas) == 0
    assert batch.fault.line == 2
    assert what in batch.fault.what
    assert expected in batch.fault.expected


@pytest.mark.parametrize("step", ["", "0", "-1", "1e-3", "abc", "0." + "0" * 18 + "1", "1.5.2"])
def test_step_that_is_no_positive_decimal_is_refused(step):
    with pytest.raises(ValueError, match="price_increment is"):
        BinanceDecoder(step, "1")


STEPS = st.sampled_from(["1", "10", "0.5", "0.25", "0.01", "0.00001", "0.00000001", "2.5"])


@settings(max_examples=300, deadline=None)
@given(
    STEPS, st.decimals(min_value=0, max_value=10**11, allow_nan=False, allow_infinity=False, places=8), st.booleans()
)
def test_decimal_becomes_exact_steps_or_is_refused(step, value, snap):
    if snap:
        value -= value % Decimal(step)
    assume(value < 2**62 * Decimal("1e-8"))
    text = f"{value:f}"
    batch = decode(changed(TRADE, p=text, q="1"), increment=step, lot="1")
    if value == 0:
        assert batch.fault is None
    elif value % Decimal(step):
        assert f"price in field p is '{text}'" in batch.fault.what
    else:
        assert batch.trades["price_ticks"].tolist() == [int(value / Decimal(step))]


class NaiveDecoder:
    """The same decoding by json.loads and Decimal, for lines known to be right."""

    def __init__(self, increment, lot):
        self.increment, self.lot = Decimal(increment), Decimal(lot)
        self.quotes, self.trades, self.deltas = [], [], []

    def ticks(self, text):
        return int(Decimal(text) / self.increment)

    def lots(self, text):
        return int(Decimal(text) / self.lot)

    def add(self, line):
        stamp, text = line.split(" ", 1)
        message = json.loads(text)
        data = message.get("data", message)
        if "lastUpdateId" in data:
            for side, name in ((1, "bids"), (2, "asks")):
                self.deltas.append((int(stamp), data["lastUpdateId"], side, 0, 0))
                self.levels(stamp, data["lastUpdateId"], side, data[name])
        elif data.get("e") == "depthUpdate":
            for side, name in ((1, "b"), (2, "a")):
                self.levels(stamp, data["u"], side, data[name])
        elif data.get("e") == "trade":
            side = 2 if data["m"] else 1
            self.trades.append((int(stamp), data["t"], side, self.ticks(data["p"]), self.lots(data["q"])))
        elif "b" in data:
            best = self.ticks(data["b"]), self.lots(data["B"]), self.ticks(data["a"]), self.lots(data["A"])
            self.quotes.append((int(stamp), data["u"], *best))

    def levels(self, stamp, update_id, side, levels):
        self.deltas += [(int(stamp), update_id, side, self.ticks(p), self.lots(q)) for p, q in levels]


def number(places):
    return st.integers(1, 10**9).map(lambda n: f"{Decimal(n).scaleb(-places):f}")


LEVELS = st.lists(st.tuples(number(2), number(3)).map(list), max_size=5)
IDS = st.integers(0, 2**53)
NOISE = st.dictionaries(
    st.sampled_from(["x", "zz", 'quo"te', "back\\slash", "Ünïcode", "data2"]),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=6)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
        max_leaves=5,
    ),
    max_size=3,
)


@st.composite
def messages(draw):
    kind = draw(st.sampled_from(["diff", "trade", "ticker", "spot ticker", "snapshot"]))
    if kind == "diff":
        data = {"e": "depthUpdate", "s": "AB", "E": draw(IDS) % 10**12, "U": draw(IDS), "u": draw(IDS)}
        data |= {"b": draw(LEVELS), "a": draw(LEVELS)}
    elif kind == "trade":
        data = {"e": "trade", "s": "AB", "t": draw(IDS), "p": draw(number(2)), "q": draw(number(3))}
        data |= {"m": draw(st.booleans())}
    elif kind == "snapshot":
        data = {"lastUpdateId": draw(IDS), "bids": draw(LEVELS), "asks": draw(LEVELS)}
    else:
        data = {"u": draw(IDS), "s": "AB", "b": draw(number(2)), "B": draw(number(3))}
        data |= {"a": draw(number(2)), "A": draw(number(3))}
        if kind == "ticker":
            data["e"] = "bookTicker"
    data |= draw(NOISE)
    data = dict(draw(st.permutations(list(data.items()))))
    wrapped = kind != "snapshot" and draw(st.booleans())
    ascii_only, compact = draw(st.booleans()), draw(st.booleans())
    message = {"stream": "ab@x", "data": data} if wrapped else data
    if wrapped and draw(st.booleans()):
        message = {"data": data, "stream": "ab@x", "id": [1, {"e": "trade"}]}
    return json.dumps(message, ensure_ascii=ascii_only, separators=(",", ":") if compact else None)


@settings(max_examples=150, deadline=None)
@given(st.lists(messages(), min_size=1, max_size=8), st.integers(1, 7))
def test_any_order_of_keys_and_any_noise_give_what_json_gives(lines, split):
    lines = [f"{100 + i} {line}" for i, line in enumerate(lines)]
    naive = NaiveDecoder("0.01", "0.001")
    for line in lines:
        naive.add(line)
    decoder = BinanceDecoder("0.01", "0.001", "AB")
    quotes, trades, deltas = [], [], []
    for first in range(0, len(lines), split):
        batch = decoder.decode("".join(line + "\n" for line in lines[first : first + split]).encode())
        assert batch.fault is None
        quotes += batch.quotes[
            ["now_ns", "update_id", "bid_ticks", "bid_quantity", "ask_ticks", "ask_quantity"]
        ].tolist()  # fmt: skip
        trades += batch.trades[["now_ns", "trade_id", "side", "price_ticks", "quantity"]].tolist()
        deltas += batch.deltas[["now_ns", "update_id", "side", "price_ticks", "quantity"]].tolist()
    assert quotes == naive.quotes
    assert trades == naive.trades
    assert sorted(deltas) == sorted(naive.deltas)
    for side in (1, 2):
        assert [d for d in deltas if d[2] == side] == [d for d in naive.deltas if d[2] == side]
    assert decoder.lines == len(lines)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_text_never_does_more_than_a_fault_or_a_counted_skip(data):
    text = bytearray(f"1 {DIFF}\n2 {TICKER}\n3 {SNAPSHOT}\n4 {TRADE}\n".encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        action = data.draw(st.sampled_from(["flip", "cut", "double", "syntax"]))
        if action == "flip":
            text[place] ^= 1 << data.draw(st.integers(0, 7))
        elif action == "cut":
            del text[place : place + data.draw(st.integers(1, 40))]
        elif action == "double":
            text[place:place] = text[place : place + data.draw(st.integers(1, 40))]
        else:
            text[place : place + 1] = data.draw(st.sampled_from([b'"', b"[", b"]", b"{", b"}", b",", b"\\", b"\n"]))
        if not text:
            text += b"\n"
    decoder = BinanceDecoder("0.1", "0.001", "BTCUSDT")
    batch = decoder.decode(bytes(text))
    records = sum(len(array) for array in (batch.quotes, batch.trades))
    books = int(np.isin(batch.lines["kind"], (binance.LINE_DIFF, binance.LINE_SNAPSHOT)).sum())
    assert records + books == len(batch.lines)
    assert int(batch.lines["count"][batch.lines["kind"] >= binance.LINE_DIFF].sum()) == len(batch.deltas)
    assert np.all((batch.deltas["quantity"] >= 0) & np.isin(batch.deltas["side"], (1, 2)))
    skipped = decoder.streams_skipped + decoder.symbols_skipped + decoder.void_trades
    assert decoder.lines >= len(batch.lines) + skipped
    if batch.fault is not None:
        assert 1 <= batch.fault.line <= decoder.lines
        assert batch.fault.what
        assert batch.fault.expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_read_without_harm(noise):
    for block in (noise, b"1 {" + noise, b'1 {"e":"depthUpdate","b":[[' + noise):
        batch = BinanceDecoder("0.1", "0.001").decode(block)
        assert len(batch.lines) <= block.count(b"\n") + 1


@pytest.mark.parametrize(
    ("line", "records"),
    [
        ('{"u":1,"b":1,"B":1,"a":1,"A":1}', 1),
        ('{"e":"trade","t":1,"p":1,"q":1,"m":true}', 1),
        ('{"e":"depthUpdate","U":1,"u":1,"b":[],"a":[]}', 0),
        ('{"lastUpdateId":1,"bids":[],"asks":[]}', 2),
        ('{"lastUpdateId":1,"bids":[[1,1]],"asks":[[2,1]]}', 4),
        ('{"lastUpdateId":1,"bids":[' + ",".join(["[1,1]"] * 500) + '],"asks":[]}', 502),
    ],
)
def test_densest_lines_that_there_can_be_fit_the_room_kept_for_them(line, records):
    count = 400
    batch = BinanceDecoder("1", "1").decode(f"1 {line}\n".encode() * count)
    assert batch.fault is None
    assert len(batch.lines) == count
    assert sum(len(array) for array in (batch.quotes, batch.trades, batch.deltas)) == records * count
