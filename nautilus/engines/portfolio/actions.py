"""Corporate actions: what was asked, what became of it, and what it pays. An action is applied once, by its id.

Splits and stock dividends are the core's: it is asked, and its report changes the positions here as it did there, cost
as it was. Fractions of a lot that the core drops are paid in cash. Cash dividends are booked here alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any
from zlib import crc32

import msgspec

from nautilus.engines.portfolio.money import decimal_of, scale_of, text_of
from nautilus.model.commands import MAX_REFERENCE
from nautilus.model.errors import ModelError
from nautilus.model.instrument import Instrument
from nautilus.model.portfolio import ActionCash, ActionKind, ActionState, ApplyAction

SENT, APPLIED, REFUSED, UNKNOWN = "sent", "applied", "refused", "unknown"
MOST_ACTIONS = 10_000
SPLITS = (ActionKind.SPLIT, ActionKind.STOCK_DIVIDEND)


def reference_of(action_id: str) -> int:
    """The number by which the core's report names an action; 1 to `MAX_REFERENCE`."""
    return crc32(action_id.encode()) % MAX_REFERENCE + 1


class ActionLog:
    """Every action that was asked for."""

    def __init__(self) -> None:
        self._states: dict[str, ActionState] = {}
        self._asked: dict[str, ApplyAction] = {}
        self._by_reference: dict[int, str] = {}

    def known(self, message: ApplyAction) -> ActionState | None:
        """The state of one that was asked before; None: it is new, or was refused and may be tried again.

        Raises
        ------
        ModelError
            The id was another action's, or there are too many.
        """
        before = self._asked.get(message.action_id)
        if before is None:
            holder = self._by_reference.get(reference_of(message.action_id))
            if holder is not None:
                raise ModelError(
                    f"action {message.action_id!r} has the number of {holder!r}", where="action", expected="another id"
                )
            if len(self._states) >= MOST_ACTIONS:
                raise ModelError(f"{MOST_ACTIONS} actions", where="action", expected="no more")
            return None
        if before != message:
            raise ModelError(
                f"action {message.action_id!r}", where="action", expected="the same as before, or another id"
            )
        state = self._states[message.action_id]
        return None if state.status == REFUSED else msgspec.structs.replace(state, repeated=True)

    def add(self, message: ApplyAction, state: ActionState) -> ActionState:
        """Keep a new action."""
        self._asked[message.action_id] = message
        self._by_reference[reference_of(message.action_id)] = message.action_id
        self._states[message.action_id] = state
        return state

    def asked(self, action_id: str) -> ApplyAction:
        """What was asked under an id that is known."""
        return self._asked[action_id]

    def change(self, action_id: str, **changes: Any) -> ActionState | None:
        """Let an action become something else; None: nobody knows it."""
        state = self._states.get(action_id)
        if state is None:
            return None
        state = self._states[action_id] = msgspec.structs.replace(state, **changes)
        return state

    def of_reference(self, reference: int) -> ApplyAction | None:
        """The action that a report of the core names."""
        action_id = self._by_reference.get(reference)
        return None if action_id is None else self._asked[action_id]

    def external(self, state: ActionState) -> None:
        """Keep one that was not asked for here."""
        if len(self._states) < MOST_ACTIONS:
            self._states[state.action_id] = state

    def get(self, action_id: str) -> ActionState:
        """ModelError: there is none."""
        try:
            return self._states[action_id]
        except KeyError:
            raise ModelError(f"action {action_id!r}", where="portfolio", expected="one that was sent") from None

    def newest(self, limit: int) -> tuple[ActionState, ...]:
        """The newest first."""
        return tuple(list(self._states.values())[: -limit - 1 : -1])

    def splits(self) -> dict[int, list[tuple[int, Fraction]]]:
        """Applied splits by instrument: when, and new lots for an old one."""
        found: dict[int, list[tuple[int, Fraction]]] = {}
        for state in self._states.values():
            if state.kind in SPLITS and state.status == APPLIED and state.old:
                found.setdefault(state.instrument_id, []).append((state.now_ns, Fraction(state.new, state.old)))
        return found

    def state(self) -> list[list[Any]]:
        """Plain values."""
        return [
            [
                msgspec.to_builtins(state),
                msgspec.to_builtins(self._asked[key]) if key in self._asked else None,
            ]
            for key, state in self._states.items()
        ]

    def restore(self, saved: Iterable[Any]) -> None:
        """Take over what `state()` gave. Of what was under way the core's report will tell."""
        for state, asked in saved:
            known = msgspec.convert(state, ActionState)
            if asked is not None:
                self.add(msgspec.convert(asked, ApplyAction), known)
            else:
                self._states[known.action_id] = known
            if known.status == SENT:
                self.change(known.action_id, status=UNKNOWN)


def split_terms(message: ApplyAction) -> tuple[int, int]:
    """(new, old) lots of a split or stock dividend. ModelError: they are none."""
    if message.new < 1 or message.old < 1:
        raise ModelError(f"{message.new} for {message.old}", where="action", expected="new and old of 1 or more")
    if message.price:
        price_of(message)
    return (message.new + message.old if message.kind is ActionKind.STOCK_DIVIDEND else message.new), message.old


def price_of(message: ApplyAction) -> Fraction:
    """The price that an action names. ModelError: it is none."""
    price = decimal_of(message.price, "price")
    if price <= 0:
        raise ModelError(f"price {message.price}", where="action", expected="greater than zero")
    return Fraction(price)


def lot_value(instrument: Instrument, price: Fraction) -> Fraction:
    """What a lot is worth at a price, in units of 10^-18."""
    return price / Fraction(instrument.price_increment) * instrument.multiplier * scale_of(instrument)


def in_lieu(instrument: Instrument, price: Fraction, fraction: int, old: int) -> int:
    """Cash for `fraction` / `old` lots at a price, in units of 10^-18, rounded down."""
    return _floor(lot_value(instrument, price) * fraction / old)


def dividend(instrument: Instrument, lots: int, amount: Fraction) -> int:
    """Cash for an amount per unit held, in units of 10^-18, rounded down: of a short position what it owes is more."""
    return _floor(Fraction(instrument.quantity(lots)) * amount * 10**18)


def paid(account_id: int, currency: str, units: int) -> ActionCash:
    """As an answer says it."""
    return ActionCash(account_id, currency, text_of(units))


def _floor(value: Fraction) -> int:
    return value.numerator // value.denominator
