"""The one connection to TWS or IB Gateway, over `ib_async`: opened when first needed, again after a loss; its error
codes as errors of ours.

`ib_async` is used below its blocking face: nothing patches the event loop, and no account, order or position is asked
for. Source of the codes: Interactive Brokers, "TWS API message codes".
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from nautilus.adapters.sources.config import IbkrConfig
from nautilus.adapters.sources.errors import (
    NotFoundError,
    RateLimitedError,
    RefusedError,
    SourceError,
    SourceTimeoutError,
    UnauthorisedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from ib_async import Contract

    IB = Any  # ib_async.IB, whose inner methods have no types

T = TypeVar("T")
PACING_SECONDS = 600.0
NO_DATA = "returned no data"
# Requests that ib_async takes for warned of, and that never end; here they fail.
REFUSALS = (321, 10167)
LOST, RESTORED = 1100, (1101, 1102)
FARM_DOWN, FARM_UP = (2103, 2105, 2157), (2104, 2106, 2158)
CODES: dict[int, type[SourceError]] = {
    100: RateLimitedError,  # more than 50 messages a second
    101: RateLimitedError,  # market data lines used up
    200: NotFoundError,
    321: RefusedError,  # the request does not validate
    322: RefusedError,
    354: UnauthorisedError,  # not subscribed
    366: UnavailableError,
    420: UnauthorisedError,
    430: NotFoundError,  # no fundamental data of it
    502: UnavailableError,
    504: UnavailableError,
    1100: UnavailableError,
    1300: UnavailableError,
    10089: UnauthorisedError,
    10090: UnauthorisedError,
    10167: UnauthorisedError,  # delayed data only, and none was wanted
    10168: UnauthorisedError,
    10186: UnauthorisedError,
    10187: UnavailableError,
    10197: UnavailableError,  # a competing session
    10358: UnauthorisedError,  # fundamental data is not allowed
}


def error_of(code: int, text: str, where: str) -> SourceError:
    """What a code means; 162, history's, by its text."""
    kind = CODES.get(code, RefusedError)
    retry_seconds = -1.0
    lower = text.lower()
    if code == 162:
        kind = UnavailableError
        if "pacing violation" in lower:
            kind, retry_seconds = RateLimitedError, PACING_SECONDS
        elif "permission" in lower or "not subscribed" in lower:
            kind = UnauthorisedError
        elif NO_DATA in lower:
            kind = NotFoundError
        elif "invalid" in lower:
            kind = RefusedError
    elif kind is RateLimitedError:
        retry_seconds = 1.0
    return kind(f"{code}: {text}", where=where, source="ibkr", status=code, retry_seconds=retry_seconds)


class TwsLink:
    """One connection, used by one event loop.

    Attributes
    ----------
    connects, lost, failed : connections made, lost, and attempts that failed.
    codes : notices and errors that the venue sent, by code.
    upstream : whether TWS itself has its servers.
    farms_down : data farms that it said are away.
    """

    def __init__(self, config: IbkrConfig) -> None:
        self.connects = 0
        self.lost = 0
        self.failed = 0
        self.codes: Counter[int] = Counter()
        self.upstream = True
        self.farms_down: set[str] = set()
        self.where = f"tws://{config.host}:{config.port}"
        self._config = config
        self._ib: IB | None = None
        self._turn = asyncio.Lock()
        self._not_before = 0.0
        self._backoff_seconds = 0.0

    @property
    def connected(self) -> bool:
        """Whether it is open and ready."""
        return self._ib is not None and self._ib.client.isReady()

    async def ib(self) -> IB:
        """The connection, opened where it is not.

        Raises
        ------
        UnavailableError
            Nobody listens there, or nobody who speaks; not tried again before `retry_seconds`.
        """
        async with self._turn:
            if self._ib is not None and self.connected:
                return self._ib
            loop = asyncio.get_running_loop()
            wait = self._not_before - loop.time()
            if wait > 0:
                raise self._unavailable("not connected; it is tried again later", wait)
            self._drop()
            ib = self._made()
            try:
                await ib.client.connectAsync(
                    self._config.host, self._config.port, self._config.client_id, self._config.connect_seconds
                )
            except (OSError, TimeoutError, ConnectionError) as error:
                self.failed += 1
                self._backoff_seconds = min(
                    self._config.longest_backoff_seconds, 2 * self._backoff_seconds or self._config.backoff_seconds
                )
                self._not_before = loop.time() + self._backoff_seconds
                what = f"cannot connect: {str(error) or 'no answer to the handshake'}"
                raise self._unavailable(what, self._backoff_seconds) from None
            except BaseException:
                ib.client.disconnect()
                raise
            self.connects += 1
            self.upstream = True
            self._backoff_seconds = 0.0
            self._ib = ib
            ib.client.reqMarketDataType(self._config.market_data_type)
            return ib

    async def ask(self, what: str, request: Callable[[IB], Awaitable[T]], seconds: float) -> T:
        """One request, sent once more where the connection ended under it.

        Raises
        ------
        SourceError
            What the venue answered instead, or that it did not.
        """
        from ib_async.wrapper import RequestError

        where = f"{self.where}/{what}"
        for attempt in (1, 2):
            ib = await self.ib()
            if not self.upstream:
                raise UnavailableError(
                    "1100: TWS has lost its servers", where=where, source="ibkr", status=LOST, retry_seconds=10.0
                )
            try:
                async with asyncio.timeout(seconds):
                    return await request(ib)
            except RequestError as error:
                raise error_of(error.code, error.message, where) from None
            except TimeoutError:
                raise SourceTimeoutError(
                    f"no answer in {seconds:g} s", where=where, expected="one in time", source="ibkr"
                ) from None
            except ConnectionError as error:
                if attempt == 2:
                    raise UnavailableError(f"the connection was lost: {error}", where=where, source="ibkr") from None
        raise AssertionError("two attempts end above")

    async def close(self) -> None:
        """End the connection."""
        self._drop()
        await asyncio.sleep(0)

    def _made(self) -> IB:
        from ib_async import IB

        # What they would print is raised, or counted in `codes`.
        logging.getLogger("ib_async").setLevel(logging.CRITICAL)
        ib = IB()
        ib.RaiseRequestErrors = True
        ib.errorEvent += self._on_error
        ib.client.apiEnd += self._on_end
        return ib

    def _drop(self) -> None:
        ib, self._ib = self._ib, None
        if ib is not None:
            ib.errorEvent -= self._on_error
            ib.client.apiEnd -= self._on_end
            ib.client.disconnect()

    def _on_end(self) -> None:
        self.lost += 1
        self.upstream = True

    def _on_error(self, request: int, code: int, text: str, contract: Contract | None = None) -> None:
        from ib_async.wrapper import RequestError

        self.codes[code] += 1
        if code == LOST:
            self.upstream = False
        elif code in RESTORED:
            self.upstream = True
        elif code in FARM_DOWN:
            self.farms_down.add(_farm(text))
        elif code in FARM_UP:
            self.farms_down.discard(_farm(text))
        delayed = code == 10167 and self._config.market_data_type in (3, 4)
        if code in REFUSALS and not delayed and self._ib is not None:
            self._ib.wrapper._endReq(request, RequestError(request, code, text), success=False)

    def _unavailable(self, what: str, retry_seconds: float) -> SourceError:
        return UnavailableError(
            what, where=self.where, expected="TWS or IB Gateway", source="ibkr", retry_seconds=retry_seconds
        )


def _farm(text: str) -> str:
    """The name behind "... connection is broken:usfarm"."""
    return text.rpartition(":")[2].strip()
