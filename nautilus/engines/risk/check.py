"""What proposed orders would do to the limits of the tree, before they are sent.

Nobody knows which of them will be filled: the limits are looked at as if all were, as if only the buys were, only the
sells, and only those that make a position larger; the worst counts. To each of these come the open orders of everybody
under the limit, filled so that it is worst, as the core counts them. What cannot be known is a violation of a hard
limit: who cannot be shown to be within it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from nautilus.engines.risk import limits as names
from nautilus.engines.risk.limits import text_of
from nautilus.engines.risk.nodes import UNIT, Largest, Node, Outcomes, value_at_risk, worst
from nautilus.engines.risk.tree import NO_RATE, LimitTree
from nautilus.model.enums import Side
from nautilus.model.risk import LimitViolation

METHOD: Final = (
    "limits as if all orders, only buys, only sells, only those that make a position larger were filled; with each, "
    "open orders of everybody under a limit filled so that it is worst (var: none, buys, sells, all)"
)
_STANDING = (names.LOSS, names.DRAWDOWN, names.MARGIN)
"""No order changes these at once; they forbid what makes a position larger."""
_OPEN_UNSEEN = "no price or rate of an open order"


class Proposal(NamedTuple):
    """An order in whole numbers; `price_ticks` 0: none was given."""

    instrument_id: int
    strategy_id: int
    side: Side
    lots: int
    price_ticks: int


class _Change:
    """What a set of fills adds to one instrument of a scope: lots, worth, and what open orders may do to that."""

    __slots__ = ("down", "lots", "net", "up")

    def __init__(self) -> None:
        self.lots = self.net = self.up = self.down = 0


class _Effect:
    """What a set of fills adds to one scope."""

    __slots__ = ("changes", "extra", "gross", "reason")

    def __init__(self) -> None:
        self.gross = self.extra = 0
        self.changes: dict[int, _Change] = {}
        self.reason = ""


class _OpenOutcomes(NamedTuple):
    """Profits at past returns that open orders of a scope would add: those to buy, those to sell."""

    buys: Outcomes
    sells: Outcomes


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
    fills = _fills(tree, account_id, orders)
    grows = any(_grows(tree, account_id, fill) for fill in fills)
    found: dict[tuple[str, str, bool], LimitViolation] = {}
    checked = 0
    effects = [_effects(tree, account_id, fill) for fill in fills]
    for node in nodes.values():
        opens = _open_outcomes(tree, node)
        for control, watch in node.watches.items():
            checked += 1
            before, _ = _value(tree, node, control, _Effect(), opens, 0, now_ns)
            for effect in effects or [{}]:
                here = effect.get(node.scope, _Effect())
                value, reason = _value(tree, node, control, here, opens, len(orders), now_ns)
                for hard, limit in ((True, watch.hard), (False, watch.soft)):
                    if limit is None or (value is not None and value <= limit):
                        continue
                    if orders and value is not None and before is not None:
                        eased = value < before if control not in _STANDING else not grows
                        if eased:
                            continue
                    name = (text_of(node.scope), control, hard)
                    last = found.get(name)
                    if last is None or value is None or (last.value is not None and value > last.value):
                        found[name] = LimitViolation(*name, value, limit, reason)
    hard_ones = tuple(violation for violation in found.values() if violation.hard)
    return CheckedOrders(hard_ones, tuple(each for each in found.values() if not each.hard), checked)


def _fills(tree: LimitTree, account_id: int, orders: Sequence[Proposal]) -> list[list[Proposal]]:
    """All; only those of each side where there are both; only those that make a position larger."""
    if not orders:
        return []
    sides = [[order for order in orders if order.side is side] for side in (Side.BUY, Side.SELL)]
    fills = [list(orders), *sides] if all(sides) else [list(orders)]
    growing = _growing(tree, account_id, orders)
    return [*fills, growing] if growing and growing not in fills else fills


def _growing(tree: LimitTree, account_id: int, orders: Sequence[Proposal]) -> list[Proposal]:
    """Of each position the side that makes it the largest, if one does."""
    found = []
    sides: dict[tuple[int, int], dict[Side, int]] = {}
    for order in orders:
        lots = sides.setdefault((order.strategy_id, order.instrument_id), {Side.BUY: 0, Side.SELL: 0})
        lots[order.side] += order.lots
    for order in orders:
        strategy_id, instrument_id = key = (order.strategy_id, order.instrument_id)
        leaf = tree.leaves.get((account_id, strategy_id, instrument_id))
        held = leaf.position.quantity if leaf is not None else 0
        bought, sold = abs(held + sides[key][Side.BUY]), abs(held - sides[key][Side.SELL])
        if max(bought, sold) > abs(held) and order.side is (Side.BUY if bought >= sold else Side.SELL):
            found.append(order)
    return found


def _grows(tree: LimitTree, account_id: int, fill: Iterable[Proposal]) -> bool:
    """Whether a position becomes larger, or turns round, with the open orders that take the same side."""
    for (strategy_id, instrument_id), lots in _lots(fill).items():
        leaf = tree.leaves.get((account_id, strategy_id, instrument_id))
        held, besides = 0, 0
        if leaf is not None:
            held, besides = leaf.position.quantity, leaf.buys if lots > 0 else leaf.sells
        if lots and (held * lots >= 0 or abs(lots) + besides > abs(held)):
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
        held = last = net = buys = sells = up = down = extra = 0
        if leaf is not None:
            held, last, net = leaf.position.quantity, leaf.last_ticks or leaf.order_ticks, leaf.net
            buys, sells, up, down, extra = leaf.buys, leaf.sells, leaf.up, leaf.down, leaf.extra
        last = last or prices.get(instrument_id, 0)
        worth, reason = tree.worth_of(instrument_id, held + lots, last)
        after = tree.open_effect(instrument_id, held + lots, worth, buys, sells, last)
        for node in tree.leaf_path(key, keep=False):
            effect = effects.setdefault(node.scope, _Effect())
            effect.reason = effect.reason or reason or ("" if after[3] else _OPEN_UNSEEN)
            effect.gross += abs(worth) - abs(net)
            effect.extra += after[2] - extra
            change = effect.changes.setdefault(instrument_id, _Change())
            change.lots += lots
            change.net += worth - net
            change.up += after[0] - up
            change.down += after[1] - down
    return effects


def _value(
    tree: LimitTree,
    node: Node,
    control: str,
    effect: _Effect,
    opens: _OpenOutcomes | str | None,
    orders: int,
    now_ns: int,
) -> tuple[float | None, str]:
    """What a limit would be compared with; None, and why it cannot be known."""
    changes = effect.changes
    if control == names.ORDER_RATE:
        begin_ns = now_ns - node.watches[control].rule.window_ns
        return float(orders + sum(time > begin_ns for time in node.orders)), ""
    if control == names.POSITION:
        sizes = {key: tree.size(key, node.worst_lots(key, change.lots)) for key, change in changes.items()}
        return _largest_with((node.positions, node.worst_positions), sizes), ""
    if control == names.MARGIN:
        return (node.margin, "") if node.margin is not None else (None, "no margin status")
    if node.unvalued or effect.reason == NO_RATE:
        return None, NO_RATE
    if control in (names.LOSS, names.DRAWDOWN):
        return node.value_of(control, tree.level), ""
    if effect.reason or node.unseen:
        return None, effect.reason or _OPEN_UNSEEN
    net = sum(change.net for change in changes.values())
    gross = node.gross + effect.gross
    if control in (names.GROSS, names.LEVERAGE):
        most = (gross + node.extra + effect.extra) * UNIT
        if control == names.GROSS:
            return most, ""
        if node.nav is None or node.nav <= 0.0:
            return None, "no net asset value"
        return most / node.nav, ""
    if control == names.NET:
        up = node.up + sum(change.up for change in changes.values())
        down = node.down + sum(change.down for change in changes.values())
        return worst(node.net + net, up, down) * UNIT, ""
    if control == names.VAR:
        return _value_at_risk(tree, node, changes, opens)
    if control == names.NOTIONAL:
        worths = {key: node.worst_worth(key, each.net, each.up, each.down) for key, each in changes.items()}
        return _largest_with((node.notionals, node.worst_notionals), worths) * UNIT, ""
    assert control == names.CONCENTRATION, control
    return _concentration(node, changes, gross), ""


def _concentration(node: Node, changes: Mapping[int, _Change], gross: int) -> float:
    """The largest part that an instrument may come to be: as it is, or with its own open orders and no others."""
    worths = {key: abs(node.nets.get(key, 0) + change.net) for key, change in changes.items()}
    largest = _largest_with((node.notionals,), worths) / gross if gross else 0.0
    for key in node.opens.keys() | changes.keys():
        change = changes.get(key) or _Change()
        alone = node.worst_worth(key, change.net, change.up, change.down)
        whole = gross + alone - abs(node.nets.get(key, 0) + change.net)
        largest = max(largest, alone / whole if whole else 0.0)
    return largest


def _open_outcomes(tree: LimitTree, node: Node) -> _OpenOutcomes | str | None:
    """None: there are no open orders; a text: why they have none."""
    if not node.opens or node.scenario is None:
        return None
    rows = tree.history.rows
    if not all(key in rows for key in node.opens):
        return "no history of an open order"
    places = [rows[key] for key in node.opens]
    returns = tree.history.returns[places]
    worths = [[getattr(each, side) * UNIT for each in node.opens.values()] for side in ("up", "down")]
    return _OpenOutcomes(*np.asarray(worths) @ returns)


def _value_at_risk(
    tree: LimitTree, node: Node, changes: Mapping[int, _Change], opens: _OpenOutcomes | str | None
) -> tuple[float | None, str]:
    rows, returns = tree.history.rows, tree.history.returns
    moved = [key for key, each in changes.items() if each.net or each.up or each.down]
    if node.scenario is None or node.unmeasured or any(key not in rows for key in moved):
        return None, "no history of a position"
    if isinstance(opens, str):
        return None, opens
    outcomes = node.scenario
    for key in moved:
        outcomes = outcomes + returns[rows[key]] * (changes[key].net * UNIT)
    if opens is None:
        return value_at_risk(outcomes, tree.level), ""
    buys, sells = opens
    for key in moved:
        buys = buys + returns[rows[key]] * (changes[key].up * UNIT)
        sells = sells + returns[rows[key]] * (changes[key].down * UNIT)
    cases = (outcomes, outcomes + buys, outcomes + sells, outcomes + buys + sells)
    return max(value_at_risk(case, tree.level) for case in cases), ""


def _largest_with(parts: Iterable[Largest | None], changed: Mapping[int, float]) -> float:
    """The largest of all if these were so; the values are as before afterwards."""
    largest = 0.0
    for values in parts:
        assert values is not None
        before = {key: values.get(key) or 0.0 for key in changed}
        for key, value in changed.items():
            values.set(key, value)
        largest = max(largest, values.top)
        for key, value in before.items():
            values.set(key, value)
    return largest


__all__ = ["METHOD", "CheckedOrders", "Proposal", "check"]
