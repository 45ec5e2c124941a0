"""The engines, and the catalogue of them.

The catalogue names modules and classes as text, so that listing engines imports none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import msgspec

    from nautilus.engines.base import Engine
    from nautilus.model.topics import Topic


class Entry(NamedTuple):
    """One engine.

    Parameters
    ----------
    module, engine, config
        Where its class and its config struct are.
    port
        HTTP port of its probes and operations in the live platform.
    tier
        ``core``, ``high performance`` or ``scalable``.
    purpose
        What it is for, in a few words.
    needs
        What the host hands its constructor after the config: ``core``, ``instruments``, ``strategies``, ``caches``,
        ``feature_sets``, ``feature_store``.
    """

    module: str
    engine: str
    config: str
    port: int
    tier: str
    purpose: str
    needs: tuple[str, ...] = ()

    def load(self) -> type[Engine]:
        """The engine class."""
        found: type[Engine] = getattr(importlib.import_module(self.module), self.engine)
        return found

    def load_config(self) -> type[msgspec.Struct]:
        """The config struct."""
        found: type[msgspec.Struct] = getattr(importlib.import_module(self.module), self.config)
        return found

    def build(self, config: msgspec.Struct | None = None, **services: Any) -> Engine:
        """A new engine; `services` holds at least what it `needs`. ConfigError for settings of another engine."""
        from nautilus.model.errors import ConfigError

        maker: Any = self.load()
        kind = self.load_config()
        if config is not None and not isinstance(config, kind):
            raise ConfigError(f"settings {type(config).__name__}", where=self.engine, expected=kind.__name__)
        engine: Engine = maker(kind() if config is None else config, *(services[name] for name in self.needs))
        return engine

    @property
    def publishes(self) -> tuple[Topic, ...]:
        """Topics of which it is the publisher."""
        return self.load().publishes

    @property
    def subscribes(self) -> tuple[Topic, ...]:
        """Topics that it may subscribe to."""
        return self.load().subscribes


CATALOGUE: dict[str, Entry] = {
    "marketdata": Entry(
        "nautilus.engines.marketdata",
        "MarketDataEngine",
        "MarketDataConfig",
        8800,
        "high performance",
        "publishes quotes, trades and book deltas",
        ("instruments",),
    ),
    "trading": Entry(
        "nautilus.engines.trading",
        "TradingEngine",
        "TradingConfig",
        8000,
        "core",
        "pre-trade checks, matching, execution reports",
        ("core", "instruments"),
    ),
    "risk": Entry(
        "nautilus.engines.risk",
        "RiskEngine",
        "RiskConfig",
        8200,
        "scalable",
        "soft limits; stops the strategy that breaches one",
        ("instruments",),
    ),
    "portfolio": Entry(
        "nautilus.engines.portfolio",
        "PortfolioEngine",
        "PortfolioConfig",
        8900,
        "scalable",
        "positions and profit from fills",
        ("instruments",),
    ),
    "analytics": Entry(
        "nautilus.engines.analytics",
        "AnalyticsEngine",
        "AnalyticsConfig",
        8100,
        "scalable",
        "performance, attribution and forecasts of portfolios",
        ("instruments", "feature_store"),
    ),
    "factor": Entry(
        "nautilus.engines.factor",
        "FactorEngine",
        "FactorConfig",
        8300,
        "scalable",
        "returns and exposures of market, sectors and styles",
        ("instruments",),
    ),
    "features": Entry(
        "nautilus.engines.features",
        "FeaturesEngine",
        "FeaturesConfig",
        8500,
        "scalable",
        "indicators and microstructure, point in time",
        ("instruments", "feature_sets"),
    ),
    "collateral": Entry(
        "nautilus.engines.collateral",
        "CollateralEngine",
        "CollateralConfig",
        9000,
        "scalable",
        "margin, haircuts and calls",
        ("instruments",),
    ),
    "vpin": Entry(
        "nautilus.engines.vpin",
        "VpinEngine",
        "VpinConfig",
        10000,
        "scalable",
        "toxicity of order flow",
        ("instruments",),
    ),
    "enhanced-vpin": Entry(
        "nautilus.engines.enhanced_vpin",
        "EnhancedVpinEngine",
        "EnhancedVpinConfig",
        10001,
        "scalable",
        "toxicity over several scales, with depth",
        ("instruments",),
    ),
    "strategy": Entry(
        "nautilus.engines.strategy",
        "StrategyEngine",
        "StrategyConfig",
        8700,
        "high performance",
        "hosts strategies and their orders",
        ("instruments", "strategies"),
    ),
    "gateway": Entry(
        "nautilus.engines.gateway",
        "GatewayEngine",
        "GatewayEngineConfig",
        8001,
        "high performance",
        "one door to every engine: proxy, routing, caches",
        ("caches",),
    ),
}

QUANTITATIVE = ("analytics", "factor", "features", "vpin", "enhanced-vpin", "collateral")
"""Engines of analysis that no trading needs: `platform.without` leaves them out, lock-step takes those it is told."""

__all__ = ["CATALOGUE", "QUANTITATIVE", "Entry"]
