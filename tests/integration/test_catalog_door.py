"""The catalog over HTTP: a real hub, its port, the process that queries, and files that a writer made."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("duckdb", reason="the extra `data` is not installed")

from nautilus.core.types import TRADE
from nautilus.runtime.catalog_door import CatalogDoor
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_encode import ARROW_TYPE, decode_arrow
from tests.kit.data_hub import DataHub, data_hub
from tests.kit.live_host import eventually, short_directory

MIDNIGHT = 1_667_260_800_000_000_000  # 2022-11-01
ROWS = 400_000
BTC = SimpleNamespace(symbol="BTC/USDT", venue="X", price_increment="0.01", lot_size="0.001")


@pytest.fixture(scope="module")
def hub() -> Iterator[DataHub]:
    with short_directory() as place:
        (place / "data").mkdir()
        made = np.zeros(ROWS, TRADE)
        made["now_ns"] = MIDNIGHT + np.arange(ROWS)
        made["trade_id"] = 1 + np.arange(ROWS)
        made["price_ticks"] = 1000 + np.arange(ROWS) % 7
        made["quantity"] = 1
        with Catalog(place / "data" / "catalog", create=True) as catalog, catalog.writer() as writer:
            assert writer.append(BTC, "trade", made)
        with data_hub(directory=place) as found:
            yield found


def post(hub: DataHub, sql: str, headers: dict[str, str] | None = None) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", hub.ports["marketdata"], timeout=30)
    try:
        body = '{"sql": "' + sql + '"}'
        connection.request("POST", "/marketdata/sql", body, {"content-type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.getheader("content-type") or "", response.read()
    finally:
        connection.close()


def child(hub: DataHub) -> int:
    """The process that queries."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            parent = int(path.with_name("stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"nautilus.runtime.catalog_process" in words and parent == os.getpid():
            return int(path.parent.name)
    raise AssertionError("there is none")


def test_what_is_stored_is_told(hub):
    status, _, answer = hub.get("/marketdata/catalog")
    assert status == 200
    (found,) = answer["ranges"]
    assert (found["kind"], found["instrument"], found["rows"]) == ("trade", "BTC/USDT@X", ROWS)


def test_rows_come_as_json(hub):
    path = "/marketdata/catalog/trade?instrument=BTC%2FUSDT&columns=now_ns,trade_id&limit=3&end=2022-11-02"
    status, fields, answer = hub.get(path)
    assert (status, fields["content-type"]) == (200, "application/json")
    assert answer["columns"] == ["now_ns", "trade_id"]
    assert [row[1] for row in answer["rows"]] == [1, 2, 3]
    assert answer["count"] == 3
    assert hub.get("/marketdata/catalog/trade?begin=2023-01-01")[2]["count"] == 0


def test_all_rows_come_as_an_arrow_stream(hub):
    status, fields, content = hub.get("/marketdata/catalog/trade?columns=trade_id", {"accept": ARROW_TYPE})
    assert (status, fields["content-type"]) == (200, ARROW_TYPE)
    assert (decode_arrow(content)["trade_id"].to_numpy() == 1 + np.arange(ROWS)).all()


def test_sql_reads_and_does_nothing_else(hub, tmp_path):
    status, kind, content = post(hub, "SELECT count(*) AS n, sum(quantity) AS q FROM trade")
    assert (status, kind) == (200, "application/json")
    assert b'"rows":[[400000,' in content
    target = tmp_path / "out.csv"
    for sql in (
        f"COPY (SELECT 1) TO '{target}'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "DROP VIEW trade",
        "SELECT 1; SELECT 2",
        "SELECT nothing FROM trade",
    ):
        status, _, content = post(hub, sql)
        assert (status, b'"code":"model.query"' in content) == (422, True), content
    assert not target.exists()


def test_what_is_wrong_is_said(hub):
    for path, expected in (
        ("/marketdata/catalog/nothing", 422),
        ("/marketdata/catalog/trade/NOBODY", 422),
        ("/marketdata/catalog/trade?limit=many", 422),
        ("/marketdata/catalog/trade?colums=a", 422),
        ("/marketdata/catalog/trade?begin=soon", 422),
        ("/marketdata/catalog/trade?begin=-9999999999999999999", 422),
        ("/marketdata/catalog/trade?columns=nothing", 422),
    ):
        assert hub.get(path)[0] == expected, path


def test_a_reader_that_stands_still_holds_up_nobody_and_gets_all(hub):
    with socket.create_connection(("127.0.0.1", hub.ports["marketdata"])) as still:
        still.settimeout(30)
        still.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        request = f"GET /marketdata/catalog/trade HTTP/1.0\r\nHost: localhost\r\nAccept: {ARROW_TYPE}\r\n\r\n"
        still.sendall(request.encode())
        assert still.recv(1) == b"H"
        before = rss_mib(os.getpid())
        for _ in range(3):
            assert hub.get("/marketdata/catalog/trade?limit=1")[2]["count"] == 1
        assert rss_mib(os.getpid()) - before < 12  # 24 MB of answer are not held here
        pieces = []
        while piece := still.recv(1 << 18):
            pieces.append(piece)
    content = b"".join(pieces).partition(b"\r\n\r\n")[2]
    assert decode_arrow(content).num_rows == ROWS


def rss_mib(pid: int) -> float:
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def test_a_killed_process_is_started_again(hub):
    hub.get("/marketdata/catalog")
    first = child(hub)
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: hub.get("/marketdata/catalog")[0] == 200)
    assert child(hub) != first


def test_a_hub_without_a_catalog_says_so():
    with data_hub() as empty:
        assert empty.get("/marketdata/catalog")[2] == {"ranges": []}
        status, _, problem = empty.get("/marketdata/catalog/trade")
        assert (status, problem["code"]) == (404, "model.unknown_catalog")


def test_numbers_of_more_than_64_bits_are_refused(hub):
    assert hub.get("/marketdata/catalog/trade?begin=99999999999999999999")[0] == 422
    assert hub.get("/marketdata/catalog/trade?limit=99999999999999999999")[0] == 422


def test_first_questions_at_once_share_one_process(tmp_path, monkeypatch):
    door, started, inside = CatalogDoor(tmp_path, {}), [], threading.Barrier(2)
    start = door._start

    def counted() -> None:
        started.append(1)
        with contextlib.suppress(threading.BrokenBarrierError):
            inside.wait(0.2)  # were another one here, both would go on at once
        start()

    monkeypatch.setattr(door, "_start", counted)
    try:
        with ThreadPoolExecutor(2) as pool:
            for ours in list(pool.map(lambda _: door._connect(), range(2))):
                ours.close()
        assert len(started) == 1
    finally:
        door.close()


def test_an_unforeseen_error_is_answered(hub, monkeypatch):
    def breaks(self: CatalogDoor) -> None:
        raise OverflowError("broken")

    monkeypatch.setattr(CatalogDoor, "_connect", breaks)
    assert hub.get("/marketdata/catalog")[0] == 500
