"""One portfolio while its valuations come: periods, their returns, and measures that are kept as they end.

The return from one valuation to the next is what the net asset value changed by, beyond what was paid in or out, over
the net asset value before it; these are compounded within a period: a time-weighted return. A period ends with the
first valuation of a later one. Periods without a valuation are missing; nothing is filled in.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from nautilus.engines.analytics.config import AnalyticsConfig
from nautilus.maths.errors import Undefined
from nautilus.maths.returns import Floats, Whole, compoundable, compounded, periods
from nautilus.maths.running import RunningPerformance
from nautilus.model.portfolio import PortfolioValued

MOST_GAIN = 1e6
"""What a portfolio may become of one in a period."""
_PRIVATE = ("squares", "turned", "period", "made_up")
_PLAIN = ("growth", "missing", "incomplete", "uploaded", "published_ns", "ruined_ns", "mixed", "ended")


class Track:
    """Valuations and returns of a portfolio.

    Attributes
    ----------
    last : the newest valuation.
    running : measures of the ended periods.
    growth : of the period that has not ended.
    total : of one unit since the first period.
    revision : counts what changes answers.
    closed : counts changes of the ended periods; what rests on them alone is new only with it.
    ended : periods that were followed to their end, also those that are not kept any more.
    missing : periods between the first and the last without a return.
    incomplete : valuations that were left out, as something in them had no mark or rate, or was no number.
    rebuilt : counts when the ended periods changed otherwise than by one more.
    ruined_ns : since when it has lost more than there was, or gained what no portfolio does; 0: it has not. No return
        has a base from then on.
    mixed : something was traded in another currency than the reporting one, so turnover is not known.
    uploaded : source of the history before the first valuation; "": there is none.
    """

    def __init__(self, portfolio_id: int, config: AnalyticsConfig) -> None:
        self.portfolio_id = portfolio_id
        self._config = config
        self._period_ns = config.period_ns
        self.last: PortfolioValued | None = None
        self._sound: PortfolioValued | None = None
        self.running = RunningPerformance(config.threshold, config.periods_per_year)
        self._times, self._returns, self._traded = array("q"), array("d"), array("d")
        self._realised_variances = array("d")
        self._synthetic = array("b")
        self._seeded = 0
        self.begin_ns = self._followed_ns = 0
        self.growth, self._squares = 1.0, 0.0
        self._turned = 0.0
        self._period = -1
        self._made_up = False
        self.ended = 0
        self.revision = self.closed = self.rebuilt = 0
        self.ruined_ns = 0
        self.mixed = False
        self.missing = self.incomplete = 0
        self.uploaded = ""
        self.published_ns = 0

    @property
    def n(self) -> int:
        """Ended periods."""
        return len(self._returns)

    @property
    def seeded(self) -> int:
        """How many of them are of the uploaded history."""
        return self._seeded

    @property
    def synthetic(self) -> bool:
        """Some valuation in the ended periods, or the history before them, was made up."""
        return 1 in self._synthetic

    @property
    def total(self) -> float:
        """What one unit has become, with the period that has not ended."""
        return self.running.drawdown.wealth * self.growth

    @property
    def times_ns(self) -> Whole:
        """Last nanosecond of each ended period."""
        return np.array(self._times, np.int64)

    @property
    def returns(self) -> Floats:
        """Of each ended period."""
        return np.array(self._returns, np.float64)

    @property
    def times(self) -> array[int]:
        """As `times_ns`, as they are kept."""
        return self._times

    @property
    def held_returns(self) -> array[float]:
        """As `returns`, as they are kept."""
        return self._returns

    @property
    def realised_variances(self) -> Floats:
        """Sum of the squared returns from one valuation to the next, of each period that was followed."""
        return np.array(self._realised_variances[self._seeded :], np.float64)

    def on_valued(self, value: PortfolioValued) -> bool:
        """Take a valuation; whether it ended a period. One that is not newer than the last changes nothing."""
        if self.last is not None and value.now_ns <= self.last.now_ns:
            return False
        if not all(map(math.isfinite, (value.nav, value.booked, value.gross_exposure, value.net_exposure))):
            self.incomplete += 1
            return False
        self.last = value
        self.revision += 1
        if not value.complete:
            self.incomplete += 1
            return False
        period = value.now_ns // self._period_ns
        ended = False
        if self._sound is None:
            self._period = period
            self._followed_ns = value.now_ns
            if not self.n:
                self.begin_ns = value.now_ns
        else:
            if period > self._period:
                self._end_period()
                self.missing += period - self._period - 1
                self._period, ended = period, True
            self._move(self._sound, value)
        self._sound = value
        return ended

    def traded(self, value: float, currency: str) -> None:
        """Something was bought or sold for so much."""
        base = self._base(self._sound)
        if self._sound is not None and currency != self._sound.currency:
            self.mixed = True
        elif base > 0.0:
            self._turned += value / base

    def turnover(self) -> float:
        """One-way turnover a year, of the periods that were followed.

        Raises
        ------
        Undefined
            ``empty``: none was; ``mismatch``: something was traded in another currency.
        """
        followed = self.n - self._seeded
        if not followed:
            raise Undefined("empty", "no period was followed", expected="one or more")
        if self.mixed:
            raise Undefined("mismatch", "trades in several currencies", expected="those of the reporting currency")
        return sum(self._traded[self._seeded :]) / followed / 2.0 * self._config.periods_per_year

    def seed(self, times_ns: Iterable[int], returns: Iterable[float], source: str, synthetic: bool) -> None:
        """Take an uploaded history, in place of one taken before; what was followed here goes on behind it.

        Of several returns in a period the compounded one is taken.

        Raises
        ------
        Undefined
            Times or returns that cannot be measured; nothing has changed then.
        """
        given = np.array(list(returns), np.float64)
        times = periods(list(times_ns), given.size)
        if given.size:
            times, given = compounded(times, compoundable(given), self._period_ns)
        first = self._times[self._seeded] if self.n > self._seeded else None
        if first is None and self._period >= 0:
            first = self._period * self._period_ns
        if first is not None:
            before = times // self._period_ns < first // self._period_ns
            times, given = times[before], given[before]
        live = slice(self._seeded, None)
        all_returns = array("d", given.tobytes()) + self._returns[live]
        running = self._measured(all_returns[-self._config.max_periods :])
        nothing = bytes(8 * given.size)
        self._times = array("q", times.tobytes()) + self._times[live]
        self._returns = all_returns
        self._traded = array("d", nothing) + self._traded[live]
        self._realised_variances = array("d", nothing) + self._realised_variances[live]
        self._synthetic = array("b", bytes([synthetic]) * given.size) + self._synthetic[live]
        self._seeded = given.size
        self.uploaded = source if given.size else ""
        self.begin_ns = int(times[0]) - self._period_ns if given.size else self._followed_ns
        self._shorten()
        self._rebuild(running)

    def columns(self) -> dict[str, Any]:
        """The ended periods, for `Engine.bulk`; new with each that ends (`closed`)."""
        kept = {name: np.array(held) for name, held in self._columns().items()}
        numbers = {"seeded": self._seeded, "begin_ns": self.begin_ns, "followed_ns": self._followed_ns}
        return {**kept, **numbers, "ended": self.ended}

    def restore_columns(self, part: dict[str, Any]) -> None:
        """Take over what `columns` gave."""
        self._times = array("q", part["times"].tobytes())
        for name in ("returns", "traded", "realised_variances"):
            setattr(self, f"_{name}", array("d", part[name].tobytes()))
        self._synthetic = array("b", part["synthetic"].tobytes())
        self._seeded, self.begin_ns, self._followed_ns = part["seeded"], part["begin_ns"], part["followed_ns"]
        self.ended = part["ended"]
        self._rebuild(self._measured(self._returns))

    def state(self) -> dict[str, Any]:
        """The period that has not ended, in plain values, for `Engine.state`."""
        values = {name: getattr(self, f"_{name}") for name in _PRIVATE}
        last, sound = (None if value is None else msgspec.to_builtins(value) for value in (self.last, self._sound))
        return values | {name: getattr(self, name) for name in _PLAIN} | {"last": last, "sound": sound}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave, after `restore_columns`.

        Both are files of their own. Where the columns are the older ones, the periods that they lack are missing; where
        they are the newer ones, the period that has ended in them is not taken once more (`_end_period`).
        """
        known = self.ended
        for name in _PRIVATE:
            setattr(self, f"_{name}", state[name])
        for name in _PLAIN:
            setattr(self, name, state[name])
        self.last, self._sound = (
            None if row is None else msgspec.convert(row, PortfolioValued) for row in (state["last"], state["sound"])
        )
        self.missing += max(0, self.ended - known)
        self.ended = max(self.ended, known)

    @property
    def sound(self) -> PortfolioValued | None:
        """The newest complete valuation."""
        return self._sound

    def _columns(self) -> dict[str, array[Any]]:
        return {
            "times": self._times,
            "returns": self._returns,
            "traded": self._traded,
            "realised_variances": self._realised_variances,
            "synthetic": self._synthetic,
        }

    def _base(self, value: PortfolioValued | None) -> float:
        return 0.0 if value is None else value.nav + self._config.capital

    def _move(self, before: PortfolioValued, now: PortfolioValued) -> None:
        """Compound the return from one valuation to the next; without net assets there is none."""
        base = self._base(before)
        if base <= 0.0 or self.ruined_ns:
            return
        self._made_up = self._made_up or before.synthetic or now.synthetic
        change = ((now.nav - now.booked) - (before.nav - before.booked)) / base
        if not -1.0 <= change < MOST_GAIN or self.growth * (1.0 + change) > MOST_GAIN:
            self.ruined_ns = now.now_ns
            return
        self.growth *= 1.0 + change
        self._squares += change * change

    def _end_period(self) -> None:
        end_ns = (self._period + 1) * self._period_ns - 1
        known = bool(self._times) and self._times[-1] >= end_ns  # its part of the state was saved later than the rest
        if not known and self._base(self._sound) > 0.0 and not self.ruined_ns and self._fits(end_ns):
            self._times.append(end_ns)
            self._returns.append(self.growth - 1.0)
            self._traded.append(self._turned)
            self._realised_variances.append(self._squares)
            self._synthetic.append(self._made_up)
            self.ended += 1
        elif not known:
            self.missing += 1
        self.growth, self._squares, self._turned, self._made_up = 1.0, 0.0, 0.0, False
        self.closed += 1
        if self._shorten():
            self._rebuild(self._measured(self._returns))

    def _fits(self, end_ns: int) -> bool:
        """Measure the return of the period that ends; one that no float can be compounded with is none."""
        try:
            self.running.add(self.growth - 1.0)
        except Undefined:
            self.ruined_ns = end_ns
            return False
        return True

    def _shorten(self) -> bool:
        """Drop what is older than is kept."""
        excess = self.n - self._config.max_periods
        if excess <= 0:
            return False
        left = self._seeded - excess
        self.begin_ns = self._times[excess - 1] if left else self._followed_ns
        if left < 0:
            self._followed_ns = self.begin_ns
        if left <= 0:
            self.uploaded = ""
        for held in self._columns().values():
            del held[:excess]
        self._seeded = max(0, left)
        return True

    def _rebuild(self, running: RunningPerformance) -> None:
        """The ended periods are others than before: these are their measures."""
        self.running = running
        self.closed += 1
        self.rebuilt += 1
        self.revision += 1

    def _measured(self, returns: array[float]) -> RunningPerformance:
        return RunningPerformance.of(returns, self._config.threshold, self._config.periods_per_year)


__all__ = ["Track"]
