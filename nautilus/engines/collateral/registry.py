"""What was uploaded: terms of contracts, the exchange's rates, brackets, haircuts, offsets; and what holds on a day."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from nautilus.engines.collateral.config import CollateralConfig
from nautilus.maths import crypto_margin, haircuts, portfolio_margin, reg_t, strategies
from nautilus.maths.errors import Undefined
from nautilus.maths.futures_margin import RateHistory
from nautilus.maths.margin import PORTFOLIO, Rules
from nautilus.maths.margin_book import EQUITY, KINDS, PERPETUAL, POSITION
from nautilus.maths.offsets import Offset
from nautilus.model.collateral import (
    ContractTerms,
    OffsetTerms,
    PutBrackets,
    PutFuturesRates,
    PutHaircuts,
)
from nautilus.model.errors import ModelError, UnknownInstrumentError
from nautilus.model.instrument import Instrument

DEFAULT: Final = "default"
DEFAULT_BRACKETS: Final = PutBrackets(
    DEFAULT,
    (0.0, 50_000.0, 600_000.0, 3_000_000.0, 12_000_000.0, 70_000_000.0),
    (0.004, 0.005, 0.01, 0.025, 0.05, 0.125),
    (0.02, 0.02, 0.04, 0.10, 0.20, 0.50),
)
"""House brackets for perpetuals whose venue's were not uploaded.

Of the size of those of liquid contracts, no venue's own.
"""
PRODUCTS: Final = {"equity": "equity", "future": "future", "perpetual": "perpetual"}
"""Kind by the instrument's own product where no terms were uploaded; all else is spot, paid in full."""


class Facts(NamedTuple):
    """What of a position does not change with the market."""

    row: np.void
    symbol: str
    lot: float
    tick: float
    code: str
    """Why it cannot be margined; "": it can."""
    underlying_id: int
    beta: float
    spread_bps: float
    expiry_ns: int
    group: str
    rates: str
    """Which uploaded table it takes, and from when; "": none."""


class Registry:
    """Uploads, by what they are of."""

    def __init__(self, config: CollateralConfig, instruments: Iterable[Instrument]) -> None:
        self.config = config
        self.instruments = {instrument.instrument_id: instrument for instrument in instruments}
        self.terms: dict[int, ContractTerms] = {}
        self.rates: dict[str, PutFuturesRates] = {}
        self.brackets: dict[str, PutBrackets] = {DEFAULT: DEFAULT_BRACKETS}
        self.haircuts = PutHaircuts(haircuts.BASEL[-1][1], {})
        self.offsets: tuple[OffsetTerms, ...] = ()
        self.currency = config.currency
        self._histories: dict[str, RateHistory] = {}
        self._tables: dict[str, crypto_margin.Brackets] = {}
        self._numbers: dict[str, int] = {}
        self._groups: dict[str, int] = {}
        self.group_names: list[str] = []
        self.put_brackets(DEFAULT_BRACKETS)

    # Uploads.

    def put_terms(self, terms: ContractTerms) -> None:
        """Take terms; ModelError where they do not fit, UnknownInstrumentError for an instrument that there is not."""
        where = f"contract {terms.instrument_id}"
        for wanted in (terms.instrument_id, terms.underlying_id):
            if wanted and wanted not in self.instruments:
                raise UnknownInstrumentError(f"instrument {wanted}", where=where, expected="one of the platform's")
        if terms.kind not in ("equity", "option", "future", "perpetual"):
            raise ModelError(f"kind {terms.kind!r}", where=where, expected="equity, option, future or perpetual")
        if terms.kind == "option" and (
            terms.right not in ("call", "put") or terms.strike <= 0 or not terms.expiry_ns or not terms.underlying_id
        ):
            raise ModelError(
                "an option without right, strike, expiry or underlying",
                where=where,
                expected="right call or put, strike above 0, expiry_ns, underlying_id",
            )
        if terms.kind != "option" and terms.underlying_id:
            raise ModelError(f"an underlying of a {terms.kind}", where=where, expected="underlying_id 0")
        self.terms[terms.instrument_id] = terms

    def put_rates(self, rates: PutFuturesRates) -> None:
        """Take an exchange's history; Undefined where it is none."""
        if not len(rates.days) == len(rates.initial) == len(rates.maintenance):
            raise Undefined("mismatch", "days and rates of different lengths", "a rate of each kind for each day")
        history = RateHistory(list(zip(rates.days, rates.initial, rates.maintenance, strict=True)))
        self._histories[rates.product] = history
        self.rates[rates.product] = rates

    def put_brackets(self, given: PutBrackets) -> None:
        """Take brackets; Undefined where they leave a jump."""
        table = crypto_margin.brackets(
            given.floors, given.rates, given.initial_rates, given.amounts or None, given.cap or np.inf
        )
        self._tables[given.product] = table
        self.brackets[given.product] = given
        self._numbers.setdefault(given.product, len(self._numbers))

    # What holds.

    def rules(self, day: int) -> Rules:
        """The rules of a day; a clock that stands before a table begins (a simulation's) has its first row."""
        config = self.config
        return Rules(
            stock=_held(reg_t.STOCK_RULES, day)[1]._replace(**config.stock_rules),
            option=_held(strategies.OPTION_RULES, day)[1]._replace(**config.option_rules),
            scan=_held(portfolio_margin.SCAN_RULES, day)[1]._replace(**config.scan_rules),
            brackets=tuple(self._tables[name] for name in self._numbers),
            span_initial=self.config.span_initial,
        )

    def sets(self, regime: str, day: int) -> list[str]:
        """Names of the tables that a regime takes: from which day their row holds, and what settings change in it."""
        config, changed = self.config, []
        tables: list[tuple[str, Any, dict[str, float]]] = [
            ("stocks", reg_t.STOCK_RULES, config.stock_rules),
            ("options", strategies.OPTION_RULES, config.option_rules),
        ]
        if regime == PORTFOLIO:
            tables = [("scan", portfolio_margin.SCAN_RULES, config.scan_rules)]
        for name, table, settings in tables:
            own = "".join(f" {key}={value:g}" for key, value in sorted(settings.items()))
            changed.append(f"{name} {_held(table, day)[0]}{own}")
        return changed

    def fx(self, currency: str) -> float:
        """Reporting currency for one unit; Undefined (`mismatch`) where there is no rate."""
        if currency == self.currency:
            return 1.0
        rate = self.config.rates.get(currency)
        if rate is None:
            raise Undefined("mismatch", f"no rate from {currency} to {self.currency}", "collateral.rates")
        return rate

    def offset_table(self) -> list[Offset]:
        """Offsets between margin groups by their numbers."""
        return [
            Offset(self.group_number(row.group), self.group_number(row.other), row.ratio, row.other_ratio, row.rate)
            for row in self.offsets
        ]

    def group_number(self, name: str) -> int:
        """A number for a margin group's name."""
        number = self._groups.get(name)
        if number is None:
            number = self._groups[name] = len(self._groups)
            self.group_names.append(name)
        return number

    def kind_of(self, instrument_id: int) -> str:
        """``equity``, ``option``, ``future``, ``perpetual`` or ``spot``."""
        terms = self.terms.get(instrument_id)
        return terms.kind if terms else PRODUCTS.get(self.instruments[instrument_id].product, "spot")

    def facts(self, instrument_id: int, day: int) -> Facts:
        """The columns of an instrument that do not change with the market.

        Raises
        ------
        UnknownInstrumentError
            There is no such instrument.
        """
        instrument = self.instruments.get(instrument_id)
        if instrument is None:
            raise UnknownInstrumentError(f"instrument {instrument_id}", where="collateral", expected="a known one")
        terms = self.terms.get(instrument_id) or ContractTerms(instrument_id, self.kind_of(instrument_id))
        own = terms.underlying_id or instrument_id
        underlying = self.instruments[own]
        on = self.terms.get(own)
        kind = self.kind_of(instrument_id)
        code = ""
        row = np.zeros(1, POSITION)[0]
        try:
            fx = self.fx(instrument.quote_currency)
        except Undefined as error:
            fx, code = 1.0, error.code
        row["multiplier"] = float(instrument.contract_multiplier) * fx
        row["rate"], row["yield_rate"] = self.config.interest_rate, terms.yield_rate
        row["sigma"] = terms.volatility or self.config.volatility
        row["delta"] = 1.0
        row["long_rate"] = self.config.spot_rate if kind == "spot" else terms.house_rate
        row["underlying"] = own
        group = terms.group or (on.group if on else "") or underlying.symbol
        row["group"] = self.group_number(group)
        row["broad"] = terms.broad or bool(on and on.broad)
        row["table"] = -1
        if kind == "option":
            row["kind"] = KINDS.index(terms.right)
            row["strike"], row["early"] = terms.strike, terms.american
            row["month"] = terms.expiry_ns
            row["of_future"] = self.kind_of(own) == "future"
        else:
            row["kind"] = KINDS.index(kind) if kind in KINDS else EQUITY
            row["month"] = terms.expiry_ns
        rates = ""
        if kind == "future" or row["of_future"]:
            found, rates = self._futures(row, instrument if kind == "future" else underlying, terms, on, fx, day)
            code = found or code
        if kind == "perpetual":
            name = terms.product or instrument.symbol
            name = name if name in self._numbers else DEFAULT
            row["table"], rates = self._numbers[name], f"brackets {name}"
            assert row["kind"] == PERPETUAL
        return Facts(
            row=row,
            symbol=instrument.symbol,
            lot=float(instrument.quantity(1)),
            tick=float(instrument.price_increment),
            code=code,
            underlying_id=terms.underlying_id,
            beta=(on or terms).beta,
            spread_bps=terms.spread_bps,
            expiry_ns=terms.expiry_ns if kind in ("option", "future") else 0,
            group=group,
            rates=rates,
        )

    def _futures(
        self, row: np.void, future: Instrument, terms: ContractTerms, on: ContractTerms | None, fx: float, day: int
    ) -> tuple[str, str]:
        """Fill the exchange's rates of the day; the code where there are none, and their name."""
        product = terms.product or (on.product if on else "") or future.symbol
        if (terms.kind == "future" and terms.product) or (on is not None and on.product):
            row["underlying"] = -1 - self.group_number(f"{product} futures")
        row["group"] = self.group_number(terms.group or (on.group if on else "") or product)
        row["spread_each"], row["short_least"] = terms.spread_charge * fx, terms.short_least * fx
        row["vol_range"] = terms.vol_range or self.config.vol_range
        history = self._histories.get(product)
        if history is None:
            row["price_range"] = terms.price_range
            return ("" if terms.kind == "option" and terms.price_range else "empty"), ""
        try:
            rates = history.on(day)
        except Undefined as error:
            return error.code, ""
        row["initial_each"], row["maintenance_each"] = rates.initial * fx, rates.maintenance * fx
        row["price_range"] = terms.price_range or rates.maintenance / float(future.contract_multiplier)
        return "", f"{product} {rates.day} ({self.rates[product].source})"

    # State.

    def state(self) -> dict[str, Any]:
        """Everything that was uploaded, in plain values."""
        plain = msgspec.to_builtins
        return {
            "terms": [plain(each) for each in self.terms.values()],
            "rates": [plain(each) for each in self.rates.values()],
            "brackets": [plain(each) for each in self.brackets.values()],
            "haircuts": plain(self.haircuts),
            "offsets": [plain(each) for each in self.offsets],
            "currency": self.currency,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state()` gave; terms of instruments that are no longer there are left out."""
        made = msgspec.convert
        for row in state["brackets"]:
            self.put_brackets(made(row, PutBrackets))
        for row in state["rates"]:
            self.put_rates(made(row, PutFuturesRates))
        for row in state["terms"]:
            terms = made(row, ContractTerms)
            if {terms.instrument_id, terms.underlying_id or terms.instrument_id} <= self.instruments.keys():
                self.terms[terms.instrument_id] = terms
        self.haircuts = made(state["haircuts"], PutHaircuts)
        self.offsets = tuple(made(row, OffsetTerms) for row in state["offsets"])
        self.currency = state["currency"]


def _held(table: tuple[tuple[int, Any], ...], day: int) -> tuple[int, Any]:
    """The row that holds: its first day, and the rule."""
    return max((row for row in table if row[0] <= day), default=table[0], key=lambda row: row[0])


__all__ = ["DEFAULT", "Facts", "Registry"]
