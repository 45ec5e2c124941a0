"""Arbitrary programs, rows and states into the steps of indicators; arbitrary records into what makes rows of them."""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import Any

import numpy as np

from nautilus.core.feature_feed import BARS, QUOTES, TRADES, FeatureFeed
from nautilus.core.indicators import OPERATIONS, Bank, Program, batch
from nautilus.core.ticks import BAR, GAP_FLAG
from nautilus.core.types import QUOTE, TRADE
from nautilus.maths.indicators import every
from nautilus.model.enums import RecordFlag
from nautilus.model.instrument import Instrument
from tests.fuzz.reader import Reader
from tests.kit.naive_feature_feed import NaiveFeed

OPS = sorted(OPERATIONS)
REAL = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 100.0, 1e-14, 1e-300, 1e300, -1e300, math.pi, 5e-324, 1.7e308)
ODD = (*REAL, math.nan, math.inf, -math.inf)
MOST_ROWS = 120
SOURCES: dict[str, tuple[int, int]] = {"bar": (BARS, 5), "quote": (QUOTES, 4), "trade": (TRADES, 5)}
FLAGS = (0, 0, 0, 0, int(RecordFlag.STALE), int(RecordFlag.SYNTHETIC), GAP_FLAG, 255)


def _real(reader: Reader, near: float, among: tuple[float, ...] = REAL) -> float:
    """A number near another one, now and then one of the odd ones or any."""
    what = reader.number(1)
    if what < 0xC0:
        return near + what % 16 - 8.0
    if what < 0xF0:
        return among[what % len(among)]
    return float(struct.unpack("<d", reader.take(8).ljust(8, b"\0"))[0])


def _program(reader: Reader, inputs: int) -> Program:
    """Nodes that mostly fit together. ValueError: they do not."""
    nodes: list[tuple[Any, ...]] = []
    written, begins = inputs, [0] * inputs
    for _ in range(1 + reader.number(1) % 12):
        operation = reader.choose(OPS)
        unlike = reader.number(1)
        n = 1 + reader.number(1) % 40
        reach = reader.number(1) % 64 if unlike & 1 else max(n, 50)
        sources = [(reader.number(1) % (written + (unlike & 2)), reader.number(1) % 8) for _ in range(4)]
        sources = sources[: 1 + reader.number(1) % 4]
        start = reader.number(1) % 12 if unlike & 4 else max(begins[k] + lag for k, lag in sources if k < written)
        outputs = tuple(range(written, written + 1 + reader.number(1) % 3))
        m = reader.number(1) % 42 if unlike & 8 else 1 + reader.number(1) % n
        numbers = [_real(reader, 1.0, ODD) for _ in range(3)]
        nodes.append((operation, tuple(sources), outputs, start, (reach,) * len(sources), n, m, *numbers))
        written += len(outputs)
        begins += [start] * len(outputs)
    return Program(inputs, nodes, list(enumerate(begins)))


def _rows(reader: Reader, inputs: int) -> np.ndarray:
    count = reader.number(1) % MOST_ROWS
    rows = np.array([[_real(reader, 100.0) for _ in range(inputs)] for _ in range(count)]).reshape(count, inputs)
    rows[~np.isfinite(rows)] = 1.0
    return rows


def _goes_on(program: Program, rows: np.ndarray, cut: int, slack: int) -> Bank:
    """A stream, a batch and a stream that moved to another bank give the same bits."""
    values, valid = batch(program, *rows.T)
    bank, other = Bank(program, 2, slack), Bank(program, 3, slack)
    bank.run(1, *rows[:cut].T)
    other.restore(2, *bank.state(1))
    for row in rows[cut:].tolist():
        bank.update(1, *row)
    other.feed(np.full(len(rows) - cut, 2, np.int32), np.ascontiguousarray(rows[cut:]))
    assert other.state(2) == bank.state(1)
    if len(rows):
        last, there = bank.values(1)
        assert last.tobytes() == values[:, -1].tobytes()
        assert there.tobytes() == valid[:, -1].tobytes()
    assert np.isfinite(values).all()
    assert not values[~valid].any()
    return bank


def programs(data: bytes) -> None:
    """Any program runs the same in one go, row by row and from a state, or is refused; from any state it runs on."""
    reader = Reader(data)
    inputs = 1 + reader.number(1) % 4
    try:
        program = _program(reader, inputs)
    except (ValueError, OverflowError):
        return
    rows = _rows(reader, inputs)
    bank = _goes_on(program, rows, reader.number(1) % (len(rows) + 1), 1 + reader.number(1) % 20)
    _spoilt(reader, bank, inputs)


def _spoilt(reader: Reader, bank: Bank, inputs: int) -> None:
    rows, memory = bank.state(1)
    numbers = np.frombuffer(memory, "<f8").copy()
    for _ in range(1 + reader.number(1) % 16):
        at, value = reader.number(2) % len(numbers), _real(reader, 20.0, ODD)
        numbers[at : at + reader.choose((1, 1, 4, 1 << 16))] = value
    try:
        bank.restore(1, reader.choose((rows, rows, 0, 1, reader.wide())), numbers.tobytes())
    except ValueError:
        return
    before = bank.state(0)
    for row in _rows(reader, inputs).tolist() or [[1.0] * inputs]:
        bank.update(1, *row)
    bank.run(1, *np.ones((inputs, 30)))
    values, valid = bank.values(1)
    assert np.isfinite(values).all()
    assert not values[~valid].any()
    assert bank.state(0) == before


@cache
def _whole(source: str) -> Program:
    return every(source).program


def features(data: bytes) -> None:
    """The same of the programs of all features."""
    reader = Reader(data)
    source = reader.choose(sorted(SOURCES))
    inputs = SOURCES[source][1]
    rows = _rows(reader, inputs)
    bank = _goes_on(_whole(source), rows, reader.number(1) % (len(rows) + 1), 1 + reader.number(1) % 20)
    _spoilt(reader, bank, inputs)


INSTRUMENTS = [
    Instrument(
        instrument_id=number, symbol=f"X{number}", venue="V", product="perpetual", base_currency="B",
        quote_currency="Q", tick_table=(("0", tick),), lot_size="0.01", negative_prices=True,
    )
    for number, tick in ((1, "0.1"), (70_000, "0.00001"))
]  # fmt: skip


def _feed(source: str, *, collects: bool) -> FeatureFeed:
    made = FeatureFeed(
        Bank(_whole(source), len(INSTRUMENTS)), SOURCES[source][0], bar_kind=1, bar_size=60, collects=collects
    )
    for each in INSTRUMENTS:
        parts = (each.price_increment, each.quantity(1))
        made.add(each.instrument_id, *(float(part) for step in parts for part in step.as_integer_ratio()))
    return made


def _near(reader: Reader, middle: int, most: int) -> int:
    what = reader.number(1)
    return max(-most, min(reader.wide(), most)) if what >= 0xF0 else middle + what % 9 - 4


def _records(reader: Reader, source: str) -> list[tuple[str, np.ndarray]]:
    """Arrays of one or more records of the kinds that the source takes, in turn."""
    if reader.number(1) & 1:
        kinds = {"bar": [("bars", BAR)], "quote": [("quotes", QUOTE)]}.get(
            source, [("quotes", QUOTE), ("trades", TRADE)]
        )
        out = []
        for name, dtype in kinds:
            raw = reader.take(dtype.itemsize * (1 + reader.number(1) % 20))
            records = np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype).copy()
            for field in dtype.names or ():  # beyond 2^53 a product is not the nearest decimal
                if field.endswith(("ticks", "quantity", "volume")):
                    records[field] >>= 24
            out.append((name, records))
        return out
    made: list[tuple[str, np.ndarray]] = []
    now_ns, most = 1_000, 1 << 40
    while reader.left and len(made) < 60:
        now_ns += reader.choose((0, 1, 7, 60, -3))
        key, flags = reader.choose((1, 1, 70_000, 9)), reader.choose(FLAGS)
        venue_ns = reader.choose((0, 0, now_ns - 2))
        price, lots = _near(reader, 1_000, most), _near(reader, 5, most)
        if source == "bar":
            record = np.zeros(1, BAR)
            record["now_ns"], record["end_ns"], record["instrument_id"] = now_ns, now_ns, key
            record["kind"], record["size"], record["flags"] = reader.choose((1, 1, 1, 2)), 60, flags
            for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume"):
                record[name] = _near(reader, 1_000, most)
            made.append(("bars", record))
        elif source == "quote" or reader.number(1) & 1:
            ask, asked = _near(reader, 1_002, most), _near(reader, 5, most)
            row = (now_ns, venue_ns, 0, price, lots, ask, asked, key, flags, 0)
            made.append(("quotes", np.array([row], QUOTE)))
        else:
            side = reader.choose((0, 1, 2, 3))
            made.append(("trades", np.array([(now_ns, venue_ns, 1, price, lots, key, side, 0, flags)], TRADE)))
    return made


def _plain(records: np.ndarray) -> list[dict[str, Any]]:
    return [dict(zip(records.dtype.names or (), row, strict=True)) for row in records.tolist()]


def feature_feed(data: bytes) -> None:
    """Records become the rows of the twin, or are counted as it says; a feed goes on where another stood."""
    reader = Reader(data)
    source = reader.choose(sorted(SOURCES))
    cut, given = reader.number(1), _records(reader, source)
    cut %= len(given) + 1
    made, twin = _feed(source, collects=True), NaiveFeed(source, INSTRUMENTS, 1, 60)
    whole, first, second = (_feed(source, collects=False) for _ in range(3))
    for at, (name, records) in enumerate(given):
        assert getattr(made, name)(records) == getattr(whole, name)(records)
        getattr(first if at < cut else second, name)(records)
        twin.feed(name, _plain(records))
        if at + 1 == cut:
            for slot in range(len(INSTRUMENTS)):
                second.restore(slot, *first.state(slot))
    names = ("taken", "late", "duplicates", "stale", "crossed", "one_sided", "unknown", "foreign")
    assert {name: getattr(made, name) for name in names} == {name: twin.counts[name] for name in names}
    times, collected = made.collected()
    found = sorted(zip(*times.tolist(), collected.T.tolist(), strict=True))
    assert found == sorted((at, known, list(row)) for rows in twin.rows.values() for at, known, row in rows)
    last = second if cut else whole
    if not cut:
        assert second.taken == whole.taken
    for slot in range(len(INSTRUMENTS)):
        assert last.state(slot) == whole.state(slot)
    _restored(reader, source, last)


def _restored(reader: Reader, source: str, made: FeatureFeed) -> None:
    rows, memory = made.state(0)
    spoilt = bytearray(memory)
    for _ in range(1 + reader.number(1) % 6):
        at = 8 * (reader.number(2) % (len(spoilt) // 8))
        spoilt[at : at + 8] = struct.pack("<d", _real(reader, 1.0, ODD))
    other = _feed(source, collects=False)
    try:
        other.restore(0, rows, bytes(spoilt))
    except ValueError:
        assert other.state(0) == _feed(source, collects=False).state(0)
        return
    for name, records in _records(reader, source):
        getattr(other, name)(records)
    values, _ = other.bank.values(0)
    assert np.isfinite(values).all()
