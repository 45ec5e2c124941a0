"""What plays, as one text: in a plan, on the command line and in reports.

::

    none | simulated
    PATH                                          a recording; several: one a line
    catalog:PLACE?instruments=A,B&from=..&to=..   a stored range of a directory or of postgresql://...
    binance:BTCUSDT,ETHUSDT                       a live market
    ticks:DIRECTORY                               a feed's ticks in shared memory
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, quote, unquote, urlencode

import msgspec

from nautilus.model.errors import ConfigError

LIVE_VENUES = ("binance", "binance-futures")
"""Venues whose live market can be played."""
_CATALOG, _TICKS = "catalog:", "ticks:"
Kind = Literal["none", "simulated", "files", "catalog", "live", "ticks"]


class MarketName(msgspec.Struct, frozen=True):
    """What plays.

    Parameters
    ----------
    kind
        ``none``, ``simulated``, ``files`` (recordings), ``catalog`` (a stored range), ``live`` or ``ticks``.
    paths
        Of the recordings, the catalog's directory or URL, or the feed's directory.
    instruments
        Of a stored range, none: all; of a live market its symbols.
    begin_ns, end_ns
        Of a stored range, the end excluded; 0: as far as it is stored.
    venue
        Of a live market.
    """

    kind: Kind
    paths: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    begin_ns: int = 0
    end_ns: int = 0
    venue: str = ""

    def __str__(self) -> str:
        if self.kind == "files":
            return "\n".join(self.paths)
        if self.kind == "live":
            return f"{self.venue}:{','.join(self.instruments)}"
        if self.kind == "ticks":
            return _TICKS + self.paths[0]
        if self.kind == "catalog":
            given = {"instruments": ",".join(self.instruments), "from": self.begin_ns, "to": self.end_ns}
            text = urlencode({name: value for name, value in given.items() if value}, safe=",")
            return f"{_CATALOG}{quote(self.paths[0])}{'?' if text else ''}{text}"
        return self.kind

    @property
    def title(self) -> str:
        """For people: short."""
        if self.kind in ("files", "catalog"):
            first = Path(self.paths[0]).name
            return first if len(self.paths) == 1 else f"{first} and {len(self.paths) - 1} more"
        return "" if self.kind == "none" else str(self)

    @property
    def ends(self) -> bool:
        """Whether it comes to an end by itself."""
        return self.kind in ("files", "catalog")

    @property
    def lives(self) -> bool:
        """Whether it has the time of the world."""
        return self.kind in ("live", "ticks")

    @property
    def derives(self) -> bool:
        """Whether market data is derived from the core's events: other markets bring their own."""
        return self.kind in ("none", "simulated")

    def absolute(self) -> MarketName:
        """The same with absolute paths, for processes with another working directory."""
        paths = tuple(path if "://" in path else str(Path(path).absolute()) for path in self.paths)
        return msgspec.structs.replace(self, paths=paths)


def market_name(text: str) -> MarketName:
    """Read a market's name.

    Raises
    ------
    ConfigError
        A live venue without symbols, or a range that is none.
    """
    if text in ("none", "simulated"):
        return MarketName(text)  # type: ignore[arg-type]
    if text.startswith(_CATALOG):
        path, _, query = text.removeprefix(_CATALOG).partition("?")
        found = {name: values[-1] for name, values in parse_qs(query).items()}
        try:
            begin_ns, end_ns = (int(found.get(name, "0")) for name in ("from", "to"))
        except ValueError as error:
            raise ConfigError(f"market {text!r}", expected="from and to in nanoseconds") from error
        return catalog_name(unquote(path), _listed(found.get("instruments", "")), begin_ns, end_ns)
    if text.startswith(_TICKS) and len(text) > len(_TICKS) and not Path(text).exists():
        return MarketName("ticks", paths=(text.removeprefix(_TICKS),))
    venue, colon, symbols = text.partition(":")
    if colon and venue in LIVE_VENUES and not Path(text).exists():
        listed = tuple(symbol.upper() for symbol in _listed(symbols))
        if not listed or len(set(listed)) != len(listed):
            raise ConfigError(f"market {text!r}", expected=f"{venue}:BTCUSDT,ETHUSDT and so on, each symbol once")
        return MarketName("live", instruments=listed, venue=venue)
    return files_name(text.split("\n"))


def files_name(paths: Sequence[str | Path]) -> MarketName:
    """The name of recordings that play side by side."""
    return MarketName("files", paths=tuple(str(path) for path in paths))


def catalog_name(path: str | Path, instruments: Sequence[str] = (), begin_ns: int = 0, end_ns: int = 0) -> MarketName:
    """The name of a stored range. ConfigError where it ends before it begins."""
    if begin_ns < 0 or (end_ns and end_ns <= begin_ns):
        raise ConfigError(f"a range from {begin_ns} to {end_ns}", where=str(path), expected="an end after its begin")
    return MarketName("catalog", (str(path),), tuple(instruments), begin_ns, end_ns)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
