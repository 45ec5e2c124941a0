"""From an account to the question of a forecast, and from what came of it to the answer."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from nautilus.engines.base import Work
from nautilus.engines.collateral.accounts import Account
from nautilus.engines.collateral.forecast import DAYS, Forecast, Question, forecast_job, plain
from nautilus.engines.collateral.marks import Marks
from nautilus.engines.collateral.registry import Registry
from nautilus.engines.collateral.reports import basis, excluded
from nautilus.maths.errors import Undefined
from nautilus.model.collateral import Cut, ForecastReport, GetForecast


def ask_forecast(
    account: Account,
    registry: Registry,
    message: GetForecast,
    regime: str,
    now_ns: int,
    day: int,
    priced: Marks,
) -> Work:
    """The work that answers a `GetForecast`.

    Raises
    ------
    Undefined
        ``empty``: the portfolio has no value yet.
    """
    equity = account.equity()
    if equity is None:
        raise Undefined("empty", f"no value of portfolio {account.portfolio_id} yet", "one from the portfolio engine")
    rules = registry.rules(day)
    good, rows, _ = account.margined(regime, rules, now_ns, priced)
    facts = [account.facts[slot] for slot in good]
    config = registry.config
    question = Question(
        rows=rows,
        betas=np.array([each.beta for each in facts]),
        lots=np.array([account.lots[slot] for slot in good], np.float64),
        lot_sizes=np.array([each.lot for each in facts]),
        spread_bps=np.array([each.spread_bps for each in facts]),
        regime=regime,
        rules=rules,
        equity=equity,
        offsets=registry.offset_table(),
        share=config.concentration_share,
        rate=config.concentration_rate,
        horizon_days=message.horizon_days,
        drift=message.drift,
        volatility=message.volatility or config.factor_volatility,
    )
    names = [(account.ids[slot], each.symbol) for slot, each in zip(good, facts, strict=True)]
    left_out = excluded(account)
    told = basis(account, registry, regime, good, now_ns, day)
    method = f"{told.method}; one factor with betas, first passage of a Brownian motion with drift"

    def finish(fields: tuple[Any, ...]) -> ForecastReport:
        found = Forecast.of(fields)
        passage = found.passage
        cuts = tuple(Cut(*names[place], lots, notional, cost) for place, lots, notional, cost in found.cuts)
        return ForecastReport(
            portfolio_id=message.portfolio_id,
            regime=regime,
            currency=registry.currency,
            excess=found.excess,
            move_down=found.move_down,
            move_up=found.move_up,
            probability=passage.probability,
            probability_ever=passage.ever,
            expected_days=None if passage.expected is None else passage.expected * DAYS,
            median_days=None if passage.median is None else passage.median * DAYS,
            sensitivity=found.sensitivity,
            excess_volatility=found.volatility,
            excess_drift=found.drift,
            shortfall=found.shortfall,
            cuts=cuts,
            cuts_cost=sum(cut.cost for cut in cuts),
            cuts_restore=found.restore,
            excluded=left_out,
            undefined=found.undefined,
            basis=msgspec.structs.replace(told, method=method),
        )

    return Work(forecast_job, plain(question), finish)


__all__ = ["ask_forecast"]
