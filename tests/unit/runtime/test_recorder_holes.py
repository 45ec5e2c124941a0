"""What the recorder of the star does where records are missing: who is asked, what is lost, what is asked again."""

import pytest

from nautilus.core.types import TRADE
from nautilus.runtime import star_recorder
from nautilus.runtime.star_recorder import TO_THE_END
from tests.kit.full_disk import largest_file
from tests.kit.recorder_setting import Setting, frame, heartbeat

pytest.importorskip("pyarrow")


@pytest.fixture
def setting(tmp_path, monkeypatch):
    monkeypatch.setattr(star_recorder, "ASK_AGAIN_NS", 0)
    made = Setting(tmp_path)
    yield made
    made.close()


def test_who_does_not_answer_is_asked_again_and_nothing_is_lost(setting):
    setting.has[7] = range(1, 10)
    setting.silent = True
    setting.turn(frame(7, 1, 2), frame(7, 5, 6))
    assert (setting.count("lost"), setting.count("unanswered")) == (0, 1)
    setting.silent = False
    setting.turn(heartbeat(7, 8))
    assert setting.stored() == list(range(1, 9))
    assert (setting.count("lost"), setting.count("recovered")) == (0, 6)


def test_what_the_replayer_says_is_gone_is_lost_and_counted(setting):
    setting.has[7] = [4]
    setting.turn(frame(7, 1, 2), frame(7, 5, 6))
    assert setting.stored() == [1, 2, 4, 5, 6]
    assert (setting.count("lost"), setting.count("recovered")) == (1, 1)


def test_the_tail_of_a_life_that_is_over_is_asked_for(setting):
    setting.has[7] = [3, 4]
    setting.turn(frame(7, 1, 2), frame(8, 1, 1))
    assert (7, 3, TO_THE_END) in setting.asked
    assert sorted(setting.stored()) == [1, 1, 2, 3, 4]
    assert setting.count("lost") == 0


def test_of_a_tail_what_there_is_known_to_be_and_nobody_has_is_lost(setting):
    setting.silent = True
    setting.turn(frame(7, 1, 2), heartbeat(7, 9), frame(8, 1, 1))
    setting.silent = False
    setting.turn()
    assert setting.count("lost") == 7


def test_frames_that_are_not_taken_are_counted(setting):
    setting.turn(frame(7, 1, 2), frame(6, 1, 2), frame(7, 3, 3)[:-1], b"x", b"\0" * 80)
    assert (setting.count("outdated"), setting.count("malformed")) == (1, 3)


def test_what_waits_for_the_catalog_is_bounded(setting, monkeypatch):
    monkeypatch.setattr(star_recorder, "MOST_WAITING", 10 * TRADE.itemsize)
    monkeypatch.setattr(star_recorder, "BATCH_BYTES", 2 * TRADE.itemsize)
    append = setting.writer.append
    monkeypatch.setattr(setting.writer, "append", lambda *given, **named: False)
    setting.has[7] = range(1, 100)
    setting.turn(heartbeat(7, 99))
    assert setting.count("waiting") == 11
    monkeypatch.setattr(setting.writer, "append", append)
    setting.turn(heartbeat(7, 99))
    assert setting.stored() == list(range(1, 100))
    assert setting.count("lost") == 0


def test_what_is_nowhere_any_more_is_a_row_of_the_catalog_too(setting):
    setting.has[7] = [4]
    setting.turn(frame(7, 1, 2), frame(7, 5, 6))
    assert setting.stored() == [1, 2, 4, 5, 6]
    (gap,) = setting.gaps()
    assert gap == {"epoch": 7, "kind": "trade", "instrument": "BTCUSDT.perpetual@BINANCE", "first": 3, "last": 3,
                   "records": 1}  # fmt: skip


def test_a_gap_that_nobody_can_be_asked_about_is_shown_and_told_at_the_end(setting, caplog):
    setting.silent = True
    setting.turn(frame(7, 1, 2), heartbeat(7, 9))
    setting.recorder.flush()
    assert (setting.count("missing"), setting.count("lost")) == (7, 0)
    assert setting.recorder.finish() == 7
    assert "7 records that nobody sent again" in caplog.text
    setting.silent, setting.has[7] = False, range(1, 10)
    setting.turn(heartbeat(7, 9))
    setting.recorder.flush()
    assert setting.count("missing") == 0
    assert setting.recorder.finish() == 0


def test_what_a_full_disk_does_not_take_is_told_at_the_end(setting, caplog):
    setting.turn(frame(7, 1, 100))
    setting.recorder.flush()
    with largest_file(4096):
        setting.turn(frame(7, 101, 400))
        assert setting.recorder.finish() == 300
        assert setting.count("failing") == 1
    assert "300 that could not be written" in caplog.text
    assert setting.recorder.finish() == 0  # there is room again
    assert setting.count("failing") == 0
    assert setting.stored() == list(range(1, 401))
