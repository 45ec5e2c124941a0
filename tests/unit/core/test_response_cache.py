"""The shared cache of answers against its naive twin, alone and among processes that are killed."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nautilus.core.response_cache import (
    BUSY,
    MINE,
    OTHERS,
    OUTDATED,
    STORED,
    TOO_LARGE,
    Answers,
    hold_lock,
    release_lock,
    reserve,
)
from tests.kit.naive_cache import NaiveAnswers
from tests.kit.ring_children import Child
from tests.kit.steps import live, seeds, told

KIB = 64
PATHS = [b"/a", b"/a/b", b"/b", b"/" + b"x" * 150]
KEYS = [engine + b"\n\n" + path for engine in (b"risk", b"ml") for path in PATHS]
SIZES = [0, 1, 100, 4_000, 16_000, 17_000, 70_000]
NAMES = {STORED: "stored", TOO_LARGE: "too large", OUTDATED: "outdated"}
KILLS = 25
STEPS = 2_000


class AnswersMachine(RuleBasedStateMachine):
    """Both get the same; they have to say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.made = Answers(kib=KIB)
        self.twin = NaiveAnswers(KIB << 10)
        self.engines = {name: self.made.engine(name.decode()) for name in (b"risk", b"ml")}
        self.numbers: list[tuple[int, int]] = [(engine, 0) for engine in self.engines.values()]

    @rule(
        key=st.sampled_from(KEYS), size=st.sampled_from(SIZES), fill=st.integers(0, 255), held=st.integers(0, 1 << 20)
    )
    def put(self, key: bytes, size: int, fill: int, held: int) -> None:
        engine = self.engines[key.partition(b"\n")[0]]
        path = key.rpartition(b"\n")[2]
        known = [number for owner, number in self.numbers[-400:] if owner == engine]
        number = known[held % len(known)] if known else self.twin.number(engine)
        value, times = bytes([fill]) * size, (fill, fill + 1, fill + 2, fill + 3)
        status = self.made.put(key, len(path), value, engine, number, *times)
        assert NAMES[status] == self.twin.put(key, len(path), value, engine, number, times)

    @rule(engine=st.sampled_from([0, 1]), prefix=st.sampled_from([b"", b"/", b"/a", b"/a/b", b"/c", b"/" + b"x" * 120]))
    def forget(self, engine: int, prefix: bytes) -> None:
        self.made.forget(engine, prefix)
        self.twin.forget(engine, prefix)
        self.numbers.append((engine, self.twin.number(engine)))

    @rule(engine=st.sampled_from([0, 1]), times=st.integers(1, 20))
    def forget_often(self, engine: int, times: int) -> None:
        for _ in range(times):
            self.forget(engine, b"/c")

    @rule(span=st.sampled_from([1, 64, 5_000, 20_000]))
    def a_writer_dies_in_the_middle(self, span: int) -> None:
        if self.twin.reserved % self.twin.ring_bytes + span < self.twin.ring_bytes:
            assert reserve(self.made, span)
            self.twin.reserved += -(-span // 64) * 64
            release_lock(self.made)

    @invariant()
    def both_have_the_same(self) -> None:
        for key in KEYS:
            found, expected = self.made.get(key), self.twin.get(key)
            assert (found is None) == (expected is None)
            if found is not None and expected is not None:
                assert (found.value, found.engine, found.number) == (expected.value, expected.engine, expected.number)
                assert (found.stored_ns, found.fresh_ns, found.stale_ns, found.error_ns) == expected.times
        for engine, number in self.numbers[-40:]:
            for path in PATHS:
                assert self.made.valid(engine, number, path) == self.twin.valid(engine, number, path)


def test_answers_and_twin_live_the_same_life() -> None:
    live(AnswersMachine, "response cache", 100)


def test_answers_and_twin_agree_over_thousands_of_steps() -> None:
    runs = seeds(STEPS)
    for seed in runs:
        chance, machine = random.Random(seed), AnswersMachine()
        for step in range(STEPS):
            what = chance.random()
            if what < 0.9:
                machine.put(chance.choice(KEYS), chance.choice(SIZES), chance.randrange(256), chance.randrange(1 << 20))
            elif what < 0.95:
                machine.forget(chance.randrange(2), chance.choice((b"", b"/", b"/a", b"/a/b", b"/c", b"/c")))
            elif what < 0.96:
                machine.forget_often(chance.randrange(2), chance.randint(1, 20))
            else:
                machine.a_writer_dies_in_the_middle(chance.choice((1, 64, 5_000, 20_000)))
            if step % 10 == 9:  # each step is compared by what it answers
                machine.both_have_the_same()
    told("response cache", len(runs) * STEPS, runs)


def test_a_key_of_another_length_or_engine_is_another_key() -> None:
    answers = Answers(kib=KIB)
    risk = answers.engine("risk")
    answers.put(b"risk\n\n/a", 2, b"1", risk, 0, 0, 0)
    assert answers.get(b"risk\n\n/a/") is None
    assert answers.get(b"risk\nread\n/a") is None
    found = answers.get(b"risk\n\n/a")
    assert found is not None
    assert found.value == b"1"


def test_more_keys_than_its_index_holds_push_out_the_oldest() -> None:
    answers = Answers(kib=KIB)
    engine = answers.engine("risk")
    for number in range(400):
        assert answers.put(b"risk\n\n/%d" % number, 3, b"", engine, 0, number, 0) == STORED
    assert answers.counts["evicted"] > 0
    kept = [number for number in range(400) if answers.get(b"risk\n\n/%d" % number) is not None]
    assert kept[-1] == 399
    assert 20 <= len(kept) <= 64


@pytest.mark.parametrize("kib", [0, 63, 65, 1 << 25])
def test_a_size_that_is_none_is_refused(kib: int) -> None:
    with pytest.raises(ValueError, match="expected a power of two"):
        Answers(kib=kib)


def test_what_is_no_cache_and_one_of_another_size_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"x" * 4096)
    with pytest.raises(ValueError, match="damaged, or a region of another kind"):
        Answers(tmp_path / "other")
    Answers(tmp_path / "answers", kib=64)
    with pytest.raises(ValueError, match="a cache of 64 KiB, expected 128"):
        Answers(tmp_path / "answers", kib=128)
    with pytest.raises(OSError, match="No such file"):
        Answers(tmp_path / "no" / "answers")


def test_one_that_was_made_and_left_before_it_was_begun_is_begun_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    Answers(path, kib=64)
    # What its maker says of it, as a maker leaves it that is killed at once: behind the 128 bytes of the region.
    words = np.memmap(path, np.uint64, "r+")
    assert words[16] == 64 << 10
    words[16:19] = 0
    answers = Answers(path, kib=64)
    assert words[16:19].all()
    answers.put(b"risk\n\n/a", 2, b"1", answers.engine("risk"), 0, 0, 0)
    assert answers.get(b"risk\n\n/a") is not None


def test_all_who_come_at_once_share_one(tmp_path: Path) -> None:
    for turn in range(10):
        path = tmp_path / str(turn)

        def work(ready: Callable[[], object], path: Path = path, own: int = 0) -> int:
            answers = Answers(path, kib=64)
            answers.put(b"risk\n\n/%d" % own, 2, b"1", answers.engine("risk"), 0, 0, 0)
            return os.stat(path).st_ino

        children = [Child(partial(work, own=own)) for own in range(3)]
        assert len({child.result() for child in children}) == 1
        assert all(Answers(path, kib=64).get(b"risk\n\n/%d" % own) is not None for own in range(3))


def test_an_index_that_points_out_of_the_ring_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    answers = Answers(path, kib=64)
    answers.put(b"risk\n\n/a", 2, b"1", answers.engine("risk"), 0, 0, 0)
    words = np.memmap(path, np.uint64, "r+")
    ring = len(words) - (64 << 10) // 8
    (at,) = np.flatnonzero(words[ring - 32 : ring]) + ring - 32
    words[at] += np.uint64(((64 << 10) // 64 - 1) << 20)  # its last 64 bytes: less than the head of a record
    assert answers.get(b"risk\n\n/a") is None


@pytest.mark.parametrize("name", ["", "x" * 32])
def test_a_name_of_an_engine_has_its_bounds(name: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 31 bytes"):
        Answers(kib=64).engine(name)


def test_there_is_room_for_64_engines_and_no_more() -> None:
    answers = Answers(kib=64)
    assert [answers.engine(f"e{number}") for number in range(64)] == list(range(64))
    with pytest.raises(ValueError, match="no room"):
        answers.engine("e64")
    for call in (lambda: answers.number(64), lambda: answers.forget(64), lambda: answers.valid(64, 0, b"")):
        with pytest.raises(ValueError, match="expected a number that"):
            call()


def test_what_one_process_keeps_another_finds_and_the_next_life_too(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    first = Answers(path, kib=64)
    first.put(b"risk\n\n/a", 2, b"kept", first.engine("risk"), 0, 1, 2, 3, 4)

    def work(ready: Callable[[], object]) -> list[Any]:
        other = Answers(path, kib=64)
        found = other.get(b"risk\n\n/a")
        other.forget(other.engine("risk"))
        return [found is not None and found.value == b"kept", other.engine("risk")]

    assert Child(work).result() == [True, 0]
    del first
    again = Answers(path, kib=64)
    found = again.get(b"risk\n\n/a")
    assert found is not None
    assert not again.valid(found.engine, found.number, b"/a")


def test_a_writer_that_was_killed_with_the_lock_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    answers = Answers(path, kib=64)
    engine = answers.engine("risk")

    def work(ready: Callable[[], object]) -> None:
        other = Answers(path, kib=64)
        assert hold_lock(other)
        ready()
        signal.pause()

    child = Child(work)
    child.ready()
    # It lives, and holds on: nobody waits for it for long, and nobody takes it from it.
    assert answers.put(b"risk\n\n/a", 2, b"1", engine, 0, 0, 0) == BUSY
    assert answers.counts["stolen"] == 0
    child.kill()
    assert answers.put(b"risk\n\n/a", 2, b"1", engine, 0, 0, 0) == STORED
    assert answers.counts["stolen"] == 1


def test_an_engine_that_others_have_made_is_found_while_one_of_them_writes(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    engine = Answers(path, kib=64).engine("risk")

    def work(ready: Callable[[], object]) -> None:
        assert hold_lock(Answers(path, kib=64))
        ready()
        signal.pause()

    child = Child(work)
    child.ready()
    assert Answers(path, kib=64).engine("risk") == engine
    child.kill()


def value_of(number: int) -> bytes:
    """A value that says its number everywhere."""
    return number.to_bytes(8, "little") * (1 + number % 700)


def hammer(path: Path, seed: int, turns: int | None) -> Callable[[Callable[[], object]], Any]:
    """Stores and reads; every value that is found has to be one that was stored under its key."""

    def work(ready: Callable[[], object]) -> int:
        answers = Answers(path, kib=256)
        engine = answers.engine("risk")
        ready()
        number, found = seed, 0
        while turns is None or number < seed + turns:
            number += 1
            key = b"risk\n\n/%d" % (number % 40)
            answers.put(key, 3, value_of(number), engine, answers.number(engine), number, 0)
            other = answers.get(b"risk\n\n/%d" % (number * 7 % 40))
            if other is not None:
                found += 1
                stored = other.stored_ns
                assert other.value == value_of(stored), f"torn: {len(other.value)} bytes said to be {stored}"
                assert stored % 40 == number * 7 % 40
            if number % 1000 == 0:
                answers.forget(engine, b"/%d" % (number % 40))
        return found

    return work


def test_processes_on_one_region_find_whole_answers_whoever_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    judge = Child(hammer(path, 0, 60_000))
    judge.ready()
    for turn in range(KILLS):
        victim = Child(hammer(path, 1_000_000 * (turn + 1), None))
        victim.ready()
        answers = Answers(path, kib=256)
        before = answers.counts["stored"]
        while answers.counts["stored"] < before + 50 + 37 * turn:
            os.sched_yield()
        victim.kill()
    assert judge.result() > 0
    last = Answers(path, kib=256)
    assert last.put(b"risk\n\n/last", 5, b"1", 0, last.number(0), 1, 1) == STORED


def test_a_claim_is_seen_by_others_until_it_is_left_or_its_process_ends(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    answers = Answers(path, kib=64)

    def work(ready: Callable[[], object]) -> None:
        other = Answers(path, kib=64)
        assert other.claim(b"a", 1_000, 500) == MINE
        assert other.claim(b"b", 1_000, 500) == MINE
        other.leave(b"b")
        ready()
        signal.pause()

    child = Child(work)
    child.ready()
    assert answers.claim(b"a", 1_100, 500) == OTHERS
    assert answers.claimed(b"a", 1_100, 500)
    assert not answers.claimed(b"b", 1_100, 500)
    assert answers.claim(b"b", 1_100, 500) == MINE
    assert answers.claim(b"b", 1_100, 500) == MINE  # its own is none of others
    assert not answers.claimed(b"a", 1_600, 500)  # it takes too long
    child.kill()
    assert answers.claim(b"a", 1_100, 500) == MINE
