"""Set the two traces of a flow side by side. What differs is a rule named in RULES, or it is a mismatch.

Each rule takes the own events of one step on both sides and either says that it does not hold, or gives both back with
exactly the words taken out that it explains. docs/differential.md gives the reason of each; a test keeps the two lists
the same. Nothing else is left out of the comparison: events of each step in their order, position, and price and
leaves of every open order after each step, books where the flow asks for them, and every order's end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.kit.differential.steps import BUY, Event, Step, Trace

# What the peer says in sentences, in the kernel's words: these are names of the same thing, not differences.
SENTENCES = (
    (re.compile(r"POST_ONLY .* would have been a TAKER"), ("WOULD_CROSS",)),
    (re.compile(r"ClientOrderId\('\d+'\) not found"), ("CLOSED_ORDER", "UNKNOWN_ORDER")),
    (re.compile(r"REDUCE_ONLY .* would have increased position"), ("REDUCE_ONLY",)),
)
Pair = tuple[list[Event], list[Event]]


@dataclass(slots=True)
class Report:
    """What one or more comparisons found."""

    flows: int = 0
    steps: int = 0
    words: Counter[str] = field(default_factory=Counter)  # own events compared, by word
    rules: Counter[str] = field(default_factory=Counter)  # differences of rules, by name
    mismatches: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Sum with another report."""
        self.flows += other.flows
        self.steps += other.steps
        self.words += other.words
        self.rules += other.rules
        self.mismatches += other.mismatches

    def __str__(self) -> str:
        words = ", ".join(f"{count} {word}" for word, count in sorted(self.words.items()))
        rules = ", ".join(f"{count} {name}" for name, count in sorted(self.rules.items())) or "none"
        return (
            f"{self.flows} flows, {self.steps} steps; own events: {words or 'none'}; differences of rules: {rules}; "
            f"mismatches: {len(self.mismatches)}"
        )


class Context:
    """What the rules may look at: how each own order was entered."""

    def __init__(self) -> None:
        self.entered: dict[int, Step] = {}


def compare(flow: list[Step], ours: Trace, theirs: Trace, *, name: str = "flow", context_steps: int = 12) -> Report:
    """Compare both traces of `flow`, each with the answer to `final` as its last line. Ends at the first mismatch."""
    report = Report(flows=1, steps=len(flow))
    if not len(ours) == len(theirs) == len(flow) + 1:
        report.mismatches.append(f"{name}: {len(flow)} steps, {len(ours)} and {len(theirs)} answers")
        return report
    context = Context()
    for row, (step, mine, other) in enumerate(zip(flow, ours, theirs, strict=False)):
        if step["do"] == "new":
            context.entered[step["id"]] = step
        found = _compare_step(mine, other, context, report)
        if found:
            history = "\n".join(f"    {earlier}" for earlier in flow[max(0, row - context_steps) : row + 1])
            report.mismatches.append(f"{name}, step {row}: {found}\n{history}")
            return report
    report.mismatches += [f"{name}, end: {found}" for found in _compare_end(ours[-1], theirs[-1], report)]
    return report


def _compare_step(mine: dict[str, Any], other: dict[str, Any], context: Context, report: Report) -> str:
    pair: Pair = ([list(event) for event in mine["events"]], [list(event) for event in other["events"]])
    report.words += Counter(event[0] for event in pair[0])
    while True:
        pair = _same_names(pair)
        if pair[0] == pair[1]:
            break
        for rule_name, rule in RULES.items():
            explained = rule(*pair, context)
            if explained is not None:
                report.rules[rule_name] += 1
                pair = explained
                break
        else:
            return f"events differ\n  kernel {mine['events']}\n  peer   {other['events']}\n  left   {pair}"
    for what in ("position", "open", "book"):
        if mine.get(what) != other.get(what):
            return f"{what} differs: kernel {mine.get(what)}, peer {other.get(what)} (events {mine['events']})"
    return ""


def _compare_end(mine: dict[str, Any], other: dict[str, Any], report: Report) -> list[str]:
    theirs = {int(order): end for order, end in other["orders"].items()}
    ours = {int(order): end for order, end in mine["orders"].items()}
    found = [
        f"order {order}: kernel {ours.get(order)}, peer {theirs.get(order)}"
        for order in sorted(ours.keys() | theirs.keys())
        if ours.get(order) != theirs.get(order)
    ]
    if mine["position"] != other["position"]:
        found.append(f"position: kernel {mine['position']}, peer {other['position']}")
    # The kernel rounds the cost of each closing fill to a whole unit; the peer keeps an average price in floats.
    # Where a rule explained another price, what was paid differs by it.
    rounding = report.words["filled"] + 1e-9 * abs(mine["cost"])
    same_prices = not report.rules["stop-limit-fills-at-its-trigger"]
    if same_prices and abs(mine["cost"] - other["cost"]) > rounding:
        found.append(f"cost of what is held: kernel {mine['cost']}, peer {other['cost']}")
    return found


def _same_names(pair: Pair) -> Pair:
    ours, theirs = pair
    for event in theirs:
        if event[0] in ("rejected", "refused"):
            for mine in ours:
                if mine[:2] == event[:2] and any(
                    sentence.search(event[2]) and mine[2] in names for sentence, names in SENTENCES
                ):
                    event[2] = mine[2]
    return ours, theirs


def _without(events: list[Event], row: int) -> list[Event]:
    return events[:row] + events[row + 1 :]


def _market_is_not_accepted(ours: list[Event], theirs: list[Event], context: Context) -> Pair | None:
    for row, event in enumerate(ours):
        if event[0] == "accepted" and context.entered[event[1]]["type"] in ("market", "stop"):
            answered = any(other[1] == event[1] for other in theirs)
            if answered and ["accepted", event[1]] not in theirs:
                return _without(ours, row), theirs
    return None


def _stop_market_tells_no_trigger(ours: list[Event], theirs: list[Event], context: Context) -> Pair | None:
    for row, event in enumerate(ours):
        if event[0] == "triggered" and context.entered[event[1]]["type"] == "stop" and event not in theirs:
            return _without(ours, row), theirs
    return None


def _expiry_order(ours: list[Event], theirs: list[Event], context: Context) -> Pair | None:
    rows = [row for row, event in enumerate(theirs) if event[0] == "expired"]
    theirs_expired = [theirs[row] for row in rows]
    ours_expired = [event for event in ours if event[0] == "expired"]
    if theirs_expired == ours_expired or sorted(theirs_expired) != sorted(ours_expired):
        return None
    changed = list(theirs)
    for row, event in zip(rows, ours_expired, strict=True):
        changed[row] = event
    return ours, changed


def _stop_limit_fills_at_its_trigger(ours: list[Event], theirs: list[Event], context: Context) -> Pair | None:
    """The first fill at the trigger: the peer fills the first lot of a triggered stop-limit at the trigger price."""
    for row, event in enumerate(ours):
        if row >= len(theirs) or event == theirs[row]:
            continue
        other = theirs[row]
        if event[0] != "filled" or other[:2] != event[:2] or other[3] != event[3]:
            return None
        entered = context.entered[event[1]]
        better = other[2] <= event[2] if entered["side"] == BUY else other[2] >= event[2]
        if entered["type"] == "stop_limit" and other[2] == entered["trigger"] and better:
            return ours, [*theirs[:row], event, *theirs[row + 1 :]]
        return None
    return None


RULES: dict[str, Callable[[list[Event], list[Event], Context], Pair | None]] = {
    "market-is-not-accepted": _market_is_not_accepted,
    "stop-market-tells-no-trigger": _stop_market_tells_no_trigger,
    "expiry-order": _expiry_order,
    "stop-limit-fills-at-its-trigger": _stop_limit_fills_at_its_trigger,
}
