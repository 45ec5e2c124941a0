"""Collateral: margin that is required, and how far a call is.

Positions come from the portfolio engine, all of them at the start and then as they change, marks from the star; what a
fill or a price changes is worked out anew for its margin group alone, within the event. A status goes to risk when a
call or a warning begins or ends, when a position is missing from the numbers or no longer is, when they moved, and at
least once in `publish_seconds` while anything moves.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

import msgspec

from nautilus.engines.base import Context, Engine, Stream, Work
from nautilus.engines.collateral.accounts import Account, collateral_value
from nautilus.engines.collateral.config import CollateralConfig
from nautilus.engines.collateral.forecast import warm_forecast
from nautilus.engines.collateral.forecast_answer import ask_forecast
from nautilus.engines.collateral.marks import Marks
from nautilus.engines.collateral.operations import OPERATIONS
from nautilus.engines.collateral.pricing import INLINE_ROWS, price_options, solve_volatility, warm_prices
from nautilus.engines.collateral.registry import Registry
from nautilus.engines.collateral.reports import margin_report, what_if
from nautilus.engines.collateral.status import judge, margin_status
from nautilus.engines.collateral.volatilities import solve_volatilities
from nautilus.maths.margin import REGIMES
from nautilus.model.collateral import (
    CollateralItem,
    Contracts,
    GetContracts,
    GetForecast,
    GetMargin,
    MarginReport,
    PriceOptions,
    PutBrackets,
    PutCollateral,
    PutContracts,
    PutFuturesRates,
    PutHaircuts,
    PutOffsets,
    SolveVolatility,
    Uploaded,
    WhatIf,
    WhatIfReport,
)
from nautilus.model.errors import ModelError, UnknownPortfolioError
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.position import PositionChanged
from nautilus.model.queries import GetPositions, Positions
from nautilus.model.records import Records
from nautilus.model.signals import BalanceChanged
from nautilus.model.topics import BALANCES, MARGIN, POSITIONS, QUOTES

SECOND_NS: Final = 10**9
VOLATILITIES: Final = "volatilities"
HELD: Final = "positions"
PORTFOLIO: Final = "portfolio"
ASK_NS: Final = 5 * SECOND_NS
"""The portfolio engine is asked again after this time."""


def day_of(now_ns: int) -> int:
    """The day of a time (UTC), as YYYYMMDD."""
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(days=now_ns // (86_400 * SECOND_NS))
    return moment.year * 10_000 + moment.month * 100 + moment.day


class CollateralEngine(Engine):
    """Margin of every portfolio that has positions."""

    name = "collateral"
    subscribes = (POSITIONS, BALANCES, QUOTES)
    publishes = (MARGIN,)
    takes_arrays = True
    patience_ns = 5_000_000
    operations = OPERATIONS
    streams = (Stream("/streams/margin", MARGIN, "Margin of portfolios as it changes"),)
    warms: ClassVar[tuple[Callable[[], object], ...]] = (warm_prices, warm_forecast)

    def __init__(self, config: CollateralConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        self._registry = Registry(config, instruments)
        self._accounts: dict[int, Account] = {}
        self._marks = Marks()
        # Instrument -> (account, slot, whether it is the underlying of what is held there).
        self._holders: dict[int, list[tuple[Account, int, bool]]] = {}
        self._stale: set[int] = set()  # options whose quote may tell another volatility
        self._pledged: dict[int, tuple[CollateralItem, ...]] = {}
        self._asked = 0  # number of the question for positions
        self._floor = 0  # positions as of this event of the core were told as a whole
        self._seen: dict[int, int] = {}  # account -> event of its newest position
        self._answers: dict[type, Callable[[Any, Context], Message | Work]] = {
            GetMargin: self._margin,
            WhatIf: self._what_if,
            GetForecast: self._forecast,
            GetContracts: self._contracts,
            PutContracts: self._put_contracts,
            PutFuturesRates: self._put_rates,
            PutBrackets: self._put_brackets,
            PutHaircuts: self._put_haircuts,
            PutOffsets: self._put_offsets,
            PutCollateral: self._put_collateral,
        }

    # What is followed.

    def on_start(self, ctx: Context) -> None:
        """Ask for the positions, which may have changed meanwhile; solve implied volatilities now and then."""
        self._ask(ctx)
        ctx.at(ctx.now_ns + int(self._config.volatility_seconds * SECOND_NS), VOLATILITIES)

    def on_position(self, changed: PositionChanged, ctx: Context) -> None:
        """A fill changed a position."""
        position = changed.position
        if changed.sequence < self._floor:
            return  # older than what was told as a whole
        self._seen[position.account_id] = max(changed.sequence, self._seen.get(position.account_id, 0))
        account = self._account(position.account_id)
        self._hold(account, position.instrument_id, position.quantity, day_of(ctx.now_ns))
        self._settle(account, ctx)

    def on_balance(self, valued: PortfolioValued | BalanceChanged, ctx: Context) -> None:
        """The portfolio engine told a value."""
        if not isinstance(valued, PortfolioValued):
            return
        account = self._account(valued.portfolio_id)
        if valued.now_ns < account.nav_ns:
            return
        if valued.currency != self._registry.currency:
            self._registry.currency = valued.currency
            for each in self._accounts.values():
                each.refresh(self._registry, day_of(ctx.now_ns))
        account.nav, account.nav_ns, account.nav_synthetic = valued.nav, valued.now_ns, valued.synthetic
        account.reference = account.value.total
        self._settle(account, ctx)

    def on_quote(self, quotes: Records, ctx: Context) -> None:
        """Marks: the middle of the newest quote of each instrument, or the side that there is."""
        touched: dict[int, Account] = {}
        instruments = self._registry.instruments
        newest = {int(row["instrument_id"]): row for row in quotes}
        for instrument_id, row in newest.items():
            instrument = instruments.get(instrument_id)
            if instrument is None:
                continue
            sides = [int(row[f"{side}_ticks"]) for side in ("bid", "ask") if row[f"{side}_quantity"]]
            if not sides:
                continue
            price = sum(sides) / len(sides) * float(instrument.price_increment)
            if not self._marks.put(instrument_id, price, int(row["flags"])):
                continue
            for account, slot, underlying in self._holders.get(instrument_id, ()):
                if underlying:
                    account.set_spot(slot, price)
                else:
                    account.set_price(slot, price)
                    if account.facts[slot].underlying_id:
                        self._stale.add(instrument_id)
                account.note_marks(slot, self._marks)
                touched[account.portfolio_id] = account
        for account in touched.values():
            self._settle(account, ctx)

    def on_timer(self, key: str, ctx: Context) -> None:
        """Solve the volatilities of options whose quotes changed; ask for the positions again."""
        if key == HELD:
            self._ask(ctx)
        elif key == VOLATILITIES:
            self._solve(ctx)
            for account in self._accounts.values():
                account.expire(ctx.now_ns)
                if account.dirty:
                    self._settle(account, ctx)
            ctx.at(ctx.now_ns + int(self._config.volatility_seconds * SECOND_NS), VOLATILITIES)

    def on_reply(self, number: int, reply: Message, ctx: Context) -> None:
        """What every portfolio holds; an account of which a newer event came is as that says."""
        if number != self._asked or not isinstance(reply, Positions):
            return
        self._floor = reply.last_sequence
        held: dict[int, dict[int, int]] = {account.portfolio_id: {} for account in self._accounts.values()}
        for entry in reply.positions:
            held.setdefault(entry.account_id, {})[entry.instrument_id] = entry.quantity_lots
        for portfolio_id, lots_of in held.items():
            if self._seen.get(portfolio_id, 0) > reply.last_sequence:
                continue
            account = self._account(portfolio_id)
            for instrument_id, lots in (dict.fromkeys(account.ids, 0) | lots_of).items():
                if lots or instrument_id in account.slot_of:
                    self._hold(account, instrument_id, lots, day_of(ctx.now_ns))
            self._settle(account, ctx)

    def on_unknown(self, number: int, message: Message, ctx: Context) -> None:
        """The portfolio engine did not answer: ask again."""
        ctx.at(ctx.now_ns + ASK_NS, HELD)

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """Answer questions about margin and options, and take uploads."""
        if isinstance(message, PriceOptions):
            if message.style == "american" or len(message.rights) > INLINE_ROWS:
                return Work(price_options, (message,))
            return price_options(message)
        if isinstance(message, SolveVolatility):
            if len(message.rights) > INLINE_ROWS // 10:
                return Work(solve_volatility, (message,))
            return solve_volatility(message)
        answer = self._answers.get(type(message))
        return super().on_request(message, ctx) if answer is None else answer(message, ctx)

    # State.

    def state(self) -> dict[str, Any]:
        """Uploads, positions, marks and the last values that were told."""
        return {
            "registry": self._registry.state(),
            "positions": [
                [account.portfolio_id, instrument_id, lots]
                for account in self._accounts.values()
                for instrument_id, lots in zip(account.ids, account.lots, strict=True)
                if lots
            ],
            "accounts": [
                [
                    account.portfolio_id,
                    account.nav,
                    account.nav_ns,
                    account.call,
                    account.warning,
                    account.nav_synthetic,
                ]
                for account in self._accounts.values()
            ],
            "prices": self._marks.state(),
            "pledged": [[key, [msgspec.to_builtins(item) for item in items]] for key, items in self._pledged.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`. Between the last value told and the restart marks may have moved.

        The next one corrects it.
        """
        self._registry.restore(state["registry"])
        known = self._registry.instruments
        self._marks.restore(state["prices"], known)
        for portfolio_id, items in state["pledged"]:
            self._pledged[portfolio_id] = tuple(msgspec.convert(item, CollateralItem) for item in items)
        for portfolio_id, nav, nav_ns, call, warning, *later in state["accounts"]:
            account = self._account(portfolio_id)
            account.nav, account.nav_ns, account.call, account.warning = nav, nav_ns, call, warning
            account.nav_synthetic = any(later)
        for portfolio_id, instrument_id, lots in state["positions"]:
            if instrument_id in known:
                self._hold(self._account(portfolio_id), instrument_id, lots, 0)
        for account in self._accounts.values():
            account.reference = account.value.total

    # Following.

    def _ask(self, ctx: Context) -> None:
        self._asked = ctx.request(PORTFOLIO, GetPositions(), ctx.now_ns + ASK_NS)

    def _account(self, portfolio_id: int) -> Account:
        account = self._accounts.get(portfolio_id)
        if account is None:
            account = self._accounts[portfolio_id] = Account(portfolio_id)
            account.collateral = self._worth(portfolio_id)
        return account

    def _known(self, portfolio_id: int, ctx: Context) -> Account:
        account = self._accounts.get(portfolio_id)
        if account is None:
            raise UnknownPortfolioError(
                f"portfolio {portfolio_id}", where=self.name, expected="an account with a position or a value"
            )
        day = day_of(ctx.now_ns)
        if account.day != day:
            account.refresh(self._registry, day)
        return account

    def _worth(self, portfolio_id: int) -> float:
        items = self._pledged.get(portfolio_id, ())
        return collateral_value(((item.asset_class, item.currency, item.amount) for item in items), self._registry)

    def _hold(self, account: Account, instrument_id: int, lots: int, day: int) -> None:
        fresh = instrument_id not in account.slot_of
        slot = account.slot(instrument_id, self._registry, day)
        if fresh:
            self._follow(account, slot)
        account.set_lots(slot, lots)
        account.note_marks(slot, self._marks)

    def _follow(self, account: Account, slot: int) -> None:
        """Let the quotes of an instrument, and of its underlying, reach a position."""
        instrument_id, own = account.ids[slot], account.facts[slot].underlying_id
        self._holders.setdefault(instrument_id, []).append((account, slot, False))
        if own:
            self._holders.setdefault(own, []).append((account, slot, True))
            self._stale.add(instrument_id)
        account.mark(slot, self._marks)

    def _refresh(self, ctx: Context) -> None:
        """Terms, rates or haircuts changed: every account anew."""
        day = day_of(ctx.now_ns)
        self._holders = {}
        for account in self._accounts.values():
            gained = account.value.total - account.reference
            account.refresh(self._registry, day)
            account.collateral = self._worth(account.portfolio_id)
            for slot in range(len(account)):
                self._follow(account, slot)
                account.revalue(slot)
            account.reference = account.value.total - gained
            self._settle(account, ctx)

    def _solve(self, ctx: Context) -> None:
        """Implied volatilities of the options whose quotes changed."""
        held = [
            (account, slot)
            for key in sorted(self._stale)
            for account, slot, underlying in self._holders.get(key, ())
            if not underlying
        ]
        self._stale.clear()
        for account in solve_volatilities(held, ctx.now_ns):
            self._settle(account, ctx)

    def _settle(self, account: Account, ctx: Context) -> None:
        """Work out what changed, and tell it where it matters."""
        day = day_of(ctx.now_ns)
        if account.day != day:
            account.refresh(self._registry, day)
        account.update(self._config.regime, self._registry.rules(day), ctx.now_ns, self._marks)
        summary = account.summary(self._registry)
        if summary.equity is None:
            return
        flags = (account.call, account.warning)
        judge(account, summary, self._config)
        last, complete = account.published, not account.codes
        changed = (account.call, account.warning) != flags or (last is not None and last[3] != complete)
        if last is not None and not changed:
            part = self._config.publish_change
            moved = (
                abs(summary.equity - last[0]) > part * abs(last[0])
                or abs(summary.maintenance - last[1]) > part * abs(last[1])
                or ctx.now_ns - last[2] >= self._config.publish_seconds * SECOND_NS
            )
            if not moved:
                return
        account.published = (summary.equity, summary.maintenance, ctx.now_ns, complete)
        ctx.publish(margin_status(account, summary, self._registry, ctx.now_ns))

    # Answers.

    def _regime(self, wanted: str) -> str:
        if wanted and wanted not in REGIMES:
            raise ModelError(f"regime {wanted!r}", where=self.name, expected=" or ".join(REGIMES))
        return wanted or self._config.regime

    def _margin(self, message: GetMargin, ctx: Context) -> MarginReport:
        account = self._known(message.portfolio_id, ctx)
        return margin_report(
            account, self._registry, self._regime(message.regime), ctx.now_ns, day_of(ctx.now_ns), self._marks
        )

    def _what_if(self, message: WhatIf, ctx: Context) -> WhatIfReport:
        account = self._known(message.portfolio_id, ctx)
        regime = self._regime(message.regime)
        return what_if(account, self._registry, message, regime, ctx.now_ns, day_of(ctx.now_ns), self._marks)

    def _forecast(self, message: GetForecast, ctx: Context) -> Work:
        account = self._known(message.portfolio_id, ctx)
        regime, day = self._regime(message.regime), day_of(ctx.now_ns)
        return ask_forecast(account, self._registry, message, regime, ctx.now_ns, day, self._marks)

    def _contracts(self, message: GetContracts, ctx: Context) -> Contracts:
        wanted = message.instrument_id
        found = [terms for key, terms in sorted(self._registry.terms.items()) if wanted in (0, key)]
        return Contracts(tuple(found))

    def _put_contracts(self, message: PutContracts, ctx: Context) -> Uploaded:
        for terms in message.contracts:
            self._registry.put_terms(terms)
        return self._uploaded("contracts", len(message.contracts), ctx)

    def _put_rates(self, message: PutFuturesRates, ctx: Context) -> Uploaded:
        self._registry.put_rates(message)
        return self._uploaded(f"futures rates of {message.product}", len(message.days), ctx)

    def _put_brackets(self, message: PutBrackets, ctx: Context) -> Uploaded:
        self._registry.put_brackets(message)
        return self._uploaded(f"brackets of {message.product}", len(message.floors), ctx)

    def _put_haircuts(self, message: PutHaircuts, ctx: Context) -> Uploaded:
        self._registry.haircuts = message
        return self._uploaded("haircuts", len(message.classes) + len(message.currencies), ctx)

    def _put_offsets(self, message: PutOffsets, ctx: Context) -> Uploaded:
        self._registry.offsets = message.offsets
        return self._uploaded("offsets", len(message.offsets), ctx)

    def _put_collateral(self, message: PutCollateral, ctx: Context) -> Uploaded:
        portfolio_id, items = message.portfolio_id, message.items
        if items:
            self._pledged[portfolio_id] = items
        else:
            self._pledged.pop(portfolio_id, None)
        account = self._accounts.get(portfolio_id)
        if account is not None:
            account.collateral = self._worth(portfolio_id)
            self._settle(account, ctx)
        return Uploaded(f"collateral of portfolio {portfolio_id}", len(items), known=account is not None)

    def _uploaded(self, what: str, rows: int, ctx: Context) -> Uploaded:
        self._refresh(ctx)
        return Uploaded(what, rows)
