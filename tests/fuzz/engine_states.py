"""Damaged states into the engines that measure and analyse: refused with an error, or taken over and good to go on."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import numpy as np

from nautilus.engines.base import Engine
from nautilus.engines.collateral import CollateralConfig, CollateralEngine
from nautilus.engines.enhanced_vpin import EnhancedVpinConfig, EnhancedVpinEngine, ScaleConfig
from nautilus.engines.features import FeaturesConfig, FeaturesEngine
from nautilus.engines.portfolio import PortfolioConfig, PortfolioEngine
from nautilus.engines.risk import RiskConfig, RiskEngine
from nautilus.engines.vpin import VpinConfig, VpinEngine
from nautilus.model.collateral import CollateralItem, ContractTerms, PutCollateral, PutContracts
from nautilus.model.enums import Side
from nautilus.model.events import OrderFilled
from nautilus.model.factor import EstimateFactors, PutFactorPortfolio
from nautilus.model.history import PutHistory, SeriesKind
from nautilus.model.marketdata import Quote, quotes
from nautilus.model.portfolio import BookCash, PortfolioValued
from nautilus.model.position import Position, PositionChanged
from nautilus.model.risk import SetLimit
from nautilus.model.signals import FactorsUpdated, ToxicityWarning
from nautilus.runtime.worker import pack, unpack
from nautilus.store.no_feature_sets import NoFeatureSets
from tests.fuzz.reader import Reader
from tests.kit import analytics as kit
from tests.kit.context import SECOND, RecordingContext, btcusdt, quote_array
from tests.kit.factor_host import FactorHost, close_ns
from tests.kit.feature_rows import quote_rows, trade_rows
from tests.kit.stock_universe import stock_universe
from tests.kit.valuations import DAY, START_NS

INSTRUMENTS = [btcusdt(), btcusdt(instrument_id=2, symbol="ETHUSDT")]
WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 1 << 31, 1 << 40, 1 << 62, (1 << 63) - 1, -(1 << 63), 0.0, -1.5, 1e308,
    math.nan, math.inf, "", "x", "1", "nan", [], [None], [[]], [[1, 2]], {}, {"x": 1}, b"", b"xy",
)  # fmt: skip
Parts = dict[str, Any]


def _returns(count: int = 40) -> tuple[float, ...]:
    return tuple(np.random.default_rng(3).normal(0.0, 0.01, count).tolist())


def _times(count: int = 40) -> tuple[int, ...]:
    return tuple((day + 1) * DAY for day in range(count))


def _vpin() -> Engine:
    small: dict[str, Any] = {"bucket_lots": 10, "window": 4, "history": 50, "least_history": 5, "dwell_buckets": 2}
    return VpinEngine(VpinConfig(**small), INSTRUMENTS)


def _enhanced() -> Engine:
    scales = (ScaleConfig(10, 4), ScaleConfig(5, 3))
    small: dict[str, Any] = {"day_lots": 100, "history": 50, "least_history": 5, "dwell_buckets": 2, "days": 0}
    return EnhancedVpinEngine(EnhancedVpinConfig(scales=scales, **small), INSTRUMENTS)


def _traded(engine: Any) -> None:
    ctx = RecordingContext()
    engine.on_start(ctx)
    if isinstance(engine, EnhancedVpinEngine):
        engine.on_quote(quote_rows(20), ctx)
    rows = trade_rows(80)
    rows["quantity"] = 1 + rows["quantity"] % 9
    engine.on_trade(rows, ctx)


def _features() -> Engine:
    return FeaturesEngine(FeaturesConfig(), INSTRUMENTS, NoFeatureSets())


def _featured(engine: Any) -> None:
    ctx = RecordingContext()
    engine.on_trade(trade_rows(300), ctx)
    engine.on_quote(quote_rows(40), ctx)


def _risk() -> Engine:
    limits = (
        "portfolio/* gross soft 400 hard 700",
        "firm drawdown hard 1e6",
        "desk/one net hard 5",
        "firm var hard 1e6",
    )
    settings: dict[str, Any] = {"max_position": 0, "max_loss": "", "max_orders": 0, "desks": {"one": (1, 2)}}
    return RiskEngine(RiskConfig(limits=limits, **settings), INSTRUMENTS)


def _risked(engine: Any) -> None:
    ctx = RecordingContext()
    for key, name in ((1, "BTCUSDT"), (2, "ETHUSDT")):
        engine.on_request(PutHistory(name, _times(), _returns(40), SeriesKind.RETURN), ctx)
        engine.on_report(OrderFilled(key, 5, 1, 1, key, key, Side.BUY, 100_000, 80, 0), ctx)
        engine.on_quote(Quote(5, 5, 1, 101_000, 10, 101_100, 10, key), ctx)
    engine.on_toxicity(ToxicityWarning(SECOND, 1, 0.8, 0.99, True), ctx)
    engine.on_request(SetLimit("portfolio/3", "gross", None, 50.0), ctx)


def _portfolio() -> Engine:
    return PortfolioEngine(PortfolioConfig(currency="USDT"), INSTRUMENTS)


def _booked(engine: Any) -> None:
    ctx = RecordingContext()
    engine.on_request(BookCash(7, "a", "USDT", "10000"), ctx)
    engine.on_request(PutHistory("BTCUSDT", _times(), _returns(), SeriesKind.RETURN), ctx)
    for key in (1, 2):
        engine.on_report(OrderFilled(key, 5, 7, 9, key, key, Side.BUY, 1_000, 10, 0, fee=3), ctx)
        engine.on_quote(quotes(quote_array(ctx.now_ns, 1_001, 1_003, instrument_id=key))[0], ctx)


def _followed(engine: Any) -> None:
    made, ctx = kit.followed(kit.RETURNS[:30])
    kit.put(made, ctx, "INDEX", kit.MARKET[:30])
    made.on_position(PositionChanged(1, START_NS, 0, Position(7, 1, 500), 6_000), ctx)
    for day in range(10):
        made.on_factors(FactorsUpdated(ctx.now_ns, START_NS // DAY + day, ("market",), (0.01 * day,)), ctx)
    _copied(made, engine)


def _factor() -> Engine:
    return FactorHost().engine


def _estimated(engine: Any) -> None:
    universe, host = stock_universe(60, 12, 2, seed=1, holes=0.02), FactorHost()
    host.put_sectors(universe)
    host.put(universe, slice(0, 60))
    host.ask(EstimateFactors())
    host.ask(PutFactorPortfolio(7, {"S0001": 0.5, "S0002": 0.5}, close_ns(50)))
    _copied(host.engine, engine)


def _collateral() -> Engine:
    terms: dict[str, Any] = {"base_currency": "USD", "quote_currency": "USD", "lot_size": "1", "currency_decimals": 4}
    terms["tick_table"] = (("0", "0.01"),)
    share = btcusdt(instrument_id=1, symbol="AAA", product="equity", **terms)
    call = btcusdt(instrument_id=3, symbol="AAA C", product="option", contract_multiplier="100", **terms)
    return CollateralEngine(CollateralConfig(), [share, call])


def _held(engine: Any) -> None:
    ctx = RecordingContext(20_089 * DAY)
    engine.on_start(ctx)
    engine.on_request(PutContracts((ContractTerms(3, "option", 1, "call", 110.0, ctx.now_ns + 90 * DAY),)), ctx)
    engine.on_request(PutCollateral(1, (CollateralItem("USD", "cash", "USD", 100.0),)), ctx)
    for key, price, lots in ((1, 10_000, 100), (3, 300, -1)):
        engine.on_quote(quote_array(ctx.now_ns, price, price + 2, instrument_id=key), ctx)
        engine.on_position(PositionChanged(1, ctx.now_ns, 0, Position(1, key, lots)), ctx)
    engine.on_balance(PortfolioValued(ctx.now_ns, 1, "USD", 6e3, 6e3, 0.0, 0.0, 0.0, 0.0, 0.0), ctx)


def _copied(made: Engine, engine: Engine) -> None:
    state, parts = _kept(made)
    for name, part in parts.items():
        engine.restore_bulk(name, part)
    engine.restore(state)


ENGINES: dict[str, tuple[Callable[[], Engine], Callable[[Any], None]]] = {
    "analytics": (kit.engine, _followed),
    "risk": (_risk, _risked),
    "portfolio": (_portfolio, _booked),
    "factor": (_factor, _estimated),
    "features": (_features, _featured),
    "vpin": (_vpin, _traded),
    "enhanced_vpin": (_enhanced, _traded),
    "collateral": (_collateral, _held),
}


def _kept(engine: Engine) -> tuple[dict[str, Any], Parts]:
    """State and large parts, as they come out of their files."""
    state = msgspec.json.decode(msgspec.json.encode(engine.state()))
    return state, {name: unpack(pack(give())) for name, (_, give) in engine.bulk().items()}


@cache
def _sound(name: str) -> tuple[bytes, bytes]:
    make, fill = ENGINES[name]
    engine = make()
    fill(engine)
    state, parts = _kept(engine)
    assert state or parts, name
    return pack(state), pack(parts)


def _spoilt(reader: Reader, value: Any) -> Any:
    """With one place of it changed."""
    if isinstance(value, np.ndarray) and reader.number(1) % 8:
        return _array(reader, value)
    if not isinstance(value, (dict, list, tuple)) or not value or reader.number(1) % 8 == 0:
        return _wrong(reader, value)
    if isinstance(value, dict):
        key = reader.choose(sorted(value, key=str))
        if reader.number(1) % 16 == 0:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: _spoilt(reader, value[key])}
    at, items = reader.number(2) % len(value), list(value)
    what = reader.number(1) % 16
    items[at : at + 1] = [items[at]] * 2 if what == 0 else [] if what == 1 else [_spoilt(reader, items[at])]
    return items if isinstance(value, list) else tuple(items)


def _wrong(reader: Reader, value: Any) -> Any:
    if isinstance(value, (int, float)) and reader.number(1) & 1:
        return value + reader.choose((1, -1, 2, 1 << 20, -(1 << 20)))
    return reader.choose(WRONG)


def _array(reader: Reader, value: np.ndarray) -> Any:
    what = reader.number(1) % 8
    out = value.copy()
    if what == 0:
        return out[: reader.number(2) % (len(out) + 1)] if out.ndim else out
    if what == 1:
        return np.concatenate([out, out]) if out.ndim else out
    if what == 2 and out.dtype.names is None:
        return out.astype(reader.choose((np.float32, np.int8, np.bool_, np.complex128, "S8")))
    if what == 3:
        return out.reshape(-1, 1) if out.ndim == 1 else out.reshape(-1)
    flat = out.reshape(-1).view(np.uint8) if out.size else out
    if out.size:
        at = reader.number(4) % flat.size
        width = reader.choose((1, 8))
        raw = (reader.number(8) if reader.number(1) & 1 else reader.wide() & (1 << 64) - 1).to_bytes(8, "little")
        flat[at // width * width : at // width * width + width] = np.frombuffer(raw, np.uint8)[:width][
            : flat.size - at // width * width
        ]
    return out


REFUSED = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, msgspec.MsgspecError)
"""What an engine may say of a state; the host says that it is damaged, keeps it aside and makes a new engine."""


def _target(name: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        reader = Reader(data)
        state, parts = (unpack(each) for each in _sound(name))
        for _ in range(1 + reader.number(1) % 3):
            if parts and (reader.number(1) & 1 or not state):
                key = reader.choose(sorted(parts))
                if reader.number(1) % 16 == 0:
                    parts[reader.choose((key + "0", "", key[:-1], key.upper(), "series "))] = parts.pop(key)
                else:
                    parts[key] = _spoilt(reader, parts[key])
            else:
                state = _spoilt(reader, state)
        engine = ENGINES[name][0]()
        state = msgspec.json.decode(msgspec.json.encode(state))
        try:
            for key, part in parts.items():
                engine.restore_bulk(key, part)
            engine.restore(state)
        except Exception as error:
            if isinstance(error, REFUSED) or _has_code(error):
                return
            raise
        _goes_on(name, engine)

    return run


def _has_code(error: Exception) -> bool:
    return bool(getattr(error, "code", ""))


def _goes_on(name: str, engine: Engine) -> None:
    """What was taken over can be kept, and taken over again: the same comes of it."""
    state, parts = _kept(engine)
    again = ENGINES[name][0]()
    for key, part in parts.items():
        again.restore_bulk(key, part)
    again.restore(state)
    other, others = _kept(again)
    assert msgspec.json.encode(other) == msgspec.json.encode(state)
    assert pack(others) == pack(parts)


TARGETS = {name: _target(name) for name in ENGINES}
