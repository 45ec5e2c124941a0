"""An analytics engine for tests: a portfolio that it followed, histories, orders; asked as a host asks it."""

import numpy as np

from nautilus.core.types import TRADE
from nautilus.engines.analytics import AnalyticsConfig, AnalyticsEngine
from nautilus.engines.base import Work
from nautilus.model.enums import Side
from nautilus.model.events import OrderAccepted
from nautilus.model.history import PutHistory, SeriesKind
from nautilus.model.position import Position, PositionChanged
from nautilus.runtime.worker import pack, unpack
from tests.kit.context import RecordingContext, btcusdt
from tests.kit.valuations import DAY, START_NS, daily

RNG = np.random.default_rng(11)
RETURNS = (RNG.standard_t(5, 300) * 0.01 + 0.0005).tolist()
MARKET = (0.7 * np.array(RETURNS) + RNG.normal(0.0, 0.004, 300)).tolist()
TIMES = tuple(START_NS + day * DAY + DAY // 2 for day in range(1, 301))


def engine(**settings):
    return AnalyticsEngine(AnalyticsConfig(**settings), [btcusdt(), btcusdt(instrument_id=2, symbol="ETHUSDT")])


def followed(returns=RETURNS, **settings):
    """An engine that has seen a portfolio's days, the last of them not ended; its context."""
    made, ctx = engine(**settings), RecordingContext()
    for value in daily(returns):
        ctx.now_ns = value.now_ns
        made.on_balance(value, ctx)
    return made, ctx


def ask(made, ctx, message):
    """The reply, as a host would make it: what comes of work crosses to another process and back."""
    reply = made.on_request(message, ctx)
    if isinstance(reply, Work):
        assert pack(reply.arguments)
        result = unpack(pack(reply.job(*reply.arguments)))
        reply = result if reply.finish is None else reply.finish(result)
    return reply


def fitted(made, ctx):
    """Run the jobs that the engine gave away."""
    while ctx.jobs:
        number, job, arguments = ctx.jobs.pop(0)
        made.on_result(number, unpack(pack(job(*arguments))), ctx)


def put(made, ctx, name, values, kind=SeriesKind.RETURN, times=None):
    made.on_request(PutHistory(name, tuple(times or TIMES[: len(values)]), tuple(values), kind), ctx)


def held(**prices):
    """An engine with two positions and the histories of those named."""
    made, ctx = followed(benchmark="INDEX")
    put(made, ctx, "INDEX", MARKET)
    for name, values in prices.items():
        put(made, ctx, name, values, SeriesKind.PRICE)
    for instrument_id, lots in ((1, 500), (2, -200)):
        made.on_position(PositionChanged(1, START_NS, 0, Position(7, instrument_id, lots), 6_000), ctx)
    return made, ctx


def order(made, ctx, *, side=Side.BUY, quantity=10, order_id=1, instrument_id=1):
    made.on_report(
        OrderAccepted(order_id, ctx.now_ns, 7, 0, instrument_id, order_id, side, 600_020, quantity, quantity), ctx
    )


def trades(rows):
    array = np.zeros(len(rows), TRADE)
    for place, (price, quantity) in enumerate(rows):
        array[place]["price_ticks"], array[place]["quantity"], array[place]["instrument_id"] = price, quantity, 1
    return array
