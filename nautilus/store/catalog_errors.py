"""Errors of all parts of the catalog."""

from __future__ import annotations

from nautilus.model.errors import ConfigError, ModelError


class CatalogError(ConfigError):
    """A catalog cannot be opened, written or read."""

    code = "config.catalog"


class NoCatalogError(CatalogError):
    """Nothing was stored there yet."""

    code = "config.catalog_absent"


class CatalogBusyError(CatalogError):
    """Another process writes it."""

    code = "config.catalog_busy"


class CatalogFullError(CatalogError):
    """There is no room for it; what was handed in waits until there is."""

    code = "config.catalog_full"


class CatalogUnwritableError(CatalogError):
    """Its directory or its list cannot be used now, for another reason than room."""

    code = "config.catalog_unwritable"


class CatalogVersionError(CatalogError):
    """It was written by a version that this one does not read."""

    code = "config.catalog_version"


class CatalogDamagedError(CatalogError):
    """A file of it is not as it was written."""

    code = "config.catalog_damaged"


class QueryError(ModelError):
    """A query that the catalog does not answer: wrong SQL, an unknown kind or column, too large, too long."""

    code = "model.query"


class QueryLimitError(QueryError):
    """A query takes more time, memory or bytes than one may."""

    code = "model.query_limit"
