"""The registry as a table: leases, fences, changes; and a view that follows it, beside a plain model."""

from __future__ import annotations

import random

import msgspec
import pytest

from nautilus.bus.registry import MOST_CHANGES, MOST_ENTRIES, Change, Entry, Table, Verdict, View

OK, UNKNOWN, FENCED, FULL = Verdict.OK, Verdict.UNKNOWN, Verdict.FENCED, Verdict.FULL


def entry(process: str = "risk", epoch: int = 5, port: int = 1) -> Entry:
    return Entry(process, "host", {"n": f"tcp://192.0.2.1:{port}"}, epoch)


def test_a_process_is_there_until_its_lease_ends() -> None:
    table = Table(lease_ns=100)
    assert table.register(entry(), 1000) is OK
    assert table.expire(1099) == 1100
    assert table.renew("risk", 5, 1099) is OK
    table.expire(1198)
    assert table.lookup("risk") == entry()
    assert table.expire(1199) == 0
    assert table.lookup("risk") is None
    assert table.renew("risk", 5, 1200) is UNKNOWN
    assert [(change.number, change.entry, change.reason) for change in table.changes_since(0) or ()] == [
        (1, entry(), ""),
        (2, None, "silent"),
    ]


def test_a_lease_is_no_longer_where_the_clock_was_set_back() -> None:
    table = Table(lease_ns=100)
    table.register(entry(), 1_000_000)
    assert table.expire(1000) == 1100
    assert table.expire(1100) == 0
    assert table.lookup("risk") is None


def test_an_earlier_life_is_refused_for_ever() -> None:
    table = Table()
    assert table.register(entry(epoch=7), 0) is OK
    assert table.register(entry(epoch=6), 0) is FENCED
    assert table.renew("risk", 6, 0) is FENCED
    assert table.leave("risk", 6) is FENCED
    assert table.leave("risk", 7) is OK
    assert table.register(entry(epoch=6), 0) is FENCED
    assert table.register(entry(epoch=7), 0) is OK
    assert table.register(entry(epoch=8), 0) is OK
    assert table.renew("risk", 7, 0) is FENCED


def test_the_same_again_is_no_change_and_a_move_is_one() -> None:
    table = Table()
    table.register(entry(), 0)
    table.register(entry(), 1)
    assert table.number == 1
    table.register(entry(port=2), 2)
    assert table.number == 2


def test_the_table_is_bounded_and_known_names_come_back() -> None:
    table = Table(lease_ns=10)
    for number in range(MOST_ENTRIES):
        assert table.register(entry(f"p{number}"), 0) is OK
    assert table.register(entry("one-more"), 0) is FULL
    table.expire(10)
    assert len(table) == 0
    assert table.register(entry("p1", 6), 11) is OK


def test_who_lacks_too_much_gets_the_whole_table() -> None:
    table = Table()
    for number in range(MOST_CHANGES + 10):
        table.register(entry(epoch=5 + number), 0)
    assert table.changes_since(table.number) == ()
    assert len(table.changes_since(table.number - 3) or ()) == 3
    assert table.changes_since(5) is None
    assert table.changes_since(table.number + 1) is None


@pytest.mark.parametrize("seed", range(20))
def test_a_view_that_lacks_changes_knows_it_and_ends_up_equal(seed: int) -> None:
    chance = random.Random(seed)
    table, view, now_ns = Table(lease_ns=50), View(), 0
    told: dict[str, Entry] = {}
    fences: dict[str, int] = {}

    def note(changes: list[Change]) -> None:
        for change in changes:
            if change.entry is None:
                told.pop(change.process)
            else:
                told[change.process] = change.entry

    for _ in range(400):
        now_ns += chance.randrange(20)
        name, epoch = f"p{chance.randrange(6)}", chance.randrange(1, 9)
        action = chance.randrange(4)
        fenced = epoch < fences.get(name, 0)
        if action == 0:
            assert table.register(entry(name, epoch, chance.randrange(3)), now_ns) is (FENCED if fenced else OK)
            fences[name] = max(epoch, fences.get(name, 0))
        elif action == 1:
            assert (table.renew(name, epoch, now_ns) is FENCED) is fenced
        elif action == 2:
            assert (table.leave(name, epoch) is FENCED) is fenced
        table.expire(now_ns)
        if chance.random() < 0.3:
            continue  # what was told got lost
        changes = table.changes_since(view.number) if chance.random() < 0.5 else table.changes_since(table.number - 1)
        found = view.take(changes or ()) if view.number >= 0 else None
        note(view.replace(table.entries(), table.number) if found is None or view.number != table.number else found)
        if found is not None and view.number != table.number:
            raise AssertionError("unreachable")
        assert {each.process: each for each in table.entries()} == told
        assert {each.process: each for each in view.entries()} == told


@pytest.mark.parametrize(
    "bad",
    [
        ["", "h", {}, 1],
        ["../x", "h", {}, 1],
        ["a", "h", {}, -1],
        ["a", "h" * 200, {}, 1],
        ["a", "h", {"n": "x" * 300}, 1],
        ["a", "h", {str(n): "x" for n in range(17)}, 1],
        ["a", "h", {}, 1 << 63],
    ],
)
def test_what_is_no_entry_is_not_decoded(bad: list[object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(bad), type=Entry)
