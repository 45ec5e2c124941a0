"""What the recorder of the star does where records are missing: who is asked, what is lost, what is asked again."""

import struct

import numpy as np
import pytest

from nautilus.bus.asking import Found, ReplayError, ReplayTimeoutError
from nautilus.bus.base import HEADER, HEARTBEAT, HEARTBEAT_STREAM, MAGIC, MOST, topic_bytes
from nautilus.core.counters import Counters
from nautilus.core.types import TRADE
from nautilus.model.topics import TRADES
from nautilus.runtime import star_recorder
from nautilus.runtime.star_recorder import StarRecorder
from nautilus.store.catalog import Catalog
from tests.kit.context import btcusdt

pytest.importorskip("pyarrow")
INSTRUMENT = btcusdt()
STREAM = 2 << 32 | INSTRUMENT.instrument_id


def trades(first, last):
    records = np.zeros(last - first + 1, TRADE)
    records["trade_id"] = np.arange(first, last + 1)
    records["now_ns"] = 1_700_000_000_000_000_000 + records["trade_id"]
    records["instrument_id"], records["price_ticks"], records["quantity"] = INSTRUMENT.instrument_id, 5, 1
    return records


def frame(epoch, first, last):
    head = HEADER.pack(topic_bytes(2, INSTRUMENT.instrument_id), MAGIC, 2, 1, TRADE.itemsize, last - first + 1, epoch,
                       STREAM, first, 0)  # fmt: skip
    return head + trades(first, last).tobytes()


def heartbeat(epoch, last):
    head = HEADER.pack(topic_bytes(HEARTBEAT, 0), MAGIC, HEARTBEAT, 1, 16, 1, epoch, HEARTBEAT_STREAM, 0, 0)
    return head + struct.pack("<QQ", STREAM, last)


class Setting:
    """A recorder of a real catalog; frames are given, and who is asked has what `has` says, or is silent."""

    lag = 0

    def __init__(self, path):
        self.frames, self.has, self.silent, self.asked = [], {}, False, []
        self.counters = Counters(path=path / "counters")
        self.catalog = Catalog(path / "catalog", create=True)
        self.writer = self.catalog.writer()
        self.recorder = StarRecorder(
            self.writer, lambda origin: {}, {INSTRUMENT.instrument_id: INSTRUMENT}, self, self.ask, self.counters
        )

    def drain(self, limit=0):
        frames, self.frames = self.frames, []
        return frames

    def ask(self, epoch, stream, first, last):
        self.asked.append((epoch, first, last))
        if self.silent:
            raise ReplayTimeoutError("no answer", where="replayer")
        there = [each for each in self.has.get(epoch, ()) if first <= each <= last]
        for each in there:
            yield Found(TRADES, epoch, stream, each, 0, 2, trades(each, each))
        if not there:
            raise ReplayError("gone", where="replayer")

    def turn(self, *frames):
        self.frames = list(frames)
        self.recorder.turn()

    def count(self, name):
        return self.counters.snapshot()[f"recorder.{name}"]

    def stored(self):
        self.writer.flush(publish=True)
        return [int(each) for part in self.catalog.read("trade") for each in part["trade_id"]]

    def close(self):
        self.writer.close()
        self.catalog.close()


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
    assert (7, 3, MOST - 1) in setting.asked
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
