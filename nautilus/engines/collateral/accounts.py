"""Accounts as margin sees them: columns of positions, and the requirement of each margin group, kept up to date.

What an event changes is worked out anew for the margin groups that it touches alone; sums over groups are trees, so an
event costs the same in an account of ten positions and of ten thousand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.engines.collateral.marks import Marks
from nautilus.engines.collateral.registry import Facts, Registry
from nautilus.maths import haircuts, margin, offsets
from nautilus.maths.concentration import Sizes
from nautilus.maths.errors import Undefined
from nautilus.maths.margin_book import CALL, POSITION, PUT
from nautilus.maths.normal import cdf

YEAR_NS: Final = 365 * 86_400 * 10**9
HEAVY_LEGS: Final = 64
HEAVY_NS: Final = 100_000_000
"""A margin group of more positions than `HEAVY_LEGS` is worked out anew at most so often."""
Rows = npt.NDArray[np.void]


class Summary(NamedTuple):
    """An account's numbers now; money in the reporting currency."""

    equity: float | None
    initial: float
    maintenance: float
    collateral: float
    concentration: float
    credit: float

    @property
    def excess(self) -> float | None:
        """Equity less maintenance."""
        return None if self.equity is None else self.equity - self.maintenance

    @property
    def usage(self) -> float | None:
        """Maintenance by equity; None without equity above 0."""
        return self.maintenance / self.equity if self.equity is not None and self.equity > 0 else None


def deltas(rows: Rows) -> npt.NDArray[np.float64]:
    """Change of each position's value by a full move of its underlying, in money.

    Delta times the underlying's value.
    """
    kind = rows["kind"]
    delta = np.ones(len(rows))
    option = np.flatnonzero(((kind == CALL) | (kind == PUT)) & (rows["spot"] > 0))
    delta[(kind == CALL) | (kind == PUT)] = 0.0
    if len(option):
        held = rows[option]
        sign = np.where(held["kind"] == CALL, 1.0, -1.0)
        spread = np.maximum(held["sigma"] * np.sqrt(np.maximum(held["years"], 0.0)), 1e-9)
        drift = (held["rate"] - held["yield_rate"]) * held["years"]
        d1 = (np.log(held["spot"] / held["strike"]) + drift) / spread + 0.5 * spread
        delta[option] = sign * np.exp(-held["yield_rate"] * held["years"]) * cdf(sign * d1)
    return delta


class Account:
    """One portfolio.

    Parameters
    ----------
    portfolio_id
        Of its account in the core.

    Attributes
    ----------
    synthetic : places of what is held whose mark, or whose underlying's, is not as a venue sent it.
    nav_synthetic : the same of a mark or rate in the value that the portfolio engine told.
    """

    def __init__(self, portfolio_id: int) -> None:
        self.portfolio_id = portfolio_id
        self.rows: Rows = np.zeros(8, POSITION)
        self.lots: list[int] = []
        self.ids: list[int] = []
        self.facts: list[Facts] = []
        self.slot_of: dict[int, int] = {}
        self.slots_of: dict[int, list[int]] = {}
        self.codes: dict[int, str] = {}
        self.dirty: set[int] = set()
        self.worked_ns: dict[int, int] = {}
        self.initial, self.maintenance, self.exposure, self.value = Sizes(), Sizes(), Sizes(), Sizes()
        self.signed: dict[int, float] = {}
        self.synthetic: set[int] = set()
        self.nav: float | None = None
        self.nav_synthetic = False
        self.reference = 0.0
        self.nav_ns = 0
        self.collateral = 0.0
        self.call = False
        self.warning = False
        self.day = 0
        self.published: tuple[float, float, int, bool] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def slot(self, instrument_id: int, registry: Registry, day: int) -> int:
        """The place of an instrument, made where it is new."""
        slot = self.slot_of.get(instrument_id)
        if slot is None:
            slot = len(self.ids)
            if slot == len(self.rows):
                self.rows = np.concatenate([self.rows, np.zeros(len(self.rows), POSITION)])
            self.ids.append(instrument_id)
            self.lots.append(0)
            self.slot_of[instrument_id] = slot
            facts = registry.facts(instrument_id, day)
            self.facts.append(facts)
            self._take(slot, facts)
        return slot

    def copy(self) -> Account:
        """Its positions, to try something on; without the sums over groups."""
        other = Account(self.portfolio_id)
        other.rows, other.lots, other.ids, other.facts = self.rows.copy(), [*self.lots], [*self.ids], [*self.facts]
        other.slot_of, other.synthetic = dict(self.slot_of), set(self.synthetic)
        other.nav_synthetic = self.nav_synthetic
        return other

    def rests_on_synthetic(self, slots: Iterable[int]) -> bool:
        """Whether margin of these positions, beside the value, rests on a mark that is not as a venue sent it."""
        return self.nav_synthetic or not self.synthetic.isdisjoint(slots)

    def expire(self, now_ns: int) -> None:
        """Look again at groups with a position whose end has come since."""
        for slot, facts in enumerate(self.facts):
            if facts.expiry_ns and facts.expiry_ns <= now_ns and self.lots[slot] and slot not in self.codes:
                self.dirty.add(int(facts.row["group"]))

    def refresh(self, registry: Registry, day: int) -> None:
        """Read the facts of every position anew: terms, rates or the day changed."""
        self.slots_of.clear()
        self.dirty.update(self.signed)
        for slot, instrument_id in enumerate(self.ids):
            facts = registry.facts(instrument_id, day)
            self.facts[slot] = facts
            self._take(slot, facts)
        self.day = day

    def _take(self, slot: int, facts: Facts) -> None:
        kept = {name: self.rows[name][slot] for name in ("quantity", "price", "spot")}
        sigma = self.rows["sigma"][slot]
        self.rows[slot] = facts.row
        for name, value in kept.items():
            self.rows[name][slot] = value
        if sigma > 0:
            self.rows["sigma"][slot] = sigma
        group = int(facts.row["group"])
        self.slots_of.setdefault(group, []).append(slot)
        self.dirty.add(group)

    def set_lots(self, slot: int, lots: int) -> None:
        """A position changed; what was traded was paid for, so the value of the account stays."""
        before = self.value[slot]
        self.lots[slot] = lots
        self.rows["quantity"][slot] = lots * self.facts[slot].lot
        self.revalue(slot)
        self.reference += self.value[slot] - before
        self.dirty.add(int(self.rows["group"][slot]))

    def mark(self, slot: int, marks: Marks) -> None:
        """Take the marks that there are for a position."""
        key, own = self.ids[slot], self.facts[slot].underlying_id
        if own in marks:
            self.set_spot(slot, marks.prices[own])
        if key in marks:
            self.set_price(slot, marks.prices[key])
        self.note_marks(slot, marks)

    def note_marks(self, slot: int, marks: Marks) -> None:
        """Keep whether the marks of a position are as a venue sent them."""
        if self.lots[slot] and not marks.synthetic.isdisjoint((self.ids[slot], self.facts[slot].underlying_id)):
            self.synthetic.add(slot)
        else:
            self.synthetic.discard(slot)

    def set_price(self, slot: int, price: float) -> None:
        """The mark of a position; what is no option is its own underlying."""
        self.rows["price"][slot] = price
        if not self.facts[slot].underlying_id:
            self.rows["spot"][slot] = price
        first = slot in self.codes and self.codes[slot] == "empty"
        before = self.value[slot]
        self.revalue(slot)
        if first:
            self.reference += self.value[slot] - before
        if self.lots[slot]:
            self.dirty.add(int(self.rows["group"][slot]))

    def set_spot(self, slot: int, price: float) -> None:
        """The price of an option's underlying."""
        self.rows["spot"][slot] = price
        if self.lots[slot]:
            self.dirty.add(int(self.rows["group"][slot]))

    def revalue(self, slot: int) -> None:
        """Keep the value of a position in the sum of values."""
        row = self.rows[slot]
        self.value[slot] = float(row["quantity"] * row["price"] * row["multiplier"])

    def equity(self) -> float | None:
        """Net value as the portfolio engine told it, moved by what marks changed since, and collateral."""
        if self.nav is None:
            return None
        return self.nav + self.value.total - self.reference + self.collateral

    def usable(self, slots: Iterable[int], now_ns: int, priced: Marks) -> list[int]:
        """Those slots that can be margined; the others' codes are noted."""
        good = []
        rows, facts = self.rows, self.facts
        for slot in slots:
            self.codes.pop(slot, None)
            if not self.lots[slot]:
                continue
            found = facts[slot]
            code = found.code
            if not code and found.expiry_ns and found.expiry_ns <= now_ns:
                code = "expired"
            elif not code and (
                self.ids[slot] not in priced or (found.underlying_id and found.underlying_id not in priced)
            ):
                code = "empty"
            elif not code and rows["price"][slot] < 0 and rows["kind"][slot] != 3:
                code = "negative_price"
            if code:
                self.codes[slot] = code
            else:
                good.append(slot)
        return good

    def margined(
        self, regime: str, rules: margin.Rules, now_ns: int, priced: Marks
    ) -> tuple[list[int], Rows, margin.Requirement]:
        """Places that can be margined, their rows, and what all of them require, worked out anew.

        Groups of which the margin is not defined are left out; their codes are noted.
        """
        good = self.usable(range(len(self)), now_ns, priced)
        rows = self.book(good, now_ns)
        try:
            return good, rows, margin.requirement(rows, regime, rules)
        except Undefined:
            for group in np.unique(rows["group"]).tolist():
                slots = [slot for slot in good if self.rows["group"][slot] == group]
                try:
                    margin.requirement(self.book(slots, now_ns), regime, rules)
                except Undefined as error:
                    self.codes.update(dict.fromkeys(slots, error.code))
        good = [slot for slot in good if slot not in self.codes]
        rows = self.book(good, now_ns)
        return good, rows, margin.requirement(rows, regime, rules)

    def book(self, slots: list[int], now_ns: int) -> Rows:
        """A copy of rows with their time to expiry now, and their deltas in contracts."""
        rows: Rows = self.rows[slots]
        option = rows["strike"] > 0
        if option.any():
            rows["years"][option] = (rows["month"][option] - now_ns) / YEAR_NS
            rows["delta"] = deltas(rows)
        return rows

    def update(self, regime: str, rules: margin.Rules, now_ns: int, priced: Marks) -> None:
        """Work out the margin of the groups that something touched."""
        if not self.dirty:
            return
        groups = self._due(now_ns)
        if not groups:
            return
        slots = [slot for group in groups for slot in self.slots_of.get(group, ())]
        good = self.usable(slots, now_ns, priced)
        for group in groups:
            self._set(group, 0.0, 0.0, 0.0)
        if not good:
            return
        rows = self.book(good, now_ns)
        try:
            found = margin.requirement(rows, regime, rules)
        except Undefined:
            for group in groups:
                self._alone(group, good, regime, rules, now_ns)
            return
        self._keep(rows, found)

    def _due(self, now_ns: int) -> list[int]:
        """Groups to work out now: those of many options wait a little, as their pairing takes milliseconds."""
        due = []
        for group in sorted(self.dirty):
            if len(self.slots_of.get(group, ())) > HEAVY_LEGS:
                if now_ns - self.worked_ns.get(group, -HEAVY_NS) < HEAVY_NS:
                    continue
                self.worked_ns[group] = now_ns
            due.append(group)
        self.dirty.difference_update(due)
        return due

    def _alone(self, group: int, good: list[int], regime: str, rules: margin.Rules, now_ns: int) -> None:
        """One group by itself: where its margin is not defined, its positions are left out, with the code."""
        slots = [slot for slot in good if self.rows["group"][slot] == group]
        if not slots:
            return
        rows = self.book(slots, now_ns)
        try:
            self._keep(rows, margin.requirement(rows, regime, rules))
        except Undefined as error:
            self.codes.update(dict.fromkeys(slots, error.code))

    def _keep(self, rows: Rows, found: margin.Requirement) -> None:
        each = rows["quantity"] * rows["multiplier"] * rows["spot"] * rows["delta"]
        order, starts = found.groups.order, found.groups.starts
        net = np.bincount(found.groups.of_underlying, np.add.reduceat(each[order], starts), len(found.groups.keys))
        for place, group in enumerate(found.groups.keys.tolist()):
            self._set(group, float(found.initial[place]), float(found.maintenance[place]), float(net[place]))

    def _set(self, group: int, initial: float, maintenance: float, exposure: float) -> None:
        self.initial[group] = initial
        self.maintenance[group] = maintenance
        self.exposure[group] = abs(exposure)
        self.signed[group] = exposure

    def concentration(self, share: float, rate: float) -> float:
        """The add-on, by the groups above the share alone."""
        if not rate:
            return 0.0
        bound = share * self.exposure.total
        return rate * sum(self.exposure[group] - bound for group in self.exposure.above(bound))

    def credit(self, registry: Registry) -> float:
        """What offsets between groups free."""
        table = registry.offset_table()
        numbers = sorted({number for row in table for number in (row.product, row.other)})
        needed = [self.maintenance[number] for number in numbers]
        return offset_credit(numbers, needed, [self.signed.get(number, 0.0) for number in numbers], table)

    def summary(self, registry: Registry) -> Summary:
        """The account's numbers as of the last `update`."""
        config = registry.config
        extra = self.concentration(config.concentration_share, config.concentration_rate)
        freed = self.credit(registry)
        return Summary(
            equity=self.equity(),
            initial=self.initial.total + extra - freed,
            maintenance=self.maintenance.total + extra - freed,
            collateral=self.collateral,
            concentration=extra,
            credit=freed,
        )


def offset_credit(
    groups: Iterable[int], needed: npt.ArrayLike, net: npt.ArrayLike, table: Iterable[offsets.Offset]
) -> float:
    """What offsets free: of margin groups by their numbers, with what each requires and its net exposure."""
    place = {group: index for index, group in enumerate(groups)}
    rows = [
        row._replace(product=place[row.product], other=place[row.other])
        for row in table
        if row.product in place and row.other in place
    ]
    return float(offsets.credits(needed, net, rows).sum()) if rows else 0.0


def collateral_value(items: Iterable[tuple[str, str, float]], registry: Registry) -> float:
    """What pledged items (class, currency, amount) count for; a class without a haircut counts for nothing."""
    rows = list(items)
    if not rows:
        return 0.0
    table = registry.haircuts
    by_class = [table.classes.get(row[0], 1.0) for row in rows]
    by_currency = [
        0.0 if row[1] == registry.currency else table.currencies.get(row[1], haircuts.CURRENCY_MISMATCH) for row in rows
    ]
    return float(haircuts.counted([row[2] for row in rows], by_class, by_currency).sum())


__all__ = ["YEAR_NS", "Account", "Summary", "collateral_value", "deltas", "offset_credit"]
