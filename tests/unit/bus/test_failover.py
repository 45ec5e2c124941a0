"""The table of paths: steps down and up, against a plain model and by properties over random histories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.bus.failover import MESH, NEVER, STAR, TABLE, Condition, Failover, Offer, PathMeters, read_paths
from nautilus.core.counters import Counters

MS = 1_000_000
DOWN, UP = 20 * MS, 50 * MS


def mesh(**options: int) -> Failover:
    return Failover("mesh", "risk", MESH, 0, **{"down_ns": DOWN, "up_ns": UP, **options})


def test_every_condition_has_a_row_and_the_last_resort_is_the_last_one() -> None:
    assert set(TABLE) == set(Condition)
    assert TABLE[Condition.LOST][-1] is Offer.LAST
    assert all(Offer.PROVEN in row and Offer.LAST not in row[:-1] for row in TABLE.values())


def test_a_path_that_is_back_in_time_is_not_left() -> None:
    paths = mesh()
    paths.report("redis", True, 0)
    paths.report("zmq", False, 10 * MS, "reset")
    assert paths.condition(10 * MS) is Condition.DOUBTED
    assert paths.due_ns == 30 * MS
    assert paths.step(29 * MS) is None
    paths.report("zmq", True, 29 * MS)
    assert paths.step(40 * MS) is None
    assert (paths.path, paths.due_ns, paths.degraded) == ("zmq", NEVER, False)


def test_each_step_down_and_up_is_an_event_with_its_cause() -> None:
    paths = mesh()
    paths.report("redis", True, 0)
    paths.report("http", True, 0)
    steps = []
    for at, path, healthy, cause in (
        (100, "zmq", False, "connection refused"),
        (200, "redis", False, "no answer"),
        (300, "http", False, "connection refused"),
        (400, "http", True, ""),
        (500, "redis", True, ""),
        (600, "zmq", True, "handshake"),
    ):
        paths.report(path, healthy, at * MS, cause)
        for now in range(at, at + 100):
            step = paths.step(now * MS)
            if step is not None:
                steps.append((step.before, step.after, step.at_ns // MS, step.cause))
    assert steps == [
        ("zmq", "redis", 120, "connection refused"),
        ("redis", "http", 220, "no answer"),
        ("http", "local", 320, "connection refused"),
        ("local", "http", 450, "http is back"),
        ("http", "redis", 550, "redis is back"),
        ("redis", "zmq", 650, "handshake"),
    ]
    assert (paths.downs, paths.ups, paths.degraded) == (3, 3, False)


def test_a_lost_path_is_left_for_one_that_has_just_become_healthy_rather_than_for_none() -> None:
    paths = mesh()
    paths.report("redis", True, 0)
    paths.report("zmq", False, 0, "gone")
    assert paths.step(DOWN).after == "redis"  # type: ignore[union-attr]
    paths.report("redis", False, DOWN, "gone")
    paths.report("zmq", True, 2 * DOWN - MS)
    change = paths.step(2 * DOWN)
    assert change is not None
    assert (change.after, change.cause) == ("zmq", "zmq is back; redis: gone")


def test_paths_that_are_not_there_are_not_taken() -> None:
    paths = Failover("star", "hub", ("zmq", "http", "stale"), 0, down_ns=DOWN, up_ns=UP)
    paths.report("redis", True, 0)
    paths.report("http", True, 0)
    paths.report("zmq", False, 0)
    change = paths.step(DOWN)
    assert change is not None
    assert (change.after, change.cause) == ("http", "zmq is lost")


def test_what_is_written_of_the_paths_is_read_again() -> None:
    counters, paths = Counters(), mesh()
    meters = PathMeters(counters)
    paths.report("redis", True, 0)
    paths.report("zmq", False, 0)
    paths.step(DOWN)
    meters.write(paths)
    meters.write(Failover("star", "hub", ("zmq", "stale"), 0))
    found = read_paths(counters.snapshot())
    assert found["mesh"]["risk"].path == "redis"
    assert found["mesh"]["risk"].healthy == {"zmq": False, "redis": True, "http": False}
    assert (found["star"]["hub"].path, found["star"]["hub"].healthy) == ("zmq", {"zmq": True})
    paths.report("zmq", True, DOWN)
    paths.step(DOWN + UP)
    meters.write(paths)
    values = counters.snapshot()
    assert (values["mesh.path_downs"], values["mesh.path_ups"], values["mesh_path.risk.taken"]) == (1, 1, 0)
    counters.set(counters.gauge("mesh_path.risk.taken"), 7)
    meters.write(paths)
    assert counters.snapshot()["mesh_path.risk.taken"] == 7, "what is as before is not written again"


# A history: every so many milliseconds one path becomes healthy or not; the table is asked at each millisecond.
HISTORIES = st.lists(st.tuples(st.integers(0, 90), st.integers(0, 3), st.booleans()), max_size=60)


@given(HISTORIES, st.sampled_from([MESH, STAR]), st.integers(0, 40), st.integers(0, 80))
def test_no_history_makes_it_flap_or_lets_it_stay_on_a_worse_path(
    history: list[tuple[int, int, bool]], order: tuple[str, ...], down: int, up: int
) -> None:
    paths = Failover("mesh", "risk", order, 0, down_ns=down * MS, up_ns=up * MS)
    last = len(order) - 1
    # The model: since when each path has been as it is.
    state = [(at == 0, 0) for at in range(last)]
    left: dict[str, int] = {}
    changes = []
    now = 0
    for wait, at, healthy in [*history, (200, 0, True)]:
        for now in range(now, now + wait):  # noqa: B020
            before = order.index(paths.path)
            change = paths.step(now * MS)
            if change is None:
                # Nothing better has stood for long enough, and the path taken has not been lost for long enough.
                assert not any(is_up and now - since >= up for is_up, since in state[:before])
                if before < last and not state[before][0]:
                    assert now - state[before][1] < down
                continue
            changes.append(change)
            after = order.index(change.after)
            assert (change.before, change.at_ns) == (order[before], now * MS)
            assert change.cause
            if after > before:
                is_up, since = state[before]
                assert not is_up
                assert now - since >= down
                assert not any(is_up and now - since >= up for is_up, since in state[:before])
                # To the last one only where nothing else is healthy.
                assert (after == last) == (not any(is_up for is_up, _ in state))
                assert not any(is_up for is_up, _ in state[before + 1 : after])
            else:
                is_up, since = state[after]
                assert is_up
                if before == last or state[before][0]:
                    assert now - since >= up
            # A path that was left for a worse one is back after the two times at the earliest, but for want of others.
            if change.after in left and (before == last or state[before][0]):
                assert now - left[change.after] >= up
            if after > before:
                left[change.before] = now
        if at < last:
            if state[at][0] != healthy:
                state[at] = (healthy, now)
            paths.report(order[at], healthy, now * MS)
    for later in range(now, now + up + down + 2):
        paths.step(later * MS)
    assert paths.path == order[0], "the best path is healthy, and is taken"
    assert paths.ups + paths.downs >= len(changes)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=200))
def test_a_path_that_comes_and_goes_quicker_than_it_is_trusted_is_left_once(times: list[int]) -> None:
    paths = mesh()
    paths.report("redis", True, 0)
    now, healthy = 0, True
    changes = 0
    paths.report("zmq", False, 0)
    for now in range(30):
        changes += paths.step(now * MS) is not None
    for wait in times:
        paths.report("zmq", healthy, now * MS)
        healthy = not healthy
        for _ in range(wait):
            now += 1
            changes += paths.step(now * MS) is not None
    if not healthy:  # it may have been trusted in the end
        paths.report("zmq", False, now * MS)
    assert (changes, paths.path) == (1, "redis")


@pytest.mark.parametrize("order", [MESH, STAR])
def test_the_time_when_it_is_due_is_the_time_when_it_steps(order: tuple[str, ...]) -> None:
    paths = Failover("star", "hub", order, 0, down_ns=DOWN, up_ns=UP)
    assert paths.due_ns == NEVER
    for path in order[1:-1]:
        paths.report(path, True, 0)
    for path in order[:-1]:
        paths.report(path, False, paths.since_ns, "gone")
        due = paths.due_ns
        assert paths.step(due - 1) is None
        assert paths.step(due) is not None
    assert (paths.path, paths.due_ns, paths.carries) == (order[-1], NEVER, False)
    paths.report(order[0], True, NEVER // 2)
    assert paths.due_ns == NEVER // 2 + UP
    assert paths.step(paths.due_ns - 1) is None
    assert paths.step(paths.due_ns) is not None


def test_why_another_path_is_not_well_is_what_was_said_last() -> None:
    paths = mesh()
    paths.report("http", False, 5, "no port is known")
    assert [(each.cause, each.since_ns) for each in paths.health() if each.path == "http"] == [("no port is known", 0)]
    paths.report("zmq", False, 10, "disconnected")
    paths.report("zmq", False, 20, "not connected yet")
    change = paths.step(10 + DOWN)
    assert change is not None
    assert (change.after, change.cause) == ("local", "disconnected"), "what befell the path that is left"
