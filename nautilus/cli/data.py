"""`nautilus data import | list | show | export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nautilus.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from nautilus.store.catalog import Catalog

COMMANDS = {
    "import": ("nautilus.cli.data_import:import_", "Store files of recorded market data, each row once."),
    "list": ("nautilus.cli.data_show:list_", "List what is stored of each kind and instrument."),
    "show": ("nautilus.cli.data_show:show", "Show an instrument or a table, and its first rows."),
    "export": ("nautilus.cli.data_export:export", "Write stored rows to a file: Parquet, CSV, Arrow or JSON."),
    "sources": ("nautilus.cli.data_sources:sources", "List the data providers of a running hub, and its cache."),
    "get": ("nautilus.cli.data_get:get", "Ask a running hub for what a data provider has."),
}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def data() -> None:
    """Keep market data: import files, look at what is stored, export it.

    The catalog is `[catalog] path` of the configuration, by default `catalog` in the data of the instance.
    """


def catalog_directory(given: str | None) -> Path:
    """The catalog that a command works on."""
    if given:
        return Path(given)
    from nautilus.cli.instance import data_directory
    from nautilus.cli.settings import load_configuration
    from nautilus.store.catalog_settings import CatalogConfig

    config = load_configuration(None, None, (), checked=False).sections["catalog"]
    assert isinstance(config, CatalogConfig)
    return Path(config.path) if config.path else data_directory(None) / "catalog"


def open_catalog(given: str | None) -> Catalog:
    """That catalog, to read; UsageError (exit code 2) where there is none."""
    from nautilus.store.catalog import Catalog

    root = catalog_directory(given)
    if not (root / "catalog.sqlite").exists():
        raise click.UsageError(f"there is no catalog at {root}; `nautilus data import` makes one")
    return Catalog(root)
