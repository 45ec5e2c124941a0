"""Depth diffs against a snapshot: the venue's rules, and a twin that knows what was really left out."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.adapters.formats.sync import FuturesSync, SpotSync, Verdict

APPLY, DROP, GAP, HOLD = Verdict.APPLY, Verdict.DROP, Verdict.GAP, Verdict.HOLD


def synced(machine, last_update_id):
    assert machine.on_snapshot(last_update_id)
    return machine


@pytest.mark.parametrize("machine", [FuturesSync(), SpotSync()])
def test_diffs_are_held_until_the_snapshot(machine):
    assert machine.on_diff(1, 2, 0) is HOLD
    assert machine.waiting
    assert machine.applied == machine.dropped == 0


@pytest.mark.parametrize(
    ("diff", "verdict"),
    [
        ((80, 99, 79), DROP),  # u < lastUpdateId
        ((80, 100, 79), APPLY),  # u = lastUpdateId is not old here
        ((100, 100, 90), APPLY),
        ((90, 120, 85), APPLY),  # U <= lastUpdateId <= u
        ((100, 120, 95), APPLY),
        ((105, 120, 100), APPLY),  # nothing between: pu is the snapshot's id
        ((105, 120, 103), GAP),
    ],
)
def test_first_diff_of_the_futures_market(diff, verdict):
    assert synced(FuturesSync(), 100).on_diff(*diff) is verdict


@pytest.mark.parametrize(
    ("diff", "verdict"),
    [
        ((80, 99, 0), DROP),
        ((80, 100, 0), DROP),  # u = lastUpdateId is old here
        ((90, 120, 0), APPLY),  # U <= lastUpdateId + 1 <= u
        ((101, 120, 0), APPLY),
        ((102, 120, 0), GAP),
    ],
)
def test_first_diff_of_the_spot_market(diff, verdict):
    assert synced(SpotSync(), 100).on_diff(*diff) is verdict


def test_later_futures_diffs_follow_by_pu_alone():
    machine = synced(FuturesSync(), 100)
    assert machine.on_diff(95, 110, 90) is APPLY
    assert machine.on_diff(115, 120, 110) is APPLY  # ids are sparse: U may jump
    assert machine.on_diff(115, 120, 110) is DROP  # the same again
    assert machine.on_diff(118, 130, 117) is GAP
    assert (machine.gaps, machine.lost) == (1, 0)  # overlaps: nothing is missing
    assert machine.on_diff(150, 160, 140) is GAP
    assert (machine.gaps, machine.lost, machine.last_id) == (2, 10, 160)
    assert (machine.applied, machine.dropped) == (4, 1)


def test_later_spot_diffs_follow_without_a_hole():
    machine = synced(SpotSync(), 100)
    assert machine.on_diff(90, 110, 0) is APPLY
    assert machine.on_diff(111, 111, 0) is APPLY
    assert machine.on_diff(100, 111, 0) is DROP
    assert machine.on_diff(115, 120, 0) is GAP
    assert (machine.gaps, machine.lost, machine.last_id) == (1, 3, 120)


@pytest.mark.parametrize("machine", [FuturesSync(), SpotSync()])
def test_older_snapshot_is_passed_over_and_newer_one_starts_anew(machine):
    synced(machine, 100)
    machine.on_diff(100, 120, 90)
    assert not machine.on_snapshot(110)
    assert (machine.stale_snapshots, machine.last_id) == (1, 120)
    assert machine.on_snapshot(200)
    assert machine.on_diff(130, 199, 120) is DROP
    assert machine.on_diff(200, 210, 199) is APPLY
    assert machine.gaps == 0


@st.composite
def streams(draw):
    """(snapshot id, [(U, u, pu, index)]) of a chain of diffs of which some were left out."""
    sparse = draw(st.booleans())
    last, chain = 1000, []
    for index in range(draw(st.integers(1, 20))):
        first = last + 1 + (draw(st.integers(0, 5)) if sparse else 0)
        end = first + draw(st.integers(0, 9))
        chain.append((first, end, last, index))
        last = end
    recorded = [diff for diff in chain if draw(st.integers(0, 5))]
    return draw(st.integers(990, last + 5)), recorded, sparse


@settings(max_examples=300, deadline=None)
@given(streams())
def test_verdicts_equal_those_of_who_knows_what_was_left_out(stream):
    snapshot, recorded, sparse = stream
    for machine, futures in ((FuturesSync(), True), (SpotSync(), False)):
        if sparse and not futures:
            continue
        synced(machine, snapshot)
        verdicts = [machine.on_diff(*diff[:3]) for diff in recorded]
        fresh = [d for d in recorded if (d[1] >= snapshot if futures else d[1] > snapshot)]
        expected = [DROP] * (len(recorded) - len(fresh))
        if fresh:
            first, _, previous, _ = fresh[0]
            fits = (first <= snapshot or previous == snapshot) if futures else first <= snapshot + 1
            expected.append(APPLY if fits else GAP)
        expected += [APPLY if after[3] == before[3] + 1 else GAP for before, after in pairwise(fresh)]
        assert verdicts == expected
        assert machine.gaps == expected.count(GAP)
        assert machine.applied == len(fresh)
        missing = sum(after[2] - before[1] for before, after in pairwise(fresh))
        if fresh:
            missing += max(0, fresh[0][2] - snapshot) if expected[-len(fresh)] is GAP else 0
        assert machine.lost == missing
