"""A recording as a market source: steps in file order, stop after a time, faults, summary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nautilus.core.types import QUOTE, TRADE, BookAction
from nautilus.model.errors import VenueError
from nautilus.simulation.playback import BOOK, RecordedSource
from nautilus.simulation.playback import QUOTE as QUOTE_KIND
from nautilus.simulation.playback import TRADE as TRADE_KIND
from tests.kit.twin import TwinKernel
from tests.unit.simulation.venue import BUY, INSTRUMENT, OWN, SELL, deltas


def trade(price: int, quantity: int, side: int) -> np.ndarray:
    record = np.zeros(1, TRADE)
    record["price_ticks"], record["quantity"], record["side"] = price, quantity, side
    return record


class ListedRecording:
    """Updates from a list, told apart from a file by nothing that the source looks at."""

    def __init__(
        self, updates: list[tuple[int, int, np.ndarray]], *, order_by_order: bool = False, fault: str = ""
    ) -> None:
        self.order_by_order = order_by_order
        self.given = 0
        self._updates = updates
        self._fault = fault

    def updates(self, until_ns: int | None = None) -> Iterator[tuple[int, int, np.ndarray]]:
        for update in self._updates:
            self.given += 1
            yield update
        if self._fault:
            raise VenueError(self._fault)

    def summary(self) -> dict[str, Any]:
        return {"records": {"updates": self.given}, "gaps": 0}

    @property
    def progress(self) -> float:
        return self.given / len(self._updates)


def short() -> list[tuple[int, int, np.ndarray]]:
    return [
        (10, BOOK, deltas([(BookAction.SET, BUY, 100, 5), (BookAction.SET, SELL, 101, 5)])),
        (11, QUOTE_KIND, np.zeros(1, QUOTE)),
        (12, TRADE_KIND, trade(100, 2, SELL)),
        (30, BOOK, deltas([(BookAction.SET, BUY, 100, 3)])),
    ]


def play(source: RecordedSource) -> tuple[TwinKernel, list[Any]]:
    kernel = TwinKernel(source.instruments(), accounts=[OWN])
    source.attach(kernel)
    source.on_events(kernel.process(source.setup()))
    steps = []
    while (now_ns := source.next_ns()) is not None:
        assert source.next_ns() == now_ns, "asking again changes nothing"
        step = source.step()
        assert step.now_ns == now_ns
        if step.commands is not None:
            assert (step.commands["now_ns"] == now_ns).all()
            source.on_events(kernel.process(step.commands))
        steps.append(step)
    return kernel, steps


def test_each_update_is_a_step_with_its_own_records() -> None:
    recording = ListedRecording(short())
    source = RecordedSource(recording, INSTRUMENT)
    assert source.progress == 0
    kernel, steps = play(source)
    assert [step.now_ns for step in steps] == [10, 11, 12, 30]
    assert [len(step.records) for step in steps] == [1, 1, 1, 1]
    assert [None if step.commands is None else len(step.commands) for step in steps] == [2, None, 1, None]
    bids, asks = kernel.depth(1, 5)
    assert (bids["quantity"].tolist(), asks["quantity"].tolist()) == ([3], [5])
    assert source.progress == 1
    facts = source.summary()
    assert facts["records"] == {"updates": 4}
    assert facts["rejected"] == {}
    assert facts["market"]["trades"] == 1


def test_parts_of_an_order_by_order_update_are_steps_at_the_same_time() -> None:
    start = deltas([(BookAction.SET, BUY, 100, 5), (BookAction.SET, SELL, 101, 5)])
    change = deltas([(BookAction.ADD, BUY, 99, 2, 71), (BookAction.SET, BUY, 98, 4)])
    source = RecordedSource(ListedRecording([(10, BOOK, start), (12, BOOK, change)], order_by_order=True), INSTRUMENT)
    kernel, steps = play(source)
    assert [step.now_ns for step in steps] == [10, 12, 12]
    assert [len(step.records) for step in steps] == [1, 1, 0]
    assert kernel.depth(1, 5)[0]["price_ticks"].tolist() == [100, 99, 98]


def test_fault_of_the_recording_comes_after_everything_before_it() -> None:
    source = RecordedSource(ListedRecording(short(), fault="cut"), INSTRUMENT)
    with pytest.raises(VenueError, match="cut"):
        play(source)
    assert source.summary()["market"]["trades"] == 1
