"""Running measures of a portfolio beside those of its whole history, through uploads, deletes and restarts.

Ended periods and the rest of the state are files of their own, so a restart may find them of different moments.
"""

from __future__ import annotations

import copy
import json
import math

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nautilus.maths.errors import Undefined
from nautilus.maths.sample import RelativeSample, Sample
from nautilus.model.analytics import GetAnalytics
from nautilus.model.history import DropHistory, PutHistory, SeriesKind
from nautilus.runtime.worker import pack, unpack
from tests.kit.analytics import ask, engine
from tests.kit.context import RecordingContext
from tests.kit.valuations import DAY, START_NS, valued

KEPT = 15
HOUR = DAY // 24
CHANGES = st.integers(-9_000, 9_000).map(lambda step: step / 100_000)
MEASURES = (
    "cumulative_return",
    "annual_return",
    "annual_volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "calmar_ratio",
    "omega_ratio",
    "tail_ratio",
    "stability",
    "skewness",
    "excess_kurtosis",
    "hit_rate",
    "payoff_ratio",
    "kelly",
    "best",
    "worst",
    "ulcer_index",
    "average_drawdown",
)
BESIDE = ("alpha", "beta", "correlation", "tracking_error", "information_ratio", "batting_average")


def found(measures, name):
    """A measure, or the code of why there is none."""
    try:
        return getattr(measures, name)()
    except Undefined as error:
        return error.code


def alike(ours, theirs):
    if isinstance(ours, str) or isinstance(theirs, str):
        return ours == theirs
    return math.isclose(ours, theirs, rel_tol=1e-8, abs_tol=1e-9)


class Plain:
    """What the engine is to know, kept as lists and computed anew for each look."""

    def __init__(self):
        self.ended = []  # (period, return)
        self.sound = None  # (time, net asset value, paid in)
        self.period, self.growth = -1, 1.0

    def value(self, time, nav, booked):
        period = time // DAY
        if self.sound is not None:
            if period > self.period:
                if not self.ended or self.ended[-1][0] < self.period:
                    self.ended.append((self.period, self.growth - 1.0))
                self.growth = 1.0
            _, before, paid = self.sound
            self.growth *= 1.0 + ((nav - booked) - (before - paid)) / before
        self.period, self.sound = period, (time, nav, booked)

    def returns(self, uploaded):
        """By period: those of the upload, as far as they come before what was followed."""
        first = self.ended[0][0] if self.ended else self.period if self.sound is not None else 1 << 60
        early = [(time // DAY, change) for time, change in uploaded if time // DAY < first]
        return [*early, *self.ended][-KEPT:]


class Machine(RuleBasedStateMachine):
    """The engine beside the plain lists."""

    @initialize()
    def begin(self):
        self.ctx = RecordingContext()
        self.made = engine(max_periods=KEPT, benchmark="INDEX")
        self.plain = Plain()
        self.uploaded, self.index = [], {}
        self.now, self.nav, self.booked = START_NS + HOUR, 1000.0, 1000.0
        self.value(0, 0.0, 0)
        self.keep()

    @rule(hours=st.integers(0, 60), change=CHANGES, paid=st.sampled_from([0, 0, 500]))
    def value(self, hours, change, paid):
        self.now += hours * HOUR + 1
        self.nav *= 1.0 + change
        self.nav, self.booked = self.nav + paid, self.booked + paid
        self.made.on_balance(valued(self.now, self.nav, self.nav - self.booked), self.ctx)
        self.plain.value(self.now, self.nav, self.booked)

    @rule(days=st.integers(1, 20), changes=st.lists(CHANGES, min_size=1, max_size=20))
    def upload(self, days, changes):
        times = [START_NS + (place - days) * DAY for place in range(len(changes))]
        self.uploaded = list(zip(times, changes, strict=True))
        self.made.on_request(PutHistory("portfolio-7", tuple(times), tuple(changes), SeriesKind.RETURN), self.ctx)

    @rule(change=CHANGES)
    def append(self, change):
        if self.uploaded:
            time = self.uploaded[-1][0] + DAY
            self.uploaded = [*self.uploaded, (time, change)]
            put = PutHistory("portfolio-7", (time,), (change,), SeriesKind.RETURN, append=True)
            self.made.on_request(put, self.ctx)

    @rule()
    def delete(self):
        if self.uploaded:
            self.uploaded = []
            self.made.on_request(DropHistory("portfolio-7"), self.ctx)

    @rule(changes=st.lists(CHANGES, min_size=1, max_size=40), first=st.integers(-10, 10))
    def compare(self, changes, first):
        times = [START_NS + (first + place) * DAY + DAY // 2 for place in range(len(changes))]
        self.index = {time // DAY: change for time, change in zip(times, changes, strict=True)}
        self.made.on_request(PutHistory("INDEX", tuple(times), tuple(changes), SeriesKind.RETURN), self.ctx)

    @rule()
    def keep(self):
        """Files of this moment, which a later restart may find for one half of the state or the other."""
        self.files = self._files()

    def _files(self):
        parts = {name: pack((name, give())) for name, (_, give) in self.made.bulk().items()}
        state = json.dumps(self.made.state())
        return parts, state, copy.deepcopy(self.plain)

    @rule(old=st.sampled_from(["neither", "periods", "rest"]))
    def restart(self, old):
        parts, state, plain = self._files()
        before, state_before, plain_before = self.files
        if old == "periods":
            parts = {name: part for name, part in parts.items() if name != "portfolio 7"}
            parts |= {name: part for name, part in before.items() if name == "portfolio 7"}
            plain.ended = plain_before.ended
        elif old == "rest":
            state = state_before
            ended = plain.ended
            plain = copy.deepcopy(plain_before)
            plain.ended = ended
        self.made = engine(max_periods=KEPT, benchmark="INDEX")
        for name in sorted(parts, reverse=old == "rest"):
            self.made.restore_bulk(*unpack(parts[name]))
        self.made.restore(json.loads(state))
        self.plain = plain
        self.keep()

    @invariant()
    def the_periods_are_those_that_were(self):
        track = self.made._portfolios[7].track
        expected = self.plain.returns(self.uploaded)
        assert [time // DAY for time in track.times] == [period for period, _ in expected]
        assert np.allclose(track.returns, [change for _, change in expected], rtol=1e-9, atol=1e-12)
        assert len(track.realised_variances) == track.n - track.seeded
        assert bool(track.seeded) == bool(track.uploaded)
        if track.n:
            assert track.begin_ns < track.times[0]

    @invariant()
    def each_measure_is_that_of_all_periods(self):
        track = self.made._portfolios[7].track
        if not track.n:
            assert track.running.n == 0
            return
        whole = Sample(track.returns, 0.0, 252.0)
        for name in MEASURES:
            assert alike(found(track.running, name), found(whole, name)), name
        assert track.running.deepest[1:] == whole.deepest[1:]
        assert (track.running.since, track.total) == (whole.since, track.running.drawdown.wealth * track.growth)
        for share in (0.001, 0.05, 0.5):
            assert alike(track.running.quantile(share), whole.quantile(share))

    @invariant()
    def a_benchmark_is_compared_on_the_days_of_both(self):
        track = self.made._portfolios[7].track
        pairs = [
            (change, self.index[time // DAY])
            for time, change in zip(track.times, track.held_returns, strict=True)
            if time // DAY in self.index
        ]
        relative = ask(self.made, self.ctx, GetAnalytics(7, "standard")).relative
        if not self.index:
            assert relative is None
            return
        assert relative.periods == len(pairs)
        if pairs:
            whole = RelativeSample(*(np.array(side) for side in zip(*pairs, strict=True)), 252.0)
            for name in BESIDE:
                value = found(whole, name)
                ours = getattr(relative, name)
                assert ours is None if isinstance(value, str) else alike(ours, value), name


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
