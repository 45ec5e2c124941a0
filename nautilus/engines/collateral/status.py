"""Calls and warnings, with hysteresis, and the status that goes to risk."""

from __future__ import annotations

from typing import Final

from nautilus.engines.collateral.accounts import Account, Summary
from nautilus.engines.collateral.config import CollateralConfig
from nautilus.engines.collateral.registry import Registry
from nautilus.model.signals import MarginStatus

UNITS: Final = 10**8
"""Money units of one of the reporting currency."""


def judge(account: Account, summary: Summary, config: CollateralConfig) -> None:
    """Begin and end the account's call and warning. Its equity is known."""
    equity, needed = summary.equity, summary.maintenance
    assert equity is not None
    if account.call:
        account.call = equity < needed * (1.0 + config.call_clear)
    else:
        account.call = equity < needed
    level = config.warn_clear if account.warning else config.warn_usage
    account.warning = needed > 0 and (equity <= 0 or needed / equity > level)


def margin_status(account: Account, summary: Summary, registry: Registry, now_ns: int) -> MarginStatus:
    """The message to risk. Without equity above 0 usage is 1 where anything is required, and cushion 0."""
    equity, excess = summary.equity, summary.excess
    assert equity is not None
    assert excess is not None
    return MarginStatus(
        now_ns=now_ns,
        account_id=account.portfolio_id,
        equity=round(equity * UNITS),
        initial=round(summary.initial * UNITS),
        maintenance=round(summary.maintenance * UNITS),
        call=account.call,
        warning=account.warning,
        excess=round(excess * UNITS),
        usage=summary.maintenance / equity if equity > 0 else float(summary.maintenance > 0),
        cushion=excess / equity if equity > 0 else 0.0,
        regime=registry.config.regime,
        currency=registry.currency,
        complete=not account.codes,
        synthetic=account.nav_synthetic or bool(account.synthetic),
    )


__all__ = ["UNITS", "judge", "margin_status"]
