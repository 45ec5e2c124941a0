"""Where the catalog of an instance is."""

from __future__ import annotations

from nautilus.runtime.plan import Plan
from nautilus.store.catalog_open import configured_place
from nautilus.store.catalog_settings import CatalogConfig, StoreConfig


def catalog_place(plan: Plan) -> str:
    """Directory of an instance's catalog, or ``postgresql://...``."""
    return configured_place(plan.config("catalog", CatalogConfig), plan.config("store", StoreConfig), plan.data)
