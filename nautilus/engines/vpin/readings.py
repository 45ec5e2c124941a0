"""What the tables say of an instrument, as answers."""

from __future__ import annotations

from nautilus.core.vpin import VpinTable
from nautilus.engines.toxicity import basis_of, has_value, why_none
from nautilus.engines.vpin.config import SIDE, VpinConfig
from nautilus.model.vpin import VpinMeasure


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
        basis=basis_of(config.method(measure), [window], counts),
    )


def latest(table: VpinTable, instrument_id: int, counts: dict[str, int]) -> tuple[dict[str, float], dict[str, str]]:
    """The values after the last bucket by name, or by name the code of why there are none."""
    names = ("vpin", "percentile", "pace")
    if not has_value(table, instrument_id):
        return {}, dict.fromkeys(names, why_none(counts))
    last = table.last(instrument_id)
    return {name: float(last[name][0]) for name in names}, {}


__all__ = ["latest", "measured"]
