"""What portfolios hold, and its risk from the history of the instruments.

The covariance of the histories is prepared once for a set of instruments, as a job; what follows from the weights is
computed when it is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from msgspec.structs import replace

from nautilus.engines.analytics.executions import Executions
from nautilus.engines.analytics.track import Track
from nautilus.engines.panel import Panel
from nautilus.engines.undefined import Measures
from nautilus.maths.errors import Undefined
from nautilus.maths.holdings import InstrumentHistory, concentration, holdings_risk, instrument_history
from nautilus.maths.returns import Floats
from nautilus.model.analytics import PositionLine, PositionMeasures
from nautilus.model.basis import Basis
from nautilus.model.instrument import Instrument
from nautilus.model.position import PositionChanged

METHOD = "covariance of simple returns, n - 1; Euler shares of the volatility of the weights now"
MOST_PREPARED = 8
Key = tuple[tuple[str, int], ...]
Prepared = tuple[int, Floats, Floats, Floats | None, Floats]


def prepare(returns: Floats, benchmark: Floats | None) -> Prepared | str:
    """`holdings.instrument_history` as plain values, or the code of why there is none: a job."""
    try:
        found = instrument_history(returns, benchmark)
    except Undefined as error:
        return error.code
    return found.periods, found.covariance, found.max_drawdown, found.beta, found.jumps


class Holdings:
    """Positions of every portfolio, and the histories that were prepared for them."""

    def __init__(self, instruments: dict[int, Instrument], panel: Panel, executions: Executions) -> None:
        self._instruments, self._panel, self._executions = instruments, panel, executions
        self._held: dict[int, dict[int, tuple[int, int]]] = {}  # portfolio -> instrument -> lots, mark in ticks
        # By the histories that it rests on; where they have none in common, the code.
        self._prepared: OrderedDict[Key, tuple[InstrumentHistory, Basis] | str] = OrderedDict()
        self.revision = 0

    def __contains__(self, portfolio_id: int) -> bool:
        return portfolio_id in self._held

    def on_position(self, changed: PositionChanged) -> None:
        """A position is another one now."""
        position = changed.position
        held = self._held.setdefault(position.account_id, {})
        if position.quantity:
            held[position.instrument_id] = position.quantity, changed.mark_ticks
        else:
            held.pop(position.instrument_id, None)
        self.revision += 1

    def instruments(self, portfolio_id: int) -> frozenset[int]:
        """Ids of what a portfolio holds."""
        return frozenset(self._held.get(portfolio_id, ()))

    def known(self, portfolio_id: int) -> list[Instrument]:
        """What it holds that a history is known of, by symbol."""
        held = (self._instruments[each] for each in self._held.get(portfolio_id, ()) if each in self._instruments)
        return sorted((each for each in held if each.symbol in self._panel), key=lambda each: each.symbol)

    def key(self, portfolio_id: int, benchmark: str) -> Key:
        """Names the histories that its risk rests on, and their versions."""
        names = [each.symbol for each in self.known(portfolio_id)]
        if benchmark in self._panel:
            names.append(benchmark)
        return tuple((name, self._panel.series(name).version) for name in names)

    def ready(self, key: Key) -> bool:
        """The histories were prepared."""
        return not key or key in self._prepared

    def job(self, portfolio_id: int, benchmark: str) -> tuple[Floats, Floats | None, Basis]:
        """Arguments of `prepare`, and what they rest on.

        Raises
        ------
        Undefined
            ``missing_days``, ``too_few``: the histories have no days in common, or one.
        """
        names = [each.symbol for each in self.known(portfolio_id)]
        beside = benchmark in self._panel
        aligned = self._panel.returns([*names, benchmark] if beside else names)
        values = aligned.values
        market = np.ascontiguousarray(values[:, -1]) if beside else None
        table = np.ascontiguousarray(values[:, :-1]) if beside else values
        return table, market, aligned.basis(METHOD)

    def take(self, key: Key, prepared: Prepared | str, basis: Basis | None = None) -> None:
        """Keep what `prepare` gave."""
        made = basis is not None and not isinstance(prepared, str)
        self._prepared[key] = (InstrumentHistory(*prepared), basis) if made else prepared  # type: ignore[assignment]
        while len(self._prepared) > MOST_PREPARED:
            self._prepared.popitem(last=False)

    def measures(self, track: Track, key: Key, found: Measures, per_year: float) -> PositionMeasures:
        """The section of an answer; where it has no history, that of the concentration alone."""
        value = track.sound
        held = self._held.get(track.portfolio_id, {})
        base = 0.0 if value is None else value.nav
        if value is None or base <= 0.0:
            found.undefined["positions"] = "empty" if value is None else "out_of_range"
            return PositionMeasures(())
        weights: dict[int, float] = {}
        without = []
        for instrument_id, (lots, mark) in held.items():
            instrument = self._instruments.get(instrument_id)
            if instrument is None or instrument.quote_currency != value.currency:
                without.append(instrument.symbol if instrument else str(instrument_id))
                continue
            ticks = self._executions.middle(instrument_id) or float(mark)
            if not ticks:  # no price is known of it
                without.append(instrument.symbol)
                continue
            worth = lots * ticks * instrument.multiplier / 10**instrument.currency_decimals
            weights[instrument_id] = worth / base
        known = self.known(track.portfolio_id)
        share = found.take("positions.concentration", lambda: concentration(list(weights.values())))
        names = {each.instrument_id for each in known if each.instrument_id in weights}
        without += [self._instruments[each].symbol for each in weights if each not in names]
        plain: dict[str, Any] = {
            "concentration": share,
            "effective_positions": None if share is None else 1.0 / share,
            "without_history": tuple(sorted(without)),
        }
        prepared = self._prepared.get(key)
        if prepared is None or isinstance(prepared, str) or not names:
            if held:
                found.undefined["positions.volatility"] = prepared if isinstance(prepared, str) else "empty"
            return PositionMeasures(_lines(weights, self._instruments), **plain)
        self._prepared.move_to_end(key)
        history, basis = prepared
        if value.synthetic and not basis.synthetic:
            basis = replace(basis, synthetic=True)  # the weights are of its marks
        plain["jumps"] = tuple(each.symbol for each, jump in zip(known, history.jumps, strict=True) if jump)
        row = np.array([weights.get(each.instrument_id, 0.0) for each in known])
        try:
            risk = holdings_risk(history, row, per_year)
        except Undefined as error:
            found.undefined["positions.volatility"] = error.code
            return PositionMeasures(_lines(weights, self._instruments), basis=basis, **plain)
        betas = history.beta
        columns = zip(
            known,
            risk.volatilities.tolist(),
            [None] * row.size if betas is None else betas.tolist(),
            history.max_drawdown.tolist(),
            risk.marginal.tolist(),
            risk.share.tolist(),
            strict=True,
        )
        lines = tuple(
            PositionLine(each.instrument_id, each.symbol, weights[each.instrument_id], *values)
            for each, *values in columns
            if each.instrument_id in weights
        )
        if risk.average_correlation is None:
            found.undefined["positions.average_correlation"] = "constant" if row.size > 1 else "too_few"
        rest = {key: value for key, value in weights.items() if key not in names}
        return PositionMeasures(
            lines + _lines(rest, self._instruments),
            volatility=risk.volatility,
            diversification_ratio=risk.diversification_ratio,
            average_correlation=risk.average_correlation,
            basis=basis,
            **plain,
        )

    def state(self) -> list[list[Any]]:
        """Plain values for `Engine.state`."""
        return [
            [portfolio_id, [[each, *row] for each, row in held.items()]] for portfolio_id, held in self._held.items()
        ]

    def restore(self, state: list[list[Any]]) -> None:
        """Take over what `state` gave."""
        self._held = {portfolio_id: {each: (lots, mark) for each, lots, mark in rows} for portfolio_id, rows in state}


def _lines(weights: dict[int, float], instruments: dict[int, Instrument]) -> tuple[PositionLine, ...]:
    return tuple(PositionLine(each, instruments[each].symbol, weight) for each, weight in weights.items())


__all__ = ["Holdings", "Key", "Prepared", "prepare"]
