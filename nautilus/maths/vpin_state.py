"""What a table of VPIN has to keep over a restart, in parts of many instruments each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nautilus.core.vpin import VpinTable

BLOCK: Final = 64
"""Instruments in a part."""


def table_parts(name: str, table: VpinTable) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Parts by name, each with its version (trades taken) and what gives it; those without trades are left out."""
    found: dict[str, tuple[int, Callable[[], Any]]] = {}
    for block, begin in enumerate(range(0, len(table), BLOCK)):
        taken = table.taken(begin, begin + BLOCK)
        if taken:
            found[f"{name}-{block}"] = (taken, partial(_part, table, begin))
    return found


def _part(table: VpinTable, begin: int) -> dict[str, NDArray[Any]]:
    saved = [table.save(instrument) for instrument in table.ids()[begin : begin + BLOCK]]
    lengths = np.array([len(each) for each in saved], np.int64)
    return {"lengths": lengths, "bytes": np.frombuffer(b"".join(saved), np.uint8)}


def load_part(table: VpinTable, part: Any) -> int:
    """Take over the instruments of a part that the table has; how many. Those of other settings begin anew.

    Raises
    ------
    ValueError
        The part is damaged.
    """
    rows = np.ascontiguousarray(part["bytes"], np.uint8).tobytes()
    lengths = np.asarray(part["lengths"], np.int64).tolist()
    if min(lengths, default=0) < 0 or sum(lengths) != len(rows):
        raise ValueError(f"instruments of {sum(lengths)} bytes in a part of {len(rows)}; expected as many")
    begin = loaded = 0
    for length in lengths:
        loaded += table.load(rows[begin : begin + length], known=True)
        begin += length
    return loaded


__all__ = ["BLOCK", "load_part", "table_parts"]
