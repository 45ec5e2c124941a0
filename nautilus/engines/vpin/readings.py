"""What the tables say of an instrument, as answers."""

from __future__ import annotations

from typing import Any

from nautilus.core.buckets import BucketFlag
from nautilus.core.vpin import VpinTable
from nautilus.engines.vpin.config import SIDE, VpinConfig
from nautilus.model.basis import Basis
from nautilus.model.enums import RecordFlag
from nautilus.model.records import Records
from nautilus.model.vpin import VpinMeasure

SYNTHETIC = int(RecordFlag.SYNTHETIC)


def measured(config: VpinConfig, measure: str, table: VpinTable, instrument_id: int) -> VpinMeasure:
    """VPIN of an instrument by one classification."""
    counts = table.counts(instrument_id)
    window = table.buckets(instrument_id)
    values, undefined = latest(table, instrument_id, counts)
    volume = int(window["volume"].sum())
    return VpinMeasure(
        measure=measure,
        classification=SIDE if measure == SIDE else config.distribution,
        vpin=values.get("vpin"),
        percentile=values.get("percentile"),
        pace=values.get("pace"),
        bucket_lots=counts["bucket_lots"],
        completed=counts["completed"],
        filled=len(window),
        kept=counts["kept"],
        open_lots=int(table.open_bucket(instrument_id)["volume"][0]),
        waiting_lots=counts["waiting"],
        told_share=int(window["told_volume"].sum()) / volume if volume else None,
        undefined=undefined,
        basis=basis_of(config.method(measure), window, counts),
    )


def latest(table: VpinTable, instrument_id: int, counts: dict[str, int]) -> tuple[dict[str, float], dict[str, str]]:
    """The values after the last bucket by name, or by name the code of why there are none."""
    last = table.last(instrument_id)
    names = ("vpin", "percentile", "pace")
    if len(last) and last["flags"][0] & BucketFlag.FULL:
        return {name: float(last[name][0]) for name in names}, {}
    code = "too_few" if counts["taken"] else "zero_volume" if counts["without_volume"] else "empty"
    return {}, dict.fromkeys(names, code)


def basis_of(method: str, window: Records, counts: dict[str, int]) -> Basis:
    """What the buckets of a window rest on."""
    fields: dict[str, Any] = {}
    if len(window):
        fields = {
            "begin_ns": int(window["begin_ns"][0]),
            "end_ns": int(window["now_ns"][-1]),
            "synthetic": bool((window["flags"] & SYNTHETIC).any()),
        }
    left_out = counts["late"] + counts["duplicates"] + counts["without_volume"] + counts["refused"]
    return Basis(method, window=len(window), source="star", missing=left_out, version="1", **fields)


__all__ = ["basis_of", "latest", "measured"]
