"""The cache of answers against a naive twin, and what each lifetime means."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.policy.datacache import DataCache, Lifetime, Standing

LIFE = Lifetime(10, 20, 40, 5)


class Naive:
    """Lists, looked through from end to end."""

    def __init__(self, most_entries: int, most_bytes: int) -> None:
        self.most_entries, self.most_bytes = most_entries, most_bytes
        self.rows: list[dict] = []  # the one wanted last is last
        self.asked: list[tuple[str, list[int]]] = []

    def row(self, key):
        return next((row for row in self.rows if row["key"] == key), None)

    @staticmethod
    def standing(row, now):
        if row is None:
            return Standing.MISS
        if row["value"] is not None:
            for limit, standing in ((10, Standing.FRESH), (30, Standing.STALE), (70, Standing.ENDED)):
                if now - row["kept"] < limit:
                    return standing
        return Standing.NEGATIVE if row["refusal"] and now < row["until"] else Standing.MISS

    def look(self, key, now):
        row = self.row(key)
        standing = self.standing(row, now)
        if row is not None:
            self.rows.remove(row)
            if standing is not Standing.MISS:
                self.rows.append(row)
        return standing, row["value"] if row is not None and standing is not Standing.MISS else None

    def may_ask(self, key, now):
        row = self.row(key)
        return all(asked != key for asked, _ in self.asked) and not (row and row["refusal"] and now < row["until"])

    def join(self, key, waiter):
        for asked, waiting in self.asked:
            if asked == key:
                waiting.append(waiter)
                return False
        self.asked.append((key, [waiter]))
        return True

    def waiting(self, key):
        for pair in self.asked:
            if pair[0] == key:
                self.asked.remove(pair)
                return pair[1]
        return []

    def put(self, key, value, size, now, refusal=False, until=0):
        self.rows = [row for row in self.rows if row["key"] != key]
        if refusal:  # a quarter of three entries, and one at least
            self.rows = [row for row in self.rows if row["value"] is not None]
        if size <= self.most_bytes:
            self.rows.append(
                {"key": key, "value": value, "size": size, "kept": now, "refusal": refusal, "until": until}
            )
        while len(self.rows) > self.most_entries or sum(row["size"] for row in self.rows) > self.most_bytes:
            self.rows.pop(0)

    def keep(self, key, value, size, now):
        waiting = self.waiting(key)
        self.put(key, value, size + DataCache.OVERHEAD, now)
        return waiting

    def refuse(self, key, now, wait, negative):
        waiting, row = self.waiting(key), self.row(key)
        if negative or self.standing(row, now) in (Standing.MISS, Standing.NEGATIVE):
            wait = LIFE.negative_ns if negative else wait
            self.rows = [each for each in self.rows if each["key"] != key]
            if wait:
                self.put(key, None, DataCache.OVERHEAD, now, True, now + wait)
            return waiting, None
        row["refusal"], row["until"] = True, now + wait
        return waiting, row["value"]


KEYS = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("look"), KEYS),
        st.tuples(st.just("may_ask"), KEYS),
        st.tuples(st.just("join"), KEYS),
        st.tuples(st.just("keep"), KEYS, st.integers(0, 1500)),
        st.tuples(st.just("refuse"), KEYS, st.sampled_from([0, 3, 30]), st.booleans()),
        st.tuples(st.just("wait"), st.integers(1, 30)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_it_does_what_a_naive_one_does(steps):
    cache: DataCache[str, int, int] = DataCache(3, 5_000)
    naive, now = Naive(3, 5_000), 100
    for number, (what, *with_) in enumerate(steps):
        if what == "wait":
            now += with_[0]
            continue
        key = with_[0]
        if what == "look":
            standing, entry = cache.look(key, now)
            assert (standing, entry and entry.value) == naive.look(key, now)
        elif what == "may_ask":
            assert cache.may_ask(key, now) == naive.may_ask(key, now)
        elif what == "join":
            assert cache.join(key, number) == naive.join(key, number)
        elif what == "keep":
            assert cache.keep(key, number, with_[1], LIFE, now)[0] == naive.keep(key, number, with_[1], now)
        else:
            waiting, entry = cache.refuse(key, KeyError(key), now, LIFE, wait_ns=with_[1], negative=with_[2])
            assert (waiting, entry and entry.value) == naive.refuse(key, now, with_[1], with_[2])
        assert len(cache) == len(naive.rows) <= 3
        assert cache.size == sum(row["size"] for row in naive.rows) <= 5_000
        assert cache.under_way == len(naive.asked)


def test_an_answer_is_fresh_then_stale_then_for_errors_alone():
    cache: DataCache[str, str, str] = DataCache(9, 9_999)
    cache.keep("q", "answer", 1, LIFE, 0)
    found = [cache.peek("q", now) for now in (0, 9, 10, 29, 30, 69, 70)]
    assert found == [
        Standing.FRESH, Standing.FRESH, Standing.STALE, Standing.STALE, Standing.ENDED, Standing.ENDED, Standing.MISS,
    ]  # fmt: skip


def test_what_was_asked_ahead_and_never_wanted_is_counted():
    cache: DataCache[str, str, str] = DataCache(1, 9_999)
    cache.join("a")
    assert cache.keep("a", "x", 1, LIFE, 0, ahead=True)[1].ahead
    cache.keep("b", "y", 1, LIFE, 0)
    assert (cache.unused, cache.evicted) == (1, 1)
    cache.join("c")
    cache.join("c", "somebody")
    assert cache.keep("c", "z", 1, LIFE, 0, ahead=True)[0] == ["somebody"]
    cache.keep("d", "z", 1, LIFE, 0)
    assert cache.unused == 1  # somebody wanted it


def test_who_waits_when_nobody_answers_is_known():
    cache: DataCache[str, str, int] = DataCache(9, 9_999)
    cache.join("a", 1)
    cache.join("b", 2)
    cache.join("a", 3)
    assert sorted(cache.abandon()) == [1, 2, 3]
    assert cache.join("a", 4)


def test_refusals_are_a_share_of_what_is_kept():
    cache: DataCache[int, str, int] = DataCache(16, 1 << 20)
    for key in range(8):
        cache.keep(key, "true", 4, Lifetime(100), 0)
    for key in range(100, 200):
        cache.refuse(key, ValueError(), 0, Lifetime(100), wait_ns=50)
    assert len(cache) == 8 + 4
    assert all(cache.peek(key, 1) is Standing.FRESH for key in range(8))
    assert cache.peek(199, 1) is Standing.NEGATIVE
    assert cache.peek(100, 1) is Standing.MISS
