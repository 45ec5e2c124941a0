"""The cache of a worker against its naive twin; its levels, its bounds, and those who wait in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nautilus.core.counters import Counters
from nautilus.core.response_cache import Answers
from nautilus.gateway.cache import BARREN_NS, Cache, Fill, Outcome, Question, Settings, Verdict, key_of
from nautilus.gateway.kept import Kept, head_of
from nautilus.gateway.regions import SharedCaches
from nautilus.policy.caching import PLAIN, SECOND_NS, CacheRules, Wish, wish_of
from tests.kit.naive_cache import NaiveCache

PATHS = ["/a", "/a/b", "/b"]
RULES = CacheRules(stale_seconds=2.0, error_seconds=6.0)
ROOMY = Settings(rules=RULES, largest_bytes=4096)
KINDS = {
    "kept": "max-age=4, stale-while-revalidate=2",
    "kept strictly": "max-age=4, must-revalidate",
    "old at once": "max-age=0, stale-while-revalidate=2",
    "for nobody else": "no-store",
    "of none": "",
}
TIMES = {"kept": (4, 2, 6), "kept strictly": (4, 0, 0), "old at once": (0, 2, 0)}


class Bench:
    """A cache with a clock of the test's own, and timers that it fires."""

    def __init__(self, given: Settings = ROOMY, answers: Answers | None = None) -> None:
        self.now_ns = 1_000 * SECOND_NS
        self.timers: list[Callable[[], object]] = []
        self.counters = Counters()
        self.answers = answers or Answers(kib=1024)
        self.cache = Cache(
            self.answers,
            self.counters,
            lambda seconds, callback: self.timers.append(callback),
            lambda: self.now_ns,
            given,
        )

    def question(
        self, path: str = "/a", wish: Wish = PLAIN, seconds: float = 0.0, fields: Any = (), engine: str = "risk"
    ) -> Question:
        key = key_of(engine, b"", path.encode())
        assert key is not None
        return Question(engine, key, path.encode(), fields, wish, seconds)

    def ask(self, path: str = "/a", got: list[Outcome] | None = None, **given: Any) -> Any:
        return self.cache.ask(self.question(path, **given), self.now_ns, (got if got is not None else []).append)

    def fill(self, path: str = "/a", **given: Any) -> Fill:
        found = self.ask(path, **given)
        assert found.verdict is Verdict.MISS
        assert found.fill is not None
        return found.fill

    def count(self, name: str) -> int:
        return self.counters.snapshot().get(f"cache.{name}", 0)


def answer(fill: Fill, body: bytes = b"1", control: str = "max-age=4", status: int = 200, **more: str) -> Kept | None:
    fields = [(b"content-length", b"%d" % len(body))]
    if control:
        fields.append((b"cache-control", control.encode()))
    fields += [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
    return fill.whole(status, head_of(status, fields, b"OK"), fields, body)


class CacheMachine(RuleBasedStateMachine):
    """Requests, answers, failures, changes and time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.twin = NaiveCache()
        self.fills: dict[int, Fill] = {}
        self.got: dict[int, list[Outcome]] = {}
        self.told: dict[int, Any] = {}
        self.requests = 0
        self.bodies = 0

    @rule(seconds=st.sampled_from([0.001, 0.5, 1.9, 2.0, 2.1, 4.0, 7.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.now_ns += int(seconds * SECOND_NS)

    @rule(path=st.sampled_from(PATHS), look=st.sampled_from([True, True, True, False]))
    def ask(self, path: str, look: bool) -> None:
        self.requests += 1
        got = self.got[self.requests] = []
        found = self.bench.ask(path, got, wish=Wish(look=look))
        verdict, body, fill = self.twin.ask(path, self.requests, self.bench.now_ns, look=look)
        assert found.verdict.name.lower() == verdict
        assert (None if found.kept is None else found.kept.body) == body
        assert (found.fill is None) == (fill is None)
        if found.fill is not None and fill is not None:
            self.fills[fill] = found.fill
        assert not got

    def _settle(self, waited: list[tuple[int, Any]]) -> None:
        for request, what in waited:
            [outcome] = self.got[request]
            if isinstance(what, tuple):
                assert outcome.fill is not None
                self.fills[what[1]] = outcome.fill
            elif isinstance(what, bytes):
                assert outcome.kept is not None
                assert outcome.kept.body == what
            elif what == "alone":
                assert outcome == Outcome()
            else:
                assert outcome == Outcome(error=what)
            self.told[request] = what

    @precondition(lambda self: self.fills)
    @rule(which=st.integers(0, 100), kind=st.sampled_from(list(KINDS)))
    def an_answer_comes(self, which: int, kind: str) -> None:
        number = sorted(self.fills)[which % len(self.fills)]
        self.bodies += 1
        body = b"%d" % self.bodies
        kept = answer(self.fills.pop(number), body, KINDS[kind])
        if kind in TIMES:
            outdated = number in self.twin.outdated
            times = tuple(seconds * SECOND_NS for seconds in TIMES[kind])
            self._settle(self.twin.end(number, body, self.bench.now_ns, times))  # type: ignore[arg-type]
            assert (kept is None) == outdated
        else:
            self._settle(self.twin.refuse(number, self.bench.now_ns, marks=True))
            assert kept is None

    @precondition(lambda self: self.fills)
    @rule(which=st.integers(0, 100), how=st.sampled_from(["failed", "left", "too large", "status"]))
    def nothing_comes_of_it(self, which: int, how: str) -> None:
        number = sorted(self.fills)[which % len(self.fills)]
        fill = self.fills.pop(number)
        if how == "failed":
            fill.failed("broken")
            self._settle(self.twin.fail(number, "broken"))
        elif how == "left":
            fill.left()
            self._settle(self.twin.left(number))
        else:
            answer(fill, b"x" * 5000 if how == "too large" else b"", status=200 if how == "too large" else 403)
            self._settle(self.twin.refuse(number, self.bench.now_ns, marks=how == "too large"))
        fill.failed("twice")  # without effect
        fill.left()

    @rule(prefix=st.sampled_from(["", "/", "/a", "/a/b", "/c"]))
    def forget(self, prefix: str) -> None:
        self.bench.cache.forget("risk", prefix.encode())
        self.twin.forget(prefix)

    @rule(path=st.sampled_from(PATHS))
    def ask_for_anything(self, path: str) -> None:
        found = self.bench.cache.stale_for(self.bench.question(path), self.bench.now_ns)
        assert (None if found is None else found.body) == self.twin.stale_for(path, self.bench.now_ns)

    @invariant()
    def who_waits_is_not_told_before(self) -> None:
        waiting = {request for join in self.twin.joins.values() for request in join.waiting}
        assert self.bench.cache.waiting == len(waiting)
        assert all(not self.got[request] for request in waiting)
        assert all(len(self.got[request]) == 1 for request in self.told)


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=settings().max_examples, stateful_step_count=60)


def test_a_thousand_equal_requests_are_one_for_the_engine():
    bench = Bench()
    fill, got = bench.fill(), []
    for _ in range(999):
        assert bench.ask("/a", got).verdict is Verdict.JOINED
    kept = answer(fill, b"the answer")
    assert [outcome.kept for outcome in got] == [kept] * 999
    assert (bench.count("misses"), bench.count("joined"), bench.count("stored")) == (1, 999, 1)
    assert bench.ask().verdict is Verdict.HIT


def test_what_is_forgotten_while_it_is_under_way_is_given_to_those_who_wait_and_not_kept():
    bench, got = Bench(), []
    fill = bench.fill()
    bench.ask("/a", got)
    bench.cache.forget("risk")
    assert answer(fill, b"old") is None
    assert [outcome.kept.body for outcome in got if outcome.kept] == [b"old"]
    assert bench.ask().verdict is Verdict.MISS
    assert bench.count("not_kept_outdated") == 1


def test_others_engines_and_scopes_are_others():
    bench = Bench()
    answer(bench.fill())
    assert bench.ask(engine="ml").verdict is Verdict.MISS
    assert key_of("risk", b"read", b"/a") != key_of("risk", b"trade", b"/a")
    assert key_of("risk", b"", b"/" + b"x" * 20_000) is None


def test_an_answer_that_varies_serves_requests_that_say_the_same():
    bench = Bench()
    french, german = [(b"accept-language", b"fr")], [(b"accept-language", b"de")]
    answer(bench.fill(fields=french), b"oui", vary="Accept-Language")
    assert bench.ask(fields=french).kept.body == b"oui"
    assert bench.ask(fields=german).verdict is Verdict.MISS
    fill, got = bench.fill("/b", fields=german), []
    bench.ask("/b", got, fields=french)
    answer(fill, b"ja", vary="Accept-Language")
    assert got == [Outcome()]  # it waited for nothing that it may have
    assert bench.ask("/b", fields=german).kept.body == b"ja"


def test_memory_holds_so_many_bytes_and_gives_up_what_was_not_asked_for_for_longest():
    bench = Bench(Settings(memory_bytes=4_000, largest_bytes=2_000, rules=RULES))
    for number in range(8):
        answer(bench.fill(f"/{number}"), b"x" * 500)
        bench.ask("/0")
    assert bench.count("memory_evicted") > 0
    before = bench.count("shared_hits")
    assert bench.ask("/0").verdict is Verdict.HIT
    assert bench.count("shared_hits") == before  # it was in memory all the time
    assert bench.ask("/1").verdict is Verdict.HIT
    assert bench.count("shared_hits") == before + 1
    bench.cache.renew_gauges()
    assert 0 < bench.count("memory_bytes") <= 4_000


def test_another_worker_finds_it_in_the_shared_level_and_hears_what_is_forgotten():
    one = Bench()
    other = Bench(answers=one.answers)
    answer(one.fill(), b"shared")
    found = other.ask()
    assert (found.verdict, found.kept.body) == (Verdict.HIT, b"shared")
    one.cache.forget("risk", b"/a")
    assert other.ask().verdict is Verdict.MISS


def test_a_request_may_refuse_what_is_old_and_want_nothing_else():
    bench = Bench()
    answer(bench.fill())
    bench.now_ns += 2 * SECOND_NS
    assert bench.ask(wish=wish_of([(b"cache-control", b"max-age=3")])).verdict is Verdict.HIT
    assert bench.ask(wish=wish_of([(b"cache-control", b"only-if-cached, max-age=1")])).verdict is Verdict.REFUSED
    assert bench.ask(wish=wish_of([(b"cache-control", b"max-age=1")])).verdict is Verdict.MISS
    assert bench.ask(wish=wish_of([(b"cache-control", b"no-store")])).verdict is Verdict.PASSED


def test_operations_whose_answers_say_that_they_are_not_kept_are_left_alone_for_a_while():
    bench = Bench()
    question = bench.question()._replace(place=("risk", "GET /a"))
    found = bench.cache.ask(question, bench.now_ns, lambda outcome: None)
    answer(found.fill, control="no-store")
    assert bench.cache.is_barren(("risk", "GET /a"), bench.now_ns)
    assert not bench.cache.is_barren(("risk", "GET /b"), bench.now_ns)
    assert not bench.cache.is_barren(("risk", "GET /a"), bench.now_ns + BARREN_NS)


def test_an_answer_without_a_tag_gets_one_by_which_a_client_may_ask():
    bench = Bench()
    kept = answer(bench.fill(), b"body")
    assert kept is not None
    assert kept.etag.startswith(b'"')
    asked = bench.ask(wish=Wish(none_match=b"W/" + kept.etag))
    assert asked.kept.is_unchanged(Wish(none_match=b"W/" + kept.etag))
    head = kept.answer(bench.now_ns + 3 * SECOND_NS, b"hit", unchanged=True)
    assert head.startswith(b"HTTP/1.1 304 ")
    assert b"etag: " + kept.etag in head
    assert b"content-length" not in head
    assert b"age: 3\r\n" in head
    whole = kept.answer(bench.now_ns, b"hit", b"via: x\r\n", unchanged=False, close=True)
    assert b"content-length: 4\r\n" in whole
    assert whole.endswith(b"via: x\r\nage: 0\r\ncache-status: nautilus; hit\r\nconnection: close\r\n\r\n")


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_pieces_of_a_body_without_a_length_are_kept_as_one(size):
    bench = Bench()
    fill = bench.fill()
    fields = [(b"cache-control", b"max-age=1")]
    assert fill.begin(200, head_of(200, fields, b"OK"), fields)
    for _ in range(3):
        fill.data(b"x" * size)
    kept = fill.end()
    assert kept is not None
    assert kept.body == b"x" * 3 * size
    assert b"content-length: %d\r\n" % (3 * size) in kept.lines
    found = bench.ask().kept
    assert found is not None
    assert found.lines == kept.lines


class Elsewhere:
    """A level that is asked over a socket, in the hands of the test."""

    def __init__(self) -> None:
        self.asked: list[Callable[[Kept | None], object]] = []
        self.kept: list[bytes] = []
        self.forgot: list[tuple[str, bytes]] = []

    def get(self, key: bytes, path: bytes, engine: str, done: Callable[[Kept | None], object]) -> None:
        self.asked.append(done)

    def put(self, key: bytes, engine: str, kept: Kept) -> None:
        self.kept.append(key)

    def forget(self, engine: str, prefix: bytes) -> None:
        self.forgot.append((engine, prefix))


def with_elsewhere() -> tuple[Bench, Elsewhere]:
    bench, remote = Bench(), Elsewhere()
    bench.cache = Cache(
        bench.answers, bench.counters, lambda seconds, callback: None, lambda: bench.now_ns, ROOMY, remote
    )
    return bench, remote


def test_who_misses_waits_for_the_level_elsewhere_and_then_one_asks():
    bench, remote = with_elsewhere()
    first, second = [], []
    assert bench.ask("/a", first).verdict is Verdict.JOINED
    assert bench.ask("/a", second).verdict is Verdict.JOINED
    assert len(remote.asked) == 1
    remote.asked[0](None)
    assert (len(first), len(second)) == (1, 0)
    answer(first[0].fill, b"1")
    assert second[0].kept.body == b"1"
    assert len(remote.kept) == 1
    bench.cache.forget("risk", b"/a")
    assert remote.forgot == [("risk", b"/a")]


def test_what_was_forgotten_here_is_forgotten_elsewhere_before_anything_is_taken_from_there():
    bench, remote = with_elsewhere()
    bench.cache.forget("risk")
    bench.ask("/a")
    assert len(remote.forgot) == 1
    SharedCaches(bench.answers).invalidate("risk")  # as the bus does
    bench.ask("/b")
    bench.ask("/a/b")
    assert remote.forgot == [("risk", b"")] * 2
    SharedCaches(bench.answers).invalidate("ml")
    bench.ask("/c")
    assert len(remote.forgot) == 2


def test_what_is_elsewhere_is_given_to_all_who_wait_and_kept_here():
    bench, remote = with_elsewhere()
    got: list[Outcome] = []
    bench.ask("/a", got)
    bench.ask("/a", got)
    kept = Kept(200, b"HTTP/1.1 200 OK\r\n", b"2", etag=b"", validator=b"", engine=0, number=0, path=b"/a")
    kept.stored_ns, kept.fresh_ns = bench.now_ns - SECOND_NS, bench.now_ns + SECOND_NS
    remote.asked[0](kept)
    assert [outcome.kept for outcome in got] == [kept, kept]
    assert bench.ask().kept is kept
    assert bench.count("misses") == 0


def test_what_is_elsewhere_and_old_is_asked_for_anew():
    bench, remote = with_elsewhere()
    got: list[Outcome] = []
    bench.ask("/a", got)
    kept = Kept(200, b"", b"", etag=b"", validator=b"", engine=0, number=0, path=b"/a", fresh_ns=bench.now_ns)
    remote.asked[0](kept)
    assert got[0].fill is not None


def test_an_error_is_for_all_who_wait_and_an_answer_of_an_engine_that_cannot_is_too():
    bench = Bench()
    for tell in (lambda fill: fill.failed("away"), lambda fill: fill.share(503, b"HTTP/1.1 503 X\r\n", (), b"later")):
        got: list[Outcome] = []
        fill = bench.fill()
        bench.ask("/a", got)
        tell(fill)
        [outcome] = got
        assert outcome.error == "away" or (outcome.kept is not None and outcome.kept.status == 503)
    assert bench.ask().verdict is Verdict.MISS


def test_a_worker_waits_for_the_answer_of_another_one(tmp_path):
    """The claim of another process: `tests/unit/core/test_response_cache.py` has them alone."""
    from tests.kit.ring_children import Child

    answers = Answers(tmp_path / "answers", kib=64)
    bench = Bench(answers=answers)

    def work(ready: Callable[[], object]) -> None:
        other = Bench(answers=Answers(tmp_path / "answers", kib=64))
        other.now_ns = bench.now_ns
        fill = other.fill()
        ready()
        import sys

        sys.stdin = open(tmp_path / "go")  # noqa: SIM115 - blocks until the test writes
        sys.stdin.read()
        answer(fill, b"theirs")

    import os

    os.mkfifo(tmp_path / "go")
    child = Child(work)
    child.ready()
    got: list[Outcome] = []
    assert bench.ask("/a", got).verdict is Verdict.JOINED
    assert bench.ask("/a", got).verdict is Verdict.JOINED
    bench.timers.pop()()
    assert got == []
    with open(tmp_path / "go", "w"):
        pass
    child.result()
    bench.timers.pop()()
    assert [outcome.kept.body for outcome in got if outcome.kept] == [b"theirs", b"theirs"]
    assert bench.count("misses") == 0


def test_where_the_other_worker_dies_the_first_who_waits_asks(tmp_path):
    from tests.kit.ring_children import Child

    bench = Bench(answers=Answers(tmp_path / "answers", kib=64))

    def work(ready: Callable[[], object]) -> None:
        other = Bench(answers=Answers(tmp_path / "answers", kib=64))
        other.now_ns = bench.now_ns
        other.fill()
        ready()
        import signal

        signal.pause()

    child = Child(work)
    child.ready()
    got: list[Outcome] = []
    late: list[Outcome] = []
    bench.ask("/a", got)
    bench.ask("/a", late)
    bench.timers.pop()()
    assert got == []
    child.kill()
    bench.timers.pop()()
    assert got[0].fill is not None
    answer(got[0].fill, b"mine")
    assert late[0].kept is not None
    assert late[0].kept.body == b"mine"


def test_the_shared_level_says_so_where_what_lies_there_is_no_answer():
    bench = Bench()
    question = bench.question()
    engine = bench.answers.engine("risk")
    bench.answers.put(question.key, 2, b"\xc1", engine, 0, bench.now_ns, bench.now_ns + SECOND_NS)
    assert bench.ask().verdict is Verdict.MISS
