"""What the scales say of an instrument, as answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nautilus.core.buckets import BucketFlag
from nautilus.core.vpin import VpinTable
from nautilus.engines.enhanced_vpin.config import EnhancedVpinConfig
from nautilus.maths.toxicity import Scale
from nautilus.model.basis import Basis
from nautilus.model.enums import RecordFlag
from nautilus.model.records import Records
from nautilus.model.vpin import EnhancedScale

SYNTHETIC = int(RecordFlag.SYNTHETIC)


def scale_of(table: VpinTable, instrument_id: int) -> Scale:
    """What one scale has to say now."""
    window = table.buckets(instrument_id)
    volume = int(window["volume"].sum())
    told = int(window["told_volume"].sum()) / volume if volume else 0.0
    filled = len(window) / table.window
    if not len(window) or not window["flags"][-1] & BucketFlag.FULL:
        return Scale(None, None, filled, told)
    return Scale(float(window["value"][-1]), float(window["percentile"][-1]), filled, told)


def described(config: EnhancedVpinConfig, number: int, table: VpinTable, instrument_id: int) -> EnhancedScale:
    """One scale in full."""
    counts = table.counts(instrument_id)
    scale = scale_of(table, instrument_id)
    last = table.last(instrument_id)
    full = scale.value is not None
    return EnhancedScale(
        scale=number,
        buckets_per_day=config.scales[number].buckets_per_day,
        window=table.window,
        bucket_lots=counts["bucket_lots"],
        next_lots=counts["next_lots"],
        completed=counts["completed"],
        filled=scale.filled,
        kept=counts["kept"],
        vpin=float(last["vpin"][0]) if full else None,
        value=scale.value,
        percentile=scale.percentile,
        pace=float(last["pace"][0]) if full else None,
        told_share=scale.told if len(last) else None,
        depth_lots=int(last["depth_sum"][0]) / int(last["depths"][0]) if len(last) and last["depths"][0] else None,
        blended=bool(full and last["flags"][0] & BucketFlag.FLOW),
    )


def basis_of(config: EnhancedVpinConfig, tables: Sequence[VpinTable], instrument_id: int) -> Basis:
    """What the windows of all scales rest on together."""
    windows: list[Records] = [table.buckets(instrument_id) for table in tables]
    found = np.concatenate(windows)
    counts = tables[0].counts(instrument_id)
    fields: dict[str, Any] = {}
    if len(found):
        fields = {
            "begin_ns": int(found["begin_ns"].min()),
            "end_ns": int(found["now_ns"].max()),
            "synthetic": bool((found["flags"] & SYNTHETIC).any()),
        }
    left_out = counts["late"] + counts["duplicates"] + counts["without_volume"] + counts["refused"]
    return Basis(config.method(), window=len(found), source="star", missing=left_out, version="1", **fields)


__all__ = ["basis_of", "described", "scale_of"]
