"""Questions to the vpin and enhanced-vpin engines: toxicity of order flow, and their answers.

Shares, percentiles and VPIN itself are floats from 0 to 1; None where there is none yet, and `undefined` says why.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, cast

from msgspec import Meta

from nautilus.core.buckets import BucketFlag
from nautilus.model.basis import Basis
from nautilus.model.ids import MAX_ID_32
from nautilus.model.message import Message
from nautilus.model.records import Records
from nautilus.model.signals import EnhancedToxicityWarning

Symbol = Annotated[str, Meta(min_length=1, max_length=64)]
MOST_READINGS = 1000


class GetVpin(Message, frozen=True):
    """Toxicity of an instrument. `symbol`: of the instrument, or its id as text."""

    symbol: Symbol


class GetVpins(Message, frozen=True):
    """Toxicity of every instrument with a complete bucket; pages by instrument id, `after` the last one seen."""

    after: Annotated[int, Meta(ge=0, le=MAX_ID_32)] = 0
    limit: Annotated[int, Meta(ge=1, le=MOST_READINGS)] = 100


class GetVpinBuckets(Message, frozen=True):
    """The last buckets of an instrument; `measure`: ``side`` or ``bulk``, "": the one that warns."""

    symbol: Symbol
    measure: Annotated[str, Meta(max_length=16)] = ""
    limit: Annotated[int, Meta(ge=1, le=4096)] = 100


class VpinMeasure(Message, frozen=True):
    """VPIN by one classification.

    Parameters
    ----------
    measure, classification
        ``side`` or ``bulk``; ``side``, ``normal`` or ``student``.
    vpin, percentile, pace
        VPIN, the share of its last values that are at most this one, and that of the last windows that took longer,
        this one counted (1: volume has never come so quickly).
    bucket_lots, completed, filled, kept
        Size of the open bucket; buckets ever completed, those of them in the window, and values behind the percentile.
    open_lots, waiting_lots
        In the open bucket, and in a bar that is not closed.
    told_share
        Lots of the window whose aggressor's side came with the trade.
    undefined
        Which of these have no value, and why.
    """

    measure: str
    classification: str
    vpin: float | None
    percentile: float | None
    pace: float | None
    bucket_lots: int
    completed: int
    filled: int
    kept: int
    open_lots: int
    waiting_lots: int
    told_share: float | None
    undefined: dict[str, str]
    basis: Basis


class VpinReading(Message, frozen=True):
    """Toxicity of one instrument.

    Parameters
    ----------
    vpin, percentile
        Of the measure that warns.
    toxic, regime
        The warnings in force: of toxicity, and how it trades: ``normal``, ``one_sided``, ``hurried``, ``stressed``.
    measures
        By the aggressor's side, and by bulk classification.
    trades, volume_lots, late, duplicates, without_volume, refused
        Taken, and left out.
    """

    now_ns: int
    instrument_id: int
    symbol: str
    vpin: float | None
    percentile: float | None
    toxic: bool
    regime: str
    measures: tuple[VpinMeasure, ...]
    trades: int
    volume_lots: int
    late: int
    duplicates: int
    without_volume: int
    refused: int
    undefined: dict[str, str]
    basis: Basis


class VpinLine(Message, frozen=True):
    """One instrument in a list: its measure that warns."""

    instrument_id: int
    symbol: str
    vpin: float | None
    percentile: float | None
    pace: float | None
    toxic: bool
    regime: str
    end_ns: int


class VpinLines(Message, frozen=True):
    """Instruments by id; `following` is the next `after`, 0: these are the last."""

    now_ns: int
    lines: tuple[VpinLine, ...]
    following: int
    basis: Basis


class VpinBucket(Message, frozen=True):
    """One completed bucket; the last values are those after it. `flow_lots`: order-flow imbalance of the quotes."""

    number: int
    begin_ns: int
    end_ns: int
    volume_lots: int
    buy_lots: int
    told_lots: int
    close_ticks: int
    vpin: float | None
    value: float | None
    percentile: float | None
    pace: float | None
    depth_lots: float | None = None
    flow_lots: int = 0
    gross_flow_lots: int = 0


class VpinBuckets(Message, frozen=True):
    """The last completed buckets of an instrument, the oldest first."""

    now_ns: int
    instrument_id: int
    symbol: str
    measure: str
    buckets: tuple[VpinBucket, ...]
    basis: Basis


class GetEnhancedVpin(Message, frozen=True):
    """Toxicity of an instrument over several scales."""

    symbol: Symbol


class GetEnhancedVpins(Message, frozen=True):
    """The same of every instrument with a complete bucket; pages by instrument id."""

    after: Annotated[int, Meta(ge=0, le=MAX_ID_32)] = 0
    limit: Annotated[int, Meta(ge=1, le=MOST_READINGS)] = 100


class GetEnhancedBuckets(Message, frozen=True):
    """The last buckets of one scale of an instrument; scales count from 0."""

    symbol: Symbol
    scale: Annotated[int, Meta(ge=0, le=15)] = 0
    limit: Annotated[int, Meta(ge=1, le=4096)] = 100


class EnhancedScale(Message, frozen=True):
    """One scale.

    Parameters
    ----------
    buckets_per_day, window
        Its settings.
    vpin, value
        VPIN; the same weighted by depth and blended with order flow, which the percentile is of.
    blended
        Order flow of quotes is in the value.
    depth_lots
        Mean at the touch over the last bucket, both sides.
    """

    scale: int
    buckets_per_day: int
    window: int
    bucket_lots: int
    next_lots: int
    completed: int
    filled: float
    kept: int
    vpin: float | None
    value: float | None
    percentile: float | None
    pace: float | None
    told_share: float | None
    depth_lots: float | None
    blended: bool


class EnhancedVpinReading(Message, frozen=True):
    """Toxicity over several scales together.

    Parameters
    ----------
    toxicity, percentile
        Means over the scales.
    confidence, filled, agreement, told_share
        docs/vpin.md says how the first follows from the others.
    toxic
        The warning is in force.
    """

    now_ns: int
    instrument_id: int
    symbol: str
    toxicity: float | None
    percentile: float | None
    confidence: float
    filled: float
    agreement: float | None
    told_share: float | None
    toxic: bool
    scales: tuple[EnhancedScale, ...]
    undefined: dict[str, str]
    basis: Basis


class EnhancedVpinLine(Message, frozen=True):
    """One instrument in a list."""

    instrument_id: int
    symbol: str
    toxicity: float | None
    percentile: float | None
    confidence: float
    toxic: bool


class EnhancedVpinLines(Message, frozen=True):
    """Instruments by id; `following` is the next `after`, 0: these are the last."""

    now_ns: int
    lines: tuple[EnhancedVpinLine, ...]
    following: int
    basis: Basis


class EnhancedBuckets(Message, frozen=True):
    """The last completed buckets of one scale, the oldest first."""

    now_ns: int
    instrument_id: int
    symbol: str
    scale: int
    buckets: tuple[VpinBucket, ...]
    basis: Basis


MESSAGES: Final[tuple[type[Message], ...]] = (
    EnhancedBuckets,
    EnhancedScale,
    EnhancedToxicityWarning,
    EnhancedVpinLine,
    EnhancedVpinLines,
    EnhancedVpinReading,
    GetEnhancedBuckets,
    GetEnhancedVpin,
    GetEnhancedVpins,
    GetVpin,
    GetVpinBuckets,
    GetVpins,
    VpinBucket,
    VpinBuckets,
    VpinLine,
    VpinLines,
    VpinMeasure,
    VpinReading,
)


def vpin_buckets(records: Records) -> tuple[VpinBucket, ...]:
    """A BUCKET array as messages."""
    out, make = [], cast("Any", VpinBucket)
    for row in records[list(_FIELDS)].tolist():
        *plain, flags, vpin, value, percentile, pace, depth_sum, depths, flow, gross = row
        known = (vpin, value, percentile, pace) if flags & _FULL else (None,) * 4
        out.append(make(*plain, *known, depth_sum / depths if depths else None, flow, gross))
    return tuple(out)


_FULL: Final = int(BucketFlag.FULL)
_FIELDS: Final = (
    *("number", "begin_ns", "now_ns", "volume", "buy_volume", "told_volume", "close_ticks", "flags"),
    *("vpin", "value", "percentile", "pace", "depth_sum", "depths", "flow", "gross_flow"),
)

__all__ = [
    "MESSAGES",
    "MOST_READINGS",
    "EnhancedBuckets",
    "EnhancedScale",
    "EnhancedVpinLine",
    "EnhancedVpinLines",
    "EnhancedVpinReading",
    "GetEnhancedBuckets",
    "GetEnhancedVpin",
    "GetEnhancedVpins",
    "GetVpin",
    "GetVpinBuckets",
    "GetVpins",
    "Symbol",
    "VpinBucket",
    "VpinBuckets",
    "VpinLine",
    "VpinLines",
    "VpinMeasure",
    "VpinReading",
    "vpin_buckets",
]
