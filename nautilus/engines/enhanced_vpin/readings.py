"""What the scales say of an instrument, as answers."""

from __future__ import annotations

from nautilus.core.buckets import BucketFlag
from nautilus.core.vpin import VpinTable
from nautilus.engines.enhanced_vpin.config import EnhancedVpinConfig
from nautilus.maths.toxicity import Scale
from nautilus.model.vpin import EnhancedScale


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


__all__ = ["described", "scale_of"]
