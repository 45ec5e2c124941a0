"""The kernel and an independent engine take the same flow and do the same, or differ as docs/differential.md says.

Skips where the peer is not installed (`make differential` installs it). `NAUTILUS_DIFFERENTIAL` is the number of seeds
of each style; `make differential` asks for many more than this default.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable

import pytest

from tests.kit.data import BTCUSDT_PERPETUAL, BTCUSDT_SPOT, LOBSTER, ROOT, recording
from tests.kit.differential import peer, steps
from tests.kit.differential.cases import CASES, Case
from tests.kit.differential.compare import RULES, Report, compare
from tests.kit.differential.kernel_side import KernelSide
from tests.kit.differential.random_flow import STYLES, RandomFlow
from tests.kit.differential.recorded_flow import Binance, Lobster, MarketByOrder, RecordedFlow
from tests.kit.differential.steps import BUY, SELL

SEEDS = int(os.environ.get("NAUTILUS_DIFFERENTIAL", "3"))
STEPS = 800
BLOCK = 10
MBO = "l3_databento_mbo/"
NEEDS = {"limits": "", "stops": "stop", "reduce": "reduce_only"}


def require(what: str) -> None:
    """Skip where the kernel says UNSUPPORTED to what a flow needs."""
    if not what:
        return
    side = KernelSide()
    side.step(steps.add(1, 1_001, BUY, 90, 10))
    if what == "reduce_only":
        side.step(steps.add(1, 1_002, SELL, 100, 10))
        side.step(steps.new(1, 1, BUY, 5, 100))
        events = side.step(steps.new(2, 2, SELL, 5, 110, reduce_only=True))["events"]
    else:
        events = side.step(steps.new(2, 2, BUY, 5, order_type="stop", trigger=200))["events"]
    if events[0][:1] == ["rejected"] and events[0][2] == "UNSUPPORTED":
        pytest.skip(f"this kernel does not carry out {what} orders")


def check(report: Report, record: Callable[[str, object], None]) -> None:
    """Show what was compared; no mismatch, and enough of what matters to mean something."""
    print(report)
    record("differential", str(report))
    assert not report.mismatches, f"{report}\n\n" + "\n\n".join(report.mismatches[:3])
    assert report.words["filled"] > 100
    assert report.words["cancelled"] > 20


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))  # an engine of the peer stays until its process ends
@pytest.mark.parametrize("style", STYLES)
def test_random_flow_gives_the_same_fills_states_and_positions(
    style: str, first: int, record_property: Callable[[str, object], None]
) -> None:
    peer.interpreter()
    require(NEEDS[style])
    seeds = range(first, min(first + BLOCK, SEEDS))
    flows = [RandomFlow(seed, style) for seed in seeds]
    for flow in flows:
        flow.run(STEPS)
    report = Report()
    for seed, flow, trace in zip(seeds, flows, peer.run([flow.steps for flow in flows]), strict=True):
        report.add(compare(flow.steps, flow.trace, trace, name=f"{style}, seed {seed}"))
    check(report, record_property)
    if style == "stops":
        assert report.words["triggered"] > 5 * len(seeds)
    if style == "limits":
        assert report.words["expired"]
        assert report.words["rejected"]


def run_recorded(flow: RecordedFlow, count: int, start: int, record: Callable[[str, object], None], name: str) -> None:
    flow.run(count, start)
    (trace,) = peer.run([flow.steps])
    check(compare(flow.steps, flow.trace, trace, name=name), record)


@pytest.mark.parametrize("style", STYLES)
def test_own_orders_in_recorded_lobster_messages_do_the_same(
    style: str, record_property: Callable[[str, object], None]
) -> None:
    peer.interpreter()
    require(NEEDS[style])
    directory = recording(LOBSTER)
    for seed in range(min(SEEDS, 20) // 3):
        flow = RecordedFlow(Lobster(directory), seed, style, reach=20, size=200)
        run_recorded(flow, 2500, 20, record_property, f"lobster, {style}, seed {seed}")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "name",
    ["esh4-glbx-mdp3-20231224.mbo.dbn.zst", "orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst"],
)
def test_own_orders_in_a_recorded_book_of_orders_do_the_same(
    name: str, style: str, record_property: Callable[[str, object], None]
) -> None:
    peer.interpreter()
    require(NEEDS[style])
    records = MarketByOrder(recording(MBO + name))
    flow = RecordedFlow(records, 1, style, reach=8, size=60)
    run_recorded(flow, 600 if SEEDS < 20 else 3000, records.start, record_property, f"{name}, {style}")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("name", "tick", "lot", "reach", "size"),
    [(BTCUSDT_PERPETUAL, "0.1", "0.001", 20, 3_000), (BTCUSDT_SPOT, "0.01", "0.0001", 60, 10_000)],
)
def test_own_orders_in_recorded_depth_and_trades_do_the_same(
    name: str, tick: str, lot: str, reach: int, size: int, style: str, record_property: Callable[[str, object], None]
) -> None:
    peer.interpreter()
    require(NEEDS[style])
    full = SEEDS >= 20
    flow = RecordedFlow(
        Binance(recording(name), tick, lot, 20_000 if full else 1_000), 1, style, reach=reach, size=size
    )
    run_recorded(flow, 20_000 if full else 2_500, 0, record_property, f"{name}, {style}")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_kernel_does_what_a_difference_says_of_it(case: Case) -> None:
    require(case.needs)
    side = KernelSide()
    assert [event for step in case.flow for event in side.step(step)["events"]] == list(case.kernel)


def test_the_peer_does_what_each_difference_says_of_it() -> None:
    traces = peer.run([list(case.flow) for case in CASES])
    for case, trace in zip(CASES, traces, strict=True):
        events = [event for line in trace[:-1] for event in line["events"]]
        assert [event[:2] if event[0] in ("rejected", "refused") else event for event in events] == [
            event[:2] if event[0] in ("rejected", "refused") else event for event in case.peer
        ], case.name
        for event, expected in zip(events, case.peer, strict=True):
            if event[0] in ("rejected", "refused"):
                assert expected[2] in event[2], case.name


def test_every_difference_of_rules_is_on_the_page_and_no_other() -> None:
    page = (ROOT / "docs" / "differential.md").read_text()
    told = set(re.findall(r"^\| `([a-z-]+)` \|", page, re.M))
    assert told == set(RULES) | {case.name for case in CASES}


def test_a_flow_that_the_kernel_took_otherwise_is_found() -> None:
    """The comparison can fail: the peer is told one quantity or one price differently."""
    peer.interpreter()
    flow = RandomFlow(7, "limits")
    flow.run(400)
    wrong = []
    for what, change in (("quantity", 1), ("price", 1)):
        other = copy.deepcopy(flow.steps)
        row = next(row for row, line in enumerate(flow.trace) if [event[0] for event in line["events"]] == ["accepted"])
        other[row][what] += change
        wrong.append(other)
    for other, trace in zip(wrong, peer.run(wrong), strict=True):
        assert compare(other, flow.trace, trace).mismatches
