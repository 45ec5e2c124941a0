"""`[store] url` everywhere: what imports, lists, exports, records, replays and answers over HTTP works on a server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("asyncpg", reason="the extra `data` is not installed")

from nautilus import data
from nautilus.cli.main import main
from nautilus.cli.market_options import recorded_market
from nautilus.core.counters import Counters
from nautilus.core.types import QUOTE
from nautilus.model.topics import TRADES
from nautilus.runtime.market_name import MarketName, catalog_name, market_name
from nautilus.runtime.recorded_streams import key_of, origin_of
from nautilus.runtime.recorder_process import open_recorder
from nautilus.runtime.replay import Run
from nautilus.runtime.sources import begin_ns_of, open_source
from nautilus.store.catalog_errors import NoCatalogError, QueryError
from nautilus.store.catalog_open import open_catalog
from nautilus.store.catalog_settings import CatalogConfig
from tests.kit.context import btcusdt
from tests.kit.data_hub import data_hub
from tests.kit.live_host import short_directory
from tests.kit.postgres_server import postgres_server

START_NS = 1_577_959_200 * 10**9
ROWS = 200
SECOND = 10**9
READER = "hub_reader"


@pytest.fixture(scope="module")
def url() -> str:
    return postgres_server().database()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Trades, and a table of another kind."""
    place = tmp_path_factory.mktemp("files")
    trades, panel = place / "XYZ_trades.csv", place / "panel.csv"
    rows = (f"{START_NS + SECOND * i},{100 + i % 7}.05,{1 + i % 3},buy,{i}\n" for i in range(1, ROWS + 1))
    trades.write_text("timestamp,price,qty,side,trade_id\n" + "".join(rows))
    panel.write_text("date,X,Y\n2020-01-02,1,2\n2020-01-03,,4\n")
    return trades, panel


@pytest.fixture
def stored(url: str, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys) -> str:
    """The server, of the configuration, with both files imported."""
    monkeypatch.setenv("NAUTILUS__STORE__URL", url)
    if not stored_before(url):
        code, facts, told = run(capsys, "import", *map(str, files))
        assert (code, facts["catalog"], told) == (0, url, "")
        assert [each["status"] for each in facts["files"]] == ["stored", "stored"]
    return url


def stored_before(url: str) -> bool:
    with open_catalog(url) as catalog:
        try:
            return bool(catalog.ranges())
        except NoCatalogError:
            return False


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict, str]:
    code = main(["data", *arguments, "--json"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out.startswith("{") else {}, printed.err


def test_a_server_without_a_catalog_is_told(capsys, monkeypatch) -> None:
    monkeypatch.setenv("NAUTILUS__STORE__URL", postgres_server().database())
    code, _, told = run(capsys, "list")
    assert (code, "there is no catalog at postgresql://" in told) == (2, True), told


def test_files_are_imported_once_listed_shown_and_exported(files, stored, capsys, tmp_path) -> None:
    again = run(capsys, "import", *map(str, files))[1]
    assert [each["status"] for each in again["files"]] == ["known", "known"]
    ranges = run(capsys, "list")[1]["ranges"]
    assert {each["kind"]: each["rows"] for each in ranges if each["instrument"] != "imports"} == {
        "trade": ROWS,
        "table": 2,
    }
    shown = run(capsys, "show", "imports")[1]
    assert [row["status"] for row in shown["rows"]["table"]] == ["stored", "stored"]
    assert run(capsys, "show", "XYZ", "--limit", "3")[1]["rows"]["trade"][2]["trade_id"] == 3
    code, found, _ = run(capsys, "export", str(tmp_path / "out.csv"), "--instrument", "XYZ")
    assert (code, found["rows"]) == (0, ROWS)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == ROWS + 1


def played(name: MarketName) -> tuple[object, object]:
    """Records of the hub in lock-step, and the hash of all events."""
    run = Run(open_source(name), ("quoting",), {}, 1, "none", None)
    seen: list[int] = []
    run._host.tap(TRADES, lambda records: seen.extend(records["trade_id"].tolist()))
    try:
        report = run.run(None, 2 * ROWS, None)
    finally:
        run.close()
    assert seen == list(range(1, ROWS + 1))
    return report.event_hash, report.state_hash


def test_a_stored_range_plays_from_the_server_as_from_files(stored, files, tmp_path) -> None:
    name = recorded_market(["catalog:"], "XYZ", None, None)
    assert market_name(str(name.absolute())) == name == catalog_name(stored, ["XYZ"])
    assert begin_ns_of(name) == START_NS + SECOND
    files_name = catalog_name(tmp_path / "catalog", ["XYZ"])
    assert main(["data", "import", str(files[0]), "--into", files_name.paths[0]]) == 0
    assert played(name) == played(files_name)


def test_a_hub_answers_of_the_server(stored) -> None:
    postgres_server().execute(
        f"CREATE ROLE {READER} LOGIN",
        f"GRANT USAGE ON SCHEMA market_data TO {READER}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA market_data TO {READER}",
        url=stored,
    )
    reader = stored.replace("tests@", f"{READER}@")
    with data_hub(store={"url": reader}) as hub, data.connect(f"http://127.0.0.1:{hub.ports['marketdata']}") as remote:
        assert remote.ticks("XYZ", limit=2).column("trade_id").to_pylist() == [1, 2]
        assert remote.ticks("XYZ", START_NS + ROWS * SECOND).num_rows == 1
        assert remote.instruments().column("instrument").to_pylist()
        assert remote.sql("SELECT count(*) AS n FROM trade").to_pylist() == [{"n": ROWS}]
        assert {each["kind"] for each in hub.get("/marketdata/catalog")[2]["ranges"]} == {"table", "trade"}
        assert remote.sql('SELECT "Y" FROM "PANEL"').column("Y").to_pylist() == [2.0, 4.0]
        with pytest.raises(QueryError):
            remote.sql("DELETE FROM trade_rows")


def test_a_server_that_is_away_is_an_error_that_says_so() -> None:
    with data_hub(store={"url": "postgresql://somebody:secret@127.0.0.1:1/x"}) as hub:
        status, _, problem = hub.get("/marketdata/catalog/trade")
        assert (status, problem["code"]) == (503, "config.catalog_unreachable")
        assert "secret" not in str(problem)


def test_the_star_is_recorded_on_the_server(tmp_path) -> None:
    url = postgres_server().database()
    quotes = np.zeros(5, QUOTE)
    with (
        short_directory() as place,
        open_recorder(
            url, CatalogConfig(), [f"ipc://{place}/star"], None, [btcusdt()], Counters(path=tmp_path / "counters")
        ) as recorder,
    ):
        recorder._writer.append(btcusdt(), "quote", quotes, origin=origin_of(7), position=5)
        recorder.flush()
        assert recorder._stored(origin_of(7)) == {("quote", key_of(btcusdt())): 5}
        recorder.finish()
    with open_catalog(url) as catalog:
        assert {each.kind: each.rows for each in catalog.ranges()}["quote"] == 5
