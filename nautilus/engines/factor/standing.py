"""How the universe and its model stand."""

from __future__ import annotations

from nautilus.engines.factor.estimates import Estimates
from nautilus.engines.factor.parts import Parts
from nautilus.model.factor import FieldCoverage, UniverseState


def state_of(parts: Parts, estimates: Estimates) -> UniverseState:
    """In short."""
    universe, model = parts.universe, estimates.model
    days, cells = len(universe.days), max(len(universe.days) * len(universe), 1)
    state = "uploaded" if days else "empty"
    if model is not None:
        state = "stale" if estimates.stale else "estimated"
    return UniverseState(
        stocks=len(universe),
        days=days,
        begin_day=int(universe.days[0]) if days else 0,
        end_day=int(universe.days[-1]) if days else 0,
        sectors=universe.sector_names(),
        fields=tuple(FieldCoverage(field.value, count, count / cells) for field, count in universe.coverage().items()),
        state="failed" if estimates.reason else state,
        estimated=len(model.days) if model is not None else 0,
        estimated_day=model.last_day if model is not None else 0,
        factors=model.names if model is not None else (),
        deficient=model.deficient if model is not None else 0,
        portfolios=tuple(parts.portfolios.ids()),
        reason=estimates.reason,
        synthetic=universe.synthetic,
    )


__all__ = ["state_of"]
