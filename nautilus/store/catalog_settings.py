"""Settings of the catalog and of the store."""

from __future__ import annotations

from typing import Literal

import msgspec

from nautilus.model.errors import ConfigError

Compression = Literal["zstd", "snappy", "lz4", "none"]
SCHEMES = ("postgresql://", "postgres://")


class CatalogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where market data is kept, and how.

    Parameters
    ----------
    path
        Directory; "": ``catalog`` in the data of the instance.
    compression, level
        Of Parquet files; the level counts for zstd alone.
    queue_mib
        What was handed in and is not in the log yet; more is refused, and counted.
    segment_mib, segment_seconds
        The log is turned into Parquet when it has so much, or is so old.
    compact_seconds
        Between two times at which a writer that has nothing to do makes one file of a period's many; 0: never.
    sync_seconds
        The log is made durable at least so often; `flush` does it at once.
    query_mib, query_seconds, query_threads
        What one query may take; 0 threads: all.
    answer_mib
        Bytes of an answer over HTTP, at most.
    process_mib
        Memory that all queries over HTTP may take together; the process that answers them has no more.

    Raises
    ------
    ConfigError
        A number that makes no sense.
    """

    path: str = ""
    compression: Compression = "zstd"
    level: int = 1
    queue_mib: int = 64
    segment_mib: int = 64
    segment_seconds: float = 60.0
    sync_seconds: float = 1.0
    compact_seconds: float = 600.0
    query_mib: int = 1024
    query_seconds: float = 60.0
    query_threads: int = 0
    answer_mib: int = 1024
    process_mib: int = 2048

    def __post_init__(self) -> None:
        for name, least, most in (
            ("level", 1, 22),
            ("queue_mib", 1, 65536),
            ("segment_mib", 1, 4096),
            ("segment_seconds", 0.05, 86400.0),
            ("sync_seconds", 0.01, 3600.0),
            ("compact_seconds", 0.0, 86400.0),
            ("query_mib", 16, 1 << 20),
            ("query_seconds", 0.1, 86400.0),
            ("query_threads", 0, 1024),
            ("answer_mib", 1, 1 << 20),
            ("process_mib", 64, 1 << 20),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"{name} {value}", where="catalog", expected=f"{least} to {most}")


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server that keeps data, where there is one.

    Parameters
    ----------
    url
        ``postgresql://user@host:port/database``: the catalog is there; "": files.
    """

    url: str = ""

    def __post_init__(self) -> None:
        if self.url and not self.url.startswith(SCHEMES):
            raise ConfigError(f"url {self.url!r}", where="store", expected="postgresql://..., or empty")
