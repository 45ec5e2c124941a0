"""The LRU with lifetimes against an ordered dict, and the risk cache: no cached pass that a fresh check refuses."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

from nautilus.core import CommandKind, Kernel, KernelError, LimitKind
from nautilus.core.lru import Lru
from tests.kit import builders, flow_full, flow_setting
from tests.kit.builders import BUY, SELL, batch, limit, mark, new
from tests.kit.twin import TwinKernel


@pytest.mark.parametrize("seed", range(4))
def test_lru_is_an_ordered_dict_with_lifetimes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lru, naive, now = Lru(8, 50), OrderedDict[int, tuple[int, int]](), 0
    for number in range(5_000):
        now += int(rng.integers(0, 4))
        key = int(rng.integers(1, 16))
        if rng.random() < 0.4:
            lru.put(key, number, now)
            naive[key] = (number, now)
            naive.move_to_end(key)
            if len(naive) > 8:
                naive.popitem(last=False)
        else:
            held = naive.get(key)
            fresh = held is not None and now - held[1] < 50
            if fresh:
                naive.move_to_end(key)
            assert lru.get(key, now) == (held[0] if held is not None and fresh else None)
        assert len(lru) == len(naive)
    assert min(lru.counts.values()) > 50


@pytest.mark.parametrize(("capacity", "lifetime_ns"), [(0, 1), (1, 0), (1, -1)])
def test_lru_of_nothing_is_refused(capacity: int, lifetime_ns: int) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Lru(capacity, lifetime_ns)


def test_lru_key_0_is_reserved() -> None:
    lru = Lru(2, 10)
    assert lru.get(0, 0) is None
    with pytest.raises(ValueError, match="key above 0"):
        lru.put(0, 1, 0)


def kernel(risk_cache: int) -> Kernel:
    return Kernel(
        instruments=batch(*(builders.instrument(number, currency=0, negative=True) for number in (1, 2))),
        accounts=range(1, 4),
        capacity=256,
        closed_capacity=256,
        huge_pages=False,
        risk_cache=risk_cache,
    )


def a_few(rng: np.random.Generator, number: int) -> np.ndarray:
    """Few different orders, so that the same check comes often; limits, marks and kills between them."""
    account, instrument = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    draw = rng.random()
    if draw < 0.03:
        kind = int(rng.choice([1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 19]))
        value = int(rng.choice([-1, 0, 1, 20, 300]))
        scope = {} if kind in range(9, 14) else {"instrument_id": instrument}
        return limit(kind, min(value, 1) if kind == 19 else value, account_id=account, **scope)
    if draw < 0.05:
        return mark(int(rng.integers(5, 9)), instrument)
    if draw < 0.06:
        killed = (account, 0) if draw < 0.055 else (0, instrument)
        return batch(builders.kill(*killed), new(number, BUY, 5, 1, account_id=account), builders.resume(*killed))
    if draw < 0.1:
        return builders.mass_cancel(account)
    side = (BUY, SELL)[int(rng.integers(0, 2))]
    return new(
        number, side, int(rng.integers(4, 9)), int(rng.integers(1, 3)) * 8, account_id=account, instrument_id=instrument
    )


@pytest.mark.parametrize("seed", range(6))
def test_no_cached_result_differs_from_a_fresh_check(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fresh, cached = kernel(0), kernel(64)
    first = batch(mark(6, 1), mark(6, 2), limit(LimitKind.GROSS_EXPOSURE, 600), limit(LimitKind.POSITION, 60))
    assert fresh.process(first).tobytes() == cached.process(first).tobytes()
    for number in range(1, 5_000):
        command = a_few(rng, number)
        assert cached.process(command).tobytes() == fresh.process(command).tobytes()
    assert cached.state_hash() == fresh.state_hash()
    counts = cached.risk_cache_counts
    assert counts["hits"] > 300
    assert counts["misses"] > 300


@pytest.mark.parametrize("seed", range(4))
def test_no_cached_result_differs_along_a_flow_over_everything(seed: int) -> None:
    """Order types, groups, phases, controls, money and venues; the cache is small, so that results come and go."""
    setting = batch(flow_setting.instruments(), flow_setting.accounts(), flow_setting.first_commands())
    twin = TwinKernel(accounts=(), capacity=64, closed_capacity=16)  # which the flow looks at
    twin.process(setting)
    fresh, cached = (
        Kernel(accounts=(), capacity=64, closed_capacity=16, huge_pages=False, risk_cache=size) for size in (0, 8)
    )
    assert fresh.process(setting).tobytes() == cached.process(setting).tobytes()
    flow = flow_full.FullFlow(7_000 + seed)
    for number in range(700):
        command = flow.draw(twin)
        twin.process(command)
        again = command.copy()
        again["order_id"] += np.uint64(1 << 40) * (command["kind"] == CommandKind.NEW)
        for each in (command, again):  # the same check twice
            assert cached.process(each).tobytes() == fresh.process(each).tobytes()
        if number % 150 == 149:
            cached.restore(cached.snapshot())
        assert cached.state_hash() == fresh.state_hash()
    assert cached.risk_cache_counts["hits"] > 0


def test_what_depends_on_time_is_not_kept() -> None:
    cached = kernel(64)
    cached.process(batch(mark(6, 1), limit(LimitKind.STALE_PRICE, 10), limit(LimitKind.ORDER_QUANTITY, 1)))
    for number in range(1, 4):
        cached.process(new(number, BUY, 5, 2))
    assert cached.risk_cache_counts == {"hits": 0, "misses": 0, "bypassed": 3}


def test_risk_cache_of_a_negative_size_is_refused() -> None:
    with pytest.raises(KernelError, match="risk_cache"):
        kernel(-1)
