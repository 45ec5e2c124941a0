"""Units, periods, times and days as providers write them."""

from __future__ import annotations

from datetime import date

import pytest

from nautilus.adapters.sources.alpha_vantage_units import unit_of
from nautilus.adapters.sources.config import AlphaVantageConfig
from nautilus.adapters.sources.limits import SourceLimits
from nautilus.adapters.sources.periods import period_named, period_until
from nautilus.adapters.sources.times import date_of, local_ns, number, seconds_ns, zone
from nautilus.adapters.sources.units import currency_of, scale_of, scaled
from nautilus.adapters.sources.validate import field_of
from nautilus.adapters.sources.yahoo_prices import rounded

HOUR_NS = 3_600 * 1_000_000_000


@pytest.mark.parametrize(
    ("text", "power", "unit"),
    [
        ("Billions of Dollars", 9, "Dollars"),
        ("Bil. of $", 9, "Dollars"),
        ("Billions of Chained 2017 Dollars", 9, "Chained 2017 Dollars"),
        ("Thousands of Persons", 3, "Persons"),
        ("Thousands", 3, ""),
        ("USD THO", 3, "USD"),
        ("MXN Million", 6, "MXN"),
        ("Hundred Million JPY", 8, "JPY"),
        ("Percent", 0, "percent"),
        ("%", 0, "percent"),
        ("Index 2017=100", 0, "Index 2017=100"),
        ("Births per Thousand Persons", 0, "Births per Thousand Persons"),
        ("Tons per Thousand", 0, "Tons per Thousand"),
        ("Number per Million", 0, "Number per Million"),
        ("Deaths per Hundred Thousand", 0, "Deaths per Hundred Thousand"),
        ("Deaths per 100 Thousand", 0, "Deaths per 100 Thousand"),
        ("Per Thousand", 0, "Per Thousand"),
        ("Millions of Dollars per Thousand", 6, "Dollars per Thousand"),
        ("USD per Tonne Million", 6, "USD per Tonne"),
        ("", 0, ""),
    ],
)
def test_a_multiplier_is_taken_out_of_a_unit(text: str, power: int, unit: str) -> None:
    assert scale_of(text) == (power, unit)


def test_a_value_is_multiplied_without_another_rounding() -> None:
    assert scaled("5736.6", 9) == 5_736_600_000_000.0
    assert scaled(0.1, 3) == 100.0
    assert scaled(308.8, -2) == 3.088
    assert scaled("1e-3", 6) == 1000.0
    assert scaled(1e22, 3) == 1e25
    assert currency_of("GBp") == (-2, "GBP")
    assert currency_of("USD") == (0, "USD")


@pytest.mark.parametrize("text", ["", ".", "NA", "n/a", "NaN", "null", "None", "-", None, float("nan")])
def test_a_value_that_is_missing_is_none(text: str | float | None) -> None:
    assert number(text) is None


def test_numbers_are_read_with_their_commas_and_words_refused() -> None:
    assert number("1,234.5") == 1234.5
    with pytest.raises(ValueError, match="abc"):
        number("abc")


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("2020", "2020-01-01", "2021-01-01"),
        ("2020-Q4", "2020-10-01", "2021-01-01"),
        ("2020-S1", "2020-01-01", "2020-07-01"),
        ("2020-B6", "2020-11-01", "2021-01-01"),
        ("2020-W53", "2020-12-28", "2021-01-04"),
        ("2020-12", "2020-12-01", "2021-01-01"),
        ("2020-02-29", "2020-02-29", "2020-03-01"),
    ],
)
def test_a_period_has_a_beginning_and_an_end(text: str, begin: str, end: str) -> None:
    assert tuple(map(date_of, period_named(text))) == (begin, end)


@pytest.mark.parametrize(
    "text",
    [
        "2020-13",
        "2020-Q5",
        "Q1 2020",
        "",
        "2020-02-30",
        "1086",
        "1677",
        "2262",
        "9999",
        "9999-12-31",
        "2300-W02",
        "0001-Q1",
    ],
)
def test_a_text_that_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"period|month|day|range"):
        period_named(text)


def test_a_period_by_its_last_day() -> None:
    assert tuple(map(date_of, period_until(date(2022, 3, 31), "Quarterly"))) == ("2022-01-01", "2022-04-01")
    assert tuple(map(date_of, period_until(date(2024, 11, 1), "Weekly, Ending Friday"))) == ("2024-10-26", "2024-11-02")
    assert tuple(map(date_of, period_until(date(2022, 12, 31), "Yearly"))) == ("2022-01-01", "2023-01-01")


def test_a_time_that_64_bits_do_not_hold_is_refused() -> None:
    for text in ("1677-09-20", "2262-04-13", "9999-12-31"):
        with pytest.raises(ValueError, match="1677 to 2262"):
            local_ns(text)
        with pytest.raises(ValueError, match="1677 to 2262"):
            period_until(date.fromisoformat(text), "Weekly")
    with pytest.raises(ValueError, match="1677 to 2262"):
        seconds_ns(10**11)
    assert date_of(local_ns("2262-04-11")) == "2262-04-11"


@pytest.mark.parametrize(
    ("concept", "unit"),
    [
        ("MarketCapitalization", "USD"),
        ("52WeekHigh", "USD"),
        ("DilutedEPSTTM", "USD/shares"),
        ("SharesOutstanding", "shares"),
        ("Beta", "pure"),
        ("PercentInsiders", "percent"),
        ("AnalystRatingHold", "analysts"),
        ("Weather", ""),
    ],
)
def test_each_figure_of_an_overview_has_its_unit(concept: str, unit: str) -> None:
    assert unit_of(concept, "USD") == unit


def test_a_local_time_is_of_its_zone_in_summer_and_winter() -> None:
    new_york = zone("America/New_York")
    assert local_ns("2020-07-01T09:30", new_york) == local_ns("2020-07-01T13:30")
    assert local_ns("2020-01-02T09:30", new_york) == local_ns("2020-01-02T14:30")
    assert local_ns("2024-10-30 07:54:01-05") == local_ns("2024-10-30T12:54:01")


def test_the_day_of_a_quota_is_that_of_the_provider() -> None:
    limits = SourceLimits("alpha_vantage", AlphaVantageConfig(day_zone="America/New_York", per_second=0, per_minute=0))
    before, after = local_ns("2026-03-08T04:59"), local_ns("2026-03-08T05:01")
    for _ in range(25):
        assert limits.take(before) == 0
    assert 0 < limits.take(before) <= HOUR_NS
    assert "25 requests a day" in limits.reason
    assert (limits.day_left(before), limits.day_left(after)) == (0, 25)
    assert limits.day_ends_ns(after) - local_ns("2026-03-08T05:00") == 23 * HOUR_NS  # the clocks go forward that day


def test_a_price_is_what_it_was_before_it_was_kept_in_32_bits() -> None:
    assert rounded(166.69000244140625, 2) == 166.69
    assert rounded(1.1220825910568237, 4) == 1.1220826
    assert rounded(308.8, 2) == 308.8
    assert rounded(0.1234567891, 2) == 0.1234567891


def test_a_field_is_named_by_its_path() -> None:
    assert field_of("Object missing required field `currency` - at `$.chart.result[0].meta`")[1] == (
        "$.chart.result[0].meta.currency"
    )
    assert field_of("Expected `str`, got `int` - at `$[3].x`") == ("Expected `str`, got `int`", "$[3].x")
    assert field_of("Object missing required field `chart`")[1] == "$.chart"
