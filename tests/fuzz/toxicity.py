"""Arbitrary trades, quotes and states into volume buckets, beside their naive twin."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from nautilus.core.buckets import BUCKET, BucketFlag, Classification
from nautilus.core.ticks import FLOW
from nautilus.core.types import QUOTE, TRADE
from nautilus.core.vpin import VpinTable
from nautilus.model.vpin import vpin_buckets
from tests.fuzz.reader import Reader
from tests.kit.naive_vpin import DAY_NS, NaiveVpin

IDS = (1, 70_000)
STEPS = (0, 0, 1, 5, 20, -1, DAY_NS // 3, DAY_NS)
BARS: tuple[dict[str, int], ...] = ({}, {}, {"bar_ns": 7}, {"bar_ns": DAY_NS}, {"bar_lots": 13}, {"bar_lots": 1})
FIELDS = ("late", "duplicates", "without_volume", "refused")


def _settings(reader: Reader) -> dict[str, Any]:
    bars = reader.choose(BARS)
    return {
        "window": 1 + reader.number(1) % 5,
        "history": 1 + reader.number(1) % 8,
        "depth_weighted": bool(reader.number(1) & 1),
        "flow_weight": reader.choose((0.0, 0.3, 1.0)),
        "days": reader.number(1) % 4,
        "buckets_per_day": 1 + reader.number(1) % 9,
        "degrees": reader.choose((0.25, 3.0, 1e6, 0.01)),
        "decay": reader.choose((0.0, 0.8, 0.95)),
        "classification": int(reader.choose((Classification.NORMAL, Classification.STUDENT)))
        if bars
        else int(Classification.SIDE),
        **bars,
    }


def _made(lots: int, settings: dict[str, Any]) -> VpinTable:
    table = VpinTable(**settings)
    for key in IDS:
        table.add(key, lots)
    return table


def _near(reader: Reader, middle: int, spread: int) -> int:
    what = reader.number(1)
    return reader.wide() if what >= 0xF8 else middle + what % (2 * spread + 1) - spread


def _lots(reader: Reader) -> int:
    """No more buckets than the twin can keep, or so many that the trade is refused."""
    lots = _near(reader, reader.choose((1, 2, 5, 9, 40, 300)), 1)
    return lots % 5_000 if 0 < lots <= 1 << 40 else lots


def _trades(reader: Reader, most: int) -> np.ndarray:
    rows, at = [], 0
    while reader.left and len(rows) < most:
        at += reader.choose(STEPS)
        rows.append(
            (
                _near(reader, at, 0),
                0,
                reader.choose((0, 1, 2, 3, len(rows) + 10)),
                _near(reader, 100, 3),
                _lots(reader),
                reader.choose((*IDS, 1, 5)),
                reader.choose((0, 1, 2, 0, 1, 2, 3)),
                0,
                reader.choose((0, 0, 1, 4, 33)),
            )
        )
    return np.array(rows, TRADE)


def _quotes(reader: Reader, most: int) -> np.ndarray:
    rows: list[tuple[int, ...]] = []
    while reader.left and len(rows) < most:
        bid, lots, ask, asked = (_near(reader, middle, 3) for middle in (99, 5, 101, 5))
        rows.append((0, 0, 0, bid, lots, ask, asked, reader.choose(IDS), reader.choose((0, 0, 0, 8)), 0))
    return np.array(rows, QUOTE)


def _plain(records: np.ndarray) -> list[dict[str, int]]:
    return [dict(zip(records.dtype.names or (), row, strict=True)) for row in records.tolist()]


def vpin(data: bytes) -> None:
    """Buckets are those of the twin however records are cut, and so are those of a table that took the state over."""
    reader = Reader(data)
    settings, lots = _settings(reader), 1 + reader.number(1) % 20
    cut, step = reader.number(1), 1 + reader.number(1) % 40
    quotes, trades = _quotes(reader, 60), _trades(reader, 120)
    table, twins = _made(lots, settings), {key: NaiveVpin(key, lots, **settings) for key in IDS}
    for begin in range(0, max(len(trades), len(quotes)), step):
        if begin // step == cut % 8:
            table = _moved(table, lots, settings)
        seen = {key: len(twin.out) for key, twin in twins.items()}
        found = table.process(trades[begin : begin + step])
        table.quotes(quotes[begin : begin + step])
        for row in _plain(trades[begin : begin + step]):
            if row["instrument_id"] in twins:
                twins[row["instrument_id"]].trade(row)
        for row in _plain(quotes[begin : begin + step]):
            twins[row["instrument_id"]].take_quote(row)
        for key, twin in twins.items():
            assert found[found["instrument_id"] == key].tolist() == twin.rows(seen[key])
            assert table.open_bucket(key).tolist() == [tuple(twin.open_bucket().values())]
            counts = table.counts(key)
            assert {name: counts[name] for name in FIELDS} == {name: twin.counts[name] for name in FIELDS}
    _moved(table, lots, settings)


def _moved(table: VpinTable, lots: int, settings: dict[str, Any]) -> VpinTable:
    """Another one with its state."""
    other = _made(lots, settings)
    for key in IDS:
        assert other.load(table.save(key), known=True)
        assert other.save(key) == table.save(key)
    return other


def flows(data: bytes) -> None:
    """Any records, as bytes: shares stay shares, and what is kept goes to another table and on from there."""
    reader = Reader(data)
    settings, lots = _settings(reader), 1 + reader.number(1) % 20
    table = _made(lots, settings)
    for name, dtype in (("flows", FLOW), ("process", TRADE), ("quotes", QUOTE), ("flows", FLOW), ("process", TRADE)):
        raw = reader.take(dtype.itemsize * (reader.number(1) % 6))
        records = np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype).copy()
        if reader.number(1) & 1:
            records["instrument_id"] = 1
            if name == "process":
                records["side"], records["quantity"] = 1, np.abs(records["quantity"]) >> 30
        _are_shares(getattr(table, name)(records))
    table.advance(reader.wide())
    table = _moved(table, lots, settings)
    table.process(_trades(reader, 20))


def _are_shares(found: np.ndarray | None) -> None:
    for name in ("vpin", "value", "percentile", "pace"):
        assert found is None or ((found[name] >= 0.0) & (found[name] <= 1.0)).all()


def state(data: bytes) -> None:
    """A state with words changed, or no state at all: refused and nothing is changed, or taken and good for more."""
    reader = Reader(data)
    settings = _settings(reader)
    table = _made(7, settings)
    table.quotes(_quotes(reader, 6))
    table.process(_trades(reader, 20))
    saved = table.save(1)
    if reader.number(1) & 7 == 0:
        given = reader.take(reader.left)
    else:
        words = np.frombuffer(saved, "<i8").copy()
        for _ in range(1 + reader.number(1) % 6):
            at = 13 + reader.number(2) % (len(words) - 13)
            words[at] = reader.choose((reader.wide(), int(words[at]) + 1, int(words[at]) - 1, int(words[at]) ^ 256))
        given = words.tobytes()
        if reader.number(1) & 7 == 7:
            given = given[: reader.number(4) % len(given)]
    fresh, before = _made(7, settings), _made(7, settings).save(1)
    taken = False
    with contextlib.suppress(ValueError):
        taken = fresh.load(given, known=True)
    if not taken:
        assert fresh.save(1) == before
        return
    assert fresh.load(fresh.save(1), known=True)
    for key in fresh.ids():
        fresh.last(key), fresh.buckets(key), fresh.values(key), fresh.counts(key)
    _are_shares(fresh.process(_trades(reader, 60)))
    assert fresh.load(fresh.save(1), known=True)


def buckets(data: bytes) -> None:
    """Any record of a bucket becomes a message whose numbers are numbers, or none."""
    records = np.frombuffer(data[: len(data) // BUCKET.itemsize * BUCKET.itemsize], BUCKET)
    for row, bucket in zip(_plain(records), vpin_buckets(records), strict=True):
        assert (bucket.number, bucket.volume_lots, bucket.flow_lots) == (row["number"], row["volume"], row["flow"])
        assert (bucket.depth_lots is None) == (row["depths"] == 0)
        assert (bucket.vpin is None) == (row["flags"] & BucketFlag.FULL == 0)
