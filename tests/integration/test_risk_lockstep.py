"""A hard limit of the tree stops whom it is of, in a market, and nobody else; a soft one stops nobody."""

from __future__ import annotations

import pytest

from nautilus.engines.risk import RiskConfig
from nautilus.engines.strategy import QuotingConfig, Strategy
from nautilus.runtime.replay import run
from nautilus.simulation import SimulatedSource


class Eager(Strategy):
    """Buys at every quote, and notes what it did."""

    def __init__(self):
        self.sent_ns = []
        self.alerts = []

    def on_quote(self, quote, ctx):
        if ctx.buy(quote.instrument_id, 5, quote.ask_ticks):
            self.sent_ns.append(ctx.now_ns)

    def on_alert(self, alert, ctx):
        self.alerts.append((alert.control, alert.scope, ctx.now_ns))


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_a_limit_of_the_tree_stops_whom_it_is_of(kind):
    risk = RiskConfig(max_position=0, max_loss="", max_orders=0, limits=(f"strategy/*/* position {kind} 0.02",))
    eager = Eager()
    sections = {"risk": risk, "quoting": QuotingConfig(max_position=20)}
    report = run(SimulatedSource(seed=2), [eager, "quoting"], sections=sections, market_seconds=20)
    stopped, other = report.strategies
    assert not other.stopped
    assert other.fills > 0
    assert report.positions_equal
    if kind == "soft":
        assert not stopped.stopped
        assert report.alerts == []
        return
    [(control, scope, at_ns)] = eager.alerts
    assert (control, scope.split("/")[0]) == ("position", "strategy")
    assert stopped.stopped
    assert max(eager.sent_ns) <= at_ns
    assert [alert["control"] for alert in report.alerts] == ["position"]
