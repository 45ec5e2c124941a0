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
from nautilus.maths.returns import Floats, Whole, compoundable, periods
from nautilus.maths.running import RunningPerformance
from nautilus.model.portfolio import PortfolioValued

MOST_GAIN = 1e6
"""What a portfolio may become of one in a period."""
_PRIVATE = ("squares", "turned", "period")
_PLAIN = ("growth", "missing", "incomplete", "uploaded", "synthetic", "published_ns", "ruined_ns", "mixed")


class Track:
    """Valuations and returns of a portfolio.

    Attributes
    ----------
    last : the newest valuation.
    running : measures of the ended periods.
    growth : of the period that has not ended.
    total : of one unit since the first period.
    revision : counts what changes answers.
    closed : counts ended periods; what rests on them alone is new only with it.
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
        self._seeded = 0
        self.begin_ns = 0
        self.growth, self._squares = 1.0, 0.0
        self._turned = 0.0
        self._period = -1
        self.revision = self.closed = self.rebuilt = 0
        self.ruined_ns = 0
        self.mixed = False
        self.missing = self.incomplete = 0
        self.uploaded = ""
        self.synthetic = False
        self.published_ns = 0

    @property
    def n(self) -> int:
        """Ended periods."""
        return len(self._returns)

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

        Raises
        ------
        Undefined
            Times or returns that cannot be measured; nothing has changed then.
        """
        given = np.array(list(returns), np.float64)
        times = periods(list(times_ns), given.size)
        if given.size:
            given = compoundable(given)
        first = self._times[self._seeded] if self.n > self._seeded else None
        if first is None and self._period >= 0:
            first = self._period * self._period_ns
        if first is not None:
            before = times // self._period_ns < first // self._period_ns
            times, given = times[before], given[before]
        live = slice(self._seeded, None)
        nothing = bytes(8 * given.size)
        self._times = array("q", times.tobytes()) + self._times[live]
        self._returns = array("d", given.tobytes()) + self._returns[live]
        self._traded = array("d", nothing) + self._traded[live]
        self._realised_variances = array("d", nothing) + self._realised_variances[live]
        self._seeded = given.size
        self.uploaded, self.synthetic = (source, synthetic) if given.size else ("", False)
        if given.size:
            self.begin_ns = int(times[0]) - self._period_ns
        self._shorten()
        self._measure()

    def columns(self) -> dict[str, Any]:
        """The ended periods, for `Engine.bulk`; new with each that ends (`closed`)."""
        kept = {name: np.array(held) for name, held in self._columns().items()}
        return {**kept, "seeded": self._seeded, "begin_ns": self.begin_ns}

    def restore_columns(self, part: dict[str, Any]) -> None:
        """Take over what `columns` gave."""
        self._times = array("q", part["times"].tobytes())
        for name in ("returns", "traded", "realised_variances"):
            setattr(self, f"_{name}", array("d", part[name].tobytes()))
        self._seeded, self.begin_ns = part["seeded"], part["begin_ns"]
        self._measure()

    def state(self) -> dict[str, Any]:
        """The period that has not ended, in plain values, for `Engine.state`."""
        values = {name: getattr(self, f"_{name}") for name in _PRIVATE}
        last, sound = (None if value is None else msgspec.to_builtins(value) for value in (self.last, self._sound))
        return values | {name: getattr(self, name) for name in _PLAIN} | {"last": last, "sound": sound}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave, after `restore_columns`."""
        for name in _PRIVATE:
            setattr(self, f"_{name}", state[name])
        for name in _PLAIN:
            setattr(self, name, state[name])
        self.last, self._sound = (
            None if row is None else msgspec.convert(row, PortfolioValued) for row in (state["last"], state["sound"])
        )

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
        }

    def _base(self, value: PortfolioValued | None) -> float:
        return 0.0 if value is None else value.nav + self._config.capital

    def _move(self, before: PortfolioValued, now: PortfolioValued) -> None:
        """Compound the return from one valuation to the next; without net assets there is none."""
        base = self._base(before)
        if base <= 0.0 or self.ruined_ns:
            return
        change = ((now.nav - now.booked) - (before.nav - before.booked)) / base
        if not -1.0 <= change < MOST_GAIN or self.growth * (1.0 + change) > MOST_GAIN:
            self.ruined_ns = now.now_ns
            return
        self.growth *= 1.0 + change
        self._squares += change * change

    def _end_period(self) -> None:
        end_ns = (self._period + 1) * self._period_ns - 1
        known = bool(self._times) and self._times[-1] >= end_ns  # its part of the state was saved later than the rest
        if not known and self._base(self._sound) > 0.0 and not self.ruined_ns:
            self.running.add(self.growth - 1.0)  # at most a millionfold, see `_move`
            self._times.append(end_ns)
            self._returns.append(self.growth - 1.0)
            self._traded.append(self._turned)
            self._realised_variances.append(self._squares)
        elif not known:
            self.missing += 1
        self.growth, self._squares, self._turned = 1.0, 0.0, 0.0
        self.closed += 1
        if self._shorten():
            self._measure()

    def _shorten(self) -> bool:
        """Drop what is older than is kept."""
        excess = self.n - self._config.max_periods
        if excess <= 0:
            return False
        self.begin_ns = self._times[excess - 1]
        for held in self._columns().values():
            del held[:excess]
        self._seeded = max(0, self._seeded - excess)
        return True

    def _measure(self) -> None:
        """All measures anew, from the returns that are kept."""
        config = self._config
        self.running = RunningPerformance.of(self._returns, config.threshold, config.periods_per_year)
        self.closed += 1
        self.rebuilt += 1
        self.revision += 1


__all__ = ["Track"]
