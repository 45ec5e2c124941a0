"""The judges of histories find each thing that must not be; and what a judge does not look at, these tests miss.

Every complaint of a judge is taken out in turn, and each of its comparisons is changed: some case here must notice.
"""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from tests.kit import history, history_mesh, history_star
from tests.kit.history import (
    Answered,
    Applied,
    Beat,
    Conflated,
    Corrupt,
    Delivered,
    Ended,
    Entry,
    Epoch,
    Gap,
    Handled,
    Imaged,
    Joined,
    Known,
    Late,
    Letter,
    Life,
    Log,
    Posting,
    Published,
    Publishing,
    Quiet,
    Served,
    Unknown,
    Violation,
)

MS = 1_000_000
S = 7
"""The stream of most cases."""
Judge = Callable[[list[Epoch]], list[Violation]]


def hub(epoch: int, *entries: Entry, ended: bool = True, at_ns: int = 0) -> list[Epoch]:
    return list(history.lives("hub", iter([Life("hub", epoch, at_ns), *entries, *([Ended(0)] * ended)])))


def reader(*entries: Entry, ended: bool = True) -> list[Epoch]:
    return list(history.lives("reader", iter([Life("reader", 3, 0), *entries, *([Ended(0)] * ended)])))


def mesh(name: str, epoch: int, *entries: Entry, at_ns: int = 0, ended: bool = False) -> list[Epoch]:
    return list(history.lives(name, iter([Life("mesh", epoch, at_ns), *entries, *([Ended(0)] * ended)])))


def published(first: int, last: int, at_ns: int = 0, stream: int = S) -> list[Entry]:
    return [Publishing(stream, first, last), Published(stream, last, at_ns)]


HUB = hub(1, *published(1, 5, 10 * MS), Beat(1), *published(6, 9, 20 * MS), Beat(2))
START: tuple[Entry, ...] = (Joined(1, S, 1), Delivered(1, S, 1, 5, 0))
REST = Delivered(1, S, 6, 9, 0)
HUB_KILLED = [*hub(1, *published(1, 9, 5 * MS), Beat(1), ended=False), *hub(2, *published(1, 2, 30 * MS), Beat(1))]
SECOND: tuple[Entry, ...] = (Joined(2, S, 1), Delivered(2, S, 1, 2, 0))


class Case(NamedTuple):
    """Histories, and the kinds of violations in them, in order."""

    name: str
    judge: str
    lives: list[Epoch]
    kinds: list[str]
    options: dict[str, Any] = {}  # noqa: RUF012


def star(name: str, lives: Sequence[Epoch], *kinds: str, **options: Any) -> Case:
    return Case(name, "judge_star", list(lives), list(kinds), options)


STAR = [
    star("all delivered", HUB + reader(*START, Known(1, 1, ((S, 5),)), REST, Known(1, 2, ((S, 9),)))),
    star("a gap is reported", HUB + reader(*START, Gap(1, S, 6, 7), Delivered(1, S, 8, 9, 0))),
    star("a tail is reported", HUB + reader(*START, Gap(1, S, 6, 9))),
    star("conflated", HUB + reader(*START, Conflated(1, S, 6, 8), Delivered(1, S, 9, 9, 0))),
    star("joined late", HUB + reader(Joined(1, S, 8), Delivered(1, S, 8, 9, 0))),
    star("joined at the end", HUB + reader(Joined(1, S, 10))),
    star("joined by a snapshot", HUB + reader(Joined(1, S, 1), Imaged(1, S, 6), Delivered(1, S, 7, 9, 0))),
    star("a snapshot of what is known", HUB + reader(*START, Imaged(1, S, 5), Delivered(1, S, 6, 9, 0))),
    star("killed before the end", HUB + reader(*START, ended=False)),
    star("a reader that was killed is judged nevertheless", HUB + reader(*START, START[1], ended=False), "doubled"),
    star(
        "what was invoked may arrive",
        hub(1, Publishing(S, 1, 4), ended=False) + reader(START[0], Delivered(1, S, 1, 4, 0)),
    ),
    star("the hub has another life", HUB_KILLED + reader(START[0], Delivered(1, S, 1, 9, 0), *SECOND)),
    star(
        "the tail after the last heartbeat of a hub that was killed",
        hub(1, *published(1, 5), Beat(1), *published(6, 9), ended=False)
        + hub(2)
        + reader(*START, Known(1, 1, ((S, 5),))),
    ),
    star("the tail of a hub that ended", hub(1, *published(1, 9)) + hub(2) + reader(*START), "lost"),
    star("the tail of the only hub", hub(1, *published(1, 9), ended=False) + reader(*START), "lost"),
    star("an old tail that was heard of", HUB_KILLED + reader(*START, Known(1, 1, ((S, 9),))), "lost"),
    star(
        "an old tail, heard of in part",
        HUB_KILLED + reader(*START, Known(1, 1, ((S, 9),)), Gap(1, S, 6, 8), *SECOND),
        "lost",
    ),
    star(
        "what was heard of is not forgotten",
        HUB_KILLED + reader(*START, Known(1, 1, ((S, 9),)), Known(1, 7, ((S, 2),))),
        "lost",
    ),
    star("a tail that a ring tells of", HUB_KILLED + reader(*START, *SECOND), "lost", closes=True),
    star("a tail that a ring tells of, told", HUB_KILLED + reader(*START, Gap(1, S, 6, 9), *SECOND), closes=True),
    star("a tail of which nothing tells", HUB_KILLED + reader(*START, *SECOND)),
    star("the next life was never entered", HUB_KILLED + reader(*START), closes=True),
    star(
        "the next life but one",
        HUB_KILLED + hub(3, *published(1, 2)) + reader(*START, Joined(3, S, 1), Delivered(3, S, 1, 2, 0)),
        closes=True,
    ),
    star("a hub's epochs go back", hub(2) + hub(1) + reader(), "order"),
    star("a hub's epoch comes twice", hub(2) + hub(2) + reader(), "order"),
    star("never published", HUB + reader(*START, REST, Delivered(1, S, 10, 10, 0)), "phantom"),
    star("of no epoch", HUB + reader(*START, REST, Delivered(4, S, 1, 1, 0)), "phantom"),
    star("of no stream", HUB + reader(*START, REST, Delivered(1, 8, 1, 1, 0)), "phantom"),
    star("record 0", HUB + reader(Joined(1, S, 0), Delivered(1, S, 0, 9, 0)), "phantom", "lost"),
    star("a range of nothing", HUB + reader(*START, Delivered(1, S, 6, 5, 0), REST), "phantom"),
    star("a snapshot of what was not published", HUB + reader(*START, REST, Imaged(1, S, 10)), "phantom"),
    star("a snapshot of no epoch", HUB + reader(*START, REST, Imaged(4, S, 1)), "phantom"),
    star("a heartbeat of no epoch", HUB + reader(*START, REST, Known(4, 1, ())), "phantom"),
    star("records are missing", HUB + reader(*START, Delivered(1, S, 7, 9, 0)), "skipped"),
    star("a stream that was not joined", HUB + reader(REST), "skipped"),
    star("a gap begins too late", HUB + reader(*START, Gap(1, S, 8, 9)), "skipped"),
    star("delivered twice", HUB + reader(*START, REST, Delivered(1, S, 9, 9, 0)), "doubled"),
    star("delivered after it was lost", HUB + reader(*START, Gap(1, S, 6, 9), Delivered(1, S, 7, 9, 0)), "doubled"),
    star("lost after it was delivered", HUB + reader(*START, REST, Gap(1, S, 6, 6)), "doubled"),
    star("joined twice", HUB + reader(*START, Joined(1, S, 6), REST), "doubled"),
    star("a snapshot of the past", HUB + reader(*START, Imaged(1, S, 4), REST), "doubled"),
    star("an earlier epoch", HUB_KILLED + reader(START[0], *SECOND, Delivered(1, S, 1, 9, 0)), "order"),
    star("a snapshot of an earlier epoch", HUB_KILLED + reader(START[0], *SECOND, Imaged(1, S, 9)), "order"),
    star(
        "an epoch is not forgotten",
        HUB_KILLED + reader(START[0], *SECOND, Delivered(1, S, 1, 8, 0), Delivered(1, S, 9, 9, 0)),
        "order",
        "order",
    ),
    star("a lost tail at the end", HUB + reader(*START), "lost"),
    star("the last record is lost", HUB + reader(*START, Delivered(1, S, 6, 8, 0)), "lost"),
    star("a heartbeat that says nothing", HUB + reader(*START, Known(1, 2, ((S, 8),)), REST), "silent"),
    star("a heartbeat without the stream", HUB + reader(*START, Known(1, 2, ()), REST), "silent"),
    star("a heartbeat before joining", HUB + reader(Known(1, 2, ()), *START, REST)),
    star("content of another", HUB + reader(*START, Corrupt("x"), REST), "corrupt"),
    star("a loss that is not allowed", HUB + reader(*START, Gap(1, S, 6, 9)), "reported", lossless=True),
    star("conflation is no loss", HUB + reader(*START, Conflated(1, S, 6, 9)), lossless=True),
    star("served fresh", HUB + reader(*START, Served(1, S, 5, 20 * MS + 100, False), REST), bound_ns=100),
    star("served too late", HUB + reader(*START, Served(1, S, 5, 20 * MS + 101, False), REST), "stale", bound_ns=100),
    star("served late and marked", HUB + reader(*START, Served(1, S, 5, 900 * MS, True), REST), bound_ns=100),
    star("the newest of all", HUB + reader(*START, REST, Served(1, S, 9, 900 * MS, False)), bound_ns=100),
    star("served again", HUB + reader(*START, Served(1, S, 5, 0, True), Served(1, S, 5, 0, True), REST)),
    star("inside of a frame", HUB + reader(*START, Served(1, S, 4, 20 * MS, False), REST), "stale", bound_ns=100),
    star(
        "of an old epoch",
        HUB_KILLED + reader(START[0], Delivered(1, S, 1, 9, 0), Served(1, S, 9, 31 * MS, False), *SECOND),
        "stale",
        bound_ns=100,
    ),
    star(
        "of an old epoch, marked",
        HUB_KILLED + reader(START[0], Delivered(1, S, 1, 9, 0), Served(1, S, 9, 31 * MS, True), *SECOND),
        bound_ns=100,
    ),
    star(
        "served backwards",
        HUB + reader(*START, Served(1, S, 5, 0, True), Served(1, S, 3, 0, True), Served(1, S, 4, 0, True), REST),
        "backward",
        "backward",
    ),
    star(
        "an old epoch again",
        HUB_KILLED
        + reader(START[0], Delivered(1, S, 1, 9, 0), *SECOND, Served(2, S, 1, 0, True), Served(1, S, 9, 0, True)),
        "backward",
    ),
]

POSTED = [Posting("b", 3, number, False) for number in (1, 2, 3)]
SETTLED = mesh("a", 1, *POSTED, Quiet(50), ended=True)
ALL = [Handled("a", 1, 3, number, 0) for number in (1, 2, 3)]
ASKED = Posting("b", 3, 4, True)
EFFECTS = [Applied("a", 1, 3, number) for number in (1, 2, 3)]


def net(name: str, lives: Sequence[Epoch], *kinds: str) -> Case:
    return Case(name, "judge_mesh", list(lives), list(kinds))


MESH = [
    net("all handled", SETTLED + mesh("b", 2, *ALL)),
    net("handled and made", SETTLED + mesh("b", 2, *ALL, *EFFECTS)),
    net("nothing known yet", mesh("a", 1, *POSTED) + mesh("b", 2)),
    net("posted after the last settling", mesh("a", 1, Quiet(9), *POSTED) + mesh("b", 2)),
    net("given up", mesh("a", 1, *POSTED, Letter("b", 3, 2, "cut"), Quiet(50)) + mesh("b", 2, ALL[0], ALL[2])),
    net("given up and handled", mesh("a", 1, *POSTED, Letter("b", 3, 2, "cut"), Quiet(50)) + mesh("b", 2, *ALL)),
    net("again in another life", mesh("a", 1, *POSTED) + mesh("b", 2, *ALL) + mesh("b", 5, *ALL[1:], at_ns=40)),
    net("settled after the other life", SETTLED + mesh("b", 2, *ALL) + mesh("b", 5, ALL[2], at_ns=50)),
    net("settled before", SETTLED + mesh("b", 2, *ALL) + mesh("b", 5, ALL[2], at_ns=51), "redelivered"),
    net(
        "two priorities",
        mesh("a", 1, Posting("b", 0, 1, False), *POSTED) + mesh("b", 2, ALL[2], Handled("a", 1, 0, 1, 0)),
    ),
    net(
        "another life of the sender",
        mesh("a", 1, *POSTED) + mesh("a", 9, *POSTED) + mesh("b", 2, *ALL, Handled("a", 9, 3, 1, 0)),
    ),
    net("a message came late", SETTLED + mesh("b", 2, *ALL[:2], *EFFECTS[:2], Late("a", 1, 3, 3))),
    net("another one came late", SETTLED + mesh("b", 2, *ALL[:2], Late("a", 1, 3, 2)), "lost"),
    net("a message is missing", SETTLED + mesh("b", 2, ALL[0], ALL[2]), "lost"),
    net(
        "a later settling", mesh("a", 1, *POSTED[:1], Quiet(1), *POSTED[1:], Quiet(2)) + mesh("b", 2, *ALL[:2]), "lost"
    ),
    net("an effect is missing", SETTLED + mesh("b", 2, *ALL, *EFFECTS[:2]), "ineffective"),
    net("an effect comes twice", SETTLED + mesh("b", 2, *ALL, *EFFECTS, EFFECTS[1]), "doubled"),
    net("an effect of nothing", mesh("b", 2, EFFECTS[0]), "phantom"),
    net("an effect in two lives", SETTLED + mesh("b", 2, *ALL, *EFFECTS) + mesh("b", 5, EFFECTS[1]), "doubled"),
    net("handled twice", SETTLED + mesh("b", 2, *ALL, ALL[2]), "doubled"),
    net("out of order", SETTLED + mesh("b", 2, ALL[0], ALL[2], ALL[1]), "order"),
    net("out of order twice", SETTLED + mesh("b", 2, ALL[2], ALL[0], ALL[1]), "order", "order"),
    net("nobody posted it", mesh("b", 2, ALL[0]), "phantom"),
    net("nobody asked", mesh("a", 1, Answered("b", 3, 4, False)), "phantom"),
    net("answered", mesh("a", 1, ASKED, Answered("b", 3, 4, False), Quiet(1)) + mesh("b", 2, Handled("a", 1, 3, 4, 0))),
    net("an error", mesh("a", 1, ASKED, Answered("b", 3, 4, True), Quiet(1)) + mesh("b", 2, Handled("a", 1, 3, 4, 0))),
    net("unknown", mesh("a", 1, ASKED, Letter("b", 3, 4, "deadline"), Unknown("b", 3, 4), Quiet(1))),
    net(
        "answered twice",
        mesh("a", 1, ASKED, Answered("b", 3, 4, False), Answered("b", 3, 4, False))
        + mesh("b", 2, Handled("a", 1, 3, 4, 0)),
        "answers",
    ),
    net("answered and unknown", mesh("a", 1, ASKED, Answered("b", 3, 4, False), Unknown("b", 3, 4)), "answers"),
    net("an answer to no request", mesh("a", 1, *POSTED, Answered("b", 3, 1, False)), "answers"),
    net("no answer", mesh("a", 1, ASKED, Quiet(1)) + mesh("b", 2, Handled("a", 1, 3, 4, 0)), "unanswered"),
    net("ended with something open", mesh("a", 1, *POSTED, ended=True), "unsettled"),
    net("content of another", mesh("b", 2, Corrupt("x")), "corrupt"),
]
CASES = STAR + MESH


def kinds(module: Any, case: Case) -> list[str]:
    return [violation.kind for violation in getattr(module, case.judge)(case.lives, **case.options)]


def module_of(case: Case) -> ModuleType:
    return history_star if case.judge == "judge_star" else history_mesh


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_judge_names_what_must_not_be_and_nothing_else(case: Case) -> None:
    assert kinds(module_of(case), case) == case.kinds


# -- judges with a fault of their own ----------------------------------------------------------------------------------

NEIGHBOURS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def changed(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    """The module with one complaint taken out, one comparison or one `and` changed."""
    for number, node in enumerate(ast.walk(tree)):
        complains = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and "tell" in ast.unparse(node.value.func)
        )
        if not complains and not isinstance(node, ast.Compare | ast.BoolOp):
            continue
        copied = copy.deepcopy(tree)
        twin = next(each for place, each in enumerate(ast.walk(copied)) if place == number)
        if isinstance(twin, ast.Compare):
            twin.ops[0] = NEIGHBOURS[type(twin.ops[0])]()
        elif isinstance(twin, ast.BoolOp):
            twin.op = ast.Or() if isinstance(twin.op, ast.And) else ast.And()
        else:
            assert isinstance(twin, ast.Expr)
            twin.value = ast.Constant(None)
        yield f"line {getattr(node, 'lineno', 0)}: {ast.unparse(node)}", copied


def compiled(tree: ast.Module, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)  # annotations of tuples are looked up there
    exec(compile(ast.fix_missing_locations(tree), name, "exec"), module.__dict__)
    return module


def noticed(module: ModuleType, cases: list[Case]) -> bool:
    for case in cases:
        try:
            if kinds(module, case) != case.kinds:
                return True
        except Exception:
            return True
    return False


@pytest.mark.parametrize(("module", "cases"), [(history_star, STAR), (history_mesh, MESH)], ids=["star", "mesh"])
def test_a_judge_with_a_fault_is_found_by_the_cases_above(
    module: ModuleType, cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    faults = list(changed(tree))
    assert len(faults) > 20
    missed = [what for what, fault in faults if not noticed(compiled(fault, "a_judge", monkeypatch), cases)]
    assert missed == []


# -- random histories --------------------------------------------------------------------------------------------------


def random_star(random: Random) -> list[Epoch]:
    """A hub and a reader that loses, conflates and is told: nothing to complain of."""
    sent: list[Entry] = []
    got: list[Entry] = []
    next_, joined = 1, False
    for beat in range(random.randrange(1, 30)):
        count = random.randrange(1, 9)
        sent += published(next_, next_ + count - 1, beat * MS)
        sent.append(Beat(beat + 1))
        if not joined and random.random() < 0.5:
            joined = True
            got.append(Joined(1, S, next_))
        if joined:
            kind = random.choice((Gap, Conflated, Delivered, Delivered, Delivered))
            rest = (0,) if kind is Delivered else ()
            got.append(kind(1, S, next_, next_ + count - 1, *rest))
            got.append(Known(1, beat + 1, ((S, next_ + count - 1),)))
        next_ += count
    return hub(1, *sent) + reader(*got)


@pytest.mark.parametrize("seed", range(20))
def test_an_entry_that_goes_missing_or_comes_twice_is_found(seed: int) -> None:
    random = Random(seed)
    sound = random_star(random)
    assert history_star.judge_star(sound) == []
    entries = sound[1].entries
    places = [place for place, entry in enumerate(entries) if isinstance(entry, Delivered | Gap | Conflated)]
    for place in places:
        for change in ([], [entries[place], entries[place]]):
            bad = [*entries[:place], *change, *entries[place + 1 :]]
            assert history_star.judge_star([sound[0], sound[1]._replace(entries=bad)]), entries[place]


# -- the log -----------------------------------------------------------------------------------------------------------


def test_lines_come_back_as_they_were_noted_and_a_torn_one_does_not(tmp_path: Path) -> None:
    entries = [entry for case in CASES for life in case.lives for entry in life.entries]
    log = Log(tmp_path / "x.history")
    log.note(Life("hub", 1, 2), *entries[:10])
    Log(tmp_path / "x.history").note(Life("hub", 3, 4), *entries)
    with (tmp_path / "x.history").open("ab") as file:
        file.write(b'["Publishing",1,2')
    first, second = history.read_all(tmp_path)
    assert (first.process, first.life, first.entries) == ("x", Life("hub", 1, 2), entries[:10])
    assert (second.life, second.entries) == (Life("hub", 3, 4), entries)
    assert not first.ended
