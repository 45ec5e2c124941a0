"""ITCH 5.0: bytes to records and back, bad bytes, and the books that messages build."""

import importlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.itch import ITCH_LENGTHS, ITCH_NOTICES, ITCH_ORDER, ItchDecoder, encode
from nautilus.core.itch_book import ItchBookBuilder
from nautilus.core.order_book import OrderBooks
from nautilus.core.types import BookAction, Side
from tests.kit.data import recording

ORDER_FIELDS = {
    b"A": "order_id side quantity stock price",
    b"F": "order_id side quantity stock price mpid",
    b"E": "order_id quantity match_id",
    b"C": "order_id quantity match_id printable price",
    b"X": "order_id quantity",
    b"D": "order_id",
    b"U": "order_id new_order_id quantity price",
    b"P": "order_id side quantity stock price match_id",
    b"Q": "quantity stock price match_id cross_type",
    b"B": "match_id",
}
U4, U8 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
WIDE = {"order_id": U8, "new_order_id": U8, "match_id": U8, "time_ns": st.integers(0, 2**48 - 1)}


def text(size):
    return st.binary(min_size=size, max_size=size)


@st.composite
def order(draw):
    record = np.zeros(1, ITCH_ORDER)
    kind = draw(st.sampled_from(sorted(ORDER_FIELDS)))
    record["kind"] = kind
    for name in ("time_ns", "locate", "tracking", *ORDER_FIELDS[kind].split()):
        form = ITCH_ORDER[name]
        if name == "side":
            value = draw(st.sampled_from([b"B", b"S"]))
        elif name == "quantity" and kind == b"Q":
            value = draw(U8)
        elif form.kind == "S":
            value = draw(text(form.itemsize))
        else:
            value = draw(WIDE.get(name, st.integers(0, 2**16 - 1) if form.itemsize == 2 else U4))
        record[name] = value
    return kind, record


@st.composite
def notice(draw):
    kind = draw(st.sampled_from(sorted(ITCH_NOTICES)))
    record = np.zeros(1, ITCH_NOTICES[kind])
    for name in record.dtype.names:
        form = record.dtype[name]
        if form.kind == "S":
            record[name] = draw(text(form.itemsize))
        else:
            record[name] = draw(st.integers(0, 2 ** (48 if name == "time_ns" else 8 * form.itemsize) - 1))
    return kind, record


def gathered(messages):
    """(kinds, orders, notices) as `encode` takes them."""
    kinds = np.array([kind for kind, _ in messages], "S1")
    orders = [record for kind, record in messages if kind in ORDER_FIELDS]
    notices = {}
    for kind, record in messages:
        if kind not in ORDER_FIELDS:
            notices.setdefault(kind, []).append(record)
    whole = np.concatenate(orders) if orders else np.zeros(0, ITCH_ORDER)
    return kinds, whole, {kind: np.concatenate(records) for kind, records in notices.items()}


@settings(deadline=None)
@given(st.lists(st.one_of(order(), notice()), max_size=40), st.booleans())
def test_every_message_comes_back_as_it_was_encoded(messages, prefixed):
    kinds, orders, notices = gathered(messages)
    data = encode(kinds, orders, notices, prefixed=prefixed)
    decoder = ItchDecoder(prefixed=prefixed)
    batch = decoder.decode(data)
    assert batch.fault is None
    assert batch.consumed == len(data) == sum(ITCH_LENGTHS[kind] + 2 * prefixed for kind, _ in messages)
    assert batch.kinds.tolist() == kinds.tolist()
    assert batch.orders.tobytes() == orders.tobytes()
    assert batch.notices.keys() == notices.keys()
    for kind, array in notices.items():
        assert batch.notices[kind].tobytes() == array.tobytes()
    assert (decoder.messages, decoder.offset, decoder.faults) == (len(messages), len(data), 0)


@settings(deadline=None)
@given(st.lists(st.one_of(order(), notice()), min_size=1, max_size=12), st.data())
def test_a_stream_cut_anywhere_decodes_to_the_same(messages, data):
    kinds, orders, notices = gathered(messages)
    whole = encode(kinds, orders, notices)
    decoder, found, rest = ItchDecoder(), [], b""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        block = rest + whole[start:end]
        batch = decoder.decode(block)
        assert batch.fault is None
        found += batch.kinds.tolist()
        rest = block[batch.consumed :]
    assert found == kinds.tolist()
    assert rest == b""


@settings(deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes_end_in_records_or_one_fault(data, prefixed):
    decoder = ItchDecoder(prefixed=prefixed)
    batch = decoder.decode(data)
    assert 0 <= batch.consumed <= len(data)
    assert decoder.faults == (batch.fault is not None)
    if batch.fault is not None:
        assert batch.fault.offset == batch.consumed
        assert batch.fault.what
        assert batch.fault.expected
    again = ItchDecoder(prefixed=prefixed)
    used, fault = ItchBookBuilder(OrderBooks(orders=64, huge=False)).apply_bytes(again, data)
    assert (used, fault) == (batch.consumed, batch.fault)
    assert (again.messages, again.unknown, again.offset) == (decoder.messages, decoder.unknown, decoder.offset)


def frame(body):
    return struct.pack(">H", len(body)) + body


DELETE = b"D" + bytes(18)
ADD = b"A" + bytes(10) + struct.pack(">QcI8sI", 1, b"B", 100, b"AAPL    ", 5)


@pytest.mark.parametrize(
    ("bad", "what", "expected"),
    [
        (frame(b"D" + bytes(19)), "message 'D' of 20 bytes", "19 bytes"),
        (frame(ADD.replace(b"B\0", b"Z\0")), "side 'Z' in message 'A'", "B or S"),
        (frame(b"P" + ADD[1:19] + b"\xff" + bytes(24)), r"side '\\xff' in message 'P'", "B or S"),
    ],
)
def test_a_fault_names_offset_and_what_was_expected(bad, what, expected):
    good = frame(DELETE) + frame(ADD)
    decoder = ItchDecoder()
    decoder.decode(good)
    batch = decoder.decode(good + bad + good)
    assert batch.kinds.tolist() == [b"D", b"A"]
    assert batch.consumed == len(good)
    assert tuple(batch.fault) == (2 * len(good), what, expected)


def test_an_unknown_type_is_passed_over_with_a_length_and_a_fault_without():
    decoder = ItchDecoder()
    batch = decoder.decode(frame(b"z" + bytes(7)) + frame(DELETE))
    assert (batch.kinds.tolist(), batch.fault, decoder.unknown) == ([b"D"], None, 1)
    batch = ItchDecoder(prefixed=False).decode(DELETE + b"z" + bytes(20))
    assert batch.fault.offset == len(DELETE)
    assert batch.fault.what == "message type 'z'"


def test_a_length_of_zero_ends_the_session():
    batch = ItchDecoder().decode(frame(DELETE) + b"\0\0" + frame(DELETE))
    assert batch.ended
    assert (len(batch.kinds), batch.consumed) == (1, len(DELETE) + 4)


def test_what_a_stream_ends_with_is_told():
    decoder = ItchDecoder()
    block = frame(DELETE) + frame(ADD)[:20]
    batch = decoder.decode(block)
    fault = decoder.cut(block[batch.consumed :])
    assert tuple(fault) == (len(frame(DELETE)), "ends after 18 bytes of a message", "36 bytes")


def test_records_that_do_not_match_the_kinds_are_refused():
    with pytest.raises(ValueError, match=r"0 records of kind 'D'; expected 1"):
        encode(np.array([b"D"]), np.zeros(0, ITCH_ORDER), {})
    with pytest.raises(ValueError, match=r"message type 'z'"):
        encode(np.array([b"z"]), np.zeros(0, ITCH_ORDER), {})


def test_recorded_directory_comes_back_byte_for_byte():
    data = recording("itch50/sample_head1000.itch").read_bytes()
    batch = ItchDecoder().decode(data)
    assert batch.fault is None
    assert {kind: len(array) for kind, array in batch.notices.items()} == {b"S": 1, b"R": 993, b"H": 3, b"Y": 3}
    assert batch.notices[b"R"]["stock"][1].item() == b"AA      "
    assert batch.notices[b"S"]["time_ns"].item() == 11072057543747
    assert encode(batch.kinds, batch.orders, batch.notices) == data


# Field names of the two peers where they differ from ours.
PEER_NAMES = {
    "locate": "stock_locate", "tracking": "tracking_number", "order_id": "order_reference_number",
    "new_order_id": "new_order_reference_number", "match_id": "match_number", "side": "buy_sell_indicator",
    "financial_status": "financial_status_indicator", "short_sale_threshold": "short_sale_threshold_indicator",
    "luld_tier": "luld_ref", "participant_state": "market_participant_state", "level_1_price": "level1_price",
    "level_2_price": "level2_price", "level_3_price": "level3_price", "release_time_s": "ipo_release_time",
    "release_qualifier": "ipo_release_qualifier", "extension": "auction_collar_extention",
    "halt_action": "operational_halt_action", "paired_quantity": "paired_shares",
    "imbalance_quantity": "imbalance_shares", "variation": "variation_indicator",
    "open_eligibility": "open_eligibility_status", "minimum_price": "minimum_allowable_price",
    "maximum_price": "maximum_allowable_price", "near_time_ns": "near_execution_time", "time_ns": "timestamp",
}  # fmt: skip
PEER_NAMES_OF_KIND = {
    b"E": {"quantity": "executed_shares"}, b"X": {"quantity": "cancelled_shares"}, b"F": {"mpid": "attribution"},
    b"C": {"quantity": "executed_shares", "price": "execution_price"}, b"Q": {"price": "cross_price"},
    b"J": {"reference_price": "auction_collar_reference_price", "upper_price": "upper_auction_collar_price",
           "lower_price": "lower_auction_collar_price"},
    b"I": {"reference_price": "current_reference_price"},
    b"O": {"near_price": "near_execution_price", "lower_price": "lower_price_range_collar",
           "upper_price": "upper_price_range_collar"},
}  # fmt: skip


def peer_name(kind, name):
    name = PEER_NAMES_OF_KIND.get(kind, {}).get(name) or PEER_NAMES.get(name) or name
    return "shares" if name == "quantity" else name


def fields_of(batch):
    """{kind: [{field: value}, ...]} of a batch, by our names."""
    found = {}
    for kind, array in batch.notices.items():
        found[kind] = [dict(zip(array.dtype.names, row, strict=True)) for row in array.tolist()]
    for row in batch.orders:
        kind = row["kind"].item()
        names = ("time_ns", "locate", "tracking", *ORDER_FIELDS[kind].split())
        found.setdefault(kind, []).append({name: row[name].item() for name in names})
    return found


def every_kind():
    """One message of each kind with the recorded field values of other projects' tests."""
    values = json.loads(recording("itch50/message_fields.json").read_text())
    messages = []
    for kind, fields in ((name.encode(), value) for name, value in values.items()):
        names = ORDER_FIELDS[kind].split() if kind in ORDER_FIELDS else ITCH_NOTICES[kind].names
        record = np.zeros(1, ITCH_ORDER if kind in ORDER_FIELDS else ITCH_NOTICES[kind])
        if kind in ORDER_FIELDS:
            record["kind"] = kind
        for name in {"locate", "tracking", *names} - {"time_ns"}:
            value = fields.get(peer_name(kind, name), 0)
            record[name] = value.encode() if isinstance(value, str) else value
        record["time_ns"] = fields["timestamp"] & (2**48 - 1)
        messages.append((kind, record))
    return encode(*gathered(messages))


@pytest.mark.parametrize("module", ["itchcpp", "itch.parser"])
def test_fields_equal_those_of_other_parsers(module, monkeypatch):
    monkeypatch.setenv("ITCH_NO_CPP", "1")  # so that itchfeed is itself
    try:
        parser = importlib.import_module(module).MessageParser()
    except ImportError:
        pytest.skip(f"{module.partition('.')[0]} is not installed (pip install itchcpp itchfeed)")
    files = [recording(f"itch50/{name}").read_bytes() for name in ("sample.itch", "sample_head1000.itch")]
    for data in (every_kind(), *files):
        mine = fields_of(ItchDecoder().decode(data))
        seen = 0
        for message in parser.parse_stream(data):
            kind = bytes(message.message_type)
            fields = mine[kind].pop(0)
            seen += 1
            for name, value in fields.items():
                theirs = getattr(message, peer_name(kind, name))
                if isinstance(theirs, bytes):
                    theirs = theirs.rstrip(b"\0")
                assert theirs == value, (kind, name)
        assert seen > 0
        assert not any(mine.values())


def test_a_small_recorded_session_builds_the_book_that_it_says():
    batch = ItchDecoder().decode(recording("itch50/sample.itch").read_bytes())
    builder = ItchBookBuilder(OrderBooks(edge=10_000, step=100), midnight_ns=1_000)
    deltas, trades = builder.build(batch.orders)
    assert len(trades) == 0
    assert deltas["now_ns"][0] == 1_000 + batch.orders["time_ns"][0]
    # Five adds and a cancel, a replace of order 3 by 5, a delete of order 2.
    assert deltas["action"].tolist() == [
        *[BookAction.ADD] * 4, BookAction.REDUCE, BookAction.DELETE, BookAction.ADD, BookAction.DELETE
    ]  # fmt: skip
    assert builder.books.orders(1).tolist() == [
        (4, 1500200, 100, Side.BUY), (5, 1500100, 150, Side.BUY), (1, 1500200, 100, Side.SELL)
    ]  # fmt: skip


def random_day(seed, count):
    """Orders of a random session in which every reference is right, and one in fifty is not."""
    random = np.random.default_rng(seed)
    orders = np.zeros(count, ITCH_ORDER)
    live, given = [], 0
    for record in orders:
        kind = random.choice([b"A", b"F", b"E", b"C", b"X", b"D", b"U", b"P", b"Q", b"B"], p=PARTS)
        if not live and kind in b"ECXDU":
            kind = b"A"
        record["kind"] = kind
        record["locate"] = random.integers(1, 4)
        record["side"] = random.choice([b"B", b"S"]) if kind in b"AFP" else b""
        record["stock"] = b"ABC     " if kind in b"AFPQ" else b""
        record["quantity"] = 0 if kind in b"DB" else random.integers(1, 500)
        record["price"] = 0 if kind in b"EXDB" else random.integers(9_990, 10_030) * random.choice([1, 100])
        record["printable"] = random.choice([b"Y", b"N"]) if kind == b"C" else b""
        record["match_id"] = random.integers(1, 1 << 40) if kind in b"ECPQB" else 0
        if kind in b"AF":
            given += 1
            record["order_id"] = given
            live.append((given, record["locate"]))
        elif kind in b"ECXDU":
            reference, locate = live[random.integers(len(live))]
            record["order_id"], record["locate"] = reference if random.random() > 0.02 else 1 << 50, locate
            if kind == b"U":
                given += 1
                record["new_order_id"] = given
                live.append((given, locate))
    return orders


PARTS = [0.3, 0.05, 0.15, 0.05, 0.12, 0.18, 0.09, 0.03, 0.02, 0.01]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bytes_records_and_deltas_build_the_same_books(seed):
    orders = random_day(seed, 4_000)
    data = encode(orders["kind"], orders, {})
    grid = {"edge": 10_000, "step": 100}
    straight, records, again = (OrderBooks(**grid) for _ in range(3))
    used, fault = ItchBookBuilder(straight).apply_bytes(ItchDecoder(), data)
    assert (used, fault) == (len(data), None)
    builder = ItchBookBuilder(records)
    deltas, trades = builder.build(ItchDecoder().decode(data).orders)
    again.apply(deltas)
    assert records.order_count > 100
    for instrument in records.instruments:
        assert straight.state_hash(instrument) == records.state_hash(instrument) == again.state_hash(instrument)
    assert straight.unknown == records.unknown > 0
    assert (again.unknown, again.excess, again.duplicates) == (0, 0, 0)
    executed = deltas[np.isin(deltas["action"], (BookAction.EXECUTE, BookAction.EXECUTE_HIDDEN))]
    assert len(trades) == len(executed) - builder.unprinted


@pytest.mark.parametrize("seed", [1, 2])
def test_best_bid_and_offer_equal_those_of_another_book_after_every_message(seed):
    try:
        core = importlib.import_module("itch_book._core")
    except ImportError:
        pytest.skip("itch-book is not installed (pip install itch-book)")
    orders = random_day(seed, 6_000)
    session = core.Session(tables=["bbo"], depth=0, symbols=[])
    session.feed(encode(orders["kind"], orders, {}))
    theirs = session.take_bbo()
    assert session.stats()["missing_ref"] > 0
    books = OrderBooks(edge=10_000, step=100)
    builder = ItchBookBuilder(books)
    mine, before = [], {}
    for place in range(len(orders)):
        builder.apply(orders[place : place + 1])
        locate = int(orders["locate"][place])
        if locate in books.instruments:
            best = books.best(locate)
            if best != before.get(locate, (0, 0, 0, 0)):
                mine.append((locate, *best))
                before[locate] = best
    columns = ("locate", "bid_px", "bid_sz", "ask_px", "ask_sz")
    assert mine == [tuple(map(int, row)) for row in zip(*(theirs[name] for name in columns), strict=True)]
    assert len(mine) > 100
