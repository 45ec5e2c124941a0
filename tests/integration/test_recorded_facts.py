"""Facts of providers and refused ticks in the catalog: each once, whole, whatever is killed, and there for all."""

from __future__ import annotations

import csv
import io
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("duckdb", reason="the extra `data` is not installed")

from nautilus import data
from nautilus.core.counters import Counters
from nautilus.core.ticks import QUARANTINE, TickKind, TickReason
from nautilus.model.datasets import BarFact, DataKind, EconomicFact, Fact, FundamentalFact, Provenance, QuoteFact
from nautilus.model.fact_records import fact_records
from nautilus.runtime.clock import pause
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_kinds import FACT_KINDS
from perf.platform import run_cli
from tests.kit.data_hub import data_hub
from tests.kit.effort import one_of
from tests.kit.recorded_star import DEADLINE_SECONDS, Star, recorders, until

BASE_NS = 1_700_000_000_000_000_000
IDS = (1, 2, 99)
"""Instruments of refused ticks; nobody knows the last one."""
KEYS = {1: "A@VENUE", 2: "B@VENUE", 99: "99@unknown"}
NAMES = {kind: name for name, kind in FACT_KINDS.items()}


class Said:
    """What the star was told, in order."""

    def __init__(self, star: Star) -> None:
        self.star = star
        self.facts: dict[DataKind, list[Fact]] = {}
        self.refused: list[tuple[int, int]] = []
        self._count = 0

    def say(self, rounds: int) -> None:
        for _ in range(rounds):
            for kind in (DataKind.BAR, DataKind.ECONOMIC, DataKind.FUNDAMENTAL, DataKind.QUOTE):
                some = [self._fact(kind) for _ in range(5)]
                self.facts.setdefault(kind, []).extend(some)
                self.star.say(fact_records(kind, some, {"A": 1}))
            rows = np.zeros(3, QUARANTINE)
            for row, number in zip(rows, IDS, strict=True):
                self._count += 1
                row["receive_ns"], row["sequence"], row["instrument_id"] = BASE_NS + self._count, self._count, number
                row["kind"], row["reason"] = TickKind.TRADE, TickReason.JUMP
                row["price"], row["price_decimals"], row["reference"] = 6_000_025, 2, 1_000
                self.refused.append((number, self._count))
            self.star.say(rows)

    def _fact(self, kind: DataKind) -> Fact:
        self._count += 1
        number, name = self._count, f"S{self._count % 7}" if self._count % 3 else "A"
        url = f"https://provider.example/{kind}/{name}?page={number}"
        source = "trading_economics" if number % 2 else "fred"
        where = Provenance(source, url, BASE_NS + number, number % 11 == 0)
        match kind:
            case DataKind.BAR:
                return BarFact(name, "1d", number, number + 1, 1.0, 2.0, 0.5, 1.5, None, 1.25, "USD", where)
            case DataKind.ECONOMIC:
                return EconomicFact(name, number, number + 1, None if number % 5 else 1.5, "Index", "monthly", 3, where)
            case DataKind.FUNDAMENTAL:
                return FundamentalFact(name, "us-gaap:Assets", 1e12, "USD", number, number, 9, "10-K", where)
        return QuoteFact(name, number, 1.5, None, 2.5, None, None, 7.0, "USD", "NYSE", where)

    @property
    def count(self) -> int:
        return len(self.refused) + sum(map(len, self.facts.values()))


def stored(path: Path) -> int:
    """Rows that readers see."""
    with Catalog(path / "catalog") as catalog:
        return sum(each.rows for each in catalog.ranges())


def is_whole(catalog: Catalog, said: Said) -> None:
    """Each fact and each refused tick is there, once, as it was said."""
    for kind, facts in said.facts.items():
        found = catalog.facts(NAMES[kind])
        assert sorted(found, key=lambda fact: fact.provenance.fetched_ns) == facts
    for number in IDS:
        rows = np.concatenate(list(catalog.read("quarantine", KEYS[number])))
        assert rows["sequence"].tolist() == [each for of, each in said.refused if of == number]


@pytest.fixture(params=one_of("zmq", "ring"))
def star(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Star]:
    made = Star(tmp_path, ring=request.param == "ring")
    try:
        yield made
    finally:
        made.close()


def test_a_recorder_that_is_killed_stores_each_fact_and_each_refusal_once(star: Star, tmp_path: Path) -> None:
    said = Said(star)
    with recorders(star, tmp_path) as start:
        child = start()
        said.say(20)
        until(tmp_path, "durable", said.count // 2)
        said.say(5)
        child.send_signal(signal.SIGKILL)
        child.wait()
        said.say(60)  # far more than the ring holds
        child = start()
        until(tmp_path, "records", said.count // 2)
        child.send_signal(signal.SIGKILL)  # while it takes in what it missed
        child.wait()
        child = start()
        said.say(5)
        end = time.monotonic() + DEADLINE_SECONDS
        while stored(tmp_path) < said.count and time.monotonic() < end:
            pause(0.1)
        child.send_signal(signal.SIGTERM)
        assert child.wait(DEADLINE_SECONDS) == 0
    with Catalog(tmp_path / "catalog") as catalog:
        is_whole(catalog, said)
    counts = Counters.read(tmp_path / "counters")
    assert counts.get("recorder.lost", 0) == counts.get("recorder.unknown", 0) == counts.get("recorder.cut", 0) == 0


@pytest.mark.parametrize("kept", [True, False], ids=["journal", "memory"])
def test_what_a_hub_said_while_nobody_recorded_is_had_or_told(tmp_path: Path, kept: bool) -> None:
    """The hub begins anew meanwhile: its journal has what it said before, its memory is gone."""
    star = Star(tmp_path, ring=kept)
    said = Said(star)
    with recorders(star, tmp_path) as start:
        child = start()
        said.say(5)
        until(tmp_path, "durable", said.count)
        recorded = said.count
        child.send_signal(signal.SIGKILL)
        child.wait()
        said.say(20)
        unheard = said.count - recorded
        star.close()
        said.star = star = Star(tmp_path, ring=kept, epoch=8)
        try:
            said.say(5)
            child = start()
            end = time.monotonic() + DEADLINE_SECONDS
            wanted = said.count if kept else said.count - unheard + 1
            while stored(tmp_path) < wanted and time.monotonic() < end:
                pause(0.1)
            child.send_signal(signal.SIGTERM)
            assert child.wait(DEADLINE_SECONDS) == 0
        finally:
            star.close()
    with Catalog(tmp_path / "catalog") as catalog:
        if kept:
            is_whole(catalog, said)
            assert not catalog.tables()
        else:
            assert stored(tmp_path) == wanted
            assert catalog.sql("SELECT epoch, records FROM recorder_gaps").to_pylist() == [{"epoch": 7, "records": -1}]
    counts = Counters.read(tmp_path / "counters")
    assert (counts.get("recorder.lost", 0), counts.get("recorder.ends_unknown", 0)) == (0, int(not kept))


def test_recorded_facts_and_refusals_can_be_asked_for_in_every_way(tmp_path: Path) -> None:
    star = Star(tmp_path, ring=True)
    try:
        said = Said(star)
        with recorders(star, tmp_path) as start:
            child = start()
            said.say(10)
            until(tmp_path, "durable", said.count)
            child.send_signal(signal.SIGTERM)
            assert child.wait(DEADLINE_SECONDS) == 0
    finally:
        star.close()
    place = str(tmp_path / "catalog")
    listed = json.loads(run_cli("data", "list", "--catalog", place, "--json"))["ranges"]
    rows: dict[str, int] = {}
    for each in listed:
        rows[each["kind"]] = rows.get(each["kind"], 0) + each["rows"]
    assert rows == {**{NAMES[kind]: len(facts) for kind, facts in said.facts.items()}, "quarantine": len(said.refused)}
    shown = json.loads(run_cli("data", "show", "99@unknown", "--catalog", place, "--json"))
    assert shown["rows"]["quarantine"][0]["refused_for"] == "JUMP"
    assert "trading_economics" in run_cli("data", "show", "A@trading_economics", "--catalog", place)
    text = run_cli("data", "export", "-", "--kind", "economic", "--format", "csv", "--catalog", place)
    exported = list(csv.DictReader(io.StringIO(text)))
    facts = said.facts[DataKind.ECONOMIC]
    assert [(each["source_url"], int(each["fetched_ns"])) for each in exported] == [
        (fact.provenance.url, fact.provenance.fetched_ns) for fact in facts
    ]
    sql = "SELECT source, synthetic, count(*) AS n FROM economic GROUP BY ALL ORDER BY ALL"
    refused = "SELECT record, refused_for, count(*) AS n FROM quarantine GROUP BY ALL"
    with data.open(place) as files, data_hub(catalog={"path": place}) as hub:
        with data.connect(f"http://127.0.0.1:{hub.ports['marketdata']}") as remote:
            for words in (sql, refused):
                assert remote.sql(words).equals(files.sql(words))  # as Arrow
            for kind in rows:
                assert remote.query(kind).equals(files.query(kind))
        assert files.sql(refused).to_pylist() == [{"record": "TRADE", "refused_for": "JUMP", "n": len(said.refused)}]
        assert sum(each["n"] for each in files.sql(sql).to_pylist()) == len(facts)
        answer = hub.get("/marketdata/catalog/quarantine?instrument=99&limit=1&columns=price,price_decimals,reference")
        assert (answer[0], answer[2]["rows"]) == (200, [[6_000_025, 2, 1_000]])
