"""Strategies: the engine that hosts them, their base class, and two that come along."""

from nautilus.engines.strategy.base import Strategy
from nautilus.engines.strategy.desk import Desk, OpenOrder, Terms
from nautilus.engines.strategy.engine import StrategyConfig, StrategyEngine, strategy_name
from nautilus.engines.strategy.momentum import Momentum, MomentumConfig
from nautilus.engines.strategy.quoting import Quoting, QuotingConfig

STRATEGIES: dict[str, type[Strategy]] = {"quoting": Quoting, "momentum": Momentum}
"""Strategies by the name that the command line takes."""

__all__ = [
    "STRATEGIES",
    "Desk",
    "Momentum",
    "MomentumConfig",
    "OpenOrder",
    "Quoting",
    "QuotingConfig",
    "Strategy",
    "StrategyConfig",
    "StrategyEngine",
    "Terms",
    "strategy_name",
]
