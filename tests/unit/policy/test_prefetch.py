"""What follows what: against a naive twin, and within its budget."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.policy.prefetch import SECOND_NS, Markov, PrefetchBudget

SEEN = st.lists(st.tuples(st.sampled_from(["risk", "ml"]), st.sampled_from("abc")), max_size=60)


def naive_guesses(seen, asker, confidence):
    """Looks through all that an asker wanted, in one pass over every pair and every triple of anybody."""
    follows: dict[tuple, Counter] = {}
    for name in ("risk", "ml"):
        own = [key for who, key in seen if who == name]
        for at in range(1, len(own)):
            follows.setdefault((None, own[at - 1]), Counter())[own[at]] += 1
            if at > 1:
                follows.setdefault((own[at - 2], own[at - 1]), Counter())[own[at]] += 1
    own = [key for who, key in seen if who == asker]
    if not own:
        return {}
    for context in ((own[-2] if len(own) > 1 else None, own[-1]), (None, own[-1])):
        found = follows.get(context)
        if found and found.total() >= 2:
            return {key: count / found.total() for key, count in found.items() if count >= confidence * found.total()}
    return {}


@settings(max_examples=300, deadline=None)
@given(SEEN, st.sampled_from([0.3, 0.5, 0.8]))
def test_it_guesses_what_a_naive_one_does(seen, confidence):
    markov: Markov[str] = Markov()
    for number, (asker, key) in enumerate(seen):
        markov.observe(asker, key, number * SECOND_NS)
    for asker in ("risk", "ml"):
        found = {guess.key: guess.probability for guess in markov.guesses(asker, confidence)}
        assert found == naive_guesses(seen, asker, confidence)


def test_the_pair_before_decides_where_one_alone_does_not():
    markov: Markov[str] = Markov()
    for number, key in enumerate("xabyac" * 4):  # after a: b or c; after (x, a): b alone
        markov.observe("risk", key, number * SECOND_NS)
    markov.observe("risk", "x", 100 * SECOND_NS)
    markov.observe("risk", "a", 101 * SECOND_NS)
    (guess,) = markov.guesses("risk", 0.9)
    assert (guess.key, guess.probability, guess.gap_ns) == ("b", 1.0, SECOND_NS)


def test_habits_fade_and_memory_is_bounded():
    markov: Markov[int] = Markov(most_contexts=10, most_askers=2)
    for number in range(200):
        markov.observe("risk", number % 2, number * SECOND_NS)
    assert markov.guesses("risk", 0.9)
    for number in range(100):  # now 5 follows both
        markov.observe("risk", (1, 5)[number % 2], (200 + number) * SECOND_NS)
    markov.observe("risk", 1, 400 * SECOND_NS)
    assert [guess.key for guess in markov.guesses("risk", 0.6)] == [5]
    for number in range(1_000):
        markov.observe(f"asker {number % 7}", number, number * SECOND_NS)
    assert len(markov) <= 10
    assert markov.guesses("risk", 0.1) == []  # forgotten


def test_what_comes_an_hour_later_does_not_follow():
    markov: Markov[str] = Markov()
    for number in range(4):
        markov.observe("risk", "a", number * 10_000 * SECOND_NS)
        markov.observe("risk", "b", (number * 10_000 + 4_000) * SECOND_NS)
    assert markov.guesses("risk", 0.1) == []


@given(st.lists(st.integers(0, 30 * SECOND_NS), max_size=50))
def test_no_minute_has_more_than_twice_the_budget(gaps):
    budget, now_ns, taken = PrefetchBudget(6, 0.0), 0, []
    for gap_ns in gaps:
        now_ns += gap_ns
        if budget.take(now_ns):
            taken.append(now_ns)
    for begin_ns in taken:
        assert sum(begin_ns <= each < begin_ns + 60 * SECOND_NS for each in taken) <= 12


def test_the_reserve_of_a_provider_is_left_alone():
    budget = PrefetchBudget(1_000, 0.5)
    assert budget.take(0, left=501, limit=1_000)
    assert not budget.take(0, left=500, limit=1_000)
    assert budget.take(0, left=-1, limit=-1)  # no limit at all
    assert not PrefetchBudget(0, 0.0).take(0)
