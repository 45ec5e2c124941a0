"""Past returns that are added one by one are those that are taken at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.engines.panel import Panel
from nautilus.engines.risk.past_returns import PastReturns
from nautilus.model.history import SeriesKind
from tests.kit.context import btcusdt

INSTRUMENTS = {key: btcusdt(instrument_id=key, symbol=f"I{key}") for key in range(1, 7)}


def filled(kinds: list[SeriesKind], lengths: list[int]) -> Panel:
    panel = Panel()
    for key, (kind, length) in enumerate(zip(kinds, lengths, strict=True), 1):
        steps = np.random.default_rng(key).normal(size=length) * 0.01
        values = steps if kind is SeriesKind.RETURN else 100 * np.cumprod(1 + steps)
        panel.put(f"I{key}", kind, np.arange(40 - length, 40) * 1_000, values)
    return panel


@given(
    st.lists(st.sampled_from([SeriesKind.PRICE, SeriesKind.RETURN]), min_size=1, max_size=5),
    st.data(),
    st.integers(5, 50),
)
def test_one_by_one_is_the_same_as_at_once(kinds: list[SeriesKind], data: Any, window: int) -> None:
    lengths = [data.draw(st.sampled_from([20, 30, 40])) for _ in kinds]
    panel = filled(kinds, lengths)
    keys = list(range(1, len(kinds) + 1))
    whole = PastReturns(panel, INSTRUMENTS, window)
    whole.measure([*keys, 6])
    single = PastReturns(panel, INSTRUMENTS, window)
    for place, key in enumerate(keys, 1):
        if not single.add(key):
            single.measure(keys[:place])
    assert single.add(6)  # it has no history
    assert single.rows.keys() == whole.rows.keys() == set(keys)
    for key in keys:
        found, expected = single.returns[single.rows[key]], whole.returns[whole.rows[key]]
        common = min(found.size, expected.size)
        assert found.size >= common
        assert found[-common:] == pytest.approx(expected[-common:], rel=1e-9, abs=1e-12)


def test_what_does_not_go_with_the_rest_asks_for_a_new_measure() -> None:
    panel = filled([SeriesKind.PRICE, SeriesKind.PRICE], [40, 20])
    found = PastReturns(panel, INSTRUMENTS, 500)
    found.measure([1])
    assert found.steps == 39
    assert not found.add(2)
    found.measure([1, 2])
    assert found.steps == 19


def test_histories_without_a_common_time_leave_nothing_measured() -> None:
    panel = filled([SeriesKind.PRICE], [40])
    panel.put("I2", SeriesKind.PRICE, [10**9, 2 * 10**9], [1.0, 2.0])
    found = PastReturns(panel, INSTRUMENTS, 500)
    found.measure([1, 2])
    assert (found.rows, found.steps) == ({}, 0)
