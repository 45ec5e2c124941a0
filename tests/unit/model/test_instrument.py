"""Decimals become integers here, exactly, or are refused."""

from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core import COMMAND, Kernel
from nautilus.core.types import MAX_PRICE_TICKS, MAX_QUANTITY_LOTS, CommandKind, InstrumentFlag
from nautilus.model.errors import ModelError
from nautilus.model.ids import currency_code, currency_id
from nautilus.model.instrument import EXACT, Instrument
from tests.kit.context import btcusdt

SHARES = Instrument(
    instrument_id=2,
    symbol="AAPL",
    venue="NASDAQ",
    base_currency="AAPL",
    quote_currency="USD",
    tick_table=(("0", "0.0001"), ("1", "0.01")),
    lot_size="1",
    currency_decimals=4,
)


@given(st.integers(1, MAX_PRICE_TICKS))
def test_a_price_survives_the_round_trip_through_ticks(ticks):
    assert btcusdt().ticks(btcusdt().price(ticks)) == ticks


@given(st.integers(1, MAX_QUANTITY_LOTS))
def test_a_quantity_survives_the_round_trip_through_lots(lots):
    assert btcusdt().lots(btcusdt().quantity(lots)) == lots


@given(st.integers(1, 10**9))
def test_a_float_stands_for_the_decimal_that_it_prints_as(ticks):
    price = btcusdt().price(ticks)
    assert btcusdt().ticks(float(price)) == ticks


@given(st.integers(-(2**127), 2**127))
def test_money_is_exact_at_any_size(units):
    assert int(EXACT.scaleb(btcusdt().money(units), 8)) == units


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_any_decimal_is_converted_exactly_or_refused(value):
    instrument = btcusdt()
    for convert, back in ((instrument.ticks, instrument.price), (instrument.lots, instrument.quantity)):
        try:
            count = convert(value)
        except ModelError:
            continue
        assert back(count) == value
        assert count > 0


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("58000.05", "a multiple of 0.1"),
        ("NaN", "a decimal number"),
        (float("nan"), "a finite number"),
        (float("inf"), "a finite number"),
        ("-Infinity", "a decimal number"),
        ("0", "greater than zero"),
        (-0.1, "greater than zero"),
        (f"1{'0' * 30}", "at most"),
        (Decimal("1e30"), "at most"),
        (f"1{'0' * 60}", "between"),
        (Decimal("1e999999"), "between"),
        ("ten", "a decimal number"),
        (None, "a decimal number"),
        (True, "a decimal number"),
    ],
)
def test_a_bad_price_is_refused_with_what_where_and_expected(price, expected):
    with pytest.raises(ModelError) as refused:
        btcusdt().ticks(price)
    assert refused.value.what.startswith("price")
    assert refused.value.where == "BTCUSDT at BINANCE"
    assert expected in refused.value.expected


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("0.0005", "a multiple of 0.001"),
        ("nan", "a decimal number"),
        ("0", "greater than zero"),
        ("-1", "greater than zero"),
        (f"1{'0' * 20}", "at most"),
        ("0.001", "at least 0.005"),
    ],
)
def test_a_bad_quantity_is_refused_with_what_where_and_expected(quantity, expected):
    with pytest.raises(ModelError) as refused:
        btcusdt(min_quantity="0.005").lots(quantity)
    assert expected in refused.value.expected


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "1\n", "\t1", "+1", "1_0", "1e2", "1E2", ".5", "5.", "1.2.3", "1,5", "0x1", "--1",
     "\u0661", "\uff11", "\u00b2", "1" * 101, "0." + "1" * 900_000],
)  # fmt: skip
def test_a_number_is_written_plainly_or_refused(text):
    for convert in (btcusdt().ticks, btcusdt().lots):
        with pytest.raises(ModelError, match=r"a decimal number such as 12\.5") as refused:
            convert(text)
        assert len(str(refused.value)) < 250


def test_a_plain_number_may_have_zeros_in_front_and_behind():
    assert btcusdt().ticks("0060000.00") == 600_000
    assert btcusdt().lots("0.0100") == 10


def test_a_price_above_a_band_must_fit_the_bands_tick():
    assert SHARES.ticks("0.9999") == 9999
    assert SHARES.ticks("585.33") == 5853300
    with pytest.raises(ModelError, match=r"a multiple of 0\.01"):
        SHARES.ticks("1.0001")


def test_negative_prices_need_leave():
    spread = btcusdt(negative_prices=True)
    assert spread.ticks("-0.1") == -1
    assert spread.price(-1) == Decimal("-0.1")
    assert spread.to_commands()["flags"][0] == InstrumentFlag.NEGATIVE | InstrumentFlag.EXPLICIT


@given(st.floats(0.5, 3e6, allow_nan=False), st.booleans())
def test_rounding_gives_the_nearest_valid_price_on_the_wanted_side(price, up):
    ticks = SHARES.round_ticks(price, up=up)
    assert ticks % SHARES.step_at(ticks) == 0
    assert ticks >= price if up else ticks <= price
    assert abs(ticks - price) < max(SHARES.step_at(ticks), SHARES.step_at(int(price) + 1))


@pytest.mark.parametrize("price", [float("nan"), float("inf")])
def test_rounding_refuses_what_is_no_number(price):
    with pytest.raises(ModelError, match="finite"):
        SHARES.round_ticks(price, up=True)


def test_the_multiplier_is_money_units_per_tick_and_lot():
    assert btcusdt().multiplier == 10_000  # 0.1 x 0.001 x 10^8
    assert SHARES.multiplier == 1
    assert btcusdt(contract_multiplier="100").multiplier == 1_000_000


@pytest.mark.parametrize(
    "changes",
    [
        {"currency_decimals": 3},  # a tenth of a unit
        {"contract_multiplier": "1000"},  # above 2^20
        {"lot_size": "0"},
        {"lot_size": "-0.001"},
        {"lot_size": "lot"},
        {"contract_multiplier": "NaN"},
        {"min_quantity": "0.0015"},
        {"tick_table": ()},
        {"tick_table": (("1", "0.1"),)},
        {"tick_table": (("0", "0.1"), ("10", "0.25"))},
        {"tick_table": (("0", "0.1"), ("10", "0.5"), ("5", "1"))},
        {"tick_table": (("0", "0.1"), ("10.1", "0.5"))},
        {"tick_table": (("0", "0"),)},
        {"instrument_id": 0},
        {"instrument_id": 2**32},
        {"venue_id": 0},
        {"product_id": 70000},
        {"quote_currency": "dollar"},
        {"quote_currency": ""},
        {"symbol": ""},
        {"currency_decimals": 40},
        {"allocation": "by lot"},
        {"routed": True, "allocation": "pro-rata"},
    ],
)
def test_a_malformed_instrument_is_refused(changes):
    with pytest.raises(ModelError):
        btcusdt(**changes)


def test_the_core_takes_the_commands_of_an_instrument_with_bands():
    kernel = Kernel(instruments=[SHARES, btcusdt()])
    commands = SHARES.to_commands()
    assert commands.dtype == COMMAND
    assert commands["kind"].tolist() == [CommandKind.INSTRUMENT] * 2
    assert commands["quantity"].tolist() == [1, 100]
    assert commands["price_ticks"].tolist() == [1, 10_000]
    assert kernel.last_event_sequence == 3 + 16  # two rows, one row, sixteen accounts
    assert np.all(kernel.process(SHARES.to_commands()[:1])["kind"] != 0)


def test_an_instrument_says_how_it_allocates_what_its_events_tell_and_where_it_is_matched():
    flags = {
        (): InstrumentFlag.EXPLICIT,
        ("allocation",): InstrumentFlag.EXPLICIT | InstrumentFlag.PRO_RATA,
        ("explicit",): 0,
        ("routed",): InstrumentFlag.EXPLICIT,
    }
    values = {"allocation": "pro-rata", "explicit": False, "routed": True}
    for names, expected in flags.items():
        [row] = btcusdt(**{name: values[name] for name in names}).to_commands()
        assert (row["flags"], row["venue_reference"]) == (expected, 1 if "routed" in names else 0)
        assert Kernel(instruments=np.array([row], COMMAND), huge_pages=False, capacity=8).best(1) == (0, 0, 0, 0)


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=5))
def test_currency_numbers_read_back(code):
    assert currency_code(currency_id(code)) == code
    assert 0 < currency_id(code) < 2**31


def test_an_instrument_survives_copying_and_the_wire():
    instrument = btcusdt()
    decoded = msgspec.json.decode(msgspec.json.encode(instrument), type=Instrument)
    assert decoded == instrument
    assert decoded.multiplier == instrument.multiplier
