"""Settings of the internal matching: how it allocates, what it does with orders of one owner, when it interrupts."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nautilus.engines.portfolio import FIFO, PortfolioConfig
from nautilus.model.account import Account
from nautilus.model.enums import AccountFlag, SelfMatch
from nautilus.model.errors import ConfigError
from nautilus.model.instrument import ALLOCATIONS, PRICE_TIME, Instrument
from nautilus.model.limits import MAX_BPS, Limits
from nautilus.model.records import Records

MAX_MS = (2**63 - 1) // 1_000_000
SELF_MATCH = {member.name.lower().replace("_", "-"): member for member in SelfMatch}


class MatchingConfig(msgspec.Struct, frozen=True):
    """Settings of the internal venue's matching, for all its instruments and all accounts of clients.

    Parameters
    ----------
    allocation
        ``price-time`` or ``pro-rata``.
    self_match
        Where an order would meet one of its own account: ``cancel-newest``, ``cancel-oldest``, ``cancel-both``,
        ``decrement``, or ``none`` (they match).
    volatility_band_bps, volatility_ms
        A match that far from the last price is held up by an auction for so long; a band of 0: never, a time of 0:
        until a phase is set.

    Raises
    ------
    ConfigError
        A value that is none of these.
    """

    allocation: str = PRICE_TIME
    self_match: str = "cancel-newest"
    volatility_band_bps: int = 0
    volatility_ms: int = 0

    def __post_init__(self) -> None:
        checks = (
            ("allocation", self.allocation in ALLOCATIONS, " or ".join(ALLOCATIONS)),
            ("self_match", self.self_match in SELF_MATCH, ", ".join(SELF_MATCH)),
            ("volatility_band_bps", 0 <= self.volatility_band_bps <= MAX_BPS, f"0 to {MAX_BPS}"),
            ("volatility_ms", 0 <= self.volatility_ms <= MAX_MS, f"0 to {MAX_MS}"),
            ("volatility_ms", bool(self.volatility_band_bps or not self.volatility_ms), "0 without a band"),
        )
        for name, sound, expected in checks:
            if not sound:
                raise ConfigError(f"{name} {getattr(self, name)!r}", where="matching", expected=expected)

    def instruments(self, instruments: Iterable[Instrument]) -> tuple[Instrument, ...]:
        """The instruments as this venue trades them."""
        return tuple(msgspec.structs.replace(each, allocation=self.allocation) for each in instruments)

    def accounts(self, accounts: Iterable[int], portfolio: PortfolioConfig) -> list[Records]:
        """What opens the clients' accounts, with positions by the portfolio's method."""
        flags = AccountFlag.FIFO if portfolio.method == FIFO else AccountFlag(0)
        mode = SELF_MATCH[self.self_match]
        return [Account(account_id, flags=flags, self_match=mode).to_commands() for account_id in accounts]

    def limits(self) -> tuple[Limits, ...]:
        """The volatility band, where there is one."""
        if not self.volatility_band_bps:
            return ()
        window_ns = self.volatility_ms * 1_000_000
        return (Limits(volatility_band_bps=self.volatility_band_bps, volatility_ns=window_ns),)
