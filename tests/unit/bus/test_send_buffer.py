"""What waits to be sent: order, room, time; against a plain list."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.bus.buffer import MOST_MS, SendBuffer
from nautilus.model.enums import Priority

MS = 1_000_000


def test_what_comes_close_together_goes_together():
    buffer = SendBuffer(10 * MS)
    assert buffer.put("a", Priority.NORMAL, 0)
    assert buffer.put("b", Priority.HIGH, 4 * MS)
    assert list(buffer.take(9 * MS)) == []
    assert buffer.due_ns == 10 * MS
    assert list(buffer.take(10 * MS)) == ["b", "a"]
    assert len(buffer) == 0


def test_what_is_urgent_or_of_a_priority_topic_does_not_wait_and_takes_the_others_with_it():
    buffer = SendBuffer(10 * MS)
    buffer.put("bulk", Priority.LOW, 0)
    buffer.put("critical", Priority.NORMAL, MS, first=True)
    assert list(buffer.take(MS)) == ["critical", "bulk"]


def test_a_full_buffer_refuses_and_counts():
    buffer = SendBuffer(MS, capacity=2)
    assert [buffer.put(number, Priority.NORMAL, 0) for number in range(4)] == [True, True, False, False]
    assert buffer.refused == 2
    assert list(buffer.take(MS)) == [0, 1]
    assert buffer.put(5, Priority.NORMAL, MS)


@pytest.mark.parametrize(("interval_ns", "capacity"), [(-1, 1), ((MOST_MS + 1) * MS, 1), (0, 0)])
def test_limits_are_checked(interval_ns, capacity):
    with pytest.raises(ValueError, match="expected"):
        SendBuffer(interval_ns, capacity)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(list(Priority)), st.booleans()),
        st.tuples(st.just("take"), st.integers(0, 12 * MS), st.none()),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(steps=STEPS, interval_ms=st.integers(0, 25), capacity=st.integers(1, 8))
def test_as_a_plain_list_does_it(steps, interval_ms, capacity):
    buffer = SendBuffer(interval_ms * MS, capacity)
    held, now_ns = [], 0
    for number, (what, value, first) in enumerate(steps):
        if what == "put":
            taken = buffer.put(number, value, now_ns, first=first)
            assert taken == (len(held) < capacity)
            if taken:
                least = min(int(value), 2) if first else int(value)
                held.append((least, number, now_ns if least <= 2 else now_ns + interval_ms * MS))
        else:
            now_ns += value
            due = any(item[2] <= now_ns for item in held)
            assert list(buffer.take(now_ns)) == ([number for _, number, _ in sorted(held)] if due else [])
            held = [] if due else held
        assert len(buffer) == len(held)


def test_one_that_cannot_be_sent_leaves_the_others_due():
    buffer = SendBuffer(10 * MS)
    for name in "abc":
        buffer.put(name, Priority.NORMAL, 0)

    def send() -> None:
        for item in buffer.take(10 * MS):
            raise ValueError(item)

    with pytest.raises(ValueError, match="a"):
        send()
    assert buffer.due_ns <= 10 * MS
    assert list(buffer.take(10 * MS)) == ["b", "c"]
    assert buffer.due_ns > 1 << 61
