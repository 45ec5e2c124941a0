"""What a delimited text holds, inferred from all of it: delimiter, head, types, the time column, what its rows are."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nautilus.adapters.formats.blocks import BlockReader
from nautilus.adapters.formats.recording import FormatError, Records
from nautilus.core.delimited import DECIMAL, FLOAT, MOST_COLUMNS, TEXT, TIME, WHOLE, DelimitedProfiler

DELIMITERS = ",|;\t"
EXPECTED = "a recording (docs/formats.md lists them), or rows of fields split by a comma, |, ; or tab"
MOSTLY = 0.95
"""A column is of a type where so much of what is not empty is."""
TIME_NAMES = frozenset(
    {"", "date", "datetime", "time", "timestamp", "ts", "localtimestamp", "tsevent", "tsrecv", "opentime", "begin",
     "day", "datetimeutc", "unix", "t"}
)  # fmt: skip
ROLES = {
    "open": ("open", "o", "openprice"),
    "high": ("high", "h", "highprice"),
    "low": ("low", "l", "lowprice"),
    "close": ("close", "c", "closeprice", "last"),
    "volume": ("volume", "v", "vol", "basevolume"),
    "bid": ("bid", "bidprice", "bidpx", "bestbid", "bestbidprice"),
    "bid_size": ("bidsize", "bidsz", "bidqty", "bidquantity", "bidvolume", "bestbidsize"),
    "ask": ("ask", "askprice", "askpx", "offer", "ofr", "bestask", "bestaskprice"),
    "ask_size": ("asksize", "asksz", "askqty", "askquantity", "ofrsiz", "askvolume", "bestasksize"),
    "price": ("price", "px", "tradeprice", "p"),
    "size": ("size", "qty", "quantity", "amount", "volume", "tradesize", "q"),
    "side": ("side", "aggressor", "aggressorside", "takerside"),
    "maker": ("buyermaker", "isbuyermaker", "isbuyerthemaker", "m"),
    "id": ("tradeid", "id", "aggtradeid"),
    "symbol": ("symbol", "ticker", "instrument", "instrumentid", "sym"),
}
NUMERIC = ROLES.keys() - {"side", "maker", "id", "symbol"}
DAY_NS = 86_400_000_000_000
# Whole numbers of so many nanoseconds each, by size.
UNITS = (("s", 1e8, 1e11, 10**9), ("ms", 1e11, 1e14, 10**6), ("us", 1e14, 1e17, 10**3), ("ns", 1e17, 9e18, 1))
HEAD_BYTES = 1 << 16
SOURCE_ERRORS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
BOM = b"\xef\xbb\xbf"


@dataclass
class Layout:
    """What was inferred.

    Attributes
    ----------
    names : of the columns; ``column1`` ... where there is no head.
    head : number of lines before the first row.
    columns : PROFILE array.
    types : WHOLE, DECIMAL, FLOAT, TEXT or TIME of each column.
    time : the time column, -1 where there is none; `unit` is ``text``, ``day``, ``s``, ``ms``, ``us`` or ``ns``.
    rows : ``bar``, ``quote``, ``trade``, ``panel``, ``series``, ``margin``, ``factor`` or ``table``.
    roles : column of each role of `ROLES` that was found.
    """

    delimiter: str
    names: list[str]
    head: int
    columns: Records
    types: list[int]
    time: int = -1
    unit: str = ""
    unit_ns: int = 0
    zoned: bool = False
    rows: str = "table"
    roles: dict[str, int] = field(default_factory=dict)
    count: int = 0


def read_layout(path: Path, kind: str = "") -> Layout:
    """Infer the layout of a file by going through all of it; `kind` says what the rows have to be.

    Raises
    ------
    FormatError
        It is empty, binary, no UTF-8, has no rows, or rows of one field without a head.
    """
    first = first_text(path)
    delimiter = delimiter_of(first, path)
    lines = first.split(b"\n")
    names, has_head = _head(lines, delimiter, path)
    if len(names) == 1:
        shown = lines[0][:40].decode("utf-8", "replace").encode("ascii", "backslashreplace").decode()
        raise FormatError(f"begins with '{shown}'", where=f"{path}:1", expected=EXPECTED)
    if len(names) > MOST_COLUMNS:
        raise FormatError(f"{len(names)} columns", where=f"{path}:1", expected=f"at most {MOST_COLUMNS}")
    profiler = DelimitedProfiler(delimiter, len(names), lines=int(has_head))
    for block in text_blocks(path, int(has_head)):
        profiler.add(block)
    if not profiler.rows:
        raise FormatError("has no rows", where=f"{path}:{1 + has_head}", expected=EXPECTED)
    if profiler.odd * 2 > profiler.rows:
        raise FormatError(
            f"{profiler.odd} of {profiler.rows} rows have not {len(names)} fields", where=f"{path}:1", expected=EXPECTED
        )
    layout = Layout(delimiter, names, int(has_head), profiler.columns, [_type(each) for each in profiler.columns])
    layout.count = profiler.rows
    _find_time(layout)
    _find_rows(layout, has_head)
    if kind and kind != layout.rows:
        if kind not in ("table", "panel", "series") or (kind != "table" and layout.time < 0):
            raise FormatError(
                f"its columns {', '.join(names[:12])} are no {kind} rows",
                where=f"{path}:1",
                expected=f"those of a {kind}",
            )
        layout.rows = kind
    return layout


def first_text(path: Path) -> bytes:
    """The first lines of a text without its byte order mark; FormatError where it is no text."""
    text = next((block for block in BlockReader(path, HEAD_BYTES) if block.strip()), b"")
    if not text:
        raise FormatError("is empty", where=str(path), expected=EXPECTED)
    check_text(text, str(path), 1)
    return text.removeprefix(BOM)


def check_text(text: bytes, where: str, line: int) -> None:
    """Refuse what is no UTF-8 text, at its line."""
    encoding = SOURCE_ERRORS.get(text[:2])
    if encoding:
        raise FormatError(f"is {encoding} text", where=f"{where}:{line}", expected="UTF-8 text")
    at = text.find(b"\0")
    if at >= 0:
        raise FormatError("is binary", where=f"{where}:{line + text.count(10, 0, at)}", expected="UTF-8 text")
    if text.isascii():
        return
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        at = line + text.count(b"\n", 0, error.start)
        raise FormatError(
            f"the byte {text[error.start]:#04x} is no UTF-8", where=f"{where}:{at}", expected="UTF-8 text"
        ) from error


def text_blocks(path: Path, head: int, reader: BlockReader | None = None) -> Iterator[bytes]:
    """The blocks of a text behind its first `head` lines, each checked to be UTF-8."""
    line = 1
    for block in reader or BlockReader(path):
        check_text(block, str(path), line)
        line += block.count(b"\n")
        rest = block.removeprefix(BOM) if line == 1 + block.count(b"\n") else block
        while head and rest:
            rest = rest[rest.find(b"\n") + 1 :] if b"\n" in rest else b""
            head -= 1
        if rest:
            yield rest


def delimiter_of(text: bytes, path: Path) -> str:
    """The delimiter that splits the first lines into most fields, equally many in each."""
    lines = [line for line in text.decode("utf-8", "replace").splitlines()[:50] if line]
    if len(lines) > 1 and len(text) >= HEAD_BYTES:
        lines = lines[:-1]  # it may be cut
    best, most = ",", 1
    for delimiter in DELIMITERS:
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        except csv.Error:
            continue
        usual = max(set(counts), key=counts.count)
        if usual > most and counts.count(usual) * 2 > len(counts):
            best, most = delimiter, usual
    return best


def normal(name: str) -> str:
    """A column's name as it is compared: ``5. volume`` and ``Vol_ume`` are both ``volume``."""
    return re.sub(r"[^a-z]", "", re.sub(r"^\d+[.:]\s*", "", name.strip().lower()))


def _head(lines: list[bytes], delimiter: str, path: Path) -> tuple[list[str], bool]:
    """Names of the columns, and whether the first line has them: none of its fields is a number or a time."""
    first = next(csv.reader([lines[0].decode("utf-8", "replace").rstrip("\r")], delimiter=delimiter))
    probe = DelimitedProfiler(delimiter, max(1, len(first)))
    probe.add(lines[0])
    columns = probe.columns
    values = int(columns["whole"].sum() + columns["decimal"].sum() + columns["time"].sum())
    # A panel may have names like 2020 among others.
    has_head = values == 0 or (int(columns["text"].sum()) > values and columns["text"][0] > 0 and len(first) > 2)
    if probe.odd:
        raise FormatError("has a quote that does not end", where=f"{path}:1", expected=EXPECTED)
    if not has_head:
        return [f"column{i + 1}" for i in range(len(first))], False
    names: list[str] = []
    for i, name in enumerate(first):
        clean = name.strip() or ("time" if i == 0 else f"column{i + 1}")
        while clean in names:
            clean += "_"
        names.append(clean)
    return names, True


def _type(column: Records) -> int:
    number = int(column["whole"]) + int(column["decimal"])
    filled = number + int(column["time"]) + int(column["text"])
    if not filled or int(column["text"]) > (1 - MOSTLY) * filled:
        return TEXT
    if column["time"] >= MOSTLY * filled:
        return TIME
    if number < MOSTLY * filled:
        return TEXT
    if column["decimal"] or column["exponent"]:
        return FLOAT
    return WHOLE if max(-column["smallest"], column["largest"]) < 9e18 else FLOAT


def _find_time(layout: Layout) -> None:
    """The first column of times; or the first whole one whose name and size are those of a time."""
    order = sorted(range(len(layout.names)), key=lambda i: (layout.types[i] != TIME, i))
    for i in order:
        column = layout.columns[i]
        if layout.types[i] == TIME:
            layout.time, layout.unit, layout.unit_ns = i, "text", 1
            layout.zoned = bool(column["zoned"]) and column["zoned"] == column["time"]
            return
        named = normal(layout.names[i]) in TIME_NAMES or layout.names[i].startswith("column")
        if layout.types[i] == WHOLE and column["days"] and column["days"] == column["whole"] and (named or i == 0):
            layout.types[i] = TIME
            layout.time, layout.unit, layout.unit_ns = i, "day", 1
            return
        if layout.types[i] not in (WHOLE, FLOAT) or not named or column["smallest"] <= 0:
            continue
        for unit, least, most, unit_ns in UNITS:
            if least <= column["smallest"] and column["largest"] < most:
                layout.time, layout.unit, layout.unit_ns, layout.zoned = i, unit, unit_ns, True
                if layout.types[i] == FLOAT:
                    layout.types[i] = DECIMAL
                return


def _find_rows(layout: Layout, has_head: bool) -> None:
    """What the rows are, by the columns' names; without a head by their number and types."""
    names = [normal(name) for name in layout.names]
    numeric = [i for i, kind in enumerate(layout.types) if kind in (WHOLE, FLOAT) and i != layout.time]
    for role, known in ROLES.items():
        # In the order of the known names: `volume` is a size only where nothing better is there.
        for word in known:
            if word in names:
                layout.roles.setdefault(role, names.index(word))
                break
    for role, i in layout.roles.items():
        # A column that is a price by its name is one by half of its fields: the others are refused.
        column = layout.columns[i]
        numbers = int(column["whole"]) + int(column["decimal"])
        if role in NUMERIC and layout.types[i] == TEXT and numbers > int(column["text"]) + int(column["time"]):
            layout.types[i] = FLOAT
            numeric.append(i)
    found = {role for role, i in layout.roles.items() if i in numeric}
    if not has_head:
        if len(names) == 4 and layout.unit == "day" and layout.time == 0 and numeric == [1, 2, 3]:
            layout.rows = "factor"
        elif len(names) in (5, 6) and layout.time == 0 and len(numeric) == len(names) - 1:
            layout.rows = "bar"
            layout.roles = dict(zip(("open", "high", "low", "close", "volume"), numeric, strict=False))
        return
    if layout.time < 0:
        return
    if {"open", "high", "low", "close"} <= found:
        layout.rows = "bar"
    elif {"bid", "ask"} <= found:
        layout.rows = "quote"
    elif {"price", "size"} <= found:
        layout.rows = "trade"
    elif names[1:] == ["initial", "maintenance"] and layout.time == 0:
        layout.rows = "margin"
    elif len(names) == 2 and len(numeric) == 1:
        layout.rows = "series"
    elif len(numeric) == len(names) - 1 and np.all(layout.columns["text"] == 0):
        layout.rows = "panel"
