"""What every portfolio is worth: positions at their marks, cash, and both in the reporting currency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from nautilus.engines.portfolio.book import Change, PositionBook
from nautilus.engines.portfolio.cash import BOOKED, INCOME, CashBook
from nautilus.engines.portfolio.money import SCALE, converted, number_of, plain, report_units, text_of
from nautilus.engines.portfolio.names import Names
from nautilus.engines.portfolio.optimising import basis_of
from nautilus.engines.portfolio.rates import SYNTHETIC, RateTable
from nautilus.engines.portfolio.valuation import Totals, Valuation
from nautilus.model.errors import ModelError, UnknownPortfolioError
from nautilus.model.events import ExecutionReport
from nautilus.model.instrument import EXACT, Instrument
from nautilus.model.marketdata import Quote
from nautilus.model.portfolio import Attribution, AttributionLine, CashLine, PortfolioValued
from nautilus.model.position import Position
from nautilus.model.queries import PositionEntry
from nautilus.model.signals import BalanceChanged

# An average price is no whole number of ticks: it is told this many decimals finer, rounded half to even.
_AVERAGE_DECIMALS = 4
_DECIMALS = 8
_EMPTY = Totals()


class Ledger:
    """Books, marks and rates of all portfolios.

    Attributes
    ----------
    dirty : portfolios whose value may have changed since it was last published.
    """

    def __init__(
        self, currency: str, instruments: Iterable[Instrument], *, fifo: bool = False, capital: int = 0
    ) -> None:
        self.instruments = {instrument.instrument_id: instrument for instrument in instruments}
        if not currency:
            currency = self.instruments[min(self.instruments)].quote_currency if self.instruments else "USD"
        self._multipliers = {key: instrument.multiplier for key, instrument in self.instruments.items()}
        self.currency = currency
        self._capital = capital
        self.book = PositionBook(self._multipliers, fifo=fifo)
        self.cash = CashBook()
        self.names = Names(self.instruments)
        self.rates = RateTable(currency, self.instruments.values())
        self.valuation = Valuation(self.instruments)
        self.dirty: set[int] = set()
        self._quotes: dict[int, Quote] = {}
        self._touched: set[int] = set()
        self._rates_seen = 0
        self._published: dict[tuple[int, str], int] = {}
        self._decimals: dict[str, int] = {}
        for each in self.instruments.values():
            self._decimals[each.quote_currency] = max(
                each.currency_decimals, self._decimals.get(each.quote_currency, 0)
            )

    # What happens.

    def on_quote(self, quote: Quote) -> bool:
        """Keep the newest quote as the mark; whether the value of a portfolio may have changed."""
        instrument_id = quote.instrument_id
        self._quotes[instrument_id] = quote
        if instrument_id in self.rates.instruments:
            self.rates.note(quote)
        if self.book.accounts_with(instrument_id):
            self._touched.add(instrument_id)
            return True
        return self.rates.version != self._rates_seen

    def on_report(self, report: ExecutionReport) -> list[Change]:
        """Apply a report, once; what it changed."""
        changes = self.book.apply(report)
        for change in changes:
            position = change.after
            self._value(position)
            self.dirty.add(position.account_id)
            if self._capital:
                account_id = position.account_id
                self.cash.book(f"capital:{account_id}", account_id, self.currency, self._capital)
        return changes

    def forget_marks(self, instrument_id: int) -> None:
        """What was quoted counts no longer: it was before a split."""
        self._quotes.pop(instrument_id, None)
        for account_id in self.book.accounts_with(instrument_id):
            self.valuation.update(self.book.position(account_id, instrument_id), None)
            self.dirty.add(account_id)

    def refresh(self) -> None:
        """Bring values up to date with marks and rates that came."""
        for instrument_id in self._touched:
            for account_id in self.book.accounts_with(instrument_id):
                self._value(self.book.position(account_id, instrument_id))
                self.dirty.add(account_id)
        self._touched.clear()
        if self.rates.version != self._rates_seen:
            self._rates_seen = self.rates.version
            self.dirty.update(self.portfolios())

    # What is known.

    def portfolios(self) -> list[int]:
        """Accounts that have, or had, positions or cash."""
        return sorted({*self.book.accounts(), *self.cash.accounts()})

    def check(self, portfolio_id: int) -> None:
        """UnknownPortfolioError: nothing ever happened in it."""
        if portfolio_id not in self.portfolios():
            raise UnknownPortfolioError(
                f"portfolio {portfolio_id}", where="portfolio", expected="an account with fills or cash"
            )

    def quote(self, instrument_id: int) -> Quote | None:
        """The newest quote."""
        return self._quotes.get(instrument_id)

    def mark_ticks(self, position: Position) -> int | None:
        """The price at which the position could be closed now, in ticks; None before the first quote of that side."""
        quote = self._quotes.get(position.instrument_id)
        if quote is None:
            return None
        if position.quantity >= 0:
            return quote.bid_ticks if quote.bid_quantity else None
        return quote.ask_ticks if quote.ask_quantity else None

    def synthetic(self, portfolio_id: int) -> bool:
        """Whether a mark or rate in a portfolio's value is of a quote that is not as a venue sent it."""
        rates = (self.rates.rate(currency) for currency in self.currencies(portfolio_id))
        return self.valuation.synthetic(portfolio_id) or any(rate is not None and rate.synthetic for rate in rates)

    def unrealised(self, position: Position) -> int:
        """Profit if it were closed at its mark, in money units; 0 where there is no mark."""
        mark = self.mark_ticks(position)
        return 0 if mark is None else position.unrealised(mark, self._multipliers[position.instrument_id])

    def currencies(self, portfolio_id: int) -> list[str]:
        """In which a portfolio has anything."""
        return sorted({*self.valuation.totals(portfolio_id), *self.cash.currencies(portfolio_id)})

    def balance(self, portfolio_id: int, currency: str) -> int:
        """Cash, in units of 10^-18."""
        totals = self.valuation.totals(portfolio_id).get(currency, _EMPTY)
        return self.cash.total(portfolio_id, currency) + totals.trading - totals.fees

    def valued(self, portfolio_id: int, now_ns: int) -> PortfolioValued:
        """The value of a portfolio, with `refresh` done before."""
        totals = self.valuation.totals(portfolio_id)
        nav = cash = gross = net = realised = unrealised = fees = income = booked = 0
        missing = [self.names.symbol(key) for key in self.valuation.unmarked(portfolio_id)]
        missing += [f"instrument {each.instrument_id}" for each in self._unknown(portfolio_id)]
        for currency in self.currencies(portfolio_id):
            found = totals.get(currency, _EMPTY)
            own = self.cash.total(portfolio_id, currency)
            rate = self.rates.rate(currency)
            if rate is None:
                if own or found.profit or found.gross or found.trading:
                    missing.append(currency)
                continue
            bid, ask = rate.bid, rate.ask
            nav += converted(own + found.profit, bid, ask)
            cash += converted(own + found.trading - found.fees, bid, ask)
            gross -= converted(-found.gross, bid, ask)
            net += converted(found.net, bid, ask)
            realised += converted(found.realised, bid, ask)
            unrealised += converted(found.unrealised, bid, ask)
            fees -= converted(-found.fees, bid, ask)
            income += converted(self.cash.sum(portfolio_id, currency, INCOME), bid, ask)
            booked += converted(self.cash.sum(portfolio_id, currency, BOOKED), bid, ask)
        return PortfolioValued(
            now_ns=now_ns,
            portfolio_id=portfolio_id,
            currency=self.currency,
            nav=number_of(nav),
            cash=number_of(cash),
            gross_exposure=number_of(gross),
            net_exposure=number_of(net),
            realised=number_of(realised),
            unrealised=number_of(unrealised),
            fees=number_of(fees),
            nav_units=str(report_units(nav)),
            cash_units=str(report_units(cash)),
            realised_units=str(report_units(realised)),
            unrealised_units=str(report_units(unrealised)),
            fees_units=str(-report_units(-fees)),
            complete=not missing,
            missing=tuple(missing),
            sequence=self.book.last_sequence,
            income=number_of(income),
            booked=number_of(booked),
            synthetic=self.synthetic(portfolio_id),
        )

    def cash_lines(self, portfolio_id: int) -> tuple[CashLine, ...]:
        """Cash by currency."""
        lines = []
        for currency in self.currencies(portfolio_id):
            totals = self.valuation.totals(portfolio_id).get(currency, _EMPTY)
            balance, rate = self.balance(portfolio_id, currency), self.rates.rate(currency)
            lines.append(
                CashLine(
                    currency=currency,
                    balance=text_of(balance),
                    booked=text_of(self.cash.sum(portfolio_id, currency, BOOKED)),
                    income=text_of(self.cash.sum(portfolio_id, currency, INCOME)),
                    trading=text_of(totals.trading),
                    fees=text_of(totals.fees),
                    value=None if rate is None else number_of(converted(balance, rate.bid, rate.ask)),
                )
            )
        return tuple(lines)

    def attribution(self, portfolio_id: int) -> Attribution:
        """Profit by instrument, and currency where its income is in another one."""
        income = dict(self.cash.income(portfolio_id))
        found = {(each.instrument_id, self._currency(each.instrument_id)) for each in self.held(portfolio_id)}
        rows: list[tuple[int, str, int, int, int, int]] = []
        for key, currency in sorted({*found, *income}):
            own = currency == self._currency(key)
            value = self.valuation.value(portfolio_id, key)
            paid = income.get((key, currency), 0)
            rows.append(
                (key, currency, value.realised, value.unrealised, paid, value.fees) if own
                else (key, currency, 0, 0, paid, 0)
            )  # fmt: skip
        worth: list[int | None] = []
        for _, currency, realised, unrealised, paid, fees in rows:
            rate = self.rates.rate(currency)
            sum_of = realised + unrealised + paid - fees
            worth.append(None if rate is None else converted(sum_of, rate.bid, rate.ask))
        total = sum(each for each in worth if each is not None)
        undefined = {row[1]: "undefined" for row, each in zip(rows, worth, strict=True) if each is None}
        shares = bool(total) and not undefined
        lines = tuple(
            AttributionLine(
                instrument_id=key,
                symbol=self.names.symbol(key),
                currency=currency,
                realised=text_of(realised),
                unrealised=text_of(unrealised),
                income=text_of(paid),
                fees=text_of(fees),
                total=text_of(realised + unrealised + paid - fees),
                value=None if each is None else number_of(each),
                share=each / total if shares and each is not None else None,
            )
            for (key, currency, realised, unrealised, paid, fees), each in zip(rows, worth, strict=True)
        )
        return Attribution(
            portfolio_id,
            self.currency,
            lines,
            number_of(total),
            basis_of(
                "profit since the account began; last rates, rounded against the trader",
                synthetic=self.synthetic(portfolio_id),
            ),
            undefined,
        )

    def entry(self, position: Position) -> PositionEntry:
        """A position as people read it."""
        instrument = self.instruments[position.instrument_id]
        average = ""
        if position.quantity:
            ticks = EXACT.divide(Decimal(-position.cost), Decimal(position.quantity * instrument.multiplier))
            step = EXACT.scaleb(instrument.price_increment, -_AVERAGE_DECIMALS)
            average = plain(EXACT.quantize(EXACT.multiply(ticks, instrument.price_increment), step))
        return PositionEntry(
            account_id=position.account_id,
            instrument_id=position.instrument_id,
            symbol=self.names.symbol(position.instrument_id),
            quantity=plain(instrument.quantity(position.quantity)),
            average_price=average,
            realised=plain(instrument.money(position.realised)),
            unrealised=plain(instrument.money(self.unrealised(position))),
            currency=instrument.quote_currency,
            quantity_lots=position.quantity,
            cost_units=str(position.cost),
            realised_units=str(position.realised),
            fees=plain(instrument.money(position.fees)),
            fees_units=str(position.fees),
        )

    def balances_changed(self, portfolio_id: int, now_ns: int) -> list[BalanceChanged]:
        """Of each currency whose balance is another one than was last told."""
        found = []
        for currency in self.currencies(portfolio_id):
            # Money units of the currency: the finest of its instruments.
            step = 10 ** (SCALE - self._decimals.get(currency, _DECIMALS))
            balance = self.balance(portfolio_id, currency) // step
            if self._published.get((portfolio_id, currency)) != balance:
                self._published[portfolio_id, currency] = balance
                found.append(BalanceChanged(now_ns, portfolio_id, currency, balance, balance))
        return found

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **self.book.state(),
            "cash": self.cash.state(),
            "rates": self.rates.state(),
            "names": self.names.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state()` gave; of an older version there are positions alone."""
        self.book.restore(state)
        if "cash" in state:
            self.cash.restore(state["cash"])
            self.rates.restore(state["rates"])
            self.names.restore(state["names"])
        for position in self.book.positions():
            numbers = (position.quantity, position.cost, position.realised, position.fees)
            if any(type(number) is not int for number in numbers):
                raise ModelError(f"position {numbers}", where="a state that was kept", expected="whole numbers")
            if position.instrument_id in self.instruments:
                self.valuation.update(position, None)
        self.dirty.update(self.portfolios())

    def held(self, portfolio_id: int) -> list[Position]:
        """Positions of a portfolio in instruments that there are; others, of former settings, are named as missing."""
        return [each for each in self.book.positions_of(portfolio_id) if each.instrument_id in self.instruments]

    def _value(self, position: Position) -> None:
        quote = self._quotes.get(position.instrument_id)
        made_up = quote is not None and bool(quote.flags & SYNTHETIC)
        self.valuation.update(position, self.mark_ticks(position), synthetic=made_up)

    def _unknown(self, portfolio_id: int) -> list[Position]:
        return [each for each in self.book.unknown_of(portfolio_id) if each.quantity]

    def _currency(self, instrument_id: int) -> str:
        return self.instruments[instrument_id].quote_currency
