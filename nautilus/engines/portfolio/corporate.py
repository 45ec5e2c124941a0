"""Carries out corporate actions: asks the core for splits, pays dividends and fractions, changes symbols."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from nautilus.engines.base import Context
from nautilus.engines.portfolio.actions import (
    APPLIED,
    REFUSED,
    SENT,
    SPLITS,
    UNKNOWN,
    ActionLog,
    dividend,
    in_lieu,
    paid,
    price_of,
    reference_of,
    split_terms,
)
from nautilus.engines.portfolio.book import Change
from nautilus.engines.portfolio.cash import INCOME
from nautilus.engines.portfolio.ledger import Ledger
from nautilus.engines.portfolio.money import decimal_of
from nautilus.model.commands import AdjustPosition, CommandMessage, SplitPositions
from nautilus.model.enums import Reason
from nautilus.model.errors import ModelError
from nautilus.model.events import CommandAcknowledged, InstrumentSplit
from nautilus.model.ids import currency_id
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.portfolio import ActionCash, ActionKind, ActionState, ApplyAction

SOURCE_ID = 5
SEND = "send"
"""Key of the timer that calls `CorporateDesk.send`."""
ANSWER_NS = 10_000_000_000
"""The core has so long to say what became of it; its report says it anyway."""


class CorporateDesk:
    """Applies actions to all portfolios, each once.

    Attributes
    ----------
    log : every action.
    commands : number of the last command that was sent to the core.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.log = ActionLog()
        self.commands = 0
        self._asked: dict[int, str] = {}  # number of a question to the core -> action
        self._unsent: dict[str, CommandMessage] = {}
        self._numbers: dict[str, int] = {}  # action -> its command, until the core has said what became of it

    @property
    def unsent(self) -> bool:
        """Whether the core is to be told something."""
        return bool(self._unsent)

    def send(self, ctx: Context) -> None:
        """Tell the core what it is to do."""
        unsent, self._unsent = self._unsent, {}
        for action_id, command in unsent.items():
            self._asked[ctx.request("trading", command, ctx.now_ns + ANSWER_NS)] = action_id

    def resume(self, source_sequence: int) -> None:
        """After a restart: the core has taken commands up to this one. Those that it has not are sent again."""
        self.commands = max(self.commands, source_sequence)
        for action_id, number in list(self._numbers.items()):
            state, message = self.log.get(action_id), self.log.asked(action_id)
            instrument = self._ledger.instruments.get(state.instrument_id)
            if number <= source_sequence or instrument is None:
                del self._numbers[action_id]
                continue
            self._unsent[action_id] = self._command(message, instrument, number)
            self.log.change(action_id, status=SENT)

    def numbers(self) -> list[list[Any]]:
        """Commands of which the core has not said what became of them, by action; for `restore`."""
        return [[action_id, number] for action_id, number in self._numbers.items()]

    def restore(self, commands: int, numbers: Iterable[Any]) -> None:
        """Take over the number of the last command, and what `numbers` gave."""
        self.commands = commands
        self._numbers = dict(numbers)

    def apply(self, message: ApplyAction, ctx: Context) -> ActionState:
        """Begin an action, or say what became of it before. ModelError: it is none; nothing is changed then."""
        known = self.log.known(message)
        if known is not None:
            return known
        instrument = self._ledger.names.find(message.instrument)
        if message.kind in SPLITS or message.kind is ActionKind.POSITION:
            return self._ask_core(message, instrument, ctx)
        if message.kind is ActionKind.CASH_DIVIDEND:
            return self._dividend(message, instrument, ctx)
        self._ledger.names.check(instrument.instrument_id, message.symbol)
        self._ledger.names.rename(instrument.instrument_id, message.symbol)
        return self.log.add(message, self._state(message, instrument, APPLIED, ctx))

    def on_split(self, report: InstrumentSplit, changes: list[Change], ctx: Context) -> None:
        """The core has split an instrument: pay for the fractions of lots that it dropped."""
        instrument = self._ledger.instruments[report.instrument_id]
        asked = self.log.of_reference(report.reference)
        if asked is not None:
            self._numbers.pop(asked.action_id, None)
        reason, cash = "", []
        price = self._price_after(asked, instrument, report)
        for change in changes:
            if not change.fraction:
                continue
            if price is None:
                reason = "no price for fractions of a lot"
                continue
            account_id = change.after.account_id
            units = in_lieu(instrument, price, change.fraction, report.old)
            if not units:
                continue
            entry_id = f"split:{report.sequence}:{account_id}"
            currency = instrument.quote_currency
            self._ledger.cash.book(
                entry_id, account_id, currency, units, instrument_id=instrument.instrument_id, kind=INCOME
            )
            self._ledger.dirty.add(account_id)
            cash.append(paid(account_id, currency, units))
        self._ledger.forget_marks(report.instrument_id)
        if not report.old:
            reason = "the core does not say what it was; compare with it"
        changed = {
            "status": APPLIED,
            "sequence": report.sequence,
            "now_ns": report.now_ns,
            "reason": reason,
            "cash": tuple(cash),
        }
        if asked is None or self.log.change(asked.action_id, **changed) is None:
            self.log.external(
                ActionState(
                    action_id=f"core:{report.sequence}",
                    kind=ActionKind.SPLIT,
                    instrument_id=report.instrument_id,
                    symbol=self._ledger.names.symbol(report.instrument_id),
                    status=APPLIED,
                    now_ns=report.now_ns,
                    reason=reason,
                    sequence=report.sequence,
                    cash=tuple(cash),
                    new=report.quantity,
                    old=report.old,
                )
            )

    def on_reply(self, number: int, reply: Message) -> bool:
        """Whether an answer was for this desk."""
        action_id = self._asked.pop(number, None)
        if action_id is None:
            return False
        self._numbers.pop(action_id, None)
        state = self.log.get(action_id)
        if isinstance(reply, CommandAcknowledged) and not reply.accepted and state.status != APPLIED:
            self.log.change(action_id, status=REFUSED, reason=Reason(reply.reason).name)
        elif isinstance(reply, CommandAcknowledged) and state.kind is ActionKind.POSITION:
            self.log.change(action_id, status=APPLIED, sequence=reply.last_sequence)
        return True

    def on_unknown(self, number: int) -> bool:
        """Whether what was not answered was asked by this desk."""
        action_id = self._asked.pop(number, None)
        if action_id is None:
            return False
        self._numbers.pop(action_id, None)
        if self.log.get(action_id).status == SENT:
            self.log.change(action_id, status=UNKNOWN, reason="no answer of the core; its report will say")
        return True

    def splits(self) -> dict[str, list[tuple[int, Fraction]]]:
        """Applied splits by symbol."""
        return {self._ledger.names.symbol(key): found for key, found in self.log.splits().items()}

    def _ask_core(self, message: ApplyAction, instrument: Instrument, ctx: Context) -> ActionState:
        """Note what the core is to do. It is told in the next turn: a state that knows of it is saved before."""
        action_id = message.action_id
        self._unsent[action_id] = self._command(message, instrument, self.commands + 1)
        self.commands += 1
        self._numbers[action_id] = self.commands
        new, old = split_terms(message) if message.kind in SPLITS else (0, 0)
        ctx.at(ctx.now_ns, SEND)
        return self.log.add(message, self._state(message, instrument, SENT, ctx, new=new, old=old))

    def _command(self, message: ApplyAction, instrument: Instrument, number: int) -> CommandMessage:
        """What the core is told. ModelError: the action is none."""
        if message.kind in SPLITS:
            new, old = split_terms(message)
            reference = reference_of(message.action_id)
            return SplitPositions(instrument.instrument_id, new, old, reference, SOURCE_ID, number)
        if not message.portfolio_id:
            raise ModelError("no portfolio_id", where="action", expected="whose position it is")
        quantity = decimal_of(message.quantity, "quantity")
        lots = instrument.lots(abs(quantity)) * (1 if quantity > 0 else -1)
        price_ticks = instrument.ticks(message.price)
        return AdjustPosition(message.portfolio_id, instrument.instrument_id, lots, price_ticks, SOURCE_ID, number)

    def _dividend(self, message: ApplyAction, instrument: Instrument, ctx: Context) -> ActionState:
        amount = decimal_of(message.amount, "amount")
        if amount <= 0:
            raise ModelError(f"amount {message.amount}", where="action", expected="greater than zero")
        currency = message.currency or instrument.quote_currency
        currency_id(currency)
        cash: list[ActionCash] = []
        instrument_id = instrument.instrument_id
        holders = sorted(self._ledger.book.accounts_with(instrument_id))
        self._ledger.cash.check_room(len(holders))
        for account_id in holders:
            lots = self._ledger.book.position(account_id, instrument_id).quantity
            units = dividend(instrument, lots, Fraction(amount))
            if not units:
                continue
            entry_id = f"action:{message.action_id}:{account_id}"
            self._ledger.cash.book(entry_id, account_id, currency, units, instrument_id=instrument_id, kind=INCOME)
            self._ledger.dirty.add(account_id)
            cash.append(paid(account_id, currency, units))
        return self.log.add(message, self._state(message, instrument, APPLIED, ctx, cash=tuple(cash)))

    def _price_after(
        self, asked: ApplyAction | None, instrument: Instrument, report: InstrumentSplit
    ) -> Fraction | None:
        """Of a whole unit after the split: as the action says, else the middle of the last quote divided by it."""
        if asked is not None and asked.price:
            return price_of(asked)
        quote = self._ledger.quote(instrument.instrument_id)
        if quote is None or not (quote.bid_quantity and quote.ask_quantity) or not report.old:
            return None
        middle = Fraction(instrument.price(quote.bid_ticks + quote.ask_ticks)) / 2
        return middle * report.old / report.quantity

    def _state(
        self,
        message: ApplyAction,
        instrument: Instrument,
        status: str,
        ctx: Context,
        *,
        cash: tuple[ActionCash, ...] = (),
        new: int = 0,
        old: int = 0,
    ) -> ActionState:
        return ActionState(
            action_id=message.action_id,
            kind=message.kind,
            instrument_id=instrument.instrument_id,
            symbol=self._ledger.names.symbol(instrument.instrument_id),
            status=status,
            now_ns=ctx.now_ns,
            cash=cash,
            new=new,
            old=old,
        )
