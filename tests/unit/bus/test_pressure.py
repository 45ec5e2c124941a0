"""What a sender sees of back-pressure."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from nautilus.bus import FULL, MessageKind
from nautilus.bus.pressure import HIGH, LOW, Pressure, PressureGauge
from nautilus.core.counters import Counters
from nautilus.model.enums import Priority
from tests.kit.bus import Node, run

LIMIT = 100
MS = 1_000_000
KEY = ("b", int(Priority.NORMAL))


def try_post(node: Node, number: int) -> int:
    return node.mesh.try_post("b", to="b", sender="a", kind=MessageKind.COMMAND, payload=b"%d" % number)


def test_marks_are_told_once_on_the_way_up_and_once_on_the_way_down() -> None:
    told: list[bool] = []
    table = Counters()
    gauge = PressureGauge(LIMIT, lambda peer, priority, high: told.append(high), table)
    stream = SimpleNamespace(live=0, base=1)
    levels = [0, 49, 50, 49, 60, 50, 26, 25, 26, 49, 50, 10]
    wanted = [[], [], [True], [], [], [], [], [False], [], [], [True], [False]]
    for now_ns, (live, expected) in enumerate(zip(levels, wanted, strict=True)):
        stream.live = live
        gauge.look({KEY: (stream, None)}, now_ns)
        assert told == expected, (live, told)
        told.clear()
    assert gauge.pressed == 2
    assert table.snapshot() == {"mesh.full": 0, "mesh.pressed": 2, "peer.b.pending_normal": 10}
    gauge.forget("b")
    assert table.snapshot()["peer.b.pending_normal"] == 0


def test_the_oldest_is_as_old_as_the_base_has_not_moved() -> None:
    gauge = PressureGauge(LIMIT, lambda *change: None)
    stream = SimpleNamespace(live=3, base=1)
    for now_ns, base, age_ns in ((0, 1, 0), (10, 1, 10), (20, 2, 0), (50, 2, 30)):
        stream.base = base
        gauge.look({KEY: (stream, None)}, now_ns)
        assert gauge.of(KEY, stream, now_ns) == Pressure(3, LIMIT, age_ns, False)
    stream.live = 0
    assert gauge.of(KEY, stream, 60).oldest_ns == 0
    assert gauge.of(("nobody", 1), None, 60) == Pressure(0, LIMIT, 0, False)


def test_a_sender_that_tries_is_refused_instead_of_cut(node: Callable[..., Node]) -> None:
    told: list[tuple[str, int, bool]] = []
    table = Counters()
    a = node("a", pending_limit=LIMIT, on_pressure=lambda *change: told.append(change), counters=table)
    ids = [try_post(a, number) for number in range(LIMIT + 20)]
    assert FULL not in ids[:LIMIT]
    assert ids[LIMIT:] == [FULL] * 20
    assert a.mesh.pressure("b", Priority.NORMAL)[:2] == (LIMIT, LIMIT)
    assert a.mesh.pressure("b", Priority.NORMAL).high, "known at once"
    assert a.mesh.is_pressed("b", Priority.NORMAL)
    assert not a.mesh.is_pressed("b", Priority.HIGH)
    run([a], lambda: told)
    b = node("b")
    run([a, b], lambda: a.mesh.pending() == 0 and len(told) == 2)
    assert told == [(*KEY, True), (*KEY, False)]
    assert b.payloads == [b"%d" % number for number in range(LIMIT)], "nothing was cut, nothing that was refused came"
    assert a.letters == []
    assert try_post(a, 1) != FULL
    run([a, b], lambda: a.mesh.pending() == 0)
    assert table.snapshot()["mesh.full"] == 20
    assert a.mesh.pressures() == {}


def test_the_marks_leave_room_between_them() -> None:
    assert 0 < LOW < HIGH < 1
