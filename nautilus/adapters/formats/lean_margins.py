"""Lean's history of an exchange's futures margin: a CSV file of one product.

::

    date,initial,maintenance
    # https://www.cmegroup.com/notices/clearing/2016/10/Chadv16-436.html     where a change was announced
    20161021,19800,18000                                                     from that day on, per contract

Source: QuantConnect/Lean, Data/future/cme/margins.
"""

from __future__ import annotations

import re
from pathlib import Path

from nautilus.adapters.formats.recording import FormatError
from nautilus.model.collateral import PutFuturesRates

HEAD = "date,initial,maintenance"
ROW = re.compile(r"(\d{8}),(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)")
SOURCE = "Lean data/future/cme/margins"


def read_margins(path: Path, product: str = "") -> PutFuturesRates:
    """The history in a file, as the message that the collateral engine takes.

    Parameters
    ----------
    path
        A file such as ``ES.csv``.
    product
        What it is of; "": the name of the file.

    Raises
    ------
    FormatError
        A head, row or order of days that is not the format's; the line is named.
    """
    days: list[int] = []
    initial: list[float] = []
    maintenance: list[float] = []
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    if not lines or lines[0].strip().lower() != HEAD:
        found = lines[0][:80] if lines else ""
        raise FormatError(f"head {found!r}", where=f"{path}:1", expected=HEAD)
    for number, line in enumerate(lines[1:], 2):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        row = ROW.fullmatch(text)
        if row is None:
            raise FormatError(f"row {text[:80]!r}", where=f"{path}:{number}", expected="YYYYMMDD,initial,maintenance")
        day = int(row[1])
        if days and day <= days[-1]:
            raise FormatError(
                f"day {day} after {days[-1]}", where=f"{path}:{number}", expected="days in ascending order"
            )
        days.append(day)
        initial.append(float(row[2]))
        maintenance.append(float(row[3]))
        if initial[-1] < maintenance[-1]:
            raise FormatError(f"initial {row[2]} below {row[3]}", where=f"{path}:{number}", expected="not below")
    if not days:
        raise FormatError("no rows", where=str(path), expected="at least one")
    return PutFuturesRates(product or path.stem, tuple(days), tuple(initial), tuple(maintenance), SOURCE)


__all__ = ["read_margins"]
