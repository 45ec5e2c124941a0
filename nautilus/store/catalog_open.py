"""The catalog that the settings choose: files, or a PostgreSQL server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

from nautilus.store.catalog import Catalog
from nautilus.store.catalog_settings import SCHEMES, CatalogConfig, StoreConfig
from nautilus.store.catalog_writer import CatalogWriter

if TYPE_CHECKING:
    from nautilus.store.postgres import PostgresCatalog
    from nautilus.store.postgres_writer import PostgresWriter

AnyCatalog: TypeAlias = Union[Catalog, "PostgresCatalog"]
AnyWriter: TypeAlias = Union[CatalogWriter, "PostgresWriter"]


def open_catalog(where: str | Path, config: CatalogConfig | None = None, *, create: bool = False) -> AnyCatalog:
    """The catalog at a place.

    Parameters
    ----------
    where
        Directory, or ``postgresql://user@host:port/database``.
    create
        Make an empty one where there is none.
    """
    if on_server(where):
        from nautilus.store.postgres import PostgresCatalog

        return PostgresCatalog(str(where), config, create=create)
    return Catalog(where, config, create=create)


def configured_place(config: CatalogConfig, store: StoreConfig, data_directory: str | Path) -> str:
    """Where an instance's catalog is: ``[store] url``, else ``[catalog] path``, else ``catalog`` in its data."""
    return store.url or config.path or str(Path(data_directory, "catalog"))


def shown(where: str | Path) -> str:
    """A place for people: a URL without its password."""
    if not on_server(where):
        return str(where)
    from nautilus.store.postgres_lines import shown

    return shown(str(where))


def on_server(where: str | Path) -> bool:
    """Whether a place is on a server."""
    return isinstance(where, str) and where.startswith(SCHEMES)
