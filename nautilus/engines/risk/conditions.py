"""Warnings of other engines that become alerts of their own controls: margin calls, toxic flow, market structure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from nautilus.engines.risk.config import HARD, IGNORE, RiskConfig
from nautilus.model.signals import MarginStatus, MarketStructureChanged, ToxicityWarning

MARGIN_CALL, TOXICITY, STRUCTURE = "margin_call", "toxicity", "market_structure"


class Condition(NamedTuple):
    """A state of a portfolio, or of an instrument that it holds, that began or ended."""

    account_id: int
    instrument_id: int
    control: str
    hard: bool
    active: bool
    value: float
    limit: float


Holders = Callable[[int], Iterable[int]]


class Conditions:
    """Remembers what was warned of, and whom it concerns: portfolios that hold the instrument.

    Parameters
    ----------
    holders
        Portfolios that hold an instrument now.
    """

    def __init__(self, config: RiskConfig, holders: Holders) -> None:
        self._actions = {MARGIN_CALL: config.margin_call, TOXICITY: config.toxicity, STRUCTURE: config.market_structure}
        self._regimes = frozenset(config.regimes)
        self._holders = holders
        self._warned: dict[tuple[int, str], float] = {}  # instrument and control -> score, while it lasts
        self._active: dict[tuple[int, int, str], float] = {}  # account, instrument and control -> score

    def margin(self, status: MarginStatus) -> list[Condition]:
        """A portfolio's margin; its call is over when the next status has none."""
        key = (status.account_id, 0, MARGIN_CALL)
        if self._actions[MARGIN_CALL] == IGNORE or status.call == (key in self._active):
            return []
        return [self._switch(key, status.call, float(status.maintenance), float(status.equity))]

    def toxicity(self, warning: ToxicityWarning) -> list[Condition]:
        """Toxic flow in an instrument, or its end."""
        return self._warn(warning.instrument_id, TOXICITY, warning.active, warning.vpin)

    def structure(self, change: MarketStructureChanged) -> list[Condition]:
        """A regime of an instrument: one that is not dangerous ends the warning."""
        return self._warn(change.instrument_id, STRUCTURE, change.regime in self._regimes, change.score)

    def moved(self, instrument_id: int) -> list[Condition]:
        """Positions in an instrument have changed: whom does its warning concern now."""
        found: list[Condition] = []
        for control in (TOXICITY, STRUCTURE):
            if (instrument_id, control) in self._warned:
                found += self._match(instrument_id, control)
        return found

    def active(self) -> list[tuple[int, int, str]]:
        """What lasts: account, instrument and control."""
        return sorted(self._active)

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "warned": [[*key, score] for key, score in self._warned.items()],
            "active": [[*key, score] for key, score in self._active.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state()` gave."""
        self._warned = {(instrument, control): score for instrument, control, score in state["warned"]}
        self._active = {(account, instrument, control): s for account, instrument, control, s in state["active"]}

    def _warn(self, instrument_id: int, control: str, active: bool, score: float) -> list[Condition]:
        if self._actions[control] == IGNORE:
            return []
        if active:
            self._warned[instrument_id, control] = score
        elif self._warned.pop((instrument_id, control), None) is None:
            return []
        return self._match(instrument_id, control)

    def _match(self, instrument_id: int, control: str) -> list[Condition]:
        score = self._warned.get((instrument_id, control))
        holding = set() if score is None else set(self._holders(instrument_id))
        before = {account for account, held, name in self._active if held == instrument_id and name == control}
        over = [
            self._switch((account, instrument_id, control), False, 0.0, 0.0) for account in sorted(before - holding)
        ]
        begun = [
            self._switch((account, instrument_id, control), True, score or 0.0, 0.0)
            for account in sorted(holding - before)
        ]
        return over + begun

    def _switch(self, key: tuple[int, int, str], active: bool, value: float, limit: float) -> Condition:
        if active:
            self._active[key] = value
        else:
            del self._active[key]
        return Condition(*key, self._actions[key[2]] == HARD, active, value, limit)


__all__ = ["MARGIN_CALL", "STRUCTURE", "TOXICITY", "Condition", "Conditions"]
