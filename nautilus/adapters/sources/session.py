"""The way to one provider: a connection, its limits, repeats, conditional requests, bounds on time and size, counts.

Keys are handed in apart from what may be shown, so that no URL in an error, a log or a provenance has one.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from nautilus.adapters.sources.asking import Asking
from nautilus.adapters.sources.config import SourceConfig
from nautilus.adapters.sources.errors import (
    MalformedError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    SourceError,
    SourceTimeoutError,
    TooLargeError,
    UnauthorisedError,
    UnavailableError,
)
from nautilus.adapters.sources.limits import SourceLimits
from nautilus.adapters.sources.remembered import Pages, Remembered
from nautilus.adapters.sources.reply import SECOND_NS, Judge, Reply, as_utf8, http_date_ns, retry_seconds_of
from nautilus.core.clock import now_ns as clock_ns
from nautilus.model.datasets import Provenance
from nautilus.model.errors import ConfigError
from nautilus.policy.retry import RetryBudget

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

SHOWN_BYTES = 200
"""Of a body that is quoted in an error."""
HIDDEN = "***"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MEASURED = 64
"""Answers over which the median of the latency is taken."""


@dataclass(slots=True)
class Counts:
    """What a session has done."""

    calls: int = 0
    errors: int = 0
    retries: int = 0
    not_modified: int = 0
    received_bytes: int = 0
    last_error: str = ""
    last_code: str = ""
    skew_ns: int = 0
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=MEASURED))


class Session:
    """Requests to one provider, in one event loop.

    Parameters
    ----------
    name
        Of the provider.
    config
        Its settings.
    limits
        Its limits, shared with other processes; None: of this session alone.
    clock
        Nanoseconds since the epoch.

    Raises
    ------
    ConfigError
        A key would go over plain HTTP to another machine.
    """

    def __init__(
        self,
        name: str,
        config: SourceConfig,
        *,
        limits: SourceLimits | None = None,
        clock: Callable[[], int] = clock_ns,
    ) -> None:
        self.name = name
        self.config = config
        self.limits = limits or SourceLimits(name, config)
        self.limits_of: dict[str, SourceLimits] = {}
        """Of hosts that count for themselves, by their `base`."""
        self.now_ns = clock
        self.counts = Counts()
        self.failing = False
        self.judge: Judge = lambda reply: None
        self._budget = RetryBudget(0.2, 10.0, 2.0)
        self._remembered = Remembered(config.remembered, config.remembered_mib << 20)
        self._pages = Pages(config.remembered_mib << 20)
        self._token = ""
        self._client: ClientSession | None = None
        # Of a request that waits behind another one's answer, no limit is taken: they would leave together after it.
        self._free = asyncio.Semaphore(config.connections)
        place = urlsplit(config.base_url)
        if config.key and place.scheme == "http" and place.hostname not in LOOPBACK:
            raise ConfigError(
                f"the key of {name} would go to {place.hostname} without encryption",
                where=f"source_{name}.base_url",
                expected="https://",
            )

    @property
    def connections(self) -> int:
        """Open now."""
        connector = self._client.connector if self._client else None
        if connector is None:
            return 0
        # aiohttp tells of no count but these two.
        return len(connector._acquired) + sum(map(len, connector._conns.values()))

    def median_ms(self) -> float:
        """Of the latest answers; 0: there was none."""
        return round(median(self.counts.latencies_ms), 3) if self.counts.latencies_ms else 0.0

    def question(self) -> Asking:
        """A question that takes one request or several, within one time."""
        return Asking(self)

    def hide(self, secret: str) -> None:
        """Never show this text: a crumb, a token. In place of the one before, which is good for nothing any more."""
        self._token = secret

    def clean(self, text: str) -> str:
        """A text without any of the secrets, as they are and as they are written in a URL."""
        for secret in sorted({self.config.key, self._token} - {""}, key=len, reverse=True):
            for written in (secret, quote(secret, safe=""), quote(secret)):
                text = text.replace(written, HIDDEN)
        return text

    def settle(self, replies: Iterable[Reply], *, right: bool) -> None:
        """Remember answers that were read and were right, forget those of a question of which something was not.

        A damaged one that is remembered would be "not modified" for ever.
        """
        for reply in replies:
            if not right:
                self._remembered.drop(reply.provenance.url)
            elif reply.status == 200 and not reply.not_modified:
                self._remembered.keep(reply.provenance.url, reply)

    def shown(self, base: str, path: str, query: Mapping[str, str]) -> str:
        """The URL of a request, without what is secret."""
        url = f"{base or self.config.base_url}{path}"
        return f"{url}?{urlencode(query)}" if query else url

    def page(self, base: str, path: str, query: Mapping[str, str]) -> Reply | None:
        """What an earlier try at the same question has fetched already."""
        return self._pages.find(self.clean(self.shown(base, path, query)), self.now_ns()) if len(self._pages) else None

    def settle_pages(self, replies: Iterable[Reply], error: SourceError | None) -> None:
        """Keep pages for the next try where it was time or a limit that a question ended with, else forget them."""
        if isinstance(error, RateLimitedError | SourceTimeoutError | UnavailableError):
            self._pages.keep(replies)
            return
        for reply in replies:
            self._pages.drop(reply.provenance.url)

    def note_error(self, error: SourceError) -> None:
        """Count an error that a question ended with."""
        self.counts.errors += 1
        self.counts.last_error, self.counts.last_code = str(error), error.code
        self.failing = isinstance(error, UnavailableError | SourceTimeoutError | MalformedError | UnauthorisedError)

    def fault(self, kind: type[SourceError], what: str, url: str, **more: object) -> SourceError:
        """An error of this source, without secrets."""
        where = self.clean(f"{self.name} {url}")
        return kind(self.clean(what), where=where, source=self.name, **more)  # type: ignore[arg-type]

    def quoted(self, body: bytes) -> str:
        """The beginning of a body, for an error."""
        text = " ".join(body[:SHOWN_BYTES].decode("utf-8", "replace").split())
        return f"{text}..." if len(body) > SHOWN_BYTES else text

    async def client(self) -> ClientSession:
        """The client, made when first needed."""
        if self._client is None:
            try:
                import aiohttp
            except ImportError:
                raise ConfigError(
                    "aiohttp is not installed", where=self.name, expected="nautilus-hybrid[sources]"
                ) from None
            config = self.config
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=config.connections, limit_per_host=config.connections),
                # Cookies of a host that is an address alone too, and sent back as they came.
                cookie_jar=aiohttp.CookieJar(unsafe=True, quote_cookie=False),
                headers={"User-Agent": config.user_agent, "Accept-Encoding": "gzip, deflate"},
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=config.connect_seconds),
                trust_env=False,
            )
            # What aiohttp sends again by itself would leave without being counted.
            self._client._retry_connection = False
        return self._client

    async def close(self) -> None:
        """Close its connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    # One request, with its repeats.

    async def request(
        self,
        base: str,
        path: str,
        query: Mapping[str, str],
        secret_query: Mapping[str, str],
        headers: Mapping[str, str],
        deadline: float,
        any_status: bool = False,
    ) -> Reply:
        """See `Asking.get`; `deadline` is a time of the loop."""
        url = f"{base or self.config.base_url}{path}"
        shown = self.shown(base, path, query)
        limits = self.limits_of.get(base, self.limits)
        self._budget.deposit()
        attempt = 0
        while True:
            await self._place(limits, shown, deadline)
            try:
                await self._turn(limits, shown, deadline)
                try:
                    reply = await self._send(url, shown, {**query, **secret_query}, headers, deadline)
                    fault = self._fault_of(reply, any_status)
                except (UnavailableError, SourceTimeoutError) as error:
                    fault = error
            finally:
                self._free.release()
            if fault is None:
                self.failing = False
                return reply
            if fault.retry_seconds >= 0 and isinstance(fault, RateLimitedError | UnavailableError):
                now_ns = self.now_ns()
                limits.block(now_ns + int(fault.retry_seconds * SECOND_NS), now_ns)
            pause = self._pause(fault, attempt, deadline)
            if pause < 0:
                raise fault
            attempt += 1
            self.counts.retries += 1
            await asyncio.sleep(pause)

    def _fault_of(self, reply: Reply, any_status: bool) -> SourceError | None:
        if any_status and reply.status < 500 and reply.status != 429:
            return None
        # What was remembered is judged too: what comes with it, such as how many requests are left, is new.
        return self.judge(reply) or self._by_status(reply)

    def _pause(self, fault: SourceError, attempt: int, deadline: float) -> float:
        """Seconds until it may be sent again; below 0: it may not."""
        if not isinstance(fault, UnavailableError | SourceTimeoutError) or attempt >= self.config.retries:
            return -1.0
        # Drawn from all of the time, so that those who failed together do not come back together.
        pause = random.uniform(0.0, self.config.backoff_seconds * 2**attempt)
        pause = max(pause, fault.retry_seconds)
        if asyncio.get_running_loop().time() + pause >= deadline or fault.retry_seconds > self.config.wait_seconds:
            return -1.0
        return pause if self._budget.withdraw() else -1.0

    async def _place(self, limits: SourceLimits, shown: str, deadline: float) -> None:
        """Wait until a connection is free; not where the limits would refuse it anyway."""
        self._check_wait(limits, limits.wait_ns(self.now_ns()), shown, self._give_up(deadline))
        try:
            async with asyncio.timeout_at(deadline):
                await self._free.acquire()
        except TimeoutError:
            raise self.fault(
                SourceTimeoutError, "no connection was free in time", shown, expected="earlier answers to others"
            ) from None

    async def _turn(self, limits: SourceLimits, shown: str, deadline: float) -> None:
        """Wait until the limits let one request go, and count it."""
        give_up = self._give_up(deadline)
        while (wait_ns := limits.take(self.now_ns())) > 0:
            self._check_wait(limits, wait_ns, shown, give_up)
            await asyncio.sleep(wait_ns / SECOND_NS)

    def _give_up(self, deadline: float) -> float:
        return min(deadline, asyncio.get_running_loop().time() + self.config.wait_seconds)

    def _check_wait(self, limits: SourceLimits, wait_ns: int, shown: str, give_up: float) -> None:
        seconds = wait_ns / SECOND_NS
        if wait_ns > 0 and asyncio.get_running_loop().time() + seconds > give_up:
            raise self.fault(
                RateLimitedError,
                f"{limits.reason}: {seconds:.1f} s until the next request",
                shown,
                expected=f"a wait of {self.config.wait_seconds:g} s at most",
                retry_seconds=seconds,
            )

    async def _send(
        self, url: str, shown: str, query: Mapping[str, str], headers: Mapping[str, str], deadline: float
    ) -> Reply:
        import aiohttp
        from yarl import URL

        client = await self.client()
        known = self._remembered.find(self.clean(shown))
        sent = {**headers, **known.conditions()} if known else dict(headers)
        target = URL(f"{url}?{urlencode(query)}" if query else url, encoded=True)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self.counts.calls += 1
        try:
            async with (
                asyncio.timeout_at(deadline),
                client.get(target, headers=sent, allow_redirects=False) as response,
            ):
                answered_ns = self.now_ns()
                body = await self._read(response, shown)
                status = response.status
                told = {name.lower(): value for name, value in response.headers.items()}
        except TimeoutError:
            seconds = loop.time() - begun
            raise self.fault(
                SourceTimeoutError, f"no answer in {seconds:.1f} s", shown, expected="one in time"
            ) from None
        except aiohttp.ClientPayloadError as error:
            if "content-encoding" in str(error):
                raise self.fault(
                    MalformedError, f"its compression is damaged ({error})", shown, expected="gzip or deflate"
                ) from None
            raise self.fault(
                UnavailableError, "the connection was closed in the middle of an answer", shown, expected="all of it"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, aiohttp.ClientResponseError) and not isinstance(
                error, aiohttp.ServerDisconnectedError
            ):
                raise self.fault(MalformedError, f"no HTTP: {error.message}", shown, expected="HTTP") from None
            what = str(error) or type(error).__name__
            raise self.fault(UnavailableError, what, shown, expected="an answer") from None
        self.counts.latencies_ms.append((loop.time() - begun) * 1e3)
        self.counts.received_bytes += len(body)
        self._note_date(told, answered_ns)
        provenance = Provenance(self.name, self.clean(shown), answered_ns)
        if status == 304:
            if known is None:
                raise self.fault(MalformedError, "304 to a request without a condition", shown, expected="a body")
            self.counts.not_modified += 1
            return Reply(200, {**known.headers, **told}, known.body, provenance, not_modified=True)
        return Reply(status, told, self._text(body, told, shown), provenance)

    async def _read(self, response: ClientResponse, shown: str) -> bytes:
        most = self.config.most_mib << 20
        said = response.content_length
        parts: list[bytes] = []
        size = 0
        if said is None or said <= most:
            async for part in response.content.iter_any():
                size += len(part)
                if size > most:
                    break
                parts.append(part)
            else:
                return b"".join(parts)
        response.close()
        raise self.fault(
            TooLargeError, f"an answer of {said or size} bytes or more", shown, expected=f"{most} bytes at most"
        )

    def _text(self, body: bytes, headers: Mapping[str, str], shown: str) -> bytes:
        try:
            return as_utf8(body, headers.get("content-type", ""))
        except ValueError as error:
            raise self.fault(MalformedError, str(error), shown, expected="a text in the charset it names") from None

    def _note_date(self, headers: Mapping[str, str], answered_ns: int) -> None:
        date_ns = http_date_ns(headers.get("date", ""))
        if date_ns:
            self.counts.skew_ns = date_ns - answered_ns

    def retry_seconds(self, headers: Mapping[str, str]) -> float:
        """What an answer says of how long to wait; -1: nothing."""
        return retry_seconds_of(headers, self.now_ns())

    def _by_status(self, reply: Reply) -> SourceError | None:
        """What a status means with every provider."""
        status = reply.status
        if 200 <= status < 300:
            return None
        kinds = {401: UnauthorisedError, 403: UnauthorisedError, 404: NotFoundError, 410: NotFoundError}
        kind: type[SourceError] = RefusedError
        retry_seconds = -1.0
        if status == 429:
            kind, retry_seconds = RateLimitedError, self.retry_seconds(reply.headers)
            if retry_seconds < 0:
                retry_seconds = self.config.unsaid_seconds
        elif status >= 500:
            kind, retry_seconds = UnavailableError, self.retry_seconds(reply.headers)
        else:
            kind = kinds.get(status, RefusedError)
        return self.fault(
            kind,
            f"status {status}: {self.quoted(reply.body) or 'no text'}",
            reply.provenance.url,
            expected="status 200",
            status=status,
            retry_seconds=retry_seconds,
        )


__all__ = ["SECOND_NS", "Asking", "Counts", "Judge", "Reply", "Session"]
