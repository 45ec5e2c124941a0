"""What a provider allows: requests a second, a minute, an hour, a day, and when it said to wait; one table for all.

The table is a file in the data directory: what was counted stays counted when a process is killed, and a start on the
same day goes on with the count of that day.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path

import msgspec

from nautilus.adapters.sources.config import SourceConfig
from nautilus.adapters.sources.times import from_ns, to_ns, zone
from nautilus.core.clock import now_ns as clock_ns
from nautilus.core.quotas import BLOCKED, DAY, GO, HOUR, MINUTE, SECOND, Quotas
from nautilus.model.errors import ConfigError

FILE = "quotas"
CAPACITY = 64
_EPOCH = date(1970, 1, 1).toordinal()


def open_quotas(directory: Path | None) -> Quotas:
    """The table of a directory, made where there is none; None: of this process alone.

    Raises
    ------
    ConfigError
        The file cannot be used.
    """
    if directory is None:
        return Quotas(CAPACITY)
    place = directory / FILE
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Quotas(CAPACITY, place)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot be used: {error}", where=str(place), expected="the table of what was asked"
        ) from None


class SourceLimits:
    """Limits of one provider. `take` before each request.

    Parameters
    ----------
    name
        Of the provider.
    config
        How many it allows, and where its day begins.
    quotas
        The table; None: one of this process alone.
    directory
        Where it lies, and what else is to be known of what was asked; None: nowhere.

    Raises
    ------
    ConfigError
        No such time zone.
    """

    def __init__(
        self, name: str, config: SourceConfig, quotas: Quotas | None = None, directory: Path | None = None
    ) -> None:
        self.name = name
        self.config = config
        self.reason = ""
        self.directory = directory
        self._quotas = quotas or Quotas(CAPACITY)
        # A provider counts by key: with another one, its count and its refusals are others.
        mark = f":{blake2b(config.key.encode(), digest_size=4).hexdigest()}" if config.key else ""
        try:
            self._zone = zone(config.day_zone)
        except ValueError as error:
            raise ConfigError(str(error), where=f"source_{name}.day_zone", expected="an IANA name") from None
        self._most = (config.per_second, config.per_minute, config.per_hour, config.per_day)
        self._day = self._day_begins_ns = self._day_ends_ns = 0
        try:
            self._quota = self._quotas.quota(f"{name}{mark}", self._day_of(clock_ns()))
        except ValueError as error:
            raise ConfigError(
                str(error), where=f"source_{name}", expected=f"{CAPACITY} providers and keys at most within three days"
            ) from None

    def of_host(self, host: str) -> SourceLimits:
        """As many of another host of the provider, which knows no key, counted apart."""
        config = msgspec.structs.replace(self.config, key="")
        return SourceLimits(f"{self.name}.{host}", config, self._quotas, self.directory)

    def take(self, now_ns: int) -> int:
        """One request: 0, it may leave now and is counted; else the nanoseconds until it is worth asking again."""
        why, wait_ns = self._quota.take(now_ns, *self._most, self._day_of(now_ns))
        if why == GO:
            if self.config.per_day:
                self._quotas.sync()
            return 0
        return self._told(why, wait_ns, now_ns)

    def wait_ns(self, now_ns: int) -> int:
        """Nanoseconds until one may leave; 0: now. Takes nothing."""
        why, wait_ns = self._quota.look(now_ns, *self._most, self._day_of(now_ns))
        return 0 if why == GO else self._told(why, wait_ns, now_ns)

    def block(self, until_ns: int, now_ns: int = 0) -> None:
        """The provider said to wait until then; all processes do, 25 hours from `now_ns` at most."""
        self._quota.block(until_ns, now_ns or until_ns)

    def day_left(self, now_ns: int) -> int:
        """Requests left of the provider's day; -1: it has no limit."""
        if not self.config.per_day:
            return -1
        return max(0, self.config.per_day - self._quota.taken(self._day_of(now_ns)))

    def day_taken(self, now_ns: int) -> int:
        """Requests of the provider's day so far, of all processes."""
        return self._quota.taken(self._day_of(now_ns))

    def day_ends_ns(self, now_ns: int) -> int:
        """When the provider's next day begins."""
        self._day_of(now_ns)
        return self._day_ends_ns

    def _told(self, why: int, wait_ns: int, now_ns: int) -> int:
        config = self.config
        self.reason = {
            BLOCKED: f"{self.name} said to wait",
            SECOND: f"{config.per_second} requests a second are used up",
            MINUTE: f"{config.per_minute} requests a minute are used up",
            HOUR: f"{config.per_hour} requests an hour are used up",
            DAY: f"{config.per_day} requests a day are used up",
        }[why]
        return max(1, self._day_ends_ns - now_ns) if why == DAY else wait_ns

    def _day_of(self, now_ns: int) -> int:
        # A day lasts 23 to 25 hours, as its time zone has it.
        if not self._day_begins_ns <= now_ns < self._day_ends_ns:
            here = from_ns(now_ns, self._zone).date()
            after = here + timedelta(days=1)
            self._day = here.toordinal() - _EPOCH
            self._day_begins_ns = to_ns(datetime(here.year, here.month, here.day, tzinfo=self._zone))
            self._day_ends_ns = to_ns(datetime(after.year, after.month, after.day, tzinfo=self._zone))
        return self._day


__all__ = ["SourceLimits", "open_quotas"]
