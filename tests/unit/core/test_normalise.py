"""The normaliser against its twin, and each rule by itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.book_set import BookSet
from nautilus.core.normalise import Normaliser
from nautilus.core.ticks import GAP_FLAG, QUARANTINE, TICK, TickKind, TickReason
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE, BookAction, RecordFlag, Side
from tests.kit.context import btcusdt
from tests.kit.normalising import agrees, made

LAST, SNAPSHOT = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT)
SECOND = 1_000_000_000
PRICE = 100_0000  # 100 in ten-thousandths


def tick(kind=TickKind.TRADE, price=PRICE, quantity=100, **fields):
    given = {"venue_ns": SECOND, "receive_ns": SECOND + 5, "instrument_id": 1, "price_decimals": 4}
    return {"quantity_decimals": 2, **given, "kind": kind, "price": price, "quantity": quantity, **fields}


def quote(bid, ask, **fields):
    return tick(TickKind.QUOTE, bid, price_2=ask, quantity_2=fields.pop("quantity_2", 100), **fields)


def array(rows):
    out = np.zeros(len(rows), TICK)
    for at, row in enumerate(rows):
        for name, value in row.items():
            out[name][at] = value
    return out


def reasons(normaliser, *rows):
    *_, refused = normaliser.process(array(rows))
    return [TickReason(reason).name for reason in refused["reason"]]


def test_prices_and_quantities_become_ticks_and_lots():
    quotes, trades, levels, refused = made(source_id=3).process(
        array(
            [
                quote(99_9999, 100_0001, sequence=7, quantity_2=250),
                tick(sequence=8, side=2, price=100_00, price_decimals=2, quantity=3, quantity_decimals=0),
                tick(TickKind.LEVEL, 100_00010, 0, price_decimals=5, side=1, sequence=9, quantity_2=LAST),
                tick(TickKind.CLEAR, sequence=10, quantity_2=SNAPSHOT | LAST),
                tick(instrument_id=2, price=10_15, price_decimals=2, quantity=700),
                tick(instrument_id=70_000, price=-100, price_decimals=0, quantity=5, quantity_decimals=8),
            ]
        )
    )
    assert quotes.tolist() == [(SECOND + 5, SECOND, 7, 99_9999, 100, 100_0001, 250, 1, LAST, 3)]
    assert trades.tolist() == [
        (SECOND + 5, SECOND, 8, 100_0000, 300, 1, 2, 0, LAST),
        (SECOND + 5, SECOND, 0, 203, 7, 2, 0, 0, LAST),
        (SECOND + 5, SECOND, 0, -4, 5, 70_000, 0, 0, LAST),
    ]
    assert levels.tolist() == [
        (SECOND + 5, SECOND, 9, 0, 100_0001, 0, 1, 1, int(BookAction.SET), LAST),
        (SECOND + 5, SECOND, 10, 0, 0, 0, 1, 1, int(BookAction.CLEAR), SNAPSHOT),
        (SECOND + 5, SECOND, 10, 0, 0, 0, 1, 2, int(BookAction.CLEAR), SNAPSHOT | LAST),
    ]
    assert len(refused) == 0


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (tick(instrument_id=9), "UNKNOWN_INSTRUMENT"),
        (tick(instrument_id=0), "UNKNOWN_INSTRUMENT"),
        (tick(kind=5), "KIND"),
        (tick(quantity_2=64), "KIND"),
        (tick(side=3), "SIDE"),
        (tick(TickKind.LEVEL), "SIDE"),
        (tick(receive_ns=0), "TIME"),
        (tick(venue_ns=2 * SECOND + 6), "TIME"),
        (tick(venue_ns=-1), "TIME"),
        (tick(receive_ns=20 * SECOND), "TIME"),
        (tick(quantity=-1), "QUANTITY"),
        (tick(quantity=0), "QUANTITY"),
        (tick(quantity=(1 << 40) + 1), "QUANTITY"),
        (tick(quantity=100_5, quantity_decimals=3), "PRECISION"),
        (tick(price=100_00001, price_decimals=5), "PRECISION"),
        (tick(price_decimals=200), "PRECISION"),
        (tick(instrument_id=2, price=10_12, price_decimals=2), "PRECISION"),
        (tick(price=0), "RANGE"),
        (tick(price=-5), "RANGE"),
        (tick(price=(1 << 40) + 1), "RANGE"),
        (tick(price=1 << 61, price_decimals=0), "RANGE"),
        (quote(100_0001, 100_0000), "CROSSED"),
        (quote(100_0000, 100_0000), "LOCKED"),
    ],
)
def test_a_wrong_tick_is_refused_and_counted_and_shown_whole(wrong, reason):
    normaliser = made(past_ns=10 * SECOND)
    given = array([wrong])
    *outputs, refused = normaliser.process(given)
    assert [len(each) for each in outputs] == [0, 0, 0]
    assert [TickReason(each).name for each in refused["reason"]] == [reason]
    assert refused.view((np.uint8, 80))[:, :64].tobytes() == given.tobytes()
    assert normaliser.counts()[TickReason[reason]] == normaliser.refused == 1
    assert normaliser.passed == 0


def test_a_quote_of_one_side_passes():
    quotes, *_, refused = made().process(array([quote(100_0001, -1, quantity_2=0), quote(0, 100_0000, quantity=0)]))
    assert quotes["ask_ticks"].tolist() == [0, 100_0000]
    assert len(refused) == 0


def test_locked_quotes_pass_where_they_may():
    assert reasons(made(locked=True), quote(100_0000, 100_0000), quote(100_0001, 100_0000)) == ["CROSSED"]


def test_numbers_that_repeat_or_go_back_are_refused_and_holes_are_flagged():
    normaliser = made()
    _, trades, _, refused = normaliser.process(array([tick(sequence=n) for n in (5, 6, 6, 4, 9, 10)]))
    assert [(n, bool(f & GAP_FLAG)) for n, f in zip(trades["trade_id"], trades["flags"], strict=True)] == [
        (5, False),
        (6, False),
        (9, True),
        (10, False),
    ]
    assert [TickReason(reason).name for reason in refused["reason"]] == ["DUPLICATE", "OUT_OF_ORDER"]
    assert refused["reference"].tolist() == [6, 6]
    assert normaliser.counts()[TickReason.GAP] == 1
    # Quotes and the book are numbered apart, and their numbers may have holes.
    assert reasons(normaliser, quote(100_0000, 100_0001, sequence=2), quote(100_0000, 100_0001, sequence=9)) == []
    assert normaliser.counts()[TickReason.GAP] == 1


def test_levels_of_one_update_share_its_number():
    def level(number, flags):
        return tick(TickKind.LEVEL, side=1, sequence=number, quantity_2=flags)

    rows = [level(5, 0), level(5, LAST), level(5, LAST), level(6, LAST), level(4, LAST), level(3, SNAPSHOT)]
    assert reasons(made(), *rows) == ["DUPLICATE", "OUT_OF_ORDER"]


def test_stamps_that_go_back_are_refused_where_there_are_no_numbers():
    rows = [tick(venue_ns=SECOND - late) for late in (0, 3, 4, 0)]
    assert reasons(made(late_ns=3), *rows) == ["OUT_OF_ORDER"]
    assert reasons(made(), quote(100_0000, 100_0001), quote(100_0000, 100_0001)) == ["DUPLICATE"]


def test_a_venue_that_numbers_anew_is_followed():
    rows = [tick(sequence=900), *(tick(sequence=n, venue_ns=SECOND + n) for n in range(1, 6))]
    normaliser = made()
    assert reasons(normaliser, *rows) == ["OUT_OF_ORDER"] * 2
    assert normaliser.counts()[TickReason.GAP] == 1
    # What is sent again has its old stamps.
    resent = [tick(sequence=n, venue_ns=SECOND + n) for n in range(1, 6)]
    assert reasons(normaliser, *resent) == ["OUT_OF_ORDER"] * 4 + ["DUPLICATE"]


def test_a_wild_price_is_refused_and_a_real_move_is_followed():
    normaliser = made()
    assert reasons(normaliser, tick(), tick(price=200_0000), tick(), tick(price=111_0000)) == ["JUMP", "JUMP"]
    assert reasons(normaliser, tick(price=109_9999)) == []
    # Refusals that do not agree with each other never become the market.
    assert reasons(normaliser, *(tick(price=300_0000 * (n % 2 + 1)) for n in range(8))) == ["JUMP"] * 8
    assert reasons(normaliser, *(tick(price=50_0000) for _ in range(5))) == ["JUMP"] * 2
    assert reasons(normaliser, tick(price=51_0000)) == []
    normaliser.anchor(1, 100_0000)
    assert reasons(normaliser, tick(price=51_0000)) == ["JUMP"]
    assert reasons(made(jump_bps=0), tick(), tick(price=900_0000)) == []


def test_into_buffers_it_stops_where_one_is_full():
    normaliser = made()
    given = array([tick(sequence=n) for n in range(1, 8)] + [tick(TickKind.CLEAR)])
    quotes, trades = np.zeros(1, QUOTE), np.zeros(3, TRADE)
    levels, refused = np.zeros(2, BOOK_DELTA), np.zeros(1, QUARANTINE)
    buffers = (quotes, trades, levels, refused)
    assert normaliser.process_into(given, *buffers) == (3, 0, 3, 0, 0)
    assert trades["trade_id"].tolist() == [1, 2, 3]
    assert normaliser.process_into(given[3:], *buffers) == (3, 0, 3, 0, 0)
    assert normaliser.process_into(given[6:], *buffers) == (2, 0, 1, 2, 0)
    assert levels["side"].tolist() == [Side.BUY, Side.SELL]
    assert normaliser.passed == 8


def test_instruments_of_the_model_are_taken_as_they_are():
    instrument = btcusdt()
    normaliser = Normaliser([instrument])
    price, decimals = 60_000_10, 2
    _, trades, _, refused = normaliser.process(
        array([tick(price=price, price_decimals=decimals, quantity=1, quantity_decimals=3)])
    )
    assert not len(refused)
    assert trades["price_ticks"].tolist() == [instrument.ticks("60000.10")]
    assert trades["quantity"].tolist() == [instrument.lots("0.001")]
    assert normaliser.instruments == [1]


def test_what_cannot_be_is_refused():
    normaliser = made()
    with pytest.raises(ValueError, match="not known yet"):
        normaliser.add(1)
    with pytest.raises(ValueError, match="price_increment"):
        normaliser.add(5, price_increment="-1")
    with pytest.raises(ValueError, match="lot_size"):
        normaliser.add(5, lot_size="1e-19")
    for number in ("1e999999999", "1e-999999999", "NaN", "-Infinity", "", "0", "1e19"):
        with pytest.raises(ValueError, match="price_increment"):
            normaliser.add(5, price_increment=number)
    with pytest.raises(ValueError, match="jump_bps"):
        Normaliser(jump_bps=-1)
    with pytest.raises(ValueError, match="agreeing"):
        Normaliser(agreeing=0)
    with pytest.raises(TypeError, match="ticks"):
        normaliser.process(np.zeros(1, TRADE))
    with pytest.raises(TypeError, match="contiguous"):
        normaliser.process(np.zeros(4, TICK)[::2])
    with pytest.raises(KeyError):
        normaliser.refused_of(9)
    frozen = np.zeros(4, TRADE)
    frozen.flags.writeable = False
    with pytest.raises(TypeError, match="read-only"):
        normaliser.process_into(
            np.zeros(1, TICK), np.zeros(4, QUOTE), frozen, np.zeros(4, BOOK_DELTA), np.zeros(4, QUARANTINE)
        )


def levels_of(normaliser, *rows):
    """(update id, flags) of what passes."""
    _, _, levels, _ = normaliser.process(array(rows))
    return list(zip(levels["update_id"].tolist(), levels["flags"].tolist(), strict=True))


def level(number, quantity=100, flags=LAST, **fields):
    return tick(TickKind.LEVEL, **{"quantity": quantity, "sequence": number, "side": 1, "quantity_2": flags, **fields})


FINE = {"quantity": 5, "quantity_decimals": 3}  # half a lot of two decimals


def test_the_change_behind_a_refused_one_is_flagged_as_behind_a_gap():
    assert levels_of(made(), level(1), level(2, **FINE), level(3), level(4)) == [
        (1, LAST),
        (3, LAST | GAP_FLAG),
        (4, LAST),
    ]
    # Its update stays open, and is closed with the flag.
    rows = level(1, flags=0), level(1, **FINE), level(2, flags=0), level(2)
    assert levels_of(made(), *rows) == [(1, 0), (2, GAP_FLAG | LAST), (2, LAST)]
    # What was told before is missed by nobody.
    assert levels_of(made(), level(2), level(1), level(2), level(3)) == [(2, LAST), (3, LAST)]
    normaliser = made()
    assert levels_of(normaliser, level(1, receive_ns=0), level(1, side=0), level(1, price=-1)) == []
    assert levels_of(normaliser, tick(TickKind.TRADE, sequence=1)) == []
    assert levels_of(normaliser, level(2, instrument_id=2), level(2)) == [(2, LAST), (2, LAST | GAP_FLAG)]


def test_a_snapshot_heals_what_was_refused_before_it_and_not_what_is_refused_of_it():
    cleared = tick(TickKind.CLEAR, quantity_2=SNAPSHOT, sequence=5)
    image = level(5, flags=SNAPSHOT), level(5, flags=SNAPSHOT | LAST)
    whole = [(5, SNAPSHOT)] * 3 + [(5, SNAPSHOT | LAST)]
    assert levels_of(made(), level(1, **FINE), cleared, *image) == whole
    normaliser = made()
    found = levels_of(normaliser, cleared, level(5, flags=SNAPSHOT, **FINE), *image, level(6))
    assert found == [*whole[:-1], (5, SNAPSHOT | LAST | GAP_FLAG), (6, LAST)]
    books = BookSet()
    books.apply(made().process(array([cleared, *image]))[2])
    assert books.blind() == {}
    books.apply(made().process(array([cleared, level(5, flags=SNAPSHOT, **FINE), *image, level(6)]))[2])
    assert list(books.blind()) == [1]
    # Its end is refused: the next one begins anew.
    end = level(5, flags=SNAPSHOT | LAST, **FINE)
    assert levels_of(made(), cleared, end, level(6)) == [*whole[:2], (6, LAST | GAP_FLAG)]
    assert levels_of(made(), cleared, end, cleared, *image) == [*whole[:2], *whole]


BIG = st.sampled_from([0, 1, -1, (1 << 40) - 1, (1 << 40) + 1, 1 << 62, (1 << 63) - 1, -(1 << 63)])
PRICES = st.one_of(st.integers(99_9990, 100_0010), st.sampled_from([150_0000, 150_0010, 149_9990]), BIG)
TICKS = st.fixed_dictionaries(
    {
        "venue_ns": st.one_of(st.integers(SECOND, SECOND + 20), st.sampled_from([0, 3 * SECOND, -1])),
        "receive_ns": st.one_of(
            st.just(SECOND + 30), st.just(SECOND + 30), st.sampled_from([0, 9 * SECOND, 1 << 63 - 1])
        ),
        "sequence": st.one_of(st.just(0), st.integers(1, 12), st.just((1 << 64) - 1)),
        "price": PRICES,
        "quantity": st.one_of(st.integers(1, 400), BIG),
        "price_2": PRICES,
        "quantity_2": st.one_of(st.sampled_from([0, 1, 2, 3, 1, 0]), st.integers(1, 100), BIG),
        "instrument_id": st.sampled_from([1, 1, 1, 1, 2, 70_000, 3]),
        "kind": st.sampled_from([1, 2, 2, 3, 3, 4, 0]),
        "side": st.sampled_from([0, 1, 2, 2, 3]),
        "price_decimals": st.sampled_from([4, 4, 4, 4, 0, 5, 18, 19, 255]),
        "quantity_decimals": st.sampled_from([2, 2, 2, 2, 0, 3, 18, 40]),
    }
)
RULES = st.fixed_dictionaries(
    {
        "future_ns": st.sampled_from([0, SECOND]),
        "past_ns": st.sampled_from([0, 25, SECOND]),
        "late_ns": st.sampled_from([0, 2, 100]),
        "jump_bps": st.sampled_from([0, 1_000, 1]),
        "jump_ticks": st.sampled_from([0, 10]),
        "agreeing": st.sampled_from([1, 2, 3]),
        "consecutive": st.sampled_from([(), (TickKind.TRADE,), (TickKind.QUOTE, TickKind.CLEAR)]),
        "locked": st.booleans(),
        "source_id": st.sampled_from([0, 9]),
    }
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(TICKS, max_size=25), rules=RULES, cut=st.integers(0, 25))
def test_it_does_what_its_twin_does(rows, rules, cut):
    agrees(array(rows), cut, rules)
