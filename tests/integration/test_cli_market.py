"""A live market from the command line: the venue on real sockets, two symbols, of which one is delisted meanwhile."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from perf.platform import descendants
from tests.kit.binance_server import BinanceServer, read_lines, renamed, served
from tests.kit.data import BTCUSDT_SPOT, recording
from tests.kit.shell import SETS, Shell, call, eventually, own_shell

BOTH = ("BTCUSDT", "ETHUSDT")
STREAMS = ["depth@100ms", "bookTicker", "trade"]


@pytest.fixture
def shell() -> Iterator[Shell]:
    with own_shell() as made:
        yield made


def feed_of(shell: Shell) -> int:
    """The process that listens, which the hub's has started; 0: there is none."""
    [pid] = descendants(shell.pid("marketdata")) or [0]
    return pid


def test_a_live_market_is_traded_recorded_and_goes_on_without_a_symbol_that_was_delisted(shell: Shell) -> None:
    lines = read_lines(recording(BTCUSDT_SPOT), 400)
    server = BinanceServer(
        "spot", [line for pair in zip(lines, renamed(lines, "ETHUSDT"), strict=True) for line in pair]
    )
    with served(server):
        settings = {
            "rest_url": server.rest_url,
            "routes": json.dumps([{"url": server.stream_url(), "streams": STREAMS}]),
            "longest_backoff_seconds": 0.1,
            "quiet_seconds": 0.1,
        }
        sets = [word for name, value in settings.items() for word in ("--set", f"binance.{name}={value}")]
        up = ("up", "--detach", "--record", *SETS, *sets, "--market")
        said = shell.refused(*up, "binance:BTCUSDT,GONEUSDT", code=1)
        assert "GONEUSDT is not listed" in said
        assert "BTCUSDT" not in said
        assert "is not running" in shell.refused("status", code=3)
        begun = shell.run(*up, f"binance:{','.join(BOTH)}")
        assert begun.returncode == 0, begun.stderr

        def blind() -> list[str]:
            books = {name: json.loads(call("book", name, "--json", "--instance", shell.name).stdout) for name in BOTH}
            return [name for name, book in books.items() if book["blind_since_ns"] or not book["bids"]]

        eventually(lambda: blind() == [])
        server.delisted["ETHUSDT"] = ""
        os.kill(feed_of(shell), signal.SIGKILL)
        eventually(lambda: blind() == ["ETHUSDT"])
        events = [line["event"] for line in shell.object("logs", "marketdata", "--lines", 0)["lines"]]
        assert any("ETHUSDT is not listed" in event for event in events), events
        assert shell.run("down").returncode == 0
    output = shell.place.base / "share" / "nautilus" / shell.name / "logs" / "supervisor.out"
    report = json.loads(next(line for line in output.read_text().splitlines() if line.startswith("{")))
    assert report["live"]["feed_restarts"] == 1
    assert report["live"]["blind"] == ["ETHUSDT"]
    assert set(report["live"]["gaps"]) == set(BOTH)
    assert min(report["live"]["gaps"].values()) >= 1
    assert min(report["live"]["blind_seconds"].values()) > 0
    assert report["recorded"] > 100
    assert report["positions_equal"] is True
