"""`nautilus data import | list | show | export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nautilus.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from nautilus.store.catalog_open import AnyCatalog

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

    The catalog is `[store] url` (PostgreSQL) or `[catalog] path` of the configuration, by default `catalog` in the data
    of the instance.
    """


def catalog_place(given: str | None) -> str:
    """The catalog that a command works on."""
    if given:
        return given
    from nautilus.cli.instance import data_directory
    from nautilus.cli.settings import load_configuration
    from nautilus.store.catalog_open import configured_place
    from nautilus.store.catalog_settings import CatalogConfig, StoreConfig

    sections = load_configuration(None, None, (), checked=False).sections
    config, store = sections["catalog"], sections["store"]
    assert isinstance(config, CatalogConfig)
    assert isinstance(store, StoreConfig)
    return configured_place(config, store, data_directory(None))


def open_catalog(given: str | None) -> AnyCatalog:
    """That catalog, to read; UsageError (exit code 2) where there is none."""
    from nautilus.store.catalog_errors import NoCatalogError
    from nautilus.store.catalog_open import open_catalog

    catalog = open_catalog(catalog_place(given))
    try:
        catalog.ranges()
    except NoCatalogError:
        raise click.UsageError(f"there is no catalog at {catalog.where}; `nautilus data import` makes one") from None
    return catalog
