"""A recorder of the star whose frames, replayer and hub are a test's own; its catalog is real."""

import struct

import numpy as np

from nautilus.bus.asking import Found, ReplayError, ReplayTimeoutError
from nautilus.bus.base import HEADER, HEARTBEAT, HEARTBEAT_STREAM, MAGIC, topic_bytes
from nautilus.bus.requests import Answer, Operation, Status
from nautilus.core.counters import Counters
from nautilus.core.types import TRADE
from nautilus.model.topics import TRADES
from nautilus.runtime.star_recorder import StarRecorder
from nautilus.store.catalog import Catalog
from tests.kit.context import btcusdt

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
    """A recorder of a real catalog; frames are given, and who is asked has what `has` says, or is silent.

    `lives`: how earlier lives of the hub ended, {epoch: (last trade, next epoch)}; None: nobody is asked.
    """

    lag = 0

    def __init__(self, path, lives=None, stored=None):
        self.frames, self.has, self.silent, self.asked = [], {}, False, []
        self.lives, self.ended = lives, []
        self.counters = Counters(path=path / "counters")
        self.catalog = Catalog(path / "catalog", create=True)
        self.writer = self.catalog.writer()
        self.recorder = StarRecorder(
            self.writer,
            stored or self.catalog.positions,
            {INSTRUMENT.instrument_id: INSTRUMENT},
            self,
            self.ask,
            self.counters,
            None if lives is None else self.ends,
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

    def ends(self, epoch):
        if self.silent:
            raise ReplayTimeoutError("no answer", where="replayer")
        self.ended.append(epoch)
        last, following = self.lives.get(epoch, (0, 0))
        rows = ((STREAM, last),) if last else ()
        return Answer(Operation.END, 1, epoch, 0, 0, 0, Status.KNOWN if last else Status(0), following, rows)

    def turn(self, *frames):
        self.frames = list(frames)
        self.recorder.turn()

    def count(self, name):
        return self.counters.snapshot()[f"recorder.{name}"]

    def stored(self):
        self.writer.flush(publish=True)
        return [int(each) for part in self.catalog.read("trade") for each in part["trade_id"]]

    def gaps(self):
        """What is told as lost, without the time."""
        self.writer.flush(publish=True)
        if not self.catalog.tables():
            return []
        names = ["epoch", "kind", "instrument", "first", "last", "records"]
        return self.catalog.query("table", "recorder_gaps", columns=names, order="none").to_pylist()

    def close(self):
        self.writer.close()
        self.catalog.close()
