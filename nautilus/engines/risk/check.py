"""What proposed orders would do to the limits of the tree, before they are sent.

Nobody knows which of them will be filled: the limits are looked at as if all were, as if only the buys were, and as if
only the sells were; the worst counts. What cannot be known is a violation of a hard limit: who cannot be shown to be
within it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nautilus.engines.risk import limits as names
from nautilus.engines.risk.limits import text_of
from nautilus.engines.risk.nodes import UNIT, Largest, Node, value_at_risk
from nautilus.engines.risk.tree import LimitTree
from nautilus.model.enums import Side
from nautilus.model.risk import LimitViolation

_STANDING = (names.LOSS, names.DRAWDOWN, names.MARGIN)
"""No order changes these at once; they forbid what makes a position larger."""


class Proposal(NamedTuple):
    """An order in whole numbers; `price_ticks` 0: none was given."""

    instrument_id: int
    strategy_id: int
    side: Side
    lots: int
    price_ticks: int


class _Effect:
    """What a set of fills adds to one scope."""

    __slots__ = ("gross", "lots", "net", "nets", "unpriced", "unvalued")

    def __init__(self) -> None:
        self.net = self.gross = 0
        self.lots: dict[int, int] = {}
        self.nets: dict[int, int] = {}
        self.unvalued = self.unpriced = False


class CheckedOrders(NamedTuple):
    """Violations of hard limits and of soft ones, and how many limits were looked at."""

    violations: tuple[LimitViolation, ...]
    warnings: tuple[LimitViolation, ...]
    checked: int


def check(tree: LimitTree, account_id: int, orders: Sequence[Proposal], now_ns: int) -> CheckedOrders:
    """Look at every limit above the portfolio, on it, and on the strategies and positions that the orders touch."""
    nodes = {node.scope: node for node in tree.path(account_id, keep=False)}
    for order in orders:
        key = (account_id, order.strategy_id, order.instrument_id)
        nodes |= {node.scope: node for node in tree.leaf_path(key, keep=False)}
    if not orders:
        mine = str(account_id)
        nodes |= {scope: node for scope, node in tree.nodes.items() if len(scope) > 2 and scope[1] == mine}
    fills = _fills(orders)
    grows = any(_grows(tree, account_id, fill) for fill in fills)
    found: dict[tuple[str, str, bool], LimitViolation] = {}
    checked = 0
    effects = [_effects(tree, account_id, fill) for fill in fills]
    for node in nodes.values():
        for control, watch in node.watches.items():
            checked += 1
            before = _value(tree, node, control, _Effect(), 0, now_ns)
            for effect in effects or [{}]:
                here = effect.get(node.scope, _Effect())
                value, reason = _value(tree, node, control, here, len(orders), now_ns)
                for hard, limit in ((True, watch.hard), (False, watch.soft)):
                    if limit is None or (value is not None and value <= limit):
                        continue
                    if orders and value is not None and before[0] is not None:
                        eased = value < before[0] if control not in _STANDING else not grows
                        if eased:
                            continue
                    name = (text_of(node.scope), control, hard)
                    worst = found.get(name)
                    if worst is None or value is None or (worst.value is not None and value > worst.value):
                        found[name] = LimitViolation(*name, value, limit, reason)
    hard_ones = tuple(violation for violation in found.values() if violation.hard)
    return CheckedOrders(hard_ones, tuple(each for each in found.values() if not each.hard), checked)


def _fills(orders: Sequence[Proposal]) -> list[list[Proposal]]:
    """All, and only those of each side where there are both."""
    sides = [[order for order in orders if order.side is side] for side in (Side.BUY, Side.SELL)]
    return [list(orders), *sides] if all(sides) else [list(orders)] if orders else []


def _grows(tree: LimitTree, account_id: int, fill: Iterable[Proposal]) -> bool:
    """Whether a position becomes larger, or turns round."""
    for (strategy_id, instrument_id), lots in _lots(fill).items():
        leaf = tree.leaves.get((account_id, strategy_id, instrument_id))
        held = leaf.position.quantity if leaf is not None else 0
        if lots and (held * lots >= 0 or abs(lots) > abs(held)):
            return True
    return False


def _lots(fill: Iterable[Proposal]) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    for order in fill:
        key = (order.strategy_id, order.instrument_id)
        found[key] = found.get(key, 0) + (order.lots if order.side is Side.BUY else -order.lots)
    return found


def _effects(tree: LimitTree, account_id: int, fill: Sequence[Proposal]) -> dict[tuple[str, ...], _Effect]:
    prices = {order.instrument_id: order.price_ticks for order in fill if order.price_ticks}
    effects: dict[tuple[str, ...], _Effect] = {}
    for (strategy_id, instrument_id), lots in _lots(fill).items():
        key = (account_id, strategy_id, instrument_id)
        leaf = tree.leaves.get(key)
        held, last, net, gross = (
            (leaf.position.quantity, leaf.last_ticks, leaf.net, leaf.gross) if leaf is not None else (0, 0, 0, 0)
        )
        after = held + lots
        mark = tree.mark_ticks(instrument_id, after, last or prices.get(instrument_id, 0))
        worth = tree.units(instrument_id, after * mark * tree.multiplier(instrument_id))
        for node in tree.leaf_path(key, keep=False):
            effect = effects.setdefault(node.scope, _Effect())
            effect.lots[instrument_id] = effect.lots.get(instrument_id, 0) + lots
            effect.unpriced |= bool(after) and not mark
            effect.unvalued |= bool(after) and worth is None
            change = (worth or 0) - net
            effect.net += change
            effect.nets[instrument_id] = effect.nets.get(instrument_id, 0) + change
            effect.gross += abs(worth or 0) - gross
    return effects


def _value(
    tree: LimitTree, node: Node, control: str, effect: _Effect, orders: int, now_ns: int
) -> tuple[float | None, str]:
    """What a limit would be compared with; None, and why it cannot be known."""
    if control == names.ORDER_RATE:
        begin_ns = now_ns - node.watches[control].rule.window_ns
        return float(orders + sum(time > begin_ns for time in node.orders)), ""
    if control == names.POSITION:
        assert node.positions is not None
        sizes = {key: tree.size(key, node.lots.get(key, 0) + lots) for key, lots in effect.lots.items()}
        return _largest_with(node.positions, sizes), ""
    if control == names.MARGIN:
        return (node.margin, "") if node.margin is not None else (None, "no margin status")
    if node.unvalued or effect.unvalued:
        return None, "no rate of a currency"
    if control in (names.LOSS, names.DRAWDOWN):
        return node.value_of(control, tree.level), ""
    if effect.unpriced:
        return None, "no price"
    gross = node.gross + effect.gross
    if control == names.GROSS:
        return gross * UNIT, ""
    if control == names.NET:
        return abs(node.net + effect.net) * UNIT, ""
    if control == names.LEVERAGE:
        if node.nav is None or node.nav <= 0.0:
            return None, "no net asset value"
        return gross * UNIT / node.nav, ""
    if control == names.VAR:
        rows = tree.history.rows
        if node.scenario is None or node.unmeasured or any(key not in rows for key, net in effect.nets.items() if net):
            return None, "no history of a position"
        outcomes = node.scenario
        for key, net in effect.nets.items():
            if net:
                outcomes = outcomes + tree.history.returns[rows[key]] * (net * UNIT)
        return value_at_risk(outcomes, tree.level), ""
    assert node.notionals is not None
    sizes = {key: float(abs(node.nets.get(key, 0) + net)) for key, net in effect.nets.items()}
    largest = _largest_with(node.notionals, sizes)
    if control == names.NOTIONAL:
        return largest * UNIT, ""
    return (largest / gross if gross else 0.0), ""


def _largest_with(values: Largest, changed: dict[int, float]) -> float:
    """The largest if these were so; the values are as before afterwards."""
    before = {key: values.get(key) or 0.0 for key in changed}
    for key, value in changed.items():
        values.set(key, value)
    top = values.top
    for key, value in before.items():
        values.set(key, value)
    return top


__all__ = ["CheckedOrders", "Proposal", "check"]
