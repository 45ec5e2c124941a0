"""Arbitrary bytes as lines of text: delimited columns and logs of Bybit, in any pieces as the twins read them."""

from __future__ import annotations

import numpy as np

from nautilus.core.bybit import BybitDecoder
from nautilus.core.delimited import FLOAT, MISSING, SKIP, TEXT, DelimitedDecoder, DelimitedProfiler
from nautilus.core.depth import DepthBook
from tests.fuzz.reader import Reader
from tests.kit import naive_bybit
from tests.kit.naive_delimited import NaiveDelimited

STEPS = ("0.0001", "0.5")
SYMBOL = "XRPUSDT"


def pieces(data: bytes, cut: int) -> list[bytes]:
    """The same lines in pieces that end with one."""
    lines = data.splitlines(keepends=True)
    whole: list[bytes] = []
    for line in lines:  # a carriage return ends none
        if whole and not whole[-1].endswith(b"\n"):
            whole[-1] += line
        else:
            whole.append(line)
    step = 1 + cut % 5
    return [b"".join(whole[at : at + step]) for at in range(0, len(whole), step)]


def delimited(data: bytes) -> None:
    """Rows are those of the twin, whether they come in one piece or in several; a profile adds up."""
    reader = Reader(data)
    delimiter, cut = reader.choose((",", ";", "\t", "|")), reader.number(1)
    columns = 1 + reader.number(1) % 6
    kinds = [reader.number(1) % 6 for _ in range(columns)]
    decimals = [reader.choose((0, 2, 4, 9, 18)) for _ in range(columns)]
    marks = reader.number(2)
    optional = [bool(marks >> at & 1) for at in range(columns)]
    rounded = [bool(marks >> at + 8 & 1) for at in range(columns)]
    text = reader.take(reader.left)
    twin = NaiveDelimited(delimiter, kinds, decimals, optional, rounded)
    twin.decode(text)
    for parts in ([text], pieces(text, cut)):
        decoder = DelimitedDecoder(delimiter, kinds, decimals, optional, rounded)
        found: list[tuple[int, list[object]]] = []
        faults: list[tuple[int, int, int]] = []
        for part in parts:
            batch = decoder.decode(part)
            shown = [_column(batch, kind, at) for at, kind in enumerate(kinds)]
            rows = zip(*shown, strict=True)
            found += zip(batch.lines.tolist(), map(list, rows), strict=True)
            faults += [tuple(fault[:3]) for fault in batch.faults.tolist()]
            assert batch.refused == len(batch.faults)
            places = [range(at, at + size) for _, _, _, at, size in batch.faults.tolist()]
            assert all(0 <= place.start <= place.stop <= len(part) for place in places)
        assert found == twin.out
        expected = [
            (line, column, reason or found[2])
            for (line, column, reason), found in zip(twin.faults, faults, strict=True)
        ]
        assert faults == expected
        assert (decoder.lines, decoder.rows, decoder.comments) == (twin.lines, twin.rows, twin.comments)
        _profile(delimiter, columns, parts)


def _column(batch: object, kind: int, at: int) -> list[object]:
    if kind == SKIP:
        return [None] * len(batch.lines)  # type: ignore[attr-defined]
    if kind == TEXT:
        return list(batch.texts(at))  # type: ignore[attr-defined]
    if kind == FLOAT:
        return [None if each != each else each for each in batch.floats(at).tolist()]  # type: ignore[attr-defined]
    return [None if each == MISSING else each for each in batch.values[at].tolist()]  # type: ignore[attr-defined]


def _profile(delimiter: str, columns: int, parts: list[bytes]) -> None:
    profiler, whole = DelimitedProfiler(delimiter, columns), DelimitedProfiler(delimiter, columns)
    for part in parts:
        profiler.add(part)
    whole.add(b"".join(parts))
    assert profiler.columns.tobytes() == whole.columns.tobytes()
    assert (profiler.lines, profiler.rows, profiler.odd) == (whole.lines, whole.rows, whole.odd)
    sums = sum(whole.columns[name] for name in ("missing", "whole", "decimal", "time", "text"))
    assert (np.asarray(sums) == whole.rows - whole.odd).all()


def bybit(data: bytes) -> None:
    """Messages of a log: those that Python's JSON reads are read as it reads them, in one piece or in several."""
    reader = Reader(data)
    cut, symbol = reader.number(1), reader.choose((SYMBOL, ""))
    text = reader.take(reader.left)
    whole = BybitDecoder(*STEPS, symbol)
    batch = whole.decode(text)
    parts = BybitDecoder(*STEPS, symbol)
    lines, deltas, fault = 0, [], None
    for part in pieces(text, cut):
        found = parts.decode(part)
        lines, fault = lines + len(found.lines), found.fault
        deltas.append(found.deltas)
        if fault is not None:
            break
    assert (fault is None) == (batch.fault is None)
    if fault is not None and batch.fault is not None:
        assert (fault.line, fault.what, fault.expected) == (batch.fault.line, batch.fault.what, batch.fault.expected)
    assert lines == len(batch.lines)
    assert b"".join(each.tobytes() for each in deltas) == batch.deltas.tobytes()
    counts = [(each.lines, each.topics_skipped, each.symbols_skipped) for each in (whole, parts)]
    assert counts[0] == counts[1]
    book = DepthBook()
    book.apply(batch.deltas)
    _as_python_reads(text, whole.symbol, batch.lines, batch.deltas, None if batch.fault is None else batch.fault.line)


def _as_python_reads(text: bytes, symbol: str, lines: np.ndarray, deltas: np.ndarray, fault: int | None) -> None:
    by_line = {int(line["line"]): line for line in lines}
    for number, line in enumerate(text.split(b"\n"), 1):
        if fault is not None and number > fault:
            break
        try:
            expected = naive_bybit.decoded(line, symbol, STEPS, number)
        except naive_bybit.UnjudgedError:
            continue
        except naive_bybit.FaultError:
            assert number == fault, line
            break
        assert number != fault, line
        assert (number in by_line) == (expected is not None)
        if expected is not None:
            found = by_line[number]
            head, rows = expected
            assert (*found.tolist()[:5], found["kind"]) == head
            assert deltas[found["first"] : found["first"] + found["count"]].tolist() == rows
