"""The engines of VPIN in live hosts: trades over the star, answers over HTTP, warnings to risk over the mesh."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator

import numpy as np
import pytest

from nautilus.core.types import TRADE
from nautilus.engines.base import Context, Engine
from nautilus.engines.enhanced_vpin import EnhancedVpinConfig, EnhancedVpinEngine, ScaleConfig
from nautilus.engines.vpin import VpinConfig, VpinEngine
from nautilus.maths.vpin import vpin_of_trades
from nautilus.model.signals import MarketStructureChanged, ToxicityWarning
from nautilus.model.topics import MARKET_STRUCTURE, TOXICITY
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.views import serve_http
from tests.kit.context import btcusdt
from tests.kit.http_engines import answer_of
from tests.kit.live_host import RunningHost, Venue, eventually, make_plan, short_directory

CONFIG = VpinConfig(bucket_lots=10, window=4, history=100, least_history=10, dwell_buckets=1)
ENHANCED = EnhancedVpinConfig(
    scales=(ScaleConfig(10, 4), ScaleConfig(5, 3)), day_lots=100, days=0, history=100, least_history=10
)


class TakingRisk(Engine):
    """Notes what it is warned of."""

    name = "risk"
    subscribes = (TOXICITY, MARKET_STRUCTURE)

    def __init__(self) -> None:
        self.warnings: list[ToxicityWarning] = []
        self.changes: list[MarketStructureChanged] = []

    def on_toxicity(self, warning: ToxicityWarning, ctx: Context) -> None:
        self.warnings.append(warning)

    def on_structure(self, change: MarketStructureChanged, ctx: Context) -> None:
        self.changes.append(change)


class Setting:
    """A venue, both engines in a process, and one that takes their warnings."""

    def __init__(self, undo: contextlib.ExitStack) -> None:
        directory = undo.enter_context(short_directory())
        processes = {"venue": ("marketdata", "trading"), "vpin": ("vpin", "enhanced-vpin"), "risk": ("risk",)}
        self.plan = make_plan(directory, processes)
        self.venue = Venue(self.plan)
        undo.callback(self.venue.stop)
        self.risk = TakingRisk()
        taking = RunningHost(self.plan, "risk", {"risk": lambda: self.risk})
        undo.callback(taking.stop)
        self.start()
        undo.callback(lambda: self.running.stop())
        self.venue.running.ready()
        taking.ready()
        self.sent: list[np.ndarray] = []
        self.number = 0

    def start(self) -> None:
        """Begin, or begin again with what was saved."""
        makers = {
            "vpin": lambda: VpinEngine(CONFIG, [btcusdt()]),
            "enhanced-vpin": lambda: EnhancedVpinEngine(ENHANCED, [btcusdt()]),
        }
        self.running = RunningHost(self.plan, "vpin", makers).ready()

    def trade(self, *rows: tuple[int, int]) -> None:
        """(lots, side) each, published by the hub; waits until they are measured."""
        made = np.zeros(len(rows), TRADE)
        made["now_ns"] = wall_ns()
        made["trade_id"] = self.number + 1 + np.arange(len(rows))
        made["price_ticks"], made["instrument_id"], made["flags"] = 100, 1, 1
        made["quantity"], made["side"] = np.array(rows).T
        self.number += len(rows)
        self.sent.append(made)
        self.venue.running.do(lambda: self.venue.running.host.contexts["marketdata"].publish(made))
        engine = self.running.engine("vpin")
        eventually(lambda: engine._tables["side"].counts(1)["taken"] == self.number)


@pytest.fixture(scope="module")
def setting() -> Iterator[Setting]:
    with contextlib.ExitStack() as undo:
        yield Setting(undo)


def test_trades_of_the_star_are_measured_answered_and_warned_of(setting):
    for _ in range(12):
        setting.trade((10, 1), (5, 1), (5, 2), (7, 1), (3, 2))
    setting.trade(*[(10, 1)] * 12)
    found = eventually(lambda: [each for each in setting.risk.warnings if each.active])
    assert found[-1].instrument_id == 1
    eventually(lambda: [each for each in setting.risk.changes if each.regime != "normal"])
    rows = np.concatenate(setting.sent)
    fields = (rows["now_ns"], rows["price_ticks"], rows["quantity"], rows["side"])
    expected = vpin_of_trades(*fields, bucket_lots=10, window=4, history=100)
    with contextlib.ExitStack() as undo:
        ports = serve_http(setting.running.host, undo)

        def call(engine: str, path: str):
            connection = http.client.HTTPConnection("127.0.0.1", ports[engine], timeout=60)
            try:
                connection.request("GET", path)
                return answer_of(connection)[::2]
            finally:
                connection.close()

        status, reading = call("vpin", "/vpin/BTCUSDT")
        assert status == 200, reading
        assert (reading["vpin"], reading["percentile"]) == (expected.vpin[-1], expected.percentile[-1])
        assert reading["toxic"]
        assert reading["basis"]["window"] == 4
        status, lines = call("vpin", "/vpin?limit=5")
        assert (status, [line["symbol"] for line in lines["lines"]]) == (200, ["BTCUSDT"])
        status, buckets = call("vpin", "/vpin/1/buckets?limit=2&measure=side")
        assert (status, len(buckets["buckets"])) == (200, 2)
        status, both = call("enhanced-vpin", "/enhanced-vpin/BTCUSDT")
        assert (status, len(both["scales"]), both["filled"]) == (200, 2, 1.0)
        assert call("enhanced-vpin", "/enhanced-vpin")[1]["lines"][0]["toxicity"] == both["toxicity"]
        assert call("enhanced-vpin", "/enhanced-vpin/BTCUSDT/buckets?scale=1")[0] == 200
        for engine, path, status, code in (
            ("vpin", "/vpin/NONE", 404, "model.unknown_instrument"),
            ("enhanced-vpin", "/enhanced-vpin/NONE", 404, "model.unknown_instrument"),
            ("vpin", "/vpin/1/buckets?measure=tick", 422, "model"),
            ("vpin", "/vpin?limit=0", 422, "http.fields"),
            ("enhanced-vpin", "/enhanced-vpin/1/buckets?scale=9", 422, "model"),
        ):
            told = call(engine, path)
            assert (told[0], told[1]["code"]) == (status, code), path


def test_a_process_that_stops_and_begins_again_goes_on_where_it_was(setting):
    before = setting.running.engine("vpin")._tables["side"].save(1)
    both = [table.save(1) for table in setting.running.engine("enhanced-vpin")._tables.values()]
    setting.running.stop()
    setting.start()
    assert setting.running.engine("vpin")._tables["side"].save(1) == before
    assert [table.save(1) for table in setting.running.engine("enhanced-vpin")._tables.values()] == both
    assert setting.running.engine("vpin")._warnings[1].toxic.active
