"""What lives of the hub said while no recorder ran: had where anybody has it, told where nobody does."""

import pytest

from nautilus.runtime import star_recorder
from nautilus.runtime.recorded_streams import ORIGIN
from tests.kit.recorder_setting import Setting, frame

pytest.importorskip("pyarrow")
KEY = "BTCUSDT.perpetual@BINANCE"


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """What makes a recorder, the one before it over, of a catalog that has trades 1 and 2 of life 7."""
    monkeypatch.setattr(star_recorder, "ASK_AGAIN_NS", 0)
    made = [Setting(tmp_path)]
    made[0].turn(frame(7, 1, 2))

    def again(lives, **options):
        made[-1].close()
        made.append(Setting(tmp_path, lives, **options))
        return made[-1]

    yield again
    made[-1].close()


def test_lives_that_began_and_ended_meanwhile_are_asked_for(recorded):
    this = recorded({7: (5, 8), 8: (3, 9)})
    this.has = {7: range(1, 6), 8: range(1, 4)}
    this.turn(frame(9, 1, 1))
    assert this.ended == [7, 8]
    assert sorted(this.stored()) == [1, 1, 1, 2, 2, 3, 3, 4, 5]
    assert (this.count("lost"), this.count("recovered"), this.count("ends_unknown")) == (0, 6, 0)
    later = recorded({})
    later.turn(frame(9, 2, 2))
    assert (later.ended, later.asked) == ([], [])


def test_a_recorder_that_is_killed_before_it_has_them_asks_again(recorded):
    this = recorded({7: (5, 8)})
    this.silent = True
    this.turn(frame(8, 1, 1))
    assert (this.ended, this.count("unanswered")) == ([], 1)
    again = recorded({7: (5, 8)})
    again.has[7] = range(1, 6)
    again.turn(frame(8, 2, 2))
    assert sorted(again.stored()) == [1, 1, 2, 2, 3, 4, 5]
    assert again.count("lost") == 0


def test_what_nobody_has_is_a_gap_and_told_once(recorded):
    this = recorded({7: (5, 8)})
    this.turn(frame(8, 1, 1))
    assert this.count("lost") == 3
    gap = {"epoch": 7, "kind": "trade", "instrument": KEY, "first": 3, "last": 5, "records": 3}
    assert this.gaps() == [gap]

    def unmarked(origin):
        return {} if origin != ORIGIN else {("", ""): 7}

    again = recorded({7: (5, 8)}, stored=lambda origin: {**again_of(origin), **unmarked(origin)})
    again.turn(frame(8, 2, 2))
    assert again.gaps() == [gap]


def again_of(origin):
    """What the catalog has of life 7, as if it did not know how that ended."""
    return {("trade", KEY): 2} if origin == "star:7" else {("trade", KEY): 1} if origin == "star:8" else {}


def test_a_life_that_nobody_knows_is_told(recorded, caplog):
    this = recorded({7: (0, 8), 8: (2, 9)})
    this.has[8] = range(1, 3)
    this.turn(frame(9, 1, 1))
    assert this.ended == [7, 8]
    assert (this.count("ends_unknown"), this.count("lost")) == (1, 0)
    assert [(each["epoch"], each["records"]) for each in this.gaps()] == [(7, -1)]
    assert sorted(this.stored()) == [1, 1, 1, 2, 2]
    assert "life 7" in caplog.text
