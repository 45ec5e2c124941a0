"""The accounts of a platform's bus: sound ones, and each way in which they can be wrong."""

from __future__ import annotations

import pytest

from tests.kit.bus_accounts import mesh_complaints, star_complaints

HUB = {"hub.epoch": 5, "hub.100000001.last": 90}
READER = {"epoch": 5, "100000001.joined": 11, "100000001.arrived": 70, "100000001.known": 80}
SOUND = {"a": {"mesh.sent": 9, "mesh.acknowledged": 9}, "b": {}}


def test_what_is_sound_is_not_complained_of() -> None:
    assert star_complaints([HUB, READER], {"r": {}}) == []
    lacking = READER | {"100000001.arrived": 66}
    assert star_complaints([HUB, lacking], {"r": {"star.lost": 4}}) == []
    assert star_complaints([HUB, lacking | {"epoch": 4}], {"r": {}}) == []
    assert mesh_complaints(SOUND) == []


@pytest.mark.parametrize(
    ("positions", "counters", "complaint"),
    [
        ([READER], {}, "the star has not one hub"),
        ([HUB, HUB | {"hub.epoch": 6}, READER], {}, "the star has not one hub"),
        ([HUB, READER | {"100000001.arrived": 66}], {"r": {"star.lost": 3}}, "4 records were passed over, 3"),
    ],
)
def test_a_star_whose_ends_disagree_is_told(positions: list, counters: dict, complaint: str) -> None:
    found = star_complaints(positions, counters)
    assert len(found) == 1
    assert found[0].startswith(complaint)


def test_a_mesh_that_acknowledges_more_than_was_sent_is_told() -> None:
    bad = {"a": SOUND["a"] | {"mesh.acknowledged": 10}}
    assert mesh_complaints(bad) == ["a sent 9 messages, 10 are acknowledged"]
