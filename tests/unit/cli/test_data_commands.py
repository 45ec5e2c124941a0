"""`nautilus data` as a person sees it: 80 columns, whole names, exact times, bars that say what is still to come."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("duckdb", reason="the extra `data` is not installed")

from nautilus.cli import data_import, data_sources
from nautilus.cli.main import main
from nautilus.core.types import BOOK_DELTA, TRADE
from nautilus.runtime.file_import import import_files
from nautilus.store.catalog import Catalog

MIDNIGHT = 1_667_260_800_000_000_000  # 2022-11-01
KEY = "BTCUSDT.perpetual@BINANCE"
BTC = SimpleNamespace(symbol="BTCUSDT", venue="BINANCE", price_increment="0.1", lot_size="0.001", product="perpetual")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "80")
    made, deltas = np.zeros(1_500_000, TRADE), np.zeros(3, BOOK_DELTA)
    made["now_ns"] = MIDNIGHT + 1 + 10**9 * np.arange(len(made)) // 10
    made["price_ticks"], made["quantity"], made["side"] = 203_770, 1_770, 2
    deltas["now_ns"] = MIDNIGHT + np.arange(3)
    deltas["side"], deltas["action"] = 1, 7
    with Catalog(tmp_path / "catalog", create=True) as catalog, catalog.writer() as writer:
        assert writer.append(BTC, "trade", made, wait=True)
        assert writer.append(BTC, "book", deltas, wait=True)
    return tmp_path / "catalog"


def test_what_is_stored_fits_a_terminal(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list", "--catalog", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (book,) = [line.split() for line in lines if " book " in line]
    (trade,) = [line.split() for line in lines if " trade " in line]
    assert book[:6] == ["book", KEY, "3", "2022-11-01", "00:00:00", "00:00:00"]
    assert trade[:5] == ["trade", KEY, "1,500,000", "2022-11-01", "2022-11-02"]
    assert trade[5][-1] in "KM"


def test_rows_are_shown_in_columns_with_exact_times(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", KEY, "--limit", "2", "--catalog", str(root)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "2022-11-01 00:00:00.000000001" in shown
    assert ["20377.0", "1.770", "sell", "0"] in [line.split()[2:] for line in shown.splitlines()]
    assert "clear" in shown


def test_the_bars_say_what_is_stored_and_what_is_published(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []

    class Told:
        """Of a progress display what it is told."""

        def __init__(self) -> None:
            self.tasks: list[str] = []

        def add_task(self, description: str, **fields: Any) -> int:
            self.tasks.append(description.strip())
            return len(self.tasks) - 1

        def update(self, task: int, **fields: Any) -> None:
            told.append((fields.get("description", self.tasks[task]).strip(), fields["text"]))

    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("time,price,size\n2020-01-02,10.5,3\n2020-01-03,10.5,3\n")
    bars = data_import._Bars(Told(), 2)  # type: ignore[arg-type]
    for _ in import_files([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "catalog", None, bars.show):
        bars.done()
    files = [text for name, text in told if name == "files"]
    assert files == ["1 of 2 stored", "2 of 2 stored"]
    assert told[-2:] == [("files", "2 of 2 stored"), ("publishing", "4 rows")]
    assert ("b.csv", "2 rows, storing") in told[told.index(("files", "1 of 2 stored")) :]


def test_providers_fit_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    counts = {"calls": 12_345, "errors": 12, "not_modified": 345, "connections": 1, "p50_ms": 123.4, "cost": 12.5}
    limits = {"day_left": 123_456, "day_limit": 500_000, "currency": "USD", "kinds": ["BAR"]}
    source = {"name": "trading_economics", "state": "connecting", "last_error": "", **counts, **limits}
    told = dict.fromkeys(("hits", "misses", "joined", "stale", "negative", "prefetched", "prefetch_used"), 1)
    answer = {"sources": [source], "hit_rate": 0.5, "fresh_rate": 0.4, **told}
    monkeypatch.setattr(data_sources, "running", lambda name: None)
    monkeypatch.setattr(data_sources, "client_of", lambda *args, **more: SimpleNamespace(ask=lambda *words: answer))
    assert main(["data", "sources"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (line,) = [line.split() for line in lines if "connecting" in line]
    assert line == ["trading_economics", "connecting", "12,345", "12", "345", "123K/500K", "12.50", "USD", "1", "123"]
