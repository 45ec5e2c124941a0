"""A mesh on which nothing happens asks little, and sees what happens all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nautilus.bus.lanes import Monitor
from nautilus.core.clock import now_ns
from tests.kit.bus import Node, run

MS = 1_000_000


@pytest.fixture
def pair(node: Callable[..., Node]) -> tuple[Node, Node]:
    a, b = node("a"), node("b")
    a.mesh.dial("b")
    run([a, b], lambda: ("b", True) in a.changes)
    return a, b


def test_monitors_are_read_when_one_of_them_has_something_to_tell(
    pair: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    read: list[Monitor] = []
    changes = Monitor.changes
    monkeypatch.setattr(Monitor, "changes", lambda self: read.append(self) or changes(self))
    a.turn()
    read.clear()
    later_ns = now_ns()
    for _ in range(10):
        later_ns = max(a.mesh.next_due_ns, later_ns + MS)
        a.mesh.tick(later_ns)
    assert not read
    b.close()
    run([a], lambda: ("b", False) in a.changes)
    assert read


def test_a_host_that_is_awake_may_look_a_little_earlier(pair: tuple[Node, Node]) -> None:
    a, b = pair
    run([a, b], lambda: a.mesh.early_ns < a.mesh.next_due_ns)
    early_ns, due_ns = a.mesh.early_ns, a.mesh.next_due_ns
    a.mesh.look_early(early_ns - 1)
    assert a.mesh.next_due_ns == due_ns
    a.mesh.look_early(early_ns)
    assert due_ns < a.mesh.next_due_ns <= early_ns + 50 * MS
