"""Settings of the live feed of Binance."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from nautilus.model.errors import ConfigError

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400 * 7)]
# A connection takes so many streams; a book, its ticker and its trades are three.
MOST_STREAMS = {"spot": 1024, "futures": 200}
BOOK_STREAMS = ("depth@100ms", "bookTicker")
ALL_STREAMS = (*BOOK_STREAMS, "trade")
REST_URLS = {"spot": "https://api.binance.com/api/v3", "futures": "https://fapi.binance.com/fapi/v1"}
WEIGHT_LIMITS = {"spot": 3000, "futures": 1200}  # half of what an address is granted, as others may share it


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One WebSocket connection: its address, without the query, and the streams of every symbol that it carries."""

    url: str
    streams: tuple[str, ...]


ROUTES = {
    "spot": (Route("wss://stream.binance.com:9443/stream", ALL_STREAMS),),
    # Since 2026-04-23 an address of the futures market carries either books or trades: two connections for everything.
    "futures": (
        Route("wss://fstream.binance.com/public/stream", BOOK_STREAMS),
        Route("wss://fstream.binance.com/market/stream", ("trade",)),
    ),
}


class BinanceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to reach the venue, and when to give a connection up.

    Parameters
    ----------
    market
        ``spot``, or ``futures`` for USD-M futures.
    rest_url, routes
        Left out: the venue's own. A venue that carries everything on one address needs one route.
    snapshot_levels
        Asked for of each side of a book.
    finer_decimals
        Quantities are counted in the venue's step with so many decimals more: orders that rest from before a change of
        the step show finer ones.
    weight_limit
        Weight of requests that is spent in a minute at most; 0: half of what the venue grants an address.
    timeout_seconds
        For a request, and for opening a connection.
    stalled_seconds
        A connection with books that says nothing for so long is opened anew.
    ping_seconds
        A ping is sent so often; without a pong in half of that, the connection is opened anew. The venue's own pings
        are answered.
    renew_seconds
        A connection is replaced by another one before the venue ends it, which it does after 24 hours. Both are read
        until the new one has told something of every book, and the old one has come as far as the new one began.
    backoff_seconds, longest_backoff_seconds
        First and longest wait before another attempt, doubled each time, and drawn between half and all of that.
    quiet_seconds
        A book of which no change came for so long after connecting is asked for all the same.
    most_waiting
        Messages that wait to be taken at most; then the venue's socket is not read until they are.
    """

    market: Literal["spot", "futures"] = "spot"
    rest_url: str = ""
    routes: tuple[Route, ...] = ()
    snapshot_levels: Annotated[int, msgspec.Meta(ge=5, le=5000)] = 1000
    finer_decimals: Annotated[int, msgspec.Meta(ge=0, le=8)] = 2
    weight_limit: Annotated[int, msgspec.Meta(ge=0)] = 0
    timeout_seconds: Seconds = 10.0
    stalled_seconds: Seconds = 30.0
    ping_seconds: Seconds = 20.0
    renew_seconds: Seconds = 84_600.0
    backoff_seconds: Seconds = 0.25
    longest_backoff_seconds: Seconds = 30.0
    quiet_seconds: Seconds = 3.0
    most_waiting: Annotated[int, msgspec.Meta(ge=1)] = 65_536

    def concluded(self, symbols: int) -> BinanceConfig:
        """With everything filled in that was left out.

        Raises
        ------
        ConfigError
            A snapshot that deep is not to be had, a route carries no stream or too many, or no route has books.
        """
        config = msgspec.structs.replace(
            self,
            rest_url=(self.rest_url or REST_URLS[self.market]).rstrip("/"),
            routes=self.routes or ROUTES[self.market],
            weight_limit=self.weight_limit or WEIGHT_LIMITS[self.market],
        )
        if self.market == "futures" and self.snapshot_levels > 1000:
            raise ConfigError(f"snapshot_levels is {self.snapshot_levels}", where="binance", expected="at most 1000")
        carried = [stream for route in config.routes for stream in route.streams]
        if sorted(carried) != sorted(set(carried)) or not set(carried) <= set(ALL_STREAMS):
            raise ConfigError(f"streams are {carried}", where="binance", expected=f"each of {ALL_STREAMS} at most once")
        if not any(stream.startswith("depth") for stream in carried):
            raise ConfigError(f"streams are {carried}", where="binance", expected="depth@100ms among them")
        for route in config.routes:
            most = MOST_STREAMS[self.market]
            if not 0 < len(route.streams) * symbols <= most:
                what = f"{len(route.streams)} streams of {symbols} symbols"
                raise ConfigError(what, where=route.url, expected=f"1 to {most} streams a connection")
        return config
