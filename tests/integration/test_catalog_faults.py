"""The catalog when things go wrong: killed writers, full disks, files that are not as they were written."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("duckdb", reason="the extra `data` is not installed")

from nautilus.core.types import TRADE
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_checks import rebuild
from nautilus.store.catalog_errors import CatalogDamagedError, CatalogFullError, CatalogVersionError
from nautilus.store.catalog_log import segments
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.catalog_writer import CatalogWriter
from tests.kit.catalog_rounds import INSTRUMENT, MIDNIGHT_NS
from tests.kit.full_disk import small_disk

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 6 + 20 * int(os.environ.get("NAUTILUS_SEEDS", "0"))


def trades(first: int, count: int) -> np.ndarray:
    made = np.zeros(count, TRADE)
    made["trade_id"] = first + np.arange(count)
    made["now_ns"] = MIDNIGHT_NS + made["trade_id"].astype(np.int64)
    made["price_ticks"] = 100 + made["trade_id"].astype(np.int64) * 7919 % 1000
    return made


def _fill(place: Path) -> None:
    """Take all room of a disk."""
    with place.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 12)):
            pass


def numbers(catalog: Catalog) -> list[int]:
    return [number for records in catalog.read("trade") for number in records["trade_id"].tolist()]


def test_a_writer_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.kit.catalog_rounds", str(tmp_path / "catalog"), str(ROUNDS), "7"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["batches"] > 0


def test_a_full_disk_is_one_error_and_the_writer_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 12 << 20) as disk:
        errors: list[Exception] = []
        config = CatalogConfig(queue_mib=1, segment_mib=1, segment_seconds=600)
        writer = CatalogWriter(disk / "catalog", config, errors.append)
        writer.append(INSTRUMENT, "trade", trades(1, 100))
        writer.flush()
        filler = disk / "filler"
        _fill(filler)
        accepted = 101
        while writer.append(INSTRUMENT, "trade", trades(accepted, 1000)):
            accepted += 1000
        assert writer.counts.refused == 1000
        with pytest.raises(CatalogFullError, match="No space"):
            writer.flush()
        assert not writer.append(INSTRUMENT, "trade", trades(accepted, 1000))
        filler.unlink()
        writer.append(INSTRUMENT, "trade", trades(accepted, 1000), wait=True)
        writer.close()
        assert [type(error) for error in errors] == [CatalogFullError]
        with Catalog(disk / "catalog") as catalog:
            assert numbers(catalog) == list(range(1, accepted + 1000))


def test_a_flipped_bit_of_a_file_is_passed_over_and_named(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog")
    with catalog.writer() as writer:
        for first in (1, 1001, 2001):
            writer.append(INSTRUMENT, "trade", trades(first, 1000))
            writer.flush(publish=True)
    part = catalog.manifest.parts()[1]
    place = catalog.root / part.path
    whole = place.read_bytes()
    expected = [*range(1, 1001), *range(2001, 3001)]
    for at in (0, 100, len(whole) // 2, len(whole) - 3):
        place.write_bytes(whole[:at] + bytes((whole[at] ^ 4,)) + whole[at + 1 :])
        catalog.notices.clear()
        found = numbers(catalog)
        assert found == expected or found == list(range(1, 3001)), at
        if found == expected:
            assert [each.where for each in catalog.notices] == [str(place)]
            with pytest.raises(CatalogDamagedError):
                list(catalog.read("trade", strict=True))
        assert [each.path for each in catalog.verify()] == ([part.path] if found == expected else [])
    place.write_bytes(whole[: len(whole) // 2])
    assert numbers(catalog) == expected
    assert catalog.sql("SELECT count(*) AS n FROM trade").to_pylist() == [{"n": 2000}]
    assert catalog.query("trade").num_rows == 2000
    (finding,) = catalog.verify()
    assert finding.path == part.path
    with pytest.raises(CatalogDamagedError):
        catalog.compact()
    assert len(catalog.manifest.parts()) == 3
    place.write_bytes(whole)
    assert catalog.verify() == []
    assert catalog.compact() == 3
    assert numbers(catalog) == list(range(1, 3001))


def _unpublished(root: Path) -> Path:
    """A log of three acknowledged batches that its writer has not published."""
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        writer = CatalogWriter(root, CatalogConfig(segment_seconds=600))
        for first in (1, 101, 201):
            writer.append(INSTRUMENT, "trade", trades(first, 100))
        writer.flush()
        os._exit(0)
    (number,) = segments(root)
    return root / "log" / f"{number:016}.log"


@pytest.mark.parametrize("left", [0.0, 0.4, 0.9, 1.0])
def test_a_torn_log_gives_its_whole_batches(tmp_path: Path, left: float) -> None:
    log = _unpublished(tmp_path / "catalog")
    content = log.read_bytes()
    log.write_bytes(content[: int(len(content) * left)])
    catalog = Catalog(tmp_path / "catalog")
    with catalog.writer() as writer:
        assert bool(writer.notices) == (0 < left < 1)
        writer.append(INSTRUMENT, "trade", trades(1001, 10))
    whole = {0.0: 0, 0.4: 1, 0.9: 2, 1.0: 3}[left]
    assert numbers(catalog) == [*range(1, 100 * whole + 1), *range(1001, 1011)]


def test_a_flipped_bit_in_the_log_costs_one_batch_and_is_told(tmp_path: Path) -> None:
    log = _unpublished(tmp_path / "catalog")
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 16
    log.write_bytes(content)
    catalog = Catalog(tmp_path / "catalog")
    with catalog.writer() as writer:
        (notice,) = writer.notices
    assert "not as it was written" in notice.what
    assert numbers(catalog) == [*range(1, 101), *range(201, 301)]
    assert log.with_name(log.name + ".damaged").exists()


def test_a_reader_goes_on_while_its_files_are_compacted(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog")
    with catalog.writer() as writer:
        for first in (1, 101, 201, 301):
            writer.append(INSTRUMENT, "trade", trades(first, 100))
            writer.flush(publish=True)
        reading = catalog.read("trade", batch=10)
        found = next(reading)["trade_id"].tolist()
        assert writer.compact() == 4
        assert len(list(catalog.root.rglob("*.parquet"))) == 5
        assert numbers(catalog) == list(range(1, 401))
        for records in reading:
            found += records["trade_id"].tolist()
        assert found == list(range(1, 401))
        assert writer.compact() == 0
        assert len(list(catalog.root.rglob("*.parquet"))) == 1


def test_another_version_of_the_layout_is_refused(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog", create=True)
    with sqlite3.connect(catalog.root / "catalog.sqlite") as lines:
        lines.execute("UPDATE meta SET value = 99 WHERE key = 'schema'")
    lines.close()
    with pytest.raises(CatalogVersionError, match="99"):
        catalog.ranges()
    with pytest.raises(CatalogVersionError, match="99"):
        catalog.writer()


def test_a_lost_list_is_made_anew_from_the_files(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog")
    with catalog.writer() as writer:
        for first in (1, 101, 201):
            writer.append(INSTRUMENT, "trade", trades(first, 100))
            writer.flush(publish=True)
    before = catalog.ranges()
    catalog.close()
    (catalog.root / "catalog.sqlite").write_bytes(b"no list" * 1000)
    with pytest.raises(CatalogDamagedError, match="rebuild"):
        catalog.ranges()
    assert rebuild(catalog.root) == []
    assert catalog.ranges() == before
    with catalog.writer() as writer:
        writer.append(INSTRUMENT, "trade", trades(301, 10))
    assert numbers(catalog) == list(range(1, 311))
