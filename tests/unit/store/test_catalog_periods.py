"""Which rows share a file: ticks those of a day, sparse kinds those of a month or a year; catalogs of before too."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("duckdb", reason="the extra `data` is not installed")

import pyarrow as pa
import pyarrow.parquet as pq

from nautilus.core.ticks import BAR, BarKind
from nautilus.core.types import TRADE
from nautilus.model.datasets import BarFact, EconomicFact, Provenance
from nautilus.store import catalog_publish
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_checks import rebuild
from nautilus.store.catalog_kinds import DAY_NS
from nautilus.store.catalog_parts import day_of
from nautilus.store.catalog_periods import bounds_ns, end_of, fact_period, period_of, server_unit, wider

MIDNIGHT = 1_667_260_800_000_000_000  # 2022-11-01
MINUTE_NS = 60 * 10**9
GOOG = SimpleNamespace(symbol="GOOG", venue="X", price_increment="0.01", lot_size="1")


def bars(count: int, step_ns: int, kind: BarKind = BarKind.TIME) -> Any:
    made = np.zeros(count, BAR)
    made["begin_ns"] = MIDNIGHT + step_ns * np.arange(count)
    made["now_ns"] = made["end_ns"] = made["begin_ns"] + step_ns
    made["close_ticks"] = 100 + np.arange(count)
    made["kind"] = kind
    return made


def files(catalog: Catalog) -> list[str]:
    return sorted(each.parent.name for each in catalog.root.rglob("*.parquet"))


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog", create=True)


@pytest.mark.parametrize(
    ("given", "periods"),
    [
        (bars(800, DAY_NS), ["year=2022", "year=2023", "year=2024", "year=2025"]),
        (bars(30, DAY_NS // 24 * 23), ["year=2022"]),  # days on which clocks change are shorter
        (bars(40 * 1440, MINUTE_NS), ["month=2022-11", "month=2022-12"]),
        (bars(3 * 86_400, 10**9)[::1000], ["day=2022-11-01", "day=2022-11-02", "day=2022-11-03", "day=2022-11-04"]),
        (bars(3, DAY_NS, BarKind.VOLUME), ["day=2022-11-02", "day=2022-11-03", "day=2022-11-04"]),
    ],
)
def test_bars_share_files_by_their_length(catalog: Catalog, given: Any, periods: list[str]) -> None:
    with catalog.writer() as writer:
        writer.append(GOOG, "bar", given)
    assert files(catalog)[: len(periods)] == periods[: len(files(catalog))]
    back = np.concatenate(list(catalog.read("bar")))
    assert back["close_ticks"].tolist() == given["close_ticks"].tolist()
    (found,) = catalog.ranges()
    assert (found.first_ns, found.last_ns) == (given["now_ns"][0], given["now_ns"][-1])
    assert (found.first_day, found.last_day) == (day_of(found.first_ns), day_of(found.last_ns))
    rows = catalog.sql("SELECT count(DISTINCT day)::INT AS days, min(day)::VARCHAR AS first FROM bar").to_pylist()
    assert rows == [{"days": len(np.unique(given["now_ns"] // DAY_NS)), "first": found.first_day}]
    assert catalog.verify() == []


def test_bars_of_several_lengths_lie_apart_and_come_together(catalog: Catalog) -> None:
    given = np.concatenate([bars(3, DAY_NS), bars(5, MINUTE_NS), bars(7, 10**9)])
    with catalog.writer() as writer:
        writer.append(GOOG, "bar", given)
    assert files(catalog) == ["day=2022-11-01", "month=2022-11", "year=2022"]
    back = np.concatenate(list(catalog.read("bar")))
    assert back["now_ns"].tolist() == sorted(given["now_ns"].tolist())
    assert len(catalog.query("bar")) == len(given)
    begin, end = MIDNIGHT + DAY_NS, MIDNIGHT + 2 * DAY_NS + 1
    assert len(catalog.query("bar", "GOOG", begin, end)) == 2
    assert catalog.sql("SELECT count(*) AS n FROM bar WHERE day = DATE '2022-11-01'").to_pylist() == [{"n": 12}]


def test_ticks_have_files_of_days(catalog: Catalog) -> None:
    given = np.zeros(3, TRADE)
    given["now_ns"] = MIDNIGHT + DAY_NS * np.arange(3)
    with catalog.writer() as writer:
        writer.append(GOOG, "trade", given)
    assert files(catalog) == ["day=2022-11-01", "day=2022-11-02", "day=2022-11-03"]


def test_facts_have_files_of_the_month_in_which_they_were_fetched(catalog: Catalog) -> None:
    facts = [
        BarFact("SPY", "1d", at, at + 1, 1.0, 2.0, 1.0, float(at), None, None, "USD", Provenance("a", "u", fetched))
        for at, fetched in enumerate(range(MIDNIGHT, MIDNIGHT + 40 * DAY_NS, DAY_NS))
    ]
    with catalog.writer() as writer:
        writer.append_facts(facts)
        writer.append_facts([EconomicFact("GDP", 1, 2, 1.0, "USD", "Q", 3, Provenance("b", "u", MIDNIGHT))])
    assert files(catalog) == ["month=2022-11", "month=2022-11", "month=2022-12"]
    assert catalog.facts("bar_fact") == facts
    found = catalog.ranges()[0]
    assert (found.first_day, found.last_day, found.first_ns, found.last_ns) == ("2022-11-01", "2022-12-10", 0, 39)
    rows = catalog.sql("SELECT count(*) AS n FROM bar_fact WHERE day < DATE '2022-11-11'").to_pylist()
    assert rows == [{"n": 10}]


def before_periods(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer as it was: files of days of every kind."""

    def split(kind: str, time: str, records: Any) -> Any:
        days = records[time] // DAY_NS
        for day in np.unique(days).tolist():
            yield day_of(day * DAY_NS), days == day

    monkeypatch.setattr(catalog_publish, "split", split)
    monkeypatch.setattr(catalog_publish, "fact_period", day_of)


def test_a_catalog_of_before_is_read_and_compacted(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    daily, dense = bars(100, DAY_NS), bars(5000, 10**9)
    facts = [
        EconomicFact("GDP", at, at + 1, float(at), "USD", "Q", 3, Provenance("b", "u", MIDNIGHT + at * DAY_NS))
        for at in range(10)
    ]
    with monkeypatch.context() as before:
        before_periods(before)
        with catalog.writer() as writer:
            writer.append(GOOG, "bar", daily)
            writer.append(SimpleNamespace(**{**vars(GOOG), "symbol": "FAST"}), "bar", dense)
            writer.append_facts(facts)
            writer.append_table("notes", pa.table({"t": [2]}), time="t")
            writer.flush(publish=True)
            writer.append_table("notes", pa.table({"t": [1]}), time="t")
    catalog.close()
    with sqlite3.connect(catalog.root / "catalog.sqlite") as lines:
        lines.execute("ALTER TABLE parts DROP COLUMN first_day")
        lines.execute("ALTER TABLE parts DROP COLUMN last_day")
        lines.execute("UPDATE meta SET value = 1 WHERE key = 'schema'")
    lines.close()
    assert len(files(catalog)) == 100 + 1 + 10 + 2
    ranges = catalog.ranges()  # only read: the list stays as it is
    assert len(np.concatenate(list(catalog.read("bar", "GOOG")))) == 100
    assert len(catalog.query("bar")) == 5100
    with catalog.writer() as writer:
        writer.append_facts([EconomicFact("GDP", 90, 91, 90.0, "USD", "Q", 3, Provenance("b", "u", MIDNIGHT))])
        writer.flush(publish=True)
        assert len(catalog.facts("economic")) == 11  # files of days and of months together
        assert catalog.sql("SELECT count(*) AS n FROM economic WHERE day = DATE '2022-11-01'").to_pylist() == [{"n": 2}]
        assert writer.compact() == 100 + 11 + 2
        assert writer.compact() == 0
    kinds = sorted(each.relative_to(catalog.root).as_posix() for each in catalog.root.rglob("*.parquet"))
    assert ["/".join(path.split("/")[:-1]) for path in kinds] == [
        "bar/instrument=FAST@X/day=2022-11-01",
        "bar/instrument=GOOG@X/year=2022",
        "bar/instrument=GOOG@X/year=2023",
        "economic/instrument=GDP@b/month=2022-11",
        kinds[-1].rpartition("/")[0],
    ]
    assert kinds[-1].startswith("table/instrument=notes/day=")
    assert np.concatenate(list(catalog.read("bar", "GOOG")))["close_ticks"].tolist() == daily["close_ticks"].tolist()
    assert [each._replace(bytes=0, parts=0, rows=0, last_ns=0) for each in catalog.ranges()] == [
        each._replace(bytes=0, parts=0, rows=0, last_ns=0) for each in ranges
    ]
    assert catalog.query("table", "notes", 2, 3).column("t").to_pylist() == [2]
    assert catalog.verify() == []
    after = catalog.ranges()
    catalog.close()
    (catalog.root / "catalog.sqlite").unlink()
    assert rebuild(catalog.root) == []
    assert catalog.ranges() == after


def test_what_is_not_over_is_left_until_it_is_many_files(catalog: Catalog) -> None:
    from nautilus.store import catalog_upkeep

    given = bars(40, DAY_NS)
    with catalog.writer() as writer:
        for at in range(15):
            writer.append(GOOG, "bar", given[at : at + 1])
            writer.flush(publish=True)
        manifest, config = writer._manifest, writer.config
        assert catalog_upkeep.compact(catalog.root, manifest, config, before_day="2022-12-31") == 0
        writer.append(GOOG, "bar", given[15:])
        writer.flush(publish=True)
        assert catalog_upkeep.compact(catalog.root, manifest, config, before_day="2022-12-31") == 16
        writer.append(GOOG, "bar", given)
        writer.flush(publish=True)
        assert catalog_upkeep.compact(catalog.root, manifest, config, before_day="2023-01-01") == 2
    assert files(catalog) == ["year=2022"]
    (place,) = catalog.root.rglob("*.parquet")
    times = pq.ParquetFile(place).metadata.row_group(0).column(0).statistics
    assert times.has_min_max


def test_periods_are_what_their_text_says() -> None:
    assert [period_of(unit, MIDNIGHT) for unit in ("day", "month", "year")] == ["2022-11-01", "2022-11", "2022"]
    assert [end_of(each) for each in ("2022-12-31", "2022-12", "2022")] == ["2023-01-01"] * 3
    assert bounds_ns("2022-11") == (MIDNIGHT, MIDNIGHT + 30 * DAY_NS)
    assert fact_period(-1) == "1969-12"
    assert wider("bar", "2022-11-01", "year") == "2022"
    assert wider("bar", "2022-11", "year") == "2022-11"
    assert wider("trade", "2022-11-01", "year") == "2022-11-01"
    assert [server_unit(kind) for kind in ("bar", "economic", "trade", "table")] == ["month", "month", "day", "day"]
