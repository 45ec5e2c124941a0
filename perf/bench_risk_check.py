"""What the pre-trade controls cost: none set, all set, and with the risk cache, side by side.

Each step is one NEW that rests and its CANCEL (the cache then always misses: the account has changed), or one NEW that
is refused for the same reason as the one before (it always hits). A thousand steps a call, least of many calls.
"""

from __future__ import annotations

import time

import numpy as np

from nautilus.core import COMMAND, EVENT, CommandKind, EventKind, Kernel, LimitKind, OrderType, Side, TimeInForce
from perf.harness import Report, check, cores, pinned

SUMMARY = "pre-trade controls: none, all, risk cache hit and miss"
STEPS, CALLS = 1_000, 300
CONTROLS_NS = 1_000  # asked of all controls together
APART_NS = 1_000  # of commands: orders of one kind at one time would be doubles
FAR = 10**14
KEPT = {
    LimitKind.ORDER_QUANTITY: 100,
    LimitKind.ORDER_NOTIONAL: FAR,
    LimitKind.PRICE_COLLAR: 5_000,
    LimitKind.POSITION: FAR,
    LimitKind.DAILY_LOSS: FAR,
    LimitKind.LEVERAGE: 10**6,
    LimitKind.CONCENTRATION: 10**6,
    LimitKind.CREDIT: FAR,
    LimitKind.OPEN_ORDERS: FAR,
    LimitKind.OPEN_VALUE: FAR,
    LimitKind.GROSS_EXPOSURE: FAR,
    LimitKind.NET_EXPOSURE: FAR,
}
OTHERS = {
    LimitKind.CREDIT_TOTAL: (FAR, 0),
    LimitKind.STALE_PRICE: (FAR, 0),
    LimitKind.MESSAGE_RATE: (10**9, 10**9),
    LimitKind.PRICE_BAND: (5_000, 10**9),
    LimitKind.REPEATED: (10**9, 10**9),
    LimitKind.DUPLICATE: (1, 1),
}


def commands(count: int, **fields: object) -> np.ndarray:
    array = np.zeros(count, COMMAND)
    for name, value in fields.items():
        array[name] = value
    return array


def opened(limits: dict[LimitKind, tuple[int, int]], risk_cache: int = 0) -> Kernel:
    setup = [
        commands(1, kind=CommandKind.MARK, instrument_id=1, price_ticks=1_000),
        commands(1, kind=CommandKind.ADJUST, group_id=1, account_id=1, quantity=10**12),
        commands(1, kind=CommandKind.SESSION, group_id=1, offset=1),
    ]
    for kind, (value, window) in limits.items():
        setup.append(commands(1, kind=CommandKind.LIMIT, order_type=kind, quantity=value, expire_ns=window))
    kernel = Kernel(
        instruments=commands(1, kind=CommandKind.INSTRUMENT, instrument_id=1, quantity=1),
        accounts=[1],
        capacity=64,
        closed_capacity=1 << 12,
        huge_pages=False,
        risk_cache=risk_cache,
    )
    events = kernel.process(np.concatenate(setup))
    check(len(events) == len(setup) - 1, "the set-up is taken")
    return kernel


def step(kernel: Kernel, quantity: int) -> float:
    """Least nanoseconds a step; more than 100 lots are refused where ORDER_QUANTITY is set."""
    order = {"side": Side.BUY, "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC}
    flow = commands(2 * STEPS, account_id=1, instrument_id=1, price_ticks=900, quantity=quantity, **order)
    flow["kind"] = np.tile([CommandKind.NEW, CommandKind.CANCEL], STEPS)
    if quantity > 100:
        flow = np.ascontiguousarray(flow[::2])
    each = len(flow) // STEPS
    out, least = np.zeros(len(flow) + 8, EVENT), float("inf")
    told = [EventKind.REJECTED] if each == 1 else [EventKind.ACCEPTED, EventKind.CANCELLED]
    for call in range(CALLS):
        flow["order_id"] = np.repeat(np.arange(1, STEPS + 1), each) + call * STEPS
        flow["now_ns"] = (np.arange(len(flow)) + call * len(flow) + 1) * APART_NS
        start = time.perf_counter_ns()
        consumed, produced = kernel.process_into(flow, out)
        least = min(least, (time.perf_counter_ns() - start) / STEPS)
        check(consumed == produced == len(flow), "one event a command")
        check(bool((out["kind"][: len(flow)] == np.tile(told, STEPS)).all()), "accepted and cancelled, or refused")
    return least


def run(report: Report) -> None:
    """One figure for each case."""
    kept = {kind: (value, 0) for kind, value in KEPT.items()}
    cases: tuple[tuple[str, dict[LimitKind, tuple[int, int]], int, int], ...] = (
        ("NEW and CANCEL, no limit", {}, 0, 1),
        ("NEW and CANCEL, all 18 limits", {**kept, **OTHERS}, 0, 1),
        ("NEW and CANCEL, 12 limits", kept, 0, 1),
        ("NEW and CANCEL, 12 limits, cache (misses)", kept, 1_000, 1),
        ("NEW refused, 12 limits", kept, 0, 101),
        ("NEW refused, 12 limits, cache (hits)", kept, 1_000, 101),
    )
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core}"
    with pinned(core):
        for name, limits, cache, quantity in cases:
            report.measure(
                name,
                "ns",
                lambda limits=limits, cache=cache, quantity=quantity: step(opened(limits, cache), quantity),  # type: ignore[misc]
                lower_is_better=True,
                goal=CONTROLS_NS if "18" in name else None,
            )
    report.checks.append("every NEW is accepted and its CANCEL taken, or every NEW refused")
