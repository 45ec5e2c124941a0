"""All features there are, by what one row of their inputs is, and programs of some of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from nautilus.maths.indicators import averages, bands, cycles, direction, momentum, statistics, trading, volume
from nautilus.maths.indicators.definition import Compiled, Definition, compiled

_LACKS = {
    "amihud_50": "zero_volume",
    "bar_amihud_20": "zero_volume",
    "bar_bpv_20": "negative_price",
    "bar_roll_20": "out_of_range",
    "bar_rq_20": "negative_price",
    "bar_rv_20": "negative_price",
    "bar_rvol_20": "negative_price",
    "bbands_20_percent": "constant",
    "bbands_20_width": "out_of_range",
    "bpv_50": "negative_price",
    "flow_imbalance_50": "zero_volume",
    "ht_dcphase": "constant",
    "ht_sine": "constant",
    "ht_trendmode": "constant",
    "jump_50": "negative_price",
    "kyle_lambda_50": "constant",
    "log_return": "negative_price",
    "micro_price": "zero_volume",
    "mid_rv_50": "negative_price",
    "ofi_50_depth": "zero_volume",
    "queue_imbalance": "zero_volume",
    "roll_50": "out_of_range",
    "rq_50": "negative_price",
    "rv_50": "negative_price",
    "rvol_20": "zero_volume",
    "rvol_50": "negative_price",
    "spread_bps": "out_of_range",
    "vwap": "zero_volume",
    "vwma_30": "zero_volume",
}
"""Why a feature may have no value behind its warm-up."""


def _with_reasons(definitions: Sequence[Definition]) -> tuple[Definition, ...]:
    return tuple(each._replace(lacks=_LACKS.get(each.name, "")) for each in definitions)


BAR_FEATURES: tuple[Definition, ...] = _with_reasons(
    (
        *averages.DEFINITIONS,
        *bands.DEFINITIONS,
        *momentum.DEFINITIONS,
        *direction.DEFINITIONS,
        *volume.DEFINITIONS,
        *cycles.DEFINITIONS,
        *statistics.DEFINITIONS,
        *trading.BAR_MEASURES,
    )
)
"""Of bars: the indicators, and the measures of microstructure that bars allow."""

QUOTE_FEATURES: tuple[Definition, ...] = _with_reasons(trading.QUOTE_FEATURES)
TRADE_FEATURES: tuple[Definition, ...] = _with_reasons(trading.TRADE_FEATURES)

SOURCES: dict[str, tuple[Definition, ...]] = {"bar": BAR_FEATURES, "quote": QUOTE_FEATURES, "trade": TRADE_FEATURES}
"""All features, by source."""


@lru_cache(maxsize=3)
def every(source: str) -> Compiled:
    """One program of all features of a source."""
    return compiled(source, SOURCES[source])


@lru_cache(maxsize=64)
def chosen(source: str, names: tuple[str, ...]) -> Compiled:
    """A program of the features that have these names, or outputs of them; none: all. KeyError names the first unknown.

    The numbers are those of the program of all: what is shared is only computed once.
    """
    if not names:
        return every(source)
    wanted = {owner_of(source, name).name for name in names}
    return compiled(source, [each for each in SOURCES[source] if each.name in wanted])


def owner_of(source: str, name: str) -> Definition:
    """The feature of that name, or with an output of that name. KeyError: there is none."""
    for each in SOURCES[source]:
        if name == each.name or name in each.outputs:
            return each
    raise KeyError(name)


def wanted_outputs(made: Compiled, names: Sequence[str]) -> list[int]:
    """Places of the outputs that names of features and outputs ask for; none: all."""
    if not names:
        return list(range(len(made.outputs)))
    asked = set(names)
    return [
        place
        for each in made.definitions
        for place in range(*made.spans[each.name])
        if each.name in asked or made.outputs[place] in asked
    ]


__all__ = [
    "BAR_FEATURES",
    "QUOTE_FEATURES",
    "SOURCES",
    "TRADE_FEATURES",
    "chosen",
    "every",
    "owner_of",
    "wanted_outputs",
]
