"""The table of routes: what it decides, what it learns, who shares it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import route
from nautilus.core.route import NO_TARGET, REASONS, Routes

MS = 1_000_000


def unpacked(packed: int) -> tuple[int, bool, str]:
    return (
        packed & route.TARGET_MASK,
        bool(packed >> route.DIRECT_SHIFT & 1),
        REASONS[packed >> route.REASON_SHIFT & 15],
    )


def test_a_group_without_targets_has_no_way() -> None:
    table = Routes(4)
    assert table.decide(table.group("risk"), 1) == NO_TARGET


def test_names_give_the_same_numbers_again() -> None:
    table = Routes(8)
    assert table.target("risk", "read", "a", 0) == table.target("risk", "read", "a", 0) == 0
    assert table.target("risk", "read", "a", 1) == 1
    assert table.group("risk", "read") == 0
    assert table.group("risk", "write") == 1
    assert table.members(0) == ([0], [1])
    assert len(table) == 2


def test_a_full_table_refuses_one_more() -> None:
    table = Routes(2)
    table.target("risk", "", "a", 0)
    table.target("risk", "", "a", 1)
    with pytest.raises(ValueError, match="no room for target"):
        table.target("risk", "", "b", 1)
    with pytest.raises(ValueError, match="capacity 0"):
        Routes(0)


def test_a_step_of_latency_turns_the_traffic_within_fifty_requests() -> None:
    table = Routes(4, seed=7)
    group = table.group("ml")
    latency_ms = {table.target("ml", "", "a", 0): 1.0, table.target("ml", "", "a", 1): 3.0}
    now_ns = 10**9

    def share_of(target: int, count: int) -> float:
        nonlocal now_ns
        taken = 0
        for _ in range(count):
            now_ns += MS
            chosen = table.decide(group, now_ns, route.IDEMPOTENT) & route.TARGET_MASK
            taken += chosen == target
            table.record(chosen, int(latency_ms[chosen] * MS), True, now_ns)
        return taken / count

    for better, step in ((0, {0: 1.0, 1: 3.0}), (1, {0: 10.0, 1: 3.0}), (0, {0: 1.0, 1: 3.0}), (1, {0: 1.0, 1: 0.1})):
        latency_ms.update(step)
        share_of(better, 50)
        assert share_of(better, 1000) >= 0.95


def test_in_flight_of_this_process_goes_with_its_table(tmp_path: Path) -> None:
    first, second = Routes(4, tmp_path / "routes"), Routes(4, tmp_path / "routes")
    target = first.target("risk", "", "a", 0)
    second.begin(target)
    first.begin(target)
    assert first.read(target)["in_flight"] == 2
    del second
    assert first.read(target)["in_flight"] == 1
    first.end(target)
    first.end(target)
    assert first.read(target)["in_flight"] == 0


def test_a_killed_process_gives_its_requests_back(tmp_path: Path) -> None:
    table = Routes(4, tmp_path / "routes")
    target = table.target("risk", "", "a", 0)
    table.begin(target)
    child = os.fork()
    if child == 0:
        own = Routes(4, tmp_path / "routes")
        for _ in range(5):
            own.begin(target)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert table.read(target)["in_flight"] == 6
    assert table.sweep() == 5
    assert table.read(target)["in_flight"] == 1


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "routes").write_bytes(b"\0" * 4096)
    with pytest.raises(ValueError, match="no table of routes"):
        Routes(4, tmp_path / "routes")


def test_one_that_was_made_and_left_before_it_was_begun_is_begun_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "routes"
    Routes(8, path)
    # What its maker says of it, as a maker leaves it that is killed at once: behind the 128 bytes of the region.
    words = np.memmap(path, np.uint32, "r+")
    assert words[33] == 8
    words[33] = words[34] = words[38] = words[39] = 0
    table = Routes(8, path)
    assert table.capacity == 8
    assert table.target("risk", "", "a", 0) == 0


class Siblings:
    """Instances of one engine behind the gateway, and the requests they get."""

    def __init__(self, latency_ms: dict[str, float], flags: int = 0, **settings: object) -> None:
        self.table = Routes(32, seed=3, **settings)  # type: ignore[arg-type]
        self.latency_ms = latency_ms
        self.failing: set[str] = set()
        self.flags = flags | route.GATEWAY
        self.now_ns = 10**12
        self.targets = {self.table.target("ml", "", name, 1): name for name in latency_ms}

    def number(self, name: str, region: str = "") -> int:
        return self.table.instance("ml", name, region)

    def shares(self, requests: int, step_ns: int = MS) -> dict[str, float]:
        taken = dict.fromkeys(self.latency_ms, 0)
        under_way: list[tuple[int, int, int]] = []
        for _ in range(requests):
            self.now_ns += step_ns
            for request in [each for each in under_way if each[0] <= self.now_ns]:
                under_way.remove(request)
                self.table.end(request[1])
                ok = self.targets[request[1]] not in self.failing
                self.table.record(request[1], request[2], ok, self.now_ns)
            target = self.table.decide(0, self.now_ns, self.flags) & route.TARGET_MASK
            self.table.begin(target)
            latency_ns = int(self.latency_ms[self.targets[target]] * MS)
            under_way.append((self.now_ns + latency_ns, target, latency_ns))
            taken[self.targets[target]] += 1
        for request in under_way:
            self.table.end(request[1])
        return {name: count / requests for name, count in taken.items()}


def test_a_slow_instance_gets_little_and_a_dead_one_that_answers_at_once_gets_nothing() -> None:
    siblings = Siblings({"a": 2.0, "b": 2.0, "c": 20.0})
    assert siblings.shares(3000)["c"] < 0.05
    siblings = Siblings({"a": 2.0, "b": 2.0, "c": 0.1})
    siblings.failing.add("c")
    siblings.shares(100)
    assert siblings.shares(3000)["c"] < 0.02


def test_an_instance_that_comes_back_takes_its_share_by_and_by() -> None:
    siblings = Siblings({"a": 2.0, "b": 2.0})
    siblings.table.set_health(siblings.number("b"), route.UNHEALTHY, siblings.now_ns)
    assert siblings.shares(500) == {"a": 1, "b": 0}
    siblings.table.set_health(siblings.number("b"), route.HEALTHY, siblings.now_ns)
    early = siblings.shares(500)["b"]
    siblings.shares(11_000)
    assert early < siblings.shares(2000)["b"]
    assert 0.4 < siblings.shares(2000)["b"] < 0.6


def test_an_instance_that_flaps_never_takes_the_others_with_it() -> None:
    siblings = Siblings({"a": 2.0, "b": 2.0, "c": 2.0})
    for turn in range(200):
        state = route.HEALTHY if turn % 2 else route.UNHEALTHY
        siblings.table.set_health(siblings.number("c"), state, siblings.now_ns)
        shares = siblings.shares(20)
        assert shares["a"] + shares["b"] > 0.5
        assert turn % 2 or shares["c"] == 0


@pytest.mark.parametrize("flags", [0, route.ROUND_ROBIN, route.LEAST_CONNECTIONS])
def test_where_too_many_are_out_all_are_taken(flags: int) -> None:
    siblings = Siblings(dict.fromkeys("abcd", 2.0), flags)
    for name in "abc":
        siblings.table.set_health(siblings.number(name), route.EJECTED)
    assert all(share > 0.1 for share in siblings.shares(500).values())
    assert siblings.table.decide(0, siblings.now_ns, siblings.flags) >> route.PANIC_SHIFT & 1
    siblings.table.set_health(siblings.number("c"), route.DEGRADED)
    shares = siblings.shares(500)
    assert (shares["a"], shares["b"]) == (0, 0)
    for name in "abcd":
        siblings.table.set_health(siblings.number(name), route.UNHEALTHY)
    assert all(share > 0.1 for share in siblings.shares(500).values())


@pytest.mark.parametrize("flags", [0, route.ROUND_ROBIN, route.LEAST_CONNECTIONS])
def test_the_own_region_comes_first_while_half_of_it_is_there(flags: int) -> None:
    siblings = Siblings(dict.fromkeys("abcd", 2.0), flags, region="eu")
    for name, region in zip("abcd", ("eu", "eu", "us", "us"), strict=True):
        siblings.number(name, region)
    assert sum(siblings.shares(400)[name] for name in "ab") == 1
    siblings.table.set_health(siblings.number("a"), route.UNHEALTHY)
    assert siblings.shares(400)["b"] == 1
    siblings.table.set_health(siblings.number("b"), route.UNHEALTHY)
    shares = siblings.shares(400)
    assert shares["c"] + shares["d"] == 1
    assert siblings.table.decide(0, siblings.now_ns, siblings.flags) >> route.SPILL_SHIFT & 1


def test_a_clock_that_is_set_back_or_leaps_stops_no_learning() -> None:
    siblings = Siblings({"a": 2.0, "b": 10.0})
    siblings.shares(500)
    for leap_ns in (-(10**11), 10**15, -(10**15) + 10**12):
        siblings.now_ns = max(siblings.now_ns + leap_ns, 1)
        siblings.latency_ms = {"a": siblings.latency_ms["b"], "b": siblings.latency_ms["a"]}
        siblings.shares(3000)
        shares = siblings.shares(2000)
        slow = max(siblings.latency_ms, key=lambda name: siblings.latency_ms[name])
        assert shares[slow] < 0.25
        assert siblings.table.read(0)["weight"] <= 10_000


def test_what_is_out_of_range_is_refused() -> None:
    table = Routes(4)
    table.target("risk", "", "a", 0)
    for act in (
        lambda: table.decide(7, 1),
        lambda: table.record(7, 1, True, 1),
        lambda: table.begin(7),
        lambda: table.set_health(7, 1),
        lambda: table.set_health(0, 5),
        lambda: table.tally(8, 1, True),
        lambda: table.target("risk", "", "a", 2),
        lambda: table.target("", "", "a", 0),
        lambda: table.target("risk", "", "a" * 48, 0),
        lambda: table.instance("risk", "a\0"),
        lambda: Routes(4, half_life_ns=1),
        lambda: Routes(4096),
    ):
        with pytest.raises(ValueError, match="Routes"):
            act()
