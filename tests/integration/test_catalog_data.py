"""`nautilus.data`: what people ask, of files and of a running hub, and what they get."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("duckdb", reason="the extra `data` is not installed")

import pyarrow as pa

from nautilus import data
from nautilus.core.types import QUOTE, TRADE
from nautilus.data.remote import RemoteError
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_errors import CatalogError, QueryError
from nautilus.store.catalog_settings import CatalogConfig
from tests.kit.data_hub import data_hub

MIDNIGHT = 1_667_260_800_000_000_000
BTC = SimpleNamespace(symbol="BTCUSDT", venue="binance", price_increment="0.01", lot_size="0.001")
TOKEN = "a-token"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data") / "catalog"
    trades, quotes = np.zeros(1000, TRADE), np.zeros(10, QUOTE)
    trades["now_ns"] = MIDNIGHT + 3_600_000_000_000 * np.arange(1000) // 10
    trades["price_ticks"] = 2_050_000 + np.arange(1000)
    trades["quantity"] = 1 + np.arange(1000) % 5
    quotes["now_ns"] = MIDNIGHT + np.arange(10)
    quotes["update_id"] = np.uint64((1 << 64) - 1)
    with Catalog(place).writer() as writer:
        writer.append(BTC, "trade", trades)
        writer.append(BTC, "quote", quotes)
        writer.append_table("my notes", pa.table({"t": [1, 2], "text": ["a", "b"]}), time="t")
    return place


@pytest.fixture(scope="module")
def hub(root: Path) -> Iterator[str]:
    """A hub with this catalog; its URL."""
    with data_hub(token=TOKEN, access={"anonymous": "none"}, catalog={"path": str(root)}) as running:
        yield f"http://127.0.0.1:{running.ports['marketdata']}"


@pytest.fixture(params=["files", "http"])
def stored(request: pytest.FixtureRequest, root: Path) -> Iterator[data.Stored | data.Remote]:
    if request.param == "files":
        opened: data.Stored | data.Remote = data.open(root)
    else:
        opened = data.connect(request.getfixturevalue("hub"), TOKEN)
    with opened:
        yield opened


def test_ticks_of_a_day_come_with_decimals(stored: data.Stored | data.Remote) -> None:
    table = stored.ticks("BTCUSDT", "2022-11-01", "2022-11-02")
    assert table.num_rows == 240
    assert [str(value) for value in table.column("price")[:2]] == ["20500.00", "20500.01"]
    assert stored.ticks("BTCUSDT@binance", datetime.date(2022, 11, 4), limit=7).num_rows == 7
    assert stored.ticks("BTCUSDT", kind="quote").num_rows == 10
    assert stored.bars("BTCUSDT").num_rows == 0
    assert stored.query("trade", columns=["trade_id"], order="-time", limit=1).column_names == ["trade_id"]


def test_what_there_is_comes_as_tables(stored: data.Stored | data.Remote) -> None:
    instruments = stored.instruments().to_pylist()
    assert {each["instrument"] for each in instruments} == {"BTCUSDT@binance", "my notes"}
    ranges = stored.ranges().to_pylist()
    assert [(each["kind"], each["rows"]) for each in ranges] == [("quote", 10), ("table", 2), ("trade", 1000)]


def test_sql_knows_kinds_instruments_and_tables(stored: data.Stored | data.Remote) -> None:
    words = "SELECT i.symbol, count(*) AS n FROM trade JOIN instruments i USING (instrument) GROUP BY 1"
    assert stored.sql(words).to_pylist() == [{"symbol": "BTCUSDT", "n": 1000}]
    assert stored.sql('SELECT text FROM "my notes" ORDER BY t').column("text").to_pylist() == ["a", "b"]
    with pytest.raises(QueryError, match="nothing"):
        stored.sql("SELECT nothing FROM trade")
    with pytest.raises(QueryError, match="one SELECT"):
        stored.sql("DROP VIEW trade")
    with pytest.raises(QueryError, match="not in the catalog"):
        stored.ticks("DOGE")
    with pytest.raises(QueryError, match="kind"):
        stored.query("candle")


def test_json_keeps_what_a_double_would_round(hub: str) -> None:
    path = "/marketdata/catalog/quote?limit=2&columns=update_id,time&columns=bid"
    asked = urllib.request.Request(hub + path, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(asked, timeout=30) as response:
        answer = json.load(response)
    assert answer["columns"] == ["update_id", "time", "bid"]
    assert answer["rows"][0] == [str((1 << 64) - 1), str(MIDNIGHT), "0.00"]
    assert answer["count"] == 2


def test_a_question_to_a_hub_is_that_to_its_catalog(root: Path, hub: str) -> None:
    with data.open(root) as files, data.connect(hub, TOKEN) as remote:
        for question in (
            {"kind": "trade", "instruments": ["BTCUSDT@binance", "BTCUSDT"], "limit": 3},
            {"kind": "trade", "end": 0},
            {"kind": "trade", "begin": -1, "end": MIDNIGHT + 1, "columns": ["price", "time"]},
            {"kind": "trade", "begin": "2022-11-01T01:00:00.000000001", "order": "-time", "limit": 5},
            {"kind": "table", "instruments": "my notes", "order": "none"},
        ):
            assert remote.query(**question).equals(files.query(**question)), question
        assert remote.instruments().equals(files.instruments())
        assert remote.ranges().equals(files.ranges())
        with pytest.raises(QueryError):
            remote.query("trade", [])


def test_a_hub_that_is_not_there_or_refuses_is_told(hub: str) -> None:
    with data.connect(hub, "another") as refused, pytest.raises(RemoteError, match="401: the token is wrong"):
        refused.ranges()
    with pytest.raises(RemoteError, match="does not answer"):
        data.connect("http://127.0.0.1:1").ranges()
    with pytest.raises(QueryError, match="url"):
        data.connect("127.0.0.1")


def test_a_place_without_a_catalog_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no catalog"):
        data.open(tmp_path)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2022-11-01", MIDNIGHT),
        ("20221101", MIDNIGHT),
        ("2022-11-01T00:00:00.000000001Z", MIDNIGHT + 1),
        ("2022-11-01 02:00:00+02:00", MIDNIGHT),
        (datetime.date(2022, 11, 1), MIDNIGHT),
        (datetime.datetime(2022, 11, 1, 0, 0, 0, 1), MIDNIGHT + 1000),
        (datetime.datetime(2022, 11, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))), MIDNIGHT),
        (np.datetime64("2022-11-01"), MIDNIGHT),
        (MIDNIGHT, MIDNIGHT),
        (None, None),
    ],
)
def test_times_are_taken_as_people_write_them(time: data.times.Time, expected: int | None) -> None:
    assert data.nanoseconds(time) == expected


@pytest.mark.parametrize(
    "time",
    [
        *("yesterday", "", "2022-13-01", "NaT", True, 1.5, "9999-12-31", "1000-01-01", "20221301", "123456", 1 << 63),
        *(datetime.date(9999, 12, 31), datetime.datetime(9999, 12, 31), np.datetime64("9999-12-31T00:00:00")),
    ],
)
def test_what_is_no_time_is_refused(time: object) -> None:
    with pytest.raises(QueryError, match="time"):
        data.nanoseconds(time)  # type: ignore[arg-type]


def test_queries_are_bounded_in_time_and_memory(root: Path) -> None:
    slow = Catalog(root, CatalogConfig(query_seconds=0.1))
    with pytest.raises(QueryError, match="too long"):
        slow.sql("SELECT count(*) FROM trade a, trade b, trade c, trade d WHERE a.price + b.price > c.price * d.price")
    small = Catalog(root, CatalogConfig(query_mib=16, query_threads=1))
    with pytest.raises(QueryError, match=r"memory|failed"):
        small.sql("SELECT list(a.time) FROM trade a, trade b, trade c")


def test_the_command_line_and_the_settings_do_not_load_arrow() -> None:
    words = (
        "import sys, nautilus.cli.main, nautilus.runtime.sections, nautilus.store.catalog, nautilus.data;"
        "import nautilus.store.postgres;"
        "sys.exit(str([name for name in ('pyarrow', 'duckdb', 'asyncpg') if name in sys.modules] or 0).strip('0') or 0)"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
