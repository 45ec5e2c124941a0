"""Python face of the decoder of delimited text."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SKIP: int
WHOLE: int
DECIMAL: int
FLOAT: int
TEXT: int
TIME: int
MISSING: int
"""Stands in a WHOLE, DECIMAL or TIME column where an optional field is empty; in a FLOAT column that is NaN."""
MOST_COLUMNS: int
REASONS: dict[int, str]
"""Words for the `reason` of a FAULT, after the field's text."""
FAULT: np.dtype[np.void]
PROFILE: np.dtype[np.void]

class DelimitedBatch:
    """What a block of lines held.

    Attributes
    ----------
    block : the bytes.
    values : int64, columns x rows; floats by their bits (`floats`), text by its place (`texts`).
    lines : the line of each row, from 1.
    faults : FAULT array, the first 1,024 lines refused: line, column, reason, and the place of the field's text.
    refused : number of lines refused.
    """

    block: bytes
    values: NDArray[np.int64]
    lines: NDArray[np.int64]
    faults: NDArray[np.void]
    refused: int

    def __init__(
        self,
        block: bytes,
        values: NDArray[np.int64],
        lines: NDArray[np.int64],
        faults: NDArray[np.void],
        refused: int,
    ) -> None: ...
    def __len__(self) -> int: ...
    def floats(self, column: int) -> NDArray[np.float64]:
        """A FLOAT column."""

    def texts(self, column: int) -> list[str]:
        """A TEXT column."""

class DelimitedDecoder:
    """Decoder of delimited text; a line that does not fit is refused as a whole. One thread at a time.

    Parameters
    ----------
    delimiter
        One ASCII character. Fields may stand in double quotes; a quoted field ends on its line.
    kinds
        Of each column: SKIP, WHOLE, DECIMAL, FLOAT, TEXT or TIME.
    decimals
        Of DECIMAL columns: the value is counted in 10^-decimals.
    optional
        Columns that may be empty (or ``NaN``, ``NA``, ``N/A``, ``null``, ``None``).
    rounded
        DECIMAL columns in which a finer number is rounded, half away from zero, and counted, instead of refused.
    lines
        Lines before the first block.
    """

    def __init__(
        self,
        delimiter: str,
        kinds: Sequence[int],
        decimals: Sequence[int] | None = None,
        optional: Sequence[bool] | None = None,
        rounded: Sequence[bool] | None = None,
        lines: int = 0,
    ) -> None: ...
    def decode(self, block: bytes) -> DelimitedBatch:
        """Decode the next whole lines. Blank lines are passed over, as are those that begin with #."""

    @property
    def fields(self) -> int: ...
    @property
    def lines(self) -> int:
        """Lines seen so far, blank ones too."""

    @property
    def rows(self) -> int:
        """Lines that are not blank."""

    @property
    def comments(self) -> int:
        """Lines that begin with #."""

    @property
    def roundings(self) -> int:
        """Numbers that were rounded."""

    @property
    def zoned(self) -> int:
        """Times that named their zone."""

class DelimitedProfiler:
    """Finds what the columns of delimited text hold. One thread at a time.

    Parameters
    ----------
    delimiter
        As of `DelimitedDecoder`.
    fields
        Number of columns.
    lines
        Lines before the first block.
    """

    def __init__(self, delimiter: str, fields: int, lines: int = 0) -> None: ...
    def add(self, block: bytes) -> None:
        """Look at the next whole lines."""

    @property
    def columns(self) -> NDArray[np.void]:
        """PROFILE array: per column how many fields are missing, whole, decimal, time, text ..."""

    @property
    def fields(self) -> int: ...
    @property
    def lines(self) -> int: ...
    @property
    def rows(self) -> int:
        """Lines that are not blank."""

    @property
    def odd(self) -> int:
        """Lines with another number of fields, or a quote that does not end."""
