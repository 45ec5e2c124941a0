"""Questions to the features engine: vectors, cross-sections, histories and the registry, and their answers.

A feature that has no value is None, and `undefined` holds why by its name: ``too_few`` while it warms up, else a code
of `nautilus.maths.errors`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from nautilus.model.basis import Basis
from nautilus.model.message import Message

LONGEST_NAME = 64
MOST_ROWS = 100_000
"""Of one history in a request."""
MOST_HISTORIES = 1_000
MOST_SHARES = 1 << 20
"""Of either side of a split, as the core has it."""
FeatureName = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
SetName = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME, pattern="^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Column = Annotated[tuple[float, ...], Meta(max_length=MOST_ROWS)]


class FeatureSource(StrEnum):
    """What one row of a feature's inputs is."""

    BAR = "bar"
    QUOTE = "quote"
    TRADE = "trade"


class GetFeatures(Message, frozen=True):
    """The newest values of an instrument's features.

    Parameters
    ----------
    symbol, venue
        The instrument; the venue where more than one has it.
    names
        Of features or of their outputs; none: all.
    """

    symbol: str
    venue: str = ""
    names: tuple[FeatureName, ...] = ()


class FeatureVector(Message, frozen=True):
    """Values of an instrument's features at one time.

    Parameters
    ----------
    time_ns
        Of the newest input of any of them: no value knows of a later one.
    known_ns
        When the last of their inputs was received.
    values
        By output.
    versions
        Of the definitions, by feature.
    basis
        One for each source that any of them is made of.
    """

    symbol: str
    venue: str
    instrument_id: int
    time_ns: int
    known_ns: int
    values: dict[str, float | None]
    versions: dict[str, int]
    undefined: dict[str, str]
    basis: tuple[Basis, ...]


class GetCrossSection(Message, frozen=True):
    """One output of all instruments, and where each stands.

    Parameters
    ----------
    feature
        Name of the output.
    symbols
        Of these instruments alone; none: all.
    max_age_ns
        Who has had no row for longer, counted from the newest of any, has no value; 0: age does not matter.
    """

    feature: FeatureName
    symbols: tuple[str, ...] = ()
    max_age_ns: Annotated[int, Meta(ge=0)] = 0


class CrossSection(Message, frozen=True):
    """A cross-section, lowest first: instrument k of each tuple is the same.

    Parameters
    ----------
    time_ns, oldest_ns
        Newest and oldest of `times_ns`.
    times_ns
        Of the row that each value is of.
    ranks
        1 is the lowest, equals share the mean of theirs.
    percentiles
        (rank - 1) / (n - 1); none of fewer than two.
    scores
        In standard deviations from the mean; none where all are equal.
    basis
        `missing`: instruments without a value.
    """

    feature: str
    version: int
    time_ns: int
    oldest_ns: int
    symbols: tuple[str, ...]
    venues: tuple[str, ...]
    instrument_ids: tuple[int, ...]
    times_ns: tuple[int, ...]
    values: tuple[float, ...]
    ranks: tuple[float, ...]
    percentiles: tuple[float, ...]
    scores: tuple[float, ...]
    undefined: dict[str, str]
    basis: Basis


class GetFeatureRegistry(Message, frozen=True):
    """Definitions, all or of one source or family."""

    source: str = ""
    family: str = ""


class FeatureDefinition(Message, frozen=True):
    """One definition.

    Parameters
    ----------
    follows
        The function or paper whose definition it has.
    inputs
        Columns of one row of its source.
    warm_up
        Rows before the first value of each output.
    digest
        SHA-256 of formula, parameters and inputs: it changes with the version.
    undefined
        Why it has no value behind its warm-up, where that can be.
    """

    name: str
    version: int
    family: str
    source: FeatureSource
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: dict[str, float]
    warm_up: tuple[int, ...]
    digest: str
    summary: str
    follows: str
    undefined: str = ""


class FeatureRegistry(Message, frozen=True):
    """Definitions in the order of their names; `digest` of all of them."""

    features: tuple[FeatureDefinition, ...]
    digest: str


class GetFeatureStatus(Message, frozen=True):
    """What the engine has taken of the star."""


class FeatureSourceStatus(Message, frozen=True):
    """Rows of a source that were taken, and records that were not, by why.

    Parameters
    ----------
    instruments
        That have had a row.
    late
        Not newer than what their instrument has.
    stale
        Marked so.
    crossed, one_sided
        Quotes with the bid above the ask, or without one of them.
    unknown, foreign
        Of an instrument that is not listed; bars of another rule.
    duplicates, mixed
        Of the same stamp again; bars that began before a split and ended after it.
    """

    source: FeatureSource
    instruments: int
    taken: int
    late: int
    stale: int
    crossed: int
    one_sided: int
    unknown: int
    foreign: int
    duplicates: int = 0
    mixed: int = 0


class FeatureStatus(Message, frozen=True):
    """`listed`: instruments whose records are taken; `digest`: of the registry."""

    listed: int
    bars: str
    bars_from: str
    digest: str
    sources: tuple[FeatureSourceStatus, ...]


class ApplySplit(Message, frozen=True):
    """A split that was: from it on what came before counts in shares of after. Told again it changes nothing.

    Parameters
    ----------
    symbol, venue
        The instrument; the venue where more than one has it.
    time_ns
        After the newest split that was told, and not to come.
    new, old
        So many shares for so many; `old` 0: nobody knows, and nothing of before is kept.
    """

    symbol: str
    time_ns: Annotated[int, Meta(ge=1)]
    new: Annotated[int, Meta(ge=1, le=MOST_SHARES)]
    old: Annotated[int, Meta(ge=0, le=MOST_SHARES)]
    venue: str = ""


class Split(Message, frozen=True):
    """Of a share, at a time: `ratio` new ones for one."""

    time_ns: int
    ratio: float


class FeatureHistory(Message, frozen=True):
    """Rows of an instrument, oldest first, of one source: the columns of its inputs, the others empty.

    Parameters
    ----------
    instrument
        Its name in the answer.
    times_ns
        Of the rows, increasing; none: they are not known.
    splits
        From each one on the bars before it count in shares of after; what a bar gave before it stays. Of quotes and
        trades the features begin anew.
    """

    instrument: str = ""
    times_ns: Annotated[tuple[int, ...], Meta(max_length=MOST_ROWS)] = ()
    open: Column = ()
    high: Column = ()
    low: Column = ()
    close: Column = ()
    volume: Column = ()
    bid: Column = ()
    bid_size: Column = ()
    ask: Column = ()
    ask_size: Column = ()
    price: Column = ()
    size: Column = ()
    sign: Column = ()
    splits: tuple[Split, ...] = ()


class ComputeFeatures(Message, frozen=True):
    """Features of a history: the numbers that a stream of its rows gives.

    Parameters
    ----------
    source
        What a row is.
    names
        Of features or outputs; none: all of the source.
    last
        Rows of the answer, from the end; 0: all.
    """

    history: FeatureHistory
    source: FeatureSource = FeatureSource.BAR
    names: tuple[FeatureName, ...] = ()
    last: Annotated[int, Meta(ge=0)] = 0


class FeatureColumn(Message, frozen=True):
    """One output over the rows of an answer; None where it has no value."""

    name: str
    feature: str
    version: int
    warm_up: int
    values: tuple[float | None, ...]


class FeatureColumns(Message, frozen=True):
    """Features of a history. `undefined`: why some value behind the warm-up is None, by output."""

    instrument: str
    times_ns: tuple[int, ...]
    columns: tuple[FeatureColumn, ...]
    undefined: dict[str, str]
    basis: Basis


class BuildFeatureSet(Message, frozen=True):
    """Write features of histories as a Parquet file for training: a row for each row of each history.

    Parameters
    ----------
    name
        Of the set; one of that name is replaced.
    histories
        That the request brings.
    stored
        Instruments of the catalog, by key or symbol, whose quotes and trades are gone through as the engine would have
        gone through them.
    begin_ns, end_ns
        Of the stored records, the end not included; 0: open.
    bars
        What a bar of stored trades is.
    """

    name: SetName
    histories: Annotated[tuple[FeatureHistory, ...], Meta(max_length=MOST_HISTORIES)] = ()
    source: FeatureSource = FeatureSource.BAR
    names: tuple[FeatureName, ...] = ()
    stored: Annotated[tuple[str, ...], Meta(max_length=MOST_HISTORIES)] = ()
    begin_ns: Annotated[int, Meta(ge=0)] = 0
    end_ns: Annotated[int, Meta(ge=0)] = 0
    bars: str = "time:1m"


class FeatureSet(Message, frozen=True):
    """A set that was written.

    Parameters
    ----------
    path
        Of the Parquet file: `instrument`, `time_ns`, then a column for each output, null where it has no value.
    digests
        Of the definitions, by feature; they are in the file's metadata too.
    """

    name: str
    path: str
    rows: int
    instruments: int
    columns: tuple[str, ...]
    size_bytes: int
    versions: dict[str, int]
    digests: dict[str, str]
    basis: Basis


MESSAGES: Final[tuple[type[Message], ...]] = (
    ApplySplit,
    BuildFeatureSet,
    ComputeFeatures,
    CrossSection,
    FeatureColumn,
    FeatureColumns,
    FeatureDefinition,
    FeatureHistory,
    FeatureRegistry,
    FeatureSet,
    FeatureSourceStatus,
    FeatureStatus,
    FeatureVector,
    GetCrossSection,
    GetFeatureRegistry,
    GetFeatureStatus,
    GetFeatures,
    Split,
)

__all__ = [
    "MESSAGES",
    "ApplySplit",
    "BuildFeatureSet",
    "ComputeFeatures",
    "CrossSection",
    "FeatureColumn",
    "FeatureColumns",
    "FeatureDefinition",
    "FeatureHistory",
    "FeatureName",
    "FeatureRegistry",
    "FeatureSet",
    "FeatureSource",
    "FeatureSourceStatus",
    "FeatureStatus",
    "FeatureVector",
    "GetCrossSection",
    "GetFeatureRegistry",
    "GetFeatureStatus",
    "GetFeatures",
    "SetName",
    "Split",
]
