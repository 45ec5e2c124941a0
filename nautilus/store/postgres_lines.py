"""Connections to PostgreSQL for code that is no coroutine: asyncpg in an event loop of its own thread.

asyncpg, because it speaks the binary protocol, COPY in it, and has no client library of C to be installed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from nautilus.model.errors import ConfigError
from nautilus.store.catalog_errors import CatalogError, CatalogFullError, QueryError, QueryLimitError

CONNECT_SECONDS: Final = 10.0
Answer = TypeVar("Answer")


class UnreachableError(CatalogError):
    """The server does not answer."""

    code = "config.catalog_unreachable"


def asyncpg() -> Any:
    """asyncpg; ConfigError where it is not installed."""
    try:
        import asyncpg
    except ImportError:
        raise ConfigError(
            "asyncpg is not installed", where="store.url", expected='pip install "nautilus-hybrid[data]"'
        ) from None
    return asyncpg


def failures() -> tuple[type[Exception], ...]:
    """What asyncpg raises, of the server, of its use, and of a connection that broke within an operation."""
    pg = asyncpg()
    return (pg.PostgresError, pg.InterfaceError, pg.InternalClientError, OSError, TimeoutError)


def shown(url: str) -> str:
    """A URL without its password."""
    scheme, _, rest = url.partition("://")
    account, at, place = rest.rpartition("@")
    return f"{scheme}://{account.partition(':')[0]}{at}{place}".partition("?")[0]


def named_error(error: Exception, where: str) -> Exception:
    """The error of the catalog for one of asyncpg or of a socket."""
    pg = asyncpg()
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, pg.InsufficientResourcesError):
        return CatalogFullError(f"the server has no room: {text}", where=where, expected="room; it is tried again")
    if isinstance(error, pg.QueryCanceledError):
        return QueryLimitError("the query takes too long", expected="catalog.query_seconds")
    lost = (
        pg.PostgresConnectionError,
        pg.InterfaceError,
        pg.InternalClientError,
        pg.OperatorInterventionError,
        OSError,
        asyncio.TimeoutError,
    )
    if isinstance(error, lost):
        return UnreachableError(f"the server does not answer: {text}", where=where, expected="it is tried again")
    if isinstance(error, pg.InvalidAuthorizationSpecificationError | pg.InvalidCatalogNameError):
        return CatalogError(text, where=where, expected="store.url with a user and a database of the server")
    if isinstance(
        error, pg.SyntaxOrAccessError | pg.DataError | pg.ReadOnlySQLTransactionError | pg.FeatureNotSupportedError
    ):
        return QueryError(text, expected="one SELECT over the views of the catalog")
    return CatalogError(text, where=where)


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="catalog-postgres", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Let a coroutine run there; its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        """End the thread."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()


async def connect(url: str, application: str, **settings: str) -> Any:
    """A connection; errors by the catalog's names."""
    try:
        return await asyncpg().connect(
            url,
            timeout=CONNECT_SECONDS,
            server_settings={"application_name": application, "TimeZone": "UTC", **settings},
        )
    except (TimeoutError, asyncpg().PostgresError, OSError, ValueError) as error:
        raise named_error(error, shown(url)) from None
