"""What the star costs on its way to other hosts: compressed with lz4, and as datagrams of multicast.

    recording ─▶ frames as the hub makes them ─▶ lz4 ─▶ the same frames             ratio, cost of both ends
    frames of quotes ─▶ datagrams with their tags ─▶ the same frames                cost of both ends
    sender ══ multicast on loopback ══▶ reader                                      both in one thread

Each frame that comes back is compared with the one that went in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np

from nautilus.adapters.formats.binance import BinanceRecording
from nautilus.bus.base import LAYOUTS
from nautilus.bus.compression import MARK, Compressor, restored
from nautilus.bus.multicast import MulticastReader, MulticastSender, place_of
from nautilus.bus.multicast_wire import Cutter, Joiner, parse_key
from nautilus.core.star_writer import FrameWriter
from nautilus.core.types import QUOTE
from perf.harness import ROOT, Report, check

SUMMARY = "star to other hosts: lz4 on a recorded stream, datagrams of multicast"
DATA = Path(os.environ.get("NAUTILUS_DATA") or ROOT.parent / "shared" / "data")
RECORDING = "l2_binance/btcusdt_20240808.gz"
UPDATES = 20_000
FRAMES = 20_000
GROUP = "239.77.3.1:17730"


def run(report: Report) -> None:
    """All three."""
    report.conditions["pinning"] = "none"
    path = DATA / RECORDING
    if path.exists():
        _compression(report, _recorded(path))
    else:
        report.notes.append("the recording was not found, see NAUTILUS_DATA")
    for name, count in (("one quote", 1), ("64 quotes", 64)):
        _datagrams(report, name, _quotes(count))
        _loopback(report, name, _quotes(count))


def _writer() -> FrameWriter:
    writer = FrameWriter(1)
    for layout in LAYOUTS:
        writer.layout(layout.kind, layout.version, layout.dtype)
    return writer


def _recorded(path: Path) -> list[bytes]:
    """Frames of the beginning of a recording, as the hub publishes its updates."""
    writer, frames = _writer(), []
    kinds = {layout.dtype: layout.kind for layout in LAYOUTS}
    for now_ns, _, records in islice(BinanceRecording(path).updates(), UPDATES):
        frames += writer.pack(records, kinds[records.dtype], now_ns)
    return frames


def _quotes(count: int) -> list[bytes]:
    writer, records = _writer(), np.zeros(count, QUOTE)
    frames: list[bytes] = []
    draw = np.random.default_rng(1)
    for number in range(FRAMES // max(count // 4, 1)):
        records["instrument_id"] = number % 50 + 1
        records["bid_ticks"] = 1_000_000 + draw.integers(0, 500, count)
        records["ask_ticks"] = records["bid_ticks"] + 1
        frames += writer.pack(records, 1, number)
    return frames


def _seconds(once: Callable[[], object]) -> float:
    begun = perf_counter()
    once()
    return perf_counter() - begun


def _compression(report: Report, frames: Sequence[bytes]) -> None:
    compressor = Compressor()
    for layout in LAYOUTS:
        compressor.note(bytes((1, layout.kind ^ MARK)))
    packed = [each for frame in frames if (each := compressor.pack(frame)) is not None]
    check(list(map(restored, packed)) == list(frames), "another frame came back")
    size = sum(map(len, frames)) / 1e6
    report.add("recorded stream: bytes before for each after", "x",
               [compressor.bytes_before / compressor.bytes_after], 0.0)  # fmt: skip
    report.measure("recorded stream: compress", "us/frame",
                   lambda: 1e6 * _seconds(lambda: list(map(compressor.pack, frames))) / len(frames),
                   lower_is_better=True)  # fmt: skip
    report.measure("recorded stream: restore", "us/frame",
                   lambda: 1e6 * _seconds(lambda: list(map(restored, packed))) / len(frames),
                   lower_is_better=True)  # fmt: skip
    report.measure("recorded stream: compress", "MB/s",
                   lambda: size / _seconds(lambda: list(map(compressor.pack, frames))))  # fmt: skip
    report.checks.append("every frame came back byte for byte")
    whole = sum(not each[56] & 4 for each in packed)
    report.notes.append(f"{len(frames):,} frames, {size:.1f} MB; {whole:,} too short to be worth it, sent as they are.")


def _datagrams(report: Report, name: str, frames: Sequence[bytes]) -> None:
    cutter = Cutter(1, bytes(32), 1500)
    key, datagrams = cutter.key, [each for frame in frames for each in cutter.cut(frame)]

    def join() -> list[bytes]:
        joiner = Joiner()
        joiner.learn(key)
        return [found for each in datagrams if (found := joiner.take(memoryview(each))) is not None]

    check(join() == list(frames), "another frame came back")
    report.measure(f"{name} a frame: cut and tag", "us/datagram",
                   lambda: 1e6 * _seconds(lambda: [list(cutter.cut(frame)) for frame in frames]) / len(datagrams),
                   lower_is_better=True)  # fmt: skip
    report.measure(f"{name} a frame: check and join", "us/datagram",
                   lambda: 1e6 * _seconds(join) / len(datagrams), lower_is_better=True)  # fmt: skip


def _loopback(report: Report, name: str, frames: Sequence[bytes]) -> None:
    place = place_of(GROUP, interface="127.0.0.1", ttl=0)
    sender, reader = MulticastSender(place, 1), MulticastReader(place)
    try:
        check(reader.joined, "no multicast on loopback")
        question = reader.question(1)
        answer = sender.answer(int.from_bytes(question[8:16], "little"))
        check(parse_key(answer, int.from_bytes(question[8:16], "little")) is not None, "no key")
        reader.take_key(answer)

        def once() -> float:
            had, begun = 0, perf_counter()
            for number, frame in enumerate(frames):
                sender.offer(frame)
                if number % 32 == 31:
                    had += len(reader.drain())
            while found := reader.drain():
                had += len(found)
            taken = perf_counter() - begun
            check(had == len(frames), f"{had} of {len(frames)} frames came")
            return len(frames) / taken

        report.measure(f"{name} a frame: sent and read in one thread", "frames/s", once)
    finally:
        sender.close()
        reader.close()
