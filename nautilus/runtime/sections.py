"""The sections of the configuration file and the struct that each decodes into, which stands beside its user."""

from __future__ import annotations

SECTIONS: dict[str, str] = {
    "lockstep": "nautilus.runtime.settings:LockStepConfig",
    "limits": "nautilus.runtime.settings:LimitsConfig",
    "marketdata": "nautilus.engines.marketdata:MarketDataConfig",
    "data": "nautilus.runtime.data_settings:DataConfig",
    "risk": "nautilus.engines.risk:RiskConfig",
    "matching": "nautilus.runtime.matching:MatchingConfig",
    "portfolio": "nautilus.engines.portfolio:PortfolioConfig",
    "analytics": "nautilus.engines.analytics:AnalyticsConfig",
    "factor": "nautilus.engines.factor:FactorConfig",
    "features": "nautilus.engines.features:FeaturesConfig",
    "vpin": "nautilus.engines.vpin:VpinConfig",
    "enhanced_vpin": "nautilus.engines.enhanced_vpin:EnhancedVpinConfig",
    "collateral": "nautilus.engines.collateral:CollateralConfig",
    "trading": "nautilus.engines.trading:TradingConfig",
    "strategy": "nautilus.engines.strategy:StrategyConfig",
    "quoting": "nautilus.engines.strategy:QuotingConfig",
    "momentum": "nautilus.engines.strategy:MomentumConfig",
    "recording": "nautilus.simulation.config:RecordingConfig",
    "binance": "nautilus.adapters.sources.binance_config:BinanceConfig",
    "binance_futures": "nautilus.adapters.sources.binance_config:BinanceConfig",
    "simulation": "nautilus.simulation.config:SimulationConfig",
    "platform": "nautilus.runtime.platform:PlatformConfig",
    "core": "nautilus.runtime.platform:CoreConfig",
    "bus": "nautilus.runtime.bus_settings:BusConfig",
    "journal": "nautilus.runtime.platform:JournalConfig",
    "replica": "nautilus.runtime.platform:ReplicaConfig",
    "venue0": "nautilus.runtime.venue_settings:VenueConfig",
    "venue1": "nautilus.runtime.venue_settings:VenueConfig",
    "venue2": "nautilus.runtime.venue_settings:VenueConfig",
    "logging": "nautilus.runtime.platform:LoggingConfig",
    "http": "nautilus.runtime.http.config:HttpConfig",
    "access": "nautilus.runtime.access_settings:AccessConfig",
    "protection": "nautilus.runtime.protection_config:ProtectionConfig",
    "gateway": "nautilus.gateway.config:GatewayConfig",
    "catalog": "nautilus.store.catalog_settings:CatalogConfig",
    "store": "nautilus.store.catalog_settings:StoreConfig",
    "source_fred": "nautilus.adapters.sources.config:FredConfig",
    "source_alpha_vantage": "nautilus.adapters.sources.config:AlphaVantageConfig",
    "source_yahoo": "nautilus.adapters.sources.config:YahooConfig",
    "source_dbnomics": "nautilus.adapters.sources.config:DbnomicsConfig",
    "source_trading_economics": "nautilus.adapters.sources.config:TradingEconomicsConfig",
    "source_edgar": "nautilus.adapters.sources.config:EdgarConfig",
    "source_datagov": "nautilus.adapters.sources.config:DataGovConfig",
    "source_ibkr": "nautilus.adapters.sources.config:IbkrConfig",
    "router": "nautilus.runtime.planned:RouterConfig",
    "backtesting": "nautilus.runtime.planned:BacktestingConfig",
    "notification": "nautilus.runtime.planned:NotificationConfig",
}


def section_name(engine: str) -> str:
    """The section with an engine's settings: its name as a variable of the environment can have it."""
    return engine.replace("-", "_")


CHECKS: tuple[str, ...] = ("nautilus.runtime.access_settings:check_access",)
"""What is checked across sections, once each is right by itself."""
