"""The accounts of a platform's bus: sound ones, and each way in which they can be wrong."""

from __future__ import annotations

import pytest

from tests.kit.bus_accounts import mesh_complaints, star_complaints

HUB = {"hub.epoch": 5, "hub.100000001.last": 90}
READER = {"epoch": 5, "100000001.joined": 11, "100000001.arrived": 70, "100000001.known": 80}
SOUND = {"a": {"mesh.sent": 9, "mesh.acknowledged": 6, "mesh.dead_lettered": 3, "mesh.late": 1, "mesh.received": 4}}


def test_what_is_sound_is_not_complained_of() -> None:
    assert star_complaints([HUB, READER], {"r": {}}) == []
    lacking = READER | {"100000001.arrived": 66}
    assert star_complaints([HUB, lacking], {"r": {"star.lost": 4}}) == []
    assert star_complaints([HUB, lacking | {"epoch": 4}], {"r": {}}) == []
    assert mesh_complaints(SOUND | {"b": {"mesh.received": 6, "mesh.retried": 1}}) == []


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


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"mesh.acknowledged": 8}, "a sent 9 messages, 10 are settled"),
        ({"mesh.late": 0, "mesh.acknowledged": 7}, "a sent 9 messages, 10 are settled"),
        ({"mesh.received": 10}, "10 messages were received, 9 sent and 0 sent again"),
    ],
)
def test_a_mesh_that_settles_or_receives_too_much_is_told(change: dict[str, int], complaint: str) -> None:
    assert mesh_complaints({"a": SOUND["a"] | change}) == [complaint]
