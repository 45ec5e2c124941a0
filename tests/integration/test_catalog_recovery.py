"""A catalog whose list is lost, and a log that cannot become files: nothing is deleted, and the rest goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("duckdb", reason="the extra `data` is not installed")

from nautilus.core.types import TRADE
from nautilus.model.datasets import BarFact, Provenance
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_checks import rebuild
from nautilus.store.catalog_errors import CatalogDamagedError, CatalogError
from nautilus.store.catalog_facts import encode_facts, fact_key, fact_time
from nautilus.store.catalog_log import FACTS, Batch, Stream, segment_path, segments
from nautilus.store.catalog_publish import publish_segment
from nautilus.store.catalog_segment import Segment

MIDNIGHT = 1_667_260_800_000_000_000
INSTRUMENT = SimpleNamespace(symbol="BTC/USDT", venue="X", price_increment="0.01", lot_size="0.001")
BEYOND = BarFact("SPY", "1d", 2**63 + 5, 2**63 + 6, 1.5, 2.0, 1.0, 1.75, None, 1.7, "USD", Provenance("x", "y", 1))


def trades(first: int, count: int = 100) -> np.ndarray:
    made = np.zeros(count, TRADE)
    made["trade_id"] = first + np.arange(count)
    made["now_ns"] = MIDNIGHT + made["trade_id"].astype(np.int64)
    return made


def numbers(catalog: Catalog) -> list[int]:
    return [number for records in catalog.read("trade") for number in records["trade_id"].tolist()]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "catalog")
    with catalog.writer() as writer:
        for first in (1, 101, 201):
            writer.append(INSTRUMENT, "trade", trades(first))
            writer.flush(publish=True)
    catalog.close()
    return catalog


def lose_list(root: Path) -> None:
    for place in root.glob("catalog.sqlite*"):
        place.unlink()


@pytest.mark.parametrize("empty", [False, True])
def test_a_lost_list_is_told_and_no_file_is_touched(catalog: Catalog, empty: bool) -> None:
    before = sorted(catalog.root.rglob("*.parquet"))
    lose_list(catalog.root)
    if empty:
        (catalog.root / "catalog.sqlite").touch()
    for _ in range(2):
        with pytest.raises(CatalogDamagedError, match="rebuild"):
            catalog.writer()
    if not empty:
        with pytest.raises(CatalogDamagedError, match="rebuild"):
            Catalog(catalog.root, create=True)
    assert sorted(catalog.root.rglob("*.parquet")) == before
    assert rebuild(catalog.root) == []
    assert numbers(catalog) == list(range(1, 301))


def test_an_empty_list_in_the_place_of_the_old_one_is_told(catalog: Catalog, tmp_path: Path) -> None:
    Catalog(tmp_path / "other", create=True).close()
    before = sorted(catalog.root.rglob("*.parquet"))
    lose_list(catalog.root)
    shutil.copy(tmp_path / "other/catalog.sqlite", catalog.root)
    with pytest.raises(CatalogDamagedError, match="rebuild"):
        catalog.writer()
    assert sorted(catalog.root.rglob("*.parquet")) == before


def test_a_file_that_is_not_on_the_list_is_set_aside(catalog: Catalog) -> None:
    part = next(catalog.root.rglob("*.parquet"))
    stranger = part.with_name("stranger.parquet")
    shutil.copy(part, stranger)
    with catalog.writer() as writer:
        (notice,) = writer.notices
    assert "set aside" in notice.what
    assert stranger.with_name("stranger.parquet.aside").read_bytes() == part.read_bytes()
    assert numbers(catalog) == list(range(1, 301))
    catalog.close()


class DiedError(Exception):
    """A writer ended there."""


def die(step: str) -> None:
    if step == "list":
        raise DiedError


def test_a_half_published_segment_is_done_again_after_a_rebuild(catalog: Catalog) -> None:
    with catalog.writer() as writer:
        writer.append(INSTRUMENT, "trade", trades(301))
        writer.append(SimpleNamespace(**{**vars(INSTRUMENT), "symbol": "ETH"}), "trade", trades(401))
        writer.close(publish=False)
    (number,) = segments(catalog.root)
    catalog.close()
    from nautilus.store.catalog_manifest import Manifest

    manifest = Manifest(catalog.root, write=True)
    with pytest.raises(DiedError):
        publish_segment(catalog.root, manifest, number, catalog.config, [], die)
    manifest.close()
    made = sorted(catalog.root.rglob(f"{number:012}-*.parquet"))
    assert len(made) == 2
    made[1].unlink()  # the machine died before it
    lose_list(catalog.root)
    assert rebuild(catalog.root) == []
    with catalog.writer() as writer:
        writer.append(INSTRUMENT, "trade", trades(501))
    assert numbers(catalog) == list(range(1, 601))
    assert catalog.verify() == []
    catalog.close()


def test_a_rebuild_that_dies_leaves_the_old_list(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    from nautilus.store import catalog_checks

    def fail(self: object, *given: object) -> None:
        raise DiedError

    before = (catalog.root / "catalog.sqlite").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(catalog_checks.Manifest, "add", fail)
        with pytest.raises(DiedError):
            rebuild(catalog.root)
    assert (catalog.root / "catalog.sqlite").read_bytes() == before
    assert numbers(catalog) == list(range(1, 301))
    catalog.close()
    assert rebuild(catalog.root) == []
    assert numbers(catalog) == list(range(1, 301))
    catalog.close()


def test_a_file_that_a_rebuild_cannot_use_is_set_aside(catalog: Catalog) -> None:
    place = sorted(catalog.root.rglob("*.parquet"))[0]
    place.write_bytes(b"no parquet")
    lose_list(catalog.root)
    (finding,) = rebuild(catalog.root)
    assert finding.path == place.relative_to(catalog.root).as_posix()
    assert place.with_name(place.name + ".aside").read_bytes() == b"no parquet"
    with catalog.writer() as writer:
        assert writer.notices == []
    assert numbers(catalog) == list(range(101, 301))
    catalog.close()


def test_facts_that_cannot_be_stored_are_refused(catalog: Catalog) -> None:
    with catalog.writer() as writer:
        for wrong in (
            BEYOND,
            BarFact("SPY", "1d", "today", 2, 1.0, 1.0, 1.0, 1.0, None, 1.0, "USD", BEYOND.provenance),
        ):  # type: ignore[arg-type]
            with pytest.raises(CatalogError, match="cannot be stored"):
                writer.append_facts([wrong])
        writer.append(INSTRUMENT, "trade", trades(301))
    assert numbers(catalog) == list(range(1, 401))
    catalog.close()


def test_a_segment_that_cannot_become_files_is_set_aside_and_the_next_goes_on(catalog: Catalog) -> None:
    with catalog.writer() as writer:
        writer.append(INSTRUMENT, "trade", trades(301))
        writer.close(publish=False)
    (number,) = segments(catalog.root)
    bad = Segment(catalog.root, number + 1)
    stream = Stream("bar_fact", fact_key(BEYOND), time=fact_time("bar_fact"))
    bad.write([Batch(FACTS, stream, encode_facts([BEYOND]), 1, 401, 0)])
    bad.close()
    told: list[Exception] = []
    with catalog.writer(told.append) as writer:
        (notice,) = writer.notices
        assert "set aside" in notice.what
        assert writer.counts.aside == 1
        writer.append(INSTRUMENT, "trade", trades(401))
        writer.flush(publish=True)
    (error,) = told
    assert isinstance(error, CatalogDamagedError)
    log = segment_path(catalog.root, number + 1)
    assert log.with_name(log.name + ".damaged").exists()
    assert numbers(catalog) == list(range(1, 501))
    with catalog.writer() as writer:
        assert writer.notices == []
    catalog.close()
