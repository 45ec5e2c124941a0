"""Data providers behind one interface: a question in, facts with their provenance out (docs/sources.md).

The settings of all of them are read by every command; what asks is loaded when a provider is opened.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nautilus.adapters.sources.config import (
    AlphaVantageConfig,
    DataGovConfig,
    DbnomicsConfig,
    EdgarConfig,
    FredConfig,
    IbkrConfig,
    SourceConfig,
    TradingEconomicsConfig,
    YahooConfig,
)
from nautilus.core.clock import now_ns as _now_ns

if TYPE_CHECKING:
    from nautilus.adapters.sources.base import Fetched, Source
    from nautilus.adapters.sources.errors import SourceError
    from nautilus.adapters.sources.limits import SourceLimits
    from nautilus.adapters.sources.session import Asking, Reply, Session
    from nautilus.core.quotas import Quotas

SOURCES: dict[str, tuple[str, type[SourceConfig]]] = {
    "fred": ("nautilus.adapters.sources.fred:FredSource", FredConfig),
    "alpha_vantage": ("nautilus.adapters.sources.alpha_vantage:AlphaVantageSource", AlphaVantageConfig),
    "yahoo": ("nautilus.adapters.sources.yahoo:YahooSource", YahooConfig),
    "dbnomics": ("nautilus.adapters.sources.dbnomics:DbnomicsSource", DbnomicsConfig),
    "trading_economics": ("nautilus.adapters.sources.trading_economics:TradingEconomicsSource", TradingEconomicsConfig),
    "edgar": ("nautilus.adapters.sources.edgar:EdgarSource", EdgarConfig),
    "datagov": ("nautilus.adapters.sources.datagov:DataGovSource", DataGovConfig),
    "ibkr": ("nautilus.adapters.sources.ibkr:IbkrSource", IbkrConfig),
}
"""Every provider: where its class is, loaded when it is opened, and the struct of its settings, ``[source_NAME]``."""

_LOADED_LATER = {
    "Asking": "session",
    "Fetched": "base",
    "Reply": "session",
    "Session": "session",
    "Source": "base",
    "SourceError": "errors",
    "SourceLimits": "limits",
}


def __getattr__(name: str) -> Any:
    if name not in _LOADED_LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LOADED_LATER[name]}"), name)


def open_source(
    name: str,
    config: SourceConfig | None = None,
    *,
    directory: Path | None = None,
    quotas: Quotas | None = None,
    clock: Callable[[], int] = _now_ns,
) -> Source:
    """One provider.

    Parameters
    ----------
    name
        One of `SOURCES`.
    config
        Its settings; None: the built-in ones.
    directory
        Where what it allows is counted, for all processes and for the next start; None: in this process alone.
    quotas
        The table itself, where it is open already.
    clock
        Nanoseconds since the epoch.

    Raises
    ------
    KeyError
        No such provider.
    ConfigError
        Settings that cannot be.
    """
    from nautilus.adapters.sources.limits import SourceLimits, open_quotas
    from nautilus.adapters.sources.session import Session

    place, kind = SOURCES[name]
    module, _, attribute = place.partition(":")
    made: type[Source] = getattr(importlib.import_module(module), attribute)
    config = config or kind()
    limits = SourceLimits(name, config, quotas or open_quotas(directory), directory)
    return made(config, Session(name, config, limits=limits, clock=clock))


def open_sources(
    configs: Mapping[str, SourceConfig],
    *,
    directory: Path | None = None,
    clock: Callable[[], int] = _now_ns,
) -> dict[str, Source]:
    """Every provider that is enabled, by its name; see `open_source`. Those without their key are there, too."""
    from nautilus.adapters.sources.limits import open_quotas

    quotas = open_quotas(directory)
    return {
        name: open_source(name, config, directory=directory, quotas=quotas, clock=clock)
        for name, config in configs.items()
        if config.enabled
    }


__all__ = [
    "SOURCES",
    "AlphaVantageConfig",
    "Asking",
    "DataGovConfig",
    "DbnomicsConfig",
    "EdgarConfig",
    "Fetched",
    "FredConfig",
    "IbkrConfig",
    "Reply",
    "Session",
    "Source",
    "SourceConfig",
    "SourceError",
    "SourceLimits",
    "TradingEconomicsConfig",
    "YahooConfig",
    "open_source",
    "open_sources",
]
