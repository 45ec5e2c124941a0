"""What every catalog is asked, wherever it is: files or a server (`catalog`, `postgres`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from nautilus.store.catalog_errors import QueryError
from nautilus.store.catalog_facts import facts_of, time_of
from nautilus.store.catalog_instruments import StoredInstrument, pick
from nautilus.store.catalog_intake import Intake, position_of
from nautilus.store.catalog_kinds import FACT_KINDS, TABLE, Records, check_kind
from nautilus.store.catalog_log import Damage
from nautilus.store.catalog_manifest import Range
from nautilus.store.catalog_reader import BATCH, Run

if TYPE_CHECKING:
    import pyarrow as pa

Names = str | Sequence[str] | None
ORDERS: Final = ("time", "-time", "none")


@dataclass(frozen=True, slots=True)
class Query:
    """Rows of a kind that are asked for; as of `CatalogFace.query`.

    Raises
    ------
    QueryError
        There is no such kind, or no such order.
    """

    kind: str
    instruments: Names = None
    begin_ns: int | None = None
    end_ns: int | None = None
    _: KW_ONLY
    columns: Sequence[str] = ()
    limit: int = 0
    order: str = "time"

    def __post_init__(self) -> None:
        check_kind(self.kind)
        if self.order not in ORDERS:
            raise QueryError(f"order {self.order!r}", expected="time, -time or none")

    @property
    def time(self) -> str:
        """The column by which rows are asked for; "" of users' tables, which say it themselves."""
        return time_of(self.kind)


class Replayed(NamedTuple):
    """Records that are asked for; as of `CatalogFace.replay`."""

    kinds: Sequence[str]
    instruments: Names
    begin_ns: int | None
    end_ns: int | None
    batch: int
    ids: dict[str, int]
    strict: bool


class CatalogFace(ABC):
    """A catalog to read, and the way to its writer.

    Attributes
    ----------
    where : place, for messages.
    notices : what was passed over because it cannot be read.
    """

    where: str
    notices: list[Damage]

    @abstractmethod
    def close(self) -> None:
        """Give back what is open."""

    @abstractmethod
    def writer(self, on_error: Callable[[Exception], object] = lambda error: None) -> Intake:
        """The writer; CatalogBusyError where there is one already."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # What there is.

    @abstractmethod
    def instruments(self) -> list[StoredInstrument]:
        """Every instrument, symbol of a provider and table, with its description and number."""

    @abstractmethod
    def ranges(self) -> list[Range]:
        """What there is of each kind and instrument: rows, bytes, times, days."""

    @abstractmethod
    def positions(self, origin: str) -> dict[tuple[str, str], int]:
        """How far a source is stored of each kind and instrument, and as marked (`catalog_intake.MARKED`)."""

    def instrument(self, name: str) -> StoredInstrument:
        """One instrument by its key, or by its symbol where only one has it.

        Raises
        ------
        QueryError
            There is none, or several.
        """
        found = pick(self.instruments(), name)
        if len(found) > 1:
            raise QueryError(f"{name!r} is {', '.join(each.key for each in found)}", expected="one of these keys")
        return found[0]

    def position(self, origin: str) -> int:
        """How far a source is stored and published: as marked, else the least of its streams; 0: nothing of it."""
        return position_of({(origin, *place): at for place, at in self.positions(origin).items()}, origin)

    def tables(self) -> list[str]:
        """Names of the users' tables."""
        return [each.instrument for each in self.ranges() if each.kind == TABLE]

    # Reading.

    def read(
        self,
        kind: str,
        instruments: Names = None,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        **more: Any,
    ) -> Iterator[Records]:
        """Records of one kind in exact order of time, those of one time as they were appended; as `replay`."""
        for run in self.replay((kind,), instruments, begin_ns, end_ns, **more):
            yield run.records

    def replay(
        self,
        kinds: Sequence[str],
        instruments: Names = None,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        *,
        batch: int = BATCH,
        ids: dict[str, int] | None = None,
        strict: bool = False,
    ) -> Iterator[Run]:
        """Records of several kinds merged by (time, order of appending), as runs of one kind each.

        Parameters
        ----------
        kinds
            ``quote``, ``trade``, ``book``, ``auction``, ``bar``, ``flow``, ``tick``, ``quarantine``.
        instruments
            Keys or symbols; None: all.
        begin_ns, end_ns
            Nanoseconds UTC; the end is not included.
        batch
            Records in one array, at most.
        ids
            `instrument_id` of the records by key; else that of the catalog.
        strict
            Raise CatalogDamagedError at a file that cannot be read; else it is passed over, and in `notices`.
        """
        return self._runs(Replayed(kinds, instruments, begin_ns, end_ns, batch, ids or {}, strict))

    def facts(
        self, kind: str, names: Names = None, begin_ns: int | None = None, end_ns: int | None = None
    ) -> list[Any]:
        """Facts of providers, by time; the newest fetched last among those of one time."""
        if kind not in FACT_KINDS:
            raise QueryError(f"kind {kind!r} of facts", expected=", ".join(FACT_KINDS))
        return facts_of(kind, self.query(kind, names, begin_ns, end_ns))

    def query(
        self,
        kind: str,
        instruments: Names = None,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        *,
        columns: Sequence[str] = (),
        limit: int = 0,
        order: str = "time",
    ) -> pa.Table:
        """Rows of a kind as an Arrow table.

        Parameters
        ----------
        columns
            Of the kind's view (docs/catalog.md); (): all.
        limit
            Rows, at most; 0: all.
        order
            ``time``, ``-time`` (the newest first), or ``none``.

        Raises
        ------
        QueryError
            An unknown name, a range of a table without one time column, or more than a query may take.
        """
        return self._whole_answer(Query(kind, instruments, begin_ns, end_ns, columns=columns, limit=limit, order=order))

    def query_reader(self, kind: str, *given: Any, **more: Any) -> AbstractContextManager[pa.RecordBatchReader]:
        """As `query`, as a stream of record batches that is open inside of the block."""
        return self._reader(Query(kind, *given, **more))

    @abstractmethod
    def sql(self, text: str) -> pa.Table:
        """Answer one SELECT over the views: one of each kind, each user's table, and `instruments`.

        Raises
        ------
        QueryError
            It is not one SELECT, is wrong, reaches outside of the catalog, or takes more than it may.
        """

    @abstractmethod
    def sql_reader(self, text: str) -> AbstractContextManager[pa.RecordBatchReader]:
        """As `sql`, as a stream of record batches that is open inside of the block."""

    # Inside.

    @abstractmethod
    def _runs(self, wanted: Replayed) -> Iterator[Run]:
        """Records in order."""

    @abstractmethod
    def _whole_answer(self, query: Query) -> pa.Table:
        """An answer in memory."""

    @abstractmethod
    def _reader(self, query: Query) -> AbstractContextManager[pa.RecordBatchReader]:
        """An answer as a stream."""

    def _wanted(self, known: Collection[StoredInstrument], names: Names) -> list[int] | None:
        """Numbers of the instruments that are named; None: all."""
        if names is None:
            return None
        chosen = [names] if isinstance(names, str) else names
        return [each.instrument_id for name in chosen for each in pick(known, name)]
