"""DuckDB that reads the files of a catalog and nothing else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nautilus.store.catalog_kinds import FACT_KINDS, RECORD_KINDS, TABLE
from nautilus.store.catalog_parts import duckdb
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.catalog_views import quoted

if TYPE_CHECKING:
    pass


class Database:
    """A DuckDB in memory that reads the catalog's files and nothing else. Made at the first query, of each process."""

    def __init__(self, root: Path, config: CatalogConfig) -> None:
        self._root = root
        self._config = config
        self._guard = threading.Lock()
        self._base: Any = None
        self._process = 0

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """A connection of one query, with views of its own."""
        with self._guard:
            if self._base is None or self._process != os.getpid():
                self._base, self._process = self._open(), os.getpid()
            lines = self._base.cursor()
        try:
            yield lines
        finally:
            lines.close()

    def close(self) -> None:
        """Give its memory back."""
        with self._guard:
            if self._base is not None and self._process == os.getpid():
                self._base.close()
            self._base = None

    def _open(self) -> Any:
        config = self._config
        lines = duckdb().connect(
            ":memory:",
            config={
                "memory_limit": f"{config.query_mib}MiB",
                "python_enable_replacements": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_community_extensions": False,
                "max_temp_directory_size": "0MiB",
                "temp_directory": "",  # else it is a directory that queries may read
                **({"threads": config.query_threads} if config.query_threads else {}),
            },
        )
        try:
            lines.execute("SET GLOBAL TimeZone = 'UTC'")
            kinds = (*RECORD_KINDS, *FACT_KINDS, TABLE)
            folders = ", ".join(quoted(f"{self._root.absolute() / kind}/") for kind in kinds)
            lines.execute(f"SET allowed_directories = [{folders}]")
            lines.execute("SET enable_external_access = false")
            lines.execute("SET lock_configuration = true")
        except BaseException:
            lines.close()
            raise
        return lines
