"""The tree of limits as events move it: every sum, and every limit on it, is right after each event.

A fill or a price touches the positions in one instrument and, of each, the five scopes above it. The value at risk of a
scope is that of its profits at past returns (historical, linear interpolation): a vector of some hundred outcomes that
a position's change moves along its instrument's returns, so it costs no more with more instruments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from nautilus.engines.risk import limits as names
from nautilus.engines.risk.limits import LimitRule, Scope, Watch, text_of
from nautilus.engines.risk.nodes import UNIT, Largest, Leaf, Node, node_rows, worst
from nautilus.engines.risk.past_returns import PastReturns
from nautilus.model.enums import RecordFlag, Side
from nautilus.model.errors import ModelError
from nautilus.model.instrument import Instrument
from nautilus.model.marketdata import Quote
from nautilus.model.position import Position, half_even

_UNIT_DECIMALS = 8
_SYNTHETIC = int(RecordFlag.SYNTHETIC)
_POSITION = 6
"""Numbers of a position in the saved state."""
NO_PRICE, NO_RATE = "no price", "no rate of a currency"
_UNPRICED = (names.ORDER_RATE, names.MARGIN)


class Change(NamedTuple):
    """A breach that began or ended."""

    node: Node
    watch: Watch
    hard: bool
    active: bool
    sequence: int


Tell = Callable[[Change], None]


class LimitTree:
    """Positions by portfolio, strategy and instrument, and the scopes above them.

    Parameters
    ----------
    currency
        Of money.
    rates
        Of others into it.
    desks
        Portfolio to desk.
    release, level
        See `RiskConfig`: `release` and `var_level`.
    tell
        Called with each breach that begins or ends.
    history
        Past returns of instruments.
    """

    def __init__(
        self,
        instruments: Mapping[int, Instrument],
        currency: str,
        rates: Mapping[str, Decimal],
        desks: Mapping[int, str],
        rules: Iterable[LimitRule],
        release: float,
        level: float,
        tell: Tell,
        history: PastReturns,
    ) -> None:
        self._instruments = instruments
        self._currency = currency
        self._factors: dict[int, tuple[int, int] | None] = {}
        self.desks = desks
        self.rules = {rule.key: rule for rule in rules}
        self._release = release
        self.level = level
        self._tell = tell
        self.history = history
        self.quotes: dict[int, Quote] = {}
        self.synthetic: set[int] = set()
        """Instruments whose last quote was not as a venue sent it."""
        self.nodes: dict[Scope, Node] = {}
        self.leaves: dict[tuple[int, int, int], Leaf] = {}
        self._of_instrument: dict[int, list[Leaf]] = {}
        self._sizes = {key: float(found.quantity(1)) for key, found in instruments.items()}
        self._measures = any(rule.control == names.VAR for rule in self.rules.values())
        self._wanted: set[int] = set()
        self.set_rates(rates)
        self._node((names.FIRM,))

    # Events.

    def fill(self, key: tuple[int, int, int], side: Side, lots: int, ticks: int, fee: int, sequence: int) -> None:
        """A fill of a portfolio's strategy in an instrument."""
        leaf = self.leaves.get(key) or self._leaf(key)
        before = leaf.position.quantity
        multiplier = self._instruments[key[2]].multiplier
        leaf.position = leaf.position.after_fill(side, lots, ticks, multiplier, fee)
        leaf.last_ticks = ticks
        self._changed(leaf, leaf.position.quantity - before, sequence)

    def split(self, instrument_id: int, new: int, old: int, sequence: int) -> None:
        """Every position's lots became floor(lots x new / old); the old prices are so many times too high."""
        touched: dict[Scope, Node] = {}
        marks = [(leaf, self._mark(leaf)) for leaf in self._of_instrument.get(instrument_id, ())]
        self.quotes.pop(instrument_id, None)
        for leaf, mark in marks:
            found = leaf.position
            lots = abs(found.quantity) * new // old * (1 if found.quantity > 0 else -1)
            cost, realised = (found.cost, found.realised) if lots else (0, found.realised + found.cost)
            leaf.position = Position(found.account_id, instrument_id, lots, cost, realised, found.fees)
            leaf.last_ticks, leaf.order_ticks = mark * old // new, leaf.order_ticks * old // new
            self._revalue(leaf, lots - found.quantity)
            touched |= {node.scope: node for node in leaf.path}
        self._settle(touched.values(), sequence)

    def quote(self, quote: Quote) -> None:
        """A new price of what is held."""
        self.quotes[quote.instrument_id] = quote
        if quote.flags & _SYNTHETIC:
            self.synthetic.add(quote.instrument_id)
        else:
            self.synthetic.discard(quote.instrument_id)
        held = self._of_instrument.get(quote.instrument_id)
        if held:
            self._repriced(leaf for leaf in held if leaf.position.quantity or leaf.buys or leaf.sells)

    def work(self, key: tuple[int, int, int], orders: int, buys: int, sells: int, ticks: int) -> None:
        """So many open orders of a position more, which may buy and sell so many lots more; `ticks` 0: no price.

        Nothing of it breaches a limit: orders may be cancelled. The check of others counts them.
        """
        leaf = self.leaves.get(key) or self._leaf(key)
        leaf.buys += buys
        leaf.sells += sells
        leaf.order_ticks = ticks or leaf.order_ticks
        for node in leaf.path:
            node.open_orders += orders
        self._reopen(leaf, buys, sells)

    def order(self, account_id: int, strategy_id: int, now_ns: int, sequence: int) -> None:
        """A new order or a replacement."""
        for node in self.path(account_id, strategy_id):
            watch = node.watches.get(names.ORDER_RATE)
            if watch is not None:
                node.orders.append(now_ns)
                self._expire(node, watch, now_ns)
                self._look(node, watch, sequence)

    def worth(self, account_id: int, nav: float | None, *, synthetic: bool) -> None:
        """Net asset value of a portfolio, None: in a currency without a rate; `synthetic`: of marks that are."""
        node = self._node((names.PORTFOLIO, str(account_id)))
        node.nav, node.synthetic = nav, synthetic
        self._look_at(node, names.LEVERAGE)

    def margin(self, account_id: int, used: float | None) -> None:
        """Maintenance margin of a portfolio as a part of its equity."""
        node = self._node((names.PORTFOLIO, str(account_id)))
        node.margin = used
        self._look_at(node, names.MARGIN)

    # Settings.

    def set_rates(self, rates: Mapping[str, Decimal]) -> None:
        """Rates of currencies; those that are not named have none."""
        self.rates = dict(rates)
        for key, found in self._instruments.items():
            rate = Decimal(1) if found.quote_currency == self._currency else self.rates.get(found.quote_currency)
            if rate is None:
                self._factors[key] = None
                continue
            factor = rate.scaleb(_UNIT_DECIMALS - found.currency_decimals)
            numerator, denominator = factor.as_integer_ratio()
            self._factors[key] = (numerator, denominator)
        self._repriced(self.leaves.values())

    def set_limit(self, rule: LimitRule) -> None:
        """Set a limit; a breach that it shows is told at once."""
        self.rules[rule.key] = rule
        self._measures |= rule.control == names.VAR
        self._attach_all(rule.control)

    def drop_limit(self, scope: Scope, control: str) -> None:
        """Take a limit away; a breach of it is over. ModelError: there is none."""
        if self.rules.pop((scope, control), None) is None:
            raise ModelError(f"no limit {control} of {text_of(scope)!r}", where="limits", expected="one that is set")
        self._measures = any(rule.control == names.VAR for rule in self.rules.values())
        self._attach_all(control)

    def renew_history(self) -> None:
        """Histories have changed."""
        if self._measures:
            self._measure()

    def want_history(self, instrument_ids: Iterable[int]) -> None:
        """Somebody asks about these: measure them too, held or not."""
        if not self._measures:
            return
        new = {key for key in instrument_ids if key not in self._wanted and key not in self._of_instrument}
        if new:
            self._wanted |= new
            for instrument_id in sorted(new):
                if not self.history.add(instrument_id):
                    self._measure()
                    break

    # What is there.

    def known(self, account_id: int) -> bool:
        """A portfolio that traded, that a desk or a limit names, or that others spoke of."""
        scope = (names.PORTFOLIO, str(account_id))
        return (
            scope in self.nodes
            or account_id in self.desks
            or any(rule_scope[1:2] == scope[1:] and rule_scope[0] != names.DESK for rule_scope, _ in self.rules)
        )

    def path(self, account_id: int, strategy_id: int | None = None, *, keep: bool = True) -> list[Node]:
        """Scopes from the firm down to the portfolio, or the strategy. `keep`: new ones belong to the tree."""
        desk = self.desks.get(account_id)
        found = [self.nodes[(names.FIRM,)]]
        if desk is not None:
            found.append(self._node((names.DESK, desk), keep=keep))
        found.append(self._node((names.PORTFOLIO, str(account_id)), account_id, keep=keep))
        if strategy_id is not None:
            scope = (names.STRATEGY, str(account_id), str(strategy_id))
            found.append(self._node(scope, account_id, strategy_id, keep=keep))
        return found

    def leaf_path(self, key: tuple[int, int, int], *, keep: bool = True) -> list[Node]:
        """All scopes of a position."""
        account_id, strategy_id, instrument_id = key
        scope = (names.INSTRUMENT, str(account_id), str(strategy_id), self._instruments[instrument_id].symbol)
        found = self.path(account_id, strategy_id, keep=keep)
        found.append(self._node(scope, account_id, strategy_id, instrument_id, keep=keep))
        return found

    def leaves_of(self, account_id: int) -> list[Leaf]:
        """Positions of a portfolio."""
        return [leaf for key, leaf in self.leaves.items() if key[0] == account_id]

    def holders(self, instrument_id: int) -> dict[int, int]:
        """Portfolios that hold an instrument, with their lots."""
        lots: dict[int, int] = {}
        for leaf in self._of_instrument.get(instrument_id, ()):
            lots[leaf.position.account_id] = lots.get(leaf.position.account_id, 0) + leaf.position.quantity
        return {account: held for account, held in lots.items() if held}

    def mark_ticks(self, instrument_id: int, lots: int, last_ticks: int) -> int:
        """What a position could be closed at: the bid of a long one; the last price before there is one."""
        quote = self.quotes.get(instrument_id)
        if quote is not None:
            if lots > 0 and quote.bid_quantity:
                return quote.bid_ticks
            if lots < 0 and quote.ask_quantity:
                return quote.ask_ticks
        return last_ticks

    def units(self, instrument_id: int, money: int) -> int | None:
        """Money units of an instrument in units of the reporting currency; None: there is no rate."""
        factor = self._factors[instrument_id]
        if factor is None:
            return None
        numerator, denominator = factor
        return money * numerator if denominator == 1 else half_even(money * numerator, denominator)

    def worth_of(self, instrument_id: int, lots: int, last_ticks: int) -> tuple[int, str]:
        """Worth in units of so many lots, 0 where it is not known; and why not."""
        mark = self.mark_ticks(instrument_id, lots, last_ticks)
        if not lots:
            return 0, ""
        worth = self.units(instrument_id, lots * mark * self._instruments[instrument_id].multiplier)
        if worth is None:
            return 0, NO_RATE
        return (worth, "") if mark else (0, NO_PRICE)

    def open_effect(
        self, instrument_id: int, held: int, net: int, buys: int, sells: int, last_ticks: int
    ) -> tuple[int, int, int, bool]:
        """What open orders may do to a position of `held` lots, worth `net`: `up`, `down` and `extra` as of a `Node`.

        And whether that is known.
        """
        if not (buys or sells):
            return 0, 0, 0, True
        above, no_buys = self.worth_of(instrument_id, held + buys, last_ticks)
        below, no_sells = self.worth_of(instrument_id, held - sells, last_ticks)
        up, down = above - net, below - net
        return up, down, worst(net, up, down) - abs(net), not (no_buys or no_sells)

    def size(self, instrument_id: int, lots: int) -> float:
        """Lots as a quantity, without sign."""
        return abs(lots) * self._sizes[instrument_id]

    def watched(self) -> Iterator[tuple[Node, Watch]]:
        """Every limit of every scope."""
        for node in self.nodes.values():
            for watch in node.watches.values():
                yield node, watch

    def look(self, now_ns: int, nodes: Iterable[Node]) -> None:
        """Have limits look at what is there now: windows of orders have moved on."""
        for node in nodes:
            for watch in node.watches.values():
                if watch.rule.control == names.ORDER_RATE:
                    self._expire(node, watch, now_ns)
                self._look(node, watch, 0)

    # State.

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "leaves": [
                [leaf.path[-1].strategy_id, self._mark(leaf), *_row(leaf.position), leaf.order_ticks]
                for leaf in self.leaves.values()
            ],
            "nodes": node_rows(self.nodes.values()),
            "rates": {currency: str(rate) for currency, rate in self.rates.items()},
            "synthetic": sorted(self.synthetic),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state()` gave. What was told of breaches is not told again."""
        tell, self._tell = self._tell, _silent
        self.set_rates({currency: Decimal(rate) for currency, rate in state["rates"].items()})
        for strategy_id, last_ticks, *row in state["leaves"]:
            position = Position(*row[:_POSITION])
            leaf = self._leaf((position.account_id, strategy_id, position.instrument_id))
            leaf.position, leaf.last_ticks = position, last_ticks
            leaf.order_ticks = sum(row[_POSITION:])  # as it was saved before orders were followed, there is none
            self._revalue(leaf, position.quantity)
        for scope, peak, orders, flags, nav, margin in state["nodes"]:
            node = self.nodes.get(tuple(scope)) or self._node(tuple(scope), *_numbers(scope))
            node.peak, node.nav, node.margin = peak, nav, margin
            node.orders.extend(orders)
            for control, soft_on, hard_on in flags:
                watch = node.watches.get(control)
                if watch is not None:
                    watch.soft_on = soft_on and watch.soft is not None
                    watch.hard_on = hard_on and watch.hard is not None
        self.synthetic = set(state.get("synthetic", ()))
        self._tell = tell

    # Within.

    def _node(
        self, scope: Scope, account_id: int = 0, strategy_id: int = 0, instrument_id: int = 0, *, keep: bool = True
    ) -> Node:
        node = self.nodes.get(scope)
        if node is None:
            if scope[0] == names.PORTFOLIO:
                account_id = int(scope[1])
            node = Node(scope, account_id, strategy_id, instrument_id)
            for control in {rule.control for rule in self.rules.values()}:
                self._attach(node, control)
            if keep:
                self.nodes[scope] = node
        return node

    def _leaf(self, key: tuple[int, int, int]) -> Leaf:
        leaf = Leaf(Position(key[0], key[2]), tuple(self.leaf_path(key)))
        self.leaves[key] = leaf
        held = self._of_instrument.setdefault(key[2], [])
        held.append(leaf)
        if self._measures and len(held) == 1 and not self.history.add(key[2]):
            self._measure()
        return leaf

    def _changed(self, leaf: Leaf, lots: int, sequence: int) -> None:
        """A position is another one: `lots` more."""
        if self._revalue(leaf, lots):
            self._settle(leaf.path, sequence)

    def _repriced(self, leaves: Iterable[Leaf], sequence: int = 0) -> None:
        """The price of positions is another one. Sums are looked at when all of them have it: not half way."""
        moved = [leaf for leaf in leaves if self._revalue(leaf, 0)]
        if len(moved) == 1:
            self._settle(moved[0].path, sequence)
        elif moved:
            self._settle({node.scope: node for leaf in moved for node in leaf.path}.values(), sequence)

    def _settle(self, nodes: Iterable[Node], sequence: int) -> None:
        """All sums are right: note peaks, then have limits look at them."""
        for node in nodes:
            if node.profit > node.peak:
                node.peak = node.profit
        for node in nodes:
            for control, watch in node.watches.items():
                if control not in _UNPRICED:
                    self._look(node, watch, sequence)

    def _revalue(self, leaf: Leaf, lots: int) -> bool:
        """Bring all above a position to what it is worth now; `lots`: what it holds more. Whether it changed."""
        changed = self._move(leaf, lots)
        if leaf.buys or leaf.sells:
            self._reopen(leaf)
        return changed

    def _move(self, leaf: Leaf, lots: int) -> bool:
        position, instrument_id = leaf.position, leaf.instrument_id
        mark = self._mark(leaf)
        worth = position.quantity * mark * self._instruments[instrument_id].multiplier
        net = self.units(instrument_id, worth)
        profit = self.units(instrument_id, position.realised - position.fees + worth + position.cost)
        valued = net is not None or not (position.quantity or position.realised or position.fees)
        net, profit = net or 0, profit or 0
        measured = instrument_id in self.history.rows or not position.quantity
        d_net, d_gross, d_profit = net - leaf.net, abs(net) - leaf.gross, profit - leaf.profit
        moves = (lots, d_net, d_gross, d_profit)
        if not any(moves) and valued == leaf.valued and measured == leaf.measured:
            return False
        unvalued, unmeasured = leaf.valued - valued, leaf.measured - measured
        leaf.net, leaf.gross, leaf.profit, leaf.valued, leaf.measured = net, abs(net), profit, valued, measured
        row = self.history.rows.get(instrument_id) if d_net else None
        step = self.history.returns[row] * (d_net * UNIT) if row is not None else None
        for node in leaf.path:
            node.move(instrument_id, *moves)
            node.unvalued += unvalued
            node.unmeasured += unmeasured
            if not node.watches:
                continue
            if node.positions is not None and lots:
                node.positions.set(instrument_id, self.size(instrument_id, node.lots.get(instrument_id, 0)))
            if node.notionals is not None:
                node.notionals.set(instrument_id, abs(node.nets.get(instrument_id, 0)))
            if node.scenario is not None and step is not None:
                node.scenario += step
            if instrument_id in node.opens:
                self._worsen(node, instrument_id)
        return True

    def _reopen(self, leaf: Leaf, buys: int = 0, sells: int = 0) -> None:
        """Bring what open orders may do to all above a position to what is so now: `buys`, `sells` lots more."""
        instrument_id, last_ticks = leaf.instrument_id, leaf.last_ticks or leaf.order_ticks
        held = leaf.position.quantity
        up, down, extra, seen = self.open_effect(instrument_id, held, leaf.net, leaf.buys, leaf.sells, last_ticks)
        moves = (buys, sells, up - leaf.up, down - leaf.down, extra - leaf.extra)
        unseen = leaf.seen - seen
        leaf.up, leaf.down, leaf.extra, leaf.seen = up, down, extra, seen
        if not any(moves) and not unseen:
            return
        for node in leaf.path:
            node.move_open(instrument_id, *moves)
            node.unseen += unseen
            self._worsen(node, instrument_id)

    def _worsen(self, node: Node, instrument_id: int) -> None:
        """Note the worst that open orders may lead to; 0 where there are none: then what is held says it."""
        working = instrument_id in node.opens
        if node.worst_positions is not None:
            lots = node.worst_lots(instrument_id) if working else 0
            node.worst_positions.set(instrument_id, self.size(instrument_id, lots))
        if node.worst_notionals is not None:
            node.worst_notionals.set(instrument_id, node.worst_worth(instrument_id) if working else 0)

    def _mark(self, leaf: Leaf) -> int:
        return self.mark_ticks(leaf.instrument_id, leaf.position.quantity, leaf.last_ticks)

    def _look_at(self, node: Node, control: str) -> None:
        watch = node.watches.get(control)
        if watch is not None:
            self._look(node, watch, 0)

    def _look(self, node: Node, watch: Watch, sequence: int) -> None:
        value = node.value_of(watch.rule.control, self.level)
        if value is None:
            watch.value = None
            return
        for hard, active in watch.look(value):
            self._tell(Change(node, watch, hard, active, sequence))

    def _expire(self, node: Node, watch: Watch, now_ns: int) -> None:
        orders, begin_ns = node.orders, now_ns - watch.rule.window_ns
        while orders and orders[0] <= begin_ns:
            orders.popleft()

    def _attach_all(self, control: str) -> None:
        for node in list(self.nodes.values()):
            self._attach(node, control)
            self._look_at(node, control)
        if control == names.VAR:
            self._measure()  # of scopes that were not looked at so far

    def _attach(self, node: Node, control: str) -> None:
        """Give a scope the limit that names it most closely, or none; a breach goes on as far as it still is one."""
        covering = [(rule.covers(node.scope), rule) for rule in self.rules.values() if rule.control == control]
        closest, rule = max(covering, key=lambda pair: pair[0], default=(0, None))
        before = node.watches.pop(control, None)
        watch = Watch(rule, self._release) if rule is not None and closest else None
        if before is not None:
            for hard, active in ((True, before.hard_on), (False, before.soft_on)):
                if active and (watch is None or (watch.hard if hard else watch.soft) is None):
                    self._tell(Change(node, before, hard, False, 0))
                elif active and watch is not None:
                    watch.hard_on, watch.soft_on = watch.hard_on or hard, watch.soft_on or not hard
        if watch is None:
            return
        node.watches[control] = watch
        if control == names.POSITION and node.positions is None:
            node.positions = Largest((key, self.size(key, lots)) for key, lots in node.lots.items())
            node.worst_positions = Largest((key, self.size(key, node.worst_lots(key))) for key in node.opens)
        elif control in (names.NOTIONAL, names.CONCENTRATION) and node.notionals is None:
            node.notionals = Largest((key, abs(net)) for key, net in node.nets.items())
            node.worst_notionals = Largest((key, node.worst_worth(key)) for key in node.opens)
        elif control == names.VAR and node.scenario is None:
            node.scenario = np.zeros(self.history.steps or 1)

    def _measure(self) -> None:
        """Take past returns of all that is held, and make every scope's outcomes anew."""
        self.history.measure(sorted(self._wanted | self._of_instrument.keys()))
        steps = self.history.steps or 1
        for node in self.nodes.values():
            node.unmeasured = 0
            node.scenario = np.zeros(steps) if names.VAR in node.watches else None
        for leaf in self.leaves.values():
            row = self.history.rows.get(leaf.instrument_id)
            leaf.measured = row is not None or not leaf.position.quantity
            for node in leaf.path:
                node.unmeasured += not leaf.measured
                if node.scenario is not None and row is not None and leaf.net:
                    node.scenario += self.history.returns[row] * (leaf.net * UNIT)
        for node in self.nodes.values():
            self._look_at(node, names.VAR)


def _row(position: Position) -> list[int]:
    return [
        position.account_id,
        position.instrument_id,
        position.quantity,
        position.cost,
        position.realised,
        position.fees,
    ]


def _numbers(scope: Sequence[str]) -> tuple[int, int]:
    """Account and strategy of a scope that has no positions of its own."""
    if scope[0] in (names.FIRM, names.DESK):
        return 0, 0
    return int(scope[1]), int(scope[2]) if len(scope) > 2 else 0


def _silent(change: Change) -> None:
    """Nobody is told."""


__all__ = ["Change", "LimitTree"]
