"""Python face of the programs of indicator steps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

OPERATIONS: dict[str, int]
"""Operations of a node, by name."""

class Program:
    """Nodes over columns; any number of banks may run one."""

    inputs: int
    outputs: int
    columns: int
    nodes: tuple[tuple[Any, ...], ...]
    output_columns: tuple[int, ...]
    starts: npt.NDArray[np.int64]
    """First row on which each output is defined."""

    def __init__(self, inputs: int, nodes: Sequence[tuple[Any, ...]], outputs: Sequence[tuple[int, int]]) -> None: ...

class Bank:
    """One thread. Memory of each slot (an instrument), made when it gets its first row."""

    program: Program
    capacity: int
    slack: int
    slot_bytes: int

    def __init__(self, program: Program, capacity: int = 1, slack: int = 16) -> None: ...
    def update(self, slot: int, /, *row: float) -> None:
        """One row of a slot, a number for each input."""
    def feed(self, slots: npt.NDArray[np.int32], rows: npt.NDArray[np.float64], /) -> None:
        """Rows of many slots, in their order: row i belongs to slots[i]. All are checked before one is taken."""
    def rows_of(self, slot: int, /) -> int:
        """Rows that a slot has had."""
    def values(self, slot: int, /) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """(values, valid) of the outputs after the last row; where not valid the value is 0."""
    def table(self, slots: npt.NDArray[np.int32], /) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """(values, valid) of many slots, slots x outputs."""
    def column(
        self, slots: npt.NDArray[np.int32], output: int, /
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """(values, valid) of one output of many slots; a slot without rows has none."""
    def run(self, slot: int, /, *columns: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Rows of a slot as one array for each input: (values, valid), outputs x rows, of every row."""
    def state(self, slot: int, /) -> tuple[int, bytes]:
        """(rows, bytes) of a slot: what `restore` takes, in a bank of the same program and slack."""
    def restore(self, slot: int, rows: int, memory: bytes, /) -> None:
        """Go on where `state` was taken."""

def batch(program: Program, /, *columns: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """(values, valid), outputs x rows, of whole columns from their first row on."""
