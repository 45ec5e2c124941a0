"""Features of bars beside TA-Lib on recorded stocks, with gaps, without volume, and on series that are short."""

from __future__ import annotations

import zipfile
from functools import cache

import numpy as np
import pytest

from nautilus.maths.indicators import BAR, BAR_FEATURES, compiled, whole
from tests.kit.data import recording

# TA-Lib has a whole number, or one of a kind of its own, in the rows where nothing is known yet.
OWN_START = {"wad", "supertrend_10_direction", "ht_trendmode"}
# The sum of nothing: TA-Lib's of no volume is 0, here there is none.
WITHOUT_VOLUME = {"vwap"}


@cache
def stock(name: str) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(recording(f"ohlcv_daily_lean/{name}.zip")) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    rows = np.array([[float(each) for each in line.split(",")[1:6]] for line in text.splitlines()])
    rows[:, :4] /= 1e4
    return dict(zip(BAR, np.ascontiguousarray(rows.T), strict=True))


def without_volume() -> dict[str, np.ndarray]:
    bars = dict(stock("bac"))
    bars["volume"] = np.where(np.arange(len(bars["volume"])) % 3 == 0, 0.0, bars["volume"])
    return bars


def with_a_gap() -> dict[str, np.ndarray]:
    times = np.where(np.arange(1_500) < 700, 1.0, 7.0)
    return {name: row[:1_500] * (1.0 if name == "volume" else times) for name, row in stock("aapl").items()}


SERIES = {name: (lambda name=name: stock(name)) for name in ("aapl", "bac", "spy", "qqq")}
SERIES |= {"no volume": without_volume, "a gap": with_a_gap}
SERIES |= {
    f"{count} rows": (lambda count=count: {name: row[1_000 : 1_000 + count] for name, row in stock("spy").items()})
    for count in (2, 5, 15, 33, 34, 64, 70, 130)
}


@pytest.mark.parametrize("series", SERIES)
def test_features_of_recorded_stocks_are_talibs(series: str) -> None:
    pytest.importorskip("talib")
    from tests.kit.talib_reference import reference

    columns = {name: row.copy() for name, row in SERIES[series]().items()}
    made = compiled("bar", BAR_FEATURES)
    table = whole(made, columns)
    assert np.isfinite(table.values).all()
    for name, outputs in reference(*columns.values()).items():
        begin, end = made.spans[name]
        for at, wanted in zip(range(begin, end), outputs, strict=True):
            label, there = made.outputs[at], np.isfinite(wanted)
            if label not in OWN_START and not (series == "no volume" and label in WITHOUT_VOLUME):
                assert (table.valid[at] == there).all(), label
            both = table.valid[at] & there
            usual = float(np.median(np.abs(wanted[both]))) if both.any() else 1.0
            np.testing.assert_allclose(
                table.values[at][both], wanted[both], rtol=1e-9, atol=1e-9 * max(usual, 1e-3), err_msg=label
            )


def test_typical_prices_that_differ_by_rounding_alone_are_equal_for_the_money_flow() -> None:
    talib = pytest.importorskip("talib")
    bars = {name: row[4_400:4_600].copy() for name, row in stock("spy").items()}
    made = compiled("bar", [each for each in BAR_FEATURES if each.name == "mfi_14"])
    found = whole(made, bars).values[0]
    wanted = talib.MFI(bars["high"], bars["low"], bars["close"], bars["volume"], 14)
    np.testing.assert_allclose(found[14:], wanted[14:], rtol=1e-9)
