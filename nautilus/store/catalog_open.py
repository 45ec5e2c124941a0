"""The catalog that the settings choose: files, or a PostgreSQL server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

from nautilus.store.catalog import Catalog
from nautilus.store.catalog_settings import SCHEMES, CatalogConfig, StoreConfig

if TYPE_CHECKING:
    from nautilus.store.postgres import PostgresCatalog

AnyCatalog: TypeAlias = Union[Catalog, "PostgresCatalog"]


def open_catalog(where: str | Path, config: CatalogConfig | None = None, *, create: bool = False) -> AnyCatalog:
    """The catalog at a place.

    Parameters
    ----------
    where
        Directory, or ``postgresql://user@host:port/database``.
    create
        Make an empty one where there is none.
    """
    if isinstance(where, str) and where.startswith(SCHEMES):
        from nautilus.store.postgres import PostgresCatalog

        return PostgresCatalog(where, config, create=create)
    return Catalog(where, config, create=create)


def configured_catalog(
    config: CatalogConfig, store: StoreConfig, data_directory: str | Path, *, create: bool = False
) -> AnyCatalog:
    """The catalog of an instance: that of ``[store] url``, else ``[catalog] path``, else ``catalog`` in its data."""
    return open_catalog(store.url or config.path or Path(data_directory, "catalog"), config, create=create)
