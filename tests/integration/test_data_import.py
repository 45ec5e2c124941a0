"""`nautilus data` as a process: files in, each row once, however often it is killed; and rows out again."""

import contextlib
import csv
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nautilus.cli.main import main
from nautilus.core.ticks import TickReason

pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")

TRADES = 300_000
BASE_NS = 1_577_959_200 * 10**9


@pytest.fixture(scope="module")
def trades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of trades whose ids count up: what is stored twice, or not at all, shows."""
    path = tmp_path_factory.mktemp("trades") / "XYZ_trades.csv"
    numbers = range(1, TRADES + 1)
    rows = (
        f"{BASE_NS + 1000 * i},{100 + i % 7}.{i % 10}5,{1 + i % 7},{'buy' if i % 3 else 'sell'},{i}\n" for i in numbers
    )
    path.write_text("timestamp,price,qty,side,trade_id\n" + "".join(rows))
    return path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nautilus", "data", *arguments]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict, str]:
    code = main(["data", *arguments, "--json"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else {}, printed.err


def on_terminal(arguments: list[str], term: str) -> tuple[str, str]:
    """What a command prints, and what it shows on the terminal that its errors go to."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    environment = {**os.environ, "TERM": term}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=theirs, env=environment, text=True) as process:
        os.close(theirs)
        assert process.stdout is not None
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while more := os.read(ours, 1 << 16):
                shown += more
        os.close(ours)
        printed = process.stdout.read()
    assert process.returncode == 0, (printed, shown)
    return printed, shown.decode()


def stored_ids(root: Path) -> np.ndarray:
    from nautilus.store.catalog import Catalog

    with Catalog(root) as catalog:
        return np.concatenate([records["trade_id"] for records in catalog.read("trade")])


def bytes_of_log(root: Path) -> int:
    return sum(each.stat().st_size for each in root.glob("log/*.log"))


def kill_in_the_middle(root: Path, path: Path) -> bool:
    """Kill an import once rows of it are in the log; False where it had ended before."""
    process = subprocess.Popen(command("import", str(path), "--into", str(root)), stdout=subprocess.DEVNULL)
    before = bytes_of_log(root)
    try:
        while process.poll() is None and bytes_of_log(root) - before < 1 << 20:
            select.select([], [], [], 0.001)
    finally:
        process.kill()
    return process.wait() == -signal.SIGKILL


def test_a_terminal_shows_a_bar_for_all_files_and_one_for_that_which_is_read(trades, tmp_path):
    other = tmp_path / "ABC_trades.csv"
    other.write_text("".join(trades.read_text().splitlines(keepends=True)[:2_000]))
    import_both = command("import", str(trades), str(other), "--into", str(tmp_path / "catalog"))
    printed, shown = on_terminal(import_both, "xterm-256color")
    assert "files" in shown
    assert trades.name in shown
    assert "0 of 2 stored" in shown
    assert "2 of 2 stored" in shown
    assert "publishing" in shown
    assert "\u2501" in shown  # a bar
    counts = [int(count.replace(",", "")) for count in re.findall(r"([\d,]+) rows", shown)]
    assert max(counts) == TRADES + 1_999
    assert shown.rstrip().endswith("\x1b[2K")  # and nothing of it stays
    assert "\x1b" not in printed
    assert f"{trades}: csv" in printed
    assert on_terminal(import_both, "dumb")[1] == ""


def test_an_import_that_is_killed_goes_on_and_stores_every_row_once(trades, tmp_path, capsys):
    root = tmp_path / "catalog"
    kills = sum(kill_in_the_middle(root, trades) for _ in range(3))
    assert kills >= 1
    code, facts, _ = run(capsys, "import", str(trades), "--into", str(root))
    assert code == 0
    assert facts["files"][0]["status"] == "stored"
    # What the killed ones had made durable is not stored again.
    assert 0 <= facts["rows_stored"] < TRADES
    assert stored_ids(root).tolist() == list(range(1, TRADES + 1))


def test_the_same_content_is_stored_once_whatever_its_name(trades, tmp_path, capsys):
    root, copy = tmp_path / "catalog", tmp_path / "other.csv"
    os.link(trades, copy) if trades.stat().st_dev == tmp_path.stat().st_dev else copy.write_bytes(trades.read_bytes())
    first = run(capsys, "import", str(trades), "--into", str(root))[1]
    again = run(capsys, "import", str(trades), str(copy), "--into", str(root))[1]
    assert (first["stored"], first["rows_stored"]) == (1, TRADES)
    assert [each["status"] for each in again["files"]] == ["known", "known"]
    assert len(stored_ids(root)) == TRADES
    report = first["files"][0]["report"]["report"]
    assert (report["rows"], report["refused"], report["settings"]["time_unit"]) == (TRADES, 0, "ns")


def test_a_refused_file_is_told_and_the_others_are_stored(tmp_path, capsys):
    root, inbox = tmp_path / "catalog", tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "a.csv").write_text(
        "date,open,high,low,close,volume\n2020-01-02,1,2,1,2,5\n2020-01-03,2,2,x,2,5\n2020-01-06,2,3,2,3,1\n"
    )
    (inbox / "b.json").write_text('{"chart": {}}\n')
    (inbox / "panel.csv").write_text("date,X,Y\n2020-01-02,1,2\n2020-01-03,,4\n")
    code, facts, errors = run(capsys, "import", str(inbox), "--into", str(root))
    assert code == 1
    assert {Path(each["path"]).name: each["status"] for each in facts["files"]} == {
        "a.csv": "stored",
        "b.json": "refused",
        "panel.csv": "stored",
    }
    assert "b.json:1: JSON that is no log" in errors
    assert errors.rstrip().endswith("(venue.format)")
    assert facts["files"][0]["report"]["report"]["refusals"] == [
        {"line": 3, "field": "low", "reason": "'x' is no number"}
    ]
    listed = run(capsys, "list", "--catalog", str(root))[1]["ranges"]
    assert {(each["kind"], each["instrument"], each["rows"]) for each in listed} == {
        ("bar", "A@FILE", 2),
        ("table", "PANEL", 2),
        ("table", "imports", 3),
    }
    shown = run(capsys, "show", "imports", "--catalog", str(root))[1]["rows"]["table"]
    assert sorted(each["status"] for each in shown) == ["refused", "stored", "stored"]
    assert [each["refused"] for each in shown if each["path"].endswith("a.csv")] == [1]


@pytest.mark.parametrize("form", ["parquet", "csv", "arrow", "json"])
def test_what_is_stored_comes_out_again_in_every_format(form, tmp_path, capsys):
    root, source, out = tmp_path / "catalog", tmp_path / "S.csv", tmp_path / f"out.{form}"
    source.write_text(
        "time,price,size\n2020-01-02T10:00:00Z,10.5,3\n2020-01-02T10:00:01Z,10.25,4\n2020-01-02T10:00:02Z,11,5\n"
    )
    assert run(capsys, "import", str(source), "--into", str(root))[0] == 0
    wanted = ("--catalog", str(root), "--to", "2020-01-02T10:00:02")
    code, facts, _ = run(capsys, "export", str(out), "--instrument", "S", *wanted)
    assert (code, facts["rows"], facts["format"]) == (0, 2, form)
    if form == "parquet":
        import pyarrow.parquet

        prices = pyarrow.parquet.read_table(out).column("price").to_pylist()
    elif form == "csv":
        prices = [row["price"] for row in csv.DictReader(io.StringIO(out.read_text()))]
    elif form == "arrow":
        from nautilus.store.catalog_encode import decode_arrow

        prices = decode_arrow(out.read_bytes()).column("price").to_pylist()
    else:
        answer = json.loads(out.read_text())
        prices = [row[answer["columns"].index("price")] for row in answer["rows"]]
    assert [float(price) for price in prices] == [10.5, 10.25]
    assert list(tmp_path.glob(".out*")) == []


def test_what_is_not_fit_is_refused_kept_in_quarantine_and_told(tmp_path, capsys):
    root, source = tmp_path / "catalog", tmp_path / "BAD_quotes.csv"
    rows = (
        "09:00:00Z,100.00,5,100.10,5",
        "09:00:01Z,100.20,5,100.10,5",  # crossed
        "09:00:02Z,100.05,5,100.05,5",  # locked: counted alone
        "10:00:02Z,100.00,5,100.10,5",
        "09:00:02Z,99.00,5,99.10,5",  # an hour back
        "10:00:03Z,100.01,5,100.10,5",
    )
    source.write_text("time,bid,bid_size,ask,ask_size\n" + "".join(f"2020-01-02T{row}\n" for row in rows))
    code, facts, _ = run(capsys, "import", str(source), "--kind", "quote", "--into", str(root))
    assert code == 0
    (told,) = facts["files"]
    assert (told["refused"], told["rows"], told["stored"]) == ({"CROSSED": 1, "OUT_OF_ORDER": 1}, {"quote": 6}, 4)
    assert told["report"]["quarantine"] == told["refused"]
    assert main(["data", "import", str(source), "--kind", "quote", "--into", str(root)]) == 0
    assert "stored before" in capsys.readouterr().out
    assert main(["data", "import", str(source), "--kind", "quote", "--into", str(tmp_path / "other")]) == 0
    assert "2 not fit, kept in quarantine: 1 CROSSED, 1 OUT_OF_ORDER" in capsys.readouterr().out
    from nautilus.store.catalog import Catalog

    begin_ns = 1_577_955_600 * 10**9
    with Catalog(root) as catalog:
        quotes = np.concatenate(list(catalog.read("quote")))
        kept = np.concatenate(list(catalog.read("quarantine")))
    assert (quotes["now_ns"] - begin_ns).tolist() == [s * 10**9 for s in (0, 2, 3602, 3603)], "none was moved"
    assert dict(zip(kept["reason"].tolist(), (kept["receive_ns"] - begin_ns).tolist(), strict=True)) == {
        TickReason.CROSSED: 10**9,
        TickReason.OUT_OF_ORDER: 2 * 10**9,
    }
    assert sorted(zip(kept["price"].tolist(), kept["price_decimals"].tolist(), strict=True)) == [(9900, 2), (10020, 2)]


def of_rows(tmp_path: Path, rows: list[tuple[int, str]], name: str = "ABC_trades.csv") -> Path:
    """A file of trades: nanoseconds from a beginning, and a price; sizes count up."""
    path = tmp_path / name
    lines = (f"{BASE_NS + at},{price},{size}\n" for size, (at, price) in enumerate(rows, 1))
    path.write_text("timestamp,price,qty\n" + "".join(lines))
    return path


SECOND = 10**9


@pytest.mark.parametrize(
    ("rows", "refused"),
    [
        ([(SECOND * at, "10.5") for at in range(60, 0, -1)], {}),
        ([(SECOND * at, "-37.6") for at in range(60)], {}),
        ([(SECOND * (at + 3 * 10**7 * (at == 5)), "10.5") for at in range(60)], {"TIME": 1}),
    ],
    ids=["the newest first", "negative prices", "one stamp a year ahead"],
)
def test_rows_are_not_refused_for_what_is_right_of_their_market_or_wrong_of_one(rows, refused, tmp_path, capsys):
    root, path = tmp_path / "catalog", of_rows(tmp_path, rows)
    code, facts, _ = run(capsys, "import", str(path), "--into", str(root))
    assert code == 0
    (told,) = facts["files"]
    assert (told["refused"], told["stored"]) == (refused, 60 - sum(refused.values()))
    from nautilus.runtime.stored import hint_of
    from nautilus.store.catalog import Catalog

    with Catalog(root) as catalog:
        stored = np.concatenate(list(catalog.read("trade")))
        instrument = next(each for each in catalog.instruments() if each.price_increment)
    assert hint_of(instrument).instrument().negative_prices == (rows[0][1][0] == "-")
    wanted = sorted(at for at, _ in rows)[: told["stored"]]
    assert (stored["now_ns"] - BASE_NS).tolist() == wanted


def test_an_import_begun_by_a_version_that_refused_nothing_loses_no_row(tmp_path, capsys):
    rows = [(SECOND * at, "99" if at % 10 == 9 else "10.5") for at in range(60)]
    root, path = tmp_path / "catalog", of_rows(tmp_path, rows)
    from nautilus.adapters.formats import open_file
    from nautilus.runtime.file_import import FileOptions, origin_of
    from nautilus.store.catalog import Catalog

    opened = open_file(path)
    ((_, records),) = opened.blocks()
    with Catalog(root, create=True) as catalog, contextlib.closing(catalog.writer()) as writer:
        origin = origin_of(path, FileOptions())
        writer.append(opened.hint, "trade", records[:30], origin=origin, position=30, wait=True)
        writer.flush(publish=True)
    code, facts, _ = run(capsys, "import", str(path), "--into", str(root))
    assert code == 0
    assert facts["files"][0]["stored"] == 27
    assert facts["files"][0]["refused"] == {"JUMP": 6}
    with Catalog(root) as catalog:
        stored = np.concatenate(list(catalog.read("trade")))
    expected = [size for size in range(1, 61) if size <= 30 or size % 10]
    assert (stored["quantity"]).tolist() == expected


def test_two_instruments_of_one_name_are_both_stored(tmp_path, capsys):
    """A future that is followed over its rolls: one name, and a number of the venue's for each contract."""
    dbn = pytest.importorskip("databento_dbn")
    days = {"start_date": date(2024, 3, 14), "end_date": date(2024, 3, 16)}
    intervals = [SimpleNamespace(**days, symbol=each) for each in ("71", "72")]
    metadata = dbn.Metadata(
        dataset="GLBX.MDP3",
        start=BASE_NS,
        stype_in=dbn.SType.CONTINUOUS,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.OHLCV_1M,
        symbols=["ES.c.0"],
        mappings=[SimpleNamespace(raw_symbol="ES.c.0", intervals=intervals)],
    )
    price = 5_000_250_000_000
    bars = [
        dbn.OHLCVMsg(33, 1, 71 + (i > 4), BASE_NS + i * 60 * 10**9, price, price, price, price, 1 + i) for i in range(9)
    ]
    path = tmp_path / "es.ohlcv-1m.dbn"
    path.write_bytes(metadata.encode() + b"".join(bytes(each) for each in bars))
    root = tmp_path / "catalog"
    code, facts, _ = run(capsys, "import", str(path), "--into", str(root))
    assert (code, facts["rows_stored"]) == (0, 9)
    assert facts["files"][0]["instruments"] == ["ES.c.0.future@GLBX.MDP3"]
    from nautilus.store.catalog import Catalog

    with Catalog(root) as catalog:
        stored = np.concatenate(list(catalog.read("bar")))
    assert stored["volume"].tolist() == list(range(1, 10))


def test_what_is_not_there_is_a_usage_error(tmp_path, capsys):
    assert main(["data", "import", str(tmp_path / "none.csv"), "--into", str(tmp_path / "c")]) == 2
    assert main(["data", "list", "--catalog", str(tmp_path / "c")]) == 2
    assert "there is no catalog at" in capsys.readouterr().err
    source = tmp_path / "S.csv"
    source.write_text("time,price,size\n2020-01-02,10.5,3\n2020-01-03,10.5,3\n")
    assert main(["data", "import", str(source), "--into", str(tmp_path / "c")]) == 0
    assert main(["data", "show", "NOTHING", "--catalog", str(tmp_path / "c")]) == 2
    assert main(["data", "export", "-", "--format", "parquet", "--catalog", str(tmp_path / "c")]) == 2
    assert main(["data", "import", str(source), "--zone", "Nowhere", "--into", str(tmp_path / "c")]) == 4
