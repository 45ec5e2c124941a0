"""What every recording offers, whatever its format: updates in file order, an instrument, counters, book checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from nautilus.adapters.formats.checks import BookCheck
from nautilus.model.errors import InternalError, VenueError
from nautilus.model.instrument import Instrument

if TYPE_CHECKING:
    from pathlib import Path

Records = npt.NDArray[np.void]
BLOCK_RECORDS = 1 << 16


class FormatError(VenueError):
    """A recording cannot be read: what was found, where (``path:line``), and what was expected."""

    code = "venue.format"


class UpdateKind(IntEnum):
    """What `Update.records` holds."""

    QUOTE = 1
    TRADE = 2
    BOOK = 3
    BAR = 4


class Update(NamedTuple):
    """One thing that the venue said.

    Attributes
    ----------
    now_ns : receive stamp, nanoseconds UTC; never before that of the update before.
    kind : an `UpdateKind`.
    records : QUOTE, TRADE or BAR array of one record, or the BOOK_DELTA array of one whole book change, whose last
        record carries the flag LAST. A snapshot has the flag SNAPSHOT on every record; its sides begin with CLEAR.
    """

    now_ns: int
    kind: int
    records: Records


class Block(NamedTuple):
    """Many records of one kind, in file order.

    Attributes
    ----------
    kind : an `UpdateKind`.
    records : array of the kind's records; `instrument_id` tells the instrument where a file holds several.
    """

    kind: int
    records: Records


class InstrumentHint(msgspec.Struct, frozen=True):
    """The instrument as far as a recording tells: found in it, or inferred from its numbers.

    `price_increment`, `lot_size` and the bands of `tick_table` are decimal strings. `inferred` says that increment and
    lot are the largest powers of ten that divide every price and quantity in the head of the file. `negative_prices`:
    it holds some, and so its market has them.
    """

    symbol: str
    venue: str
    product: str
    base_currency: str
    quote_currency: str
    price_increment: str
    lot_size: str
    tick_table: tuple[tuple[str, str], ...]
    inferred: bool = False
    negative_prices: bool = False

    def instrument(self, instrument_id: int = 1) -> Instrument:
        """Build the instrument. Money is counted so finely that one tick times one lot is a whole number."""
        unit = (Decimal(self.price_increment) * Decimal(self.lot_size)).normalize()
        exponent = unit.as_tuple().exponent
        assert isinstance(exponent, int)
        units_at_8 = unit.scaleb(8)
        fits = units_at_8 == units_at_8.to_integral_value() and units_at_8 <= 1 << 20
        return Instrument(
            instrument_id=instrument_id,
            symbol=self.symbol,
            venue=self.venue,
            base_currency=self.base_currency,
            quote_currency=self.quote_currency,
            tick_table=self.tick_table,
            lot_size=self.lot_size,
            product=self.product,
            currency_decimals=8 if fits else max(0, -exponent),
            negative_prices=self.negative_prices,
        )


class Recording(ABC):
    """A recorded stream, of one instrument where nothing else is said, read once from front to back in little memory.

    Attributes
    ----------
    path : the file, or the message file of a pair.
    hint : the instrument, as far as the recording tells; of a file with several, the first.
    hints : all instruments of the file; records of the one at place k have `instrument_id` + k.
    counts : lines or messages read so far, by kind.
    skipped : what was passed over on purpose, by reason.
    gaps, lost : breaks in the update ids of the book, and the ids that are missing in them.
    notes : one sentence for each thing that a reader should know, such as a gap.
    start_ns : receive stamp of the first line, known as soon as the recording is open.
    first_ns, last_ns : receive stamps of the first and last line given; 0 before the first.
    check : the recorded book, kept apart from anybody's orders and compared with what the venue says it is.
    holds_bars : the updates are bars.
    order_by_order : book deltas name single orders; the trades then repeat executions that the deltas carry already.
    """

    format: ClassVar[str]
    holds_bars: bool = False
    order_by_order: bool = False

    def __init__(self, path: Path, hint: InstrumentHint, instrument_id: int) -> None:
        self.path = path
        self.hint = hint
        self.hints: tuple[InstrumentHint, ...] = (hint,)
        self.instrument_id = instrument_id
        self.counts: dict[str, int] = {}
        self.skipped: dict[str, int] = {}
        self.notes: list[str] = []
        self.gaps = 0
        self.lost = 0
        self.start_ns = 0
        self.first_ns = 0
        self.last_ns = 0
        self.check = BookCheck()
        self._begun = False

    @abstractmethod
    def updates(self, until_ns: int | None = None) -> Iterator[Update]:
        """Give the updates in file order, once.

        `until_ns`: stop before the first line whose receive stamp is later. A line counts once another update is
        asked for after its own, so that one may be looked at without being played; closing the iterator early counts
        all that was given. Counters and checks are brought up to date by `summary`, at the end and by closing.

        Raises
        ------
        FormatError
            After everything before the fault has been given.
        InternalError
            They were asked for before.
        """

    def blocks(self, size: int = BLOCK_RECORDS) -> Iterator[Block]:
        """Give the same records as `updates` in blocks of one kind each, of about `size` records; for a catalog.

        Order is kept within a kind. Raises as `updates`.
        """
        held: dict[int, list[Records]] = {}
        count = 0
        fault: FormatError | None = None
        try:
            for _, kind, records in self.updates():
                held.setdefault(kind, []).append(records)
                count += len(records)
                if count >= size:
                    yield from _joined(held)
                    held, count = {}, 0
        except FormatError as error:
            fault = error
        yield from _joined(held)
        if fault is not None:
            raise fault

    def _begin(self) -> None:
        """Refuse a second reading: counters and checks are of one."""
        if self._begun:
            raise InternalError(
                "updates were asked for twice", where=str(self.path), expected="a recording opened anew"
            )
        self._begun = True

    @property
    @abstractmethod
    def progress(self) -> float:
        """Part of the stored bytes that was read, 0 to 1."""

    def summary(self) -> dict[str, Any]:
        """The counters as plain values: `format`, `records`, `skipped`, `gaps`, `lost`, `notes`, `book_checks`."""
        return {
            "format": self.format,
            "records": dict(self.counts),
            "skipped": dict(self.skipped),
            "gaps": self.gaps,
            "lost": self.lost,
            "notes": list(self.notes),
            "book_checks": self.check.summary(),
        }


def _joined(held: dict[int, list[Records]]) -> list[Block]:
    return [Block(kind, np.concatenate(arrays)) for kind, arrays in sorted(held.items())]
