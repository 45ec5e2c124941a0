"""Feature sets: what is written is read again, and stored records give what a stream gives."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra `data` is not installed")
pytest.importorskip("duckdb", reason="the extra `data` is not installed")

import pyarrow.parquet as pq

from nautilus.engines.features import FeaturesConfig, FeaturesEngine
from nautilus.maths.errors import Undefined
from nautilus.maths.indicators import every
from nautilus.model.features import BuildFeatureSet, FeatureHistory, FeatureSource, GetFeatures, Split
from nautilus.runtime.worker import find, name_of, pack, unpack
from nautilus.store.catalog import Catalog
from nautilus.store.catalog_errors import QueryError
from nautilus.store.feature_sets import ParquetFeatureSets, write_feature_set
from nautilus.store.no_feature_sets import NoFeatureSets
from tests.kit.context import RecordingContext, btcusdt
from tests.kit.feature_rows import quote_rows, trade_rows


def history(count, name="X", **more):
    row = tuple((50.0 + np.arange(count) % 7).tolist())
    fields = {"open": row, "high": row, "low": row, "close": row, "volume": (3.0,) * count}
    return FeatureHistory(name, tuple(range(10, 10 + count)), **(fields | more))


def test_a_set_holds_a_row_for_each_row_and_null_where_there_is_no_value(tmp_path):
    request = BuildFeatureSet("set-1", (history(40), history(25, "Y")), names=("ema_20", "stoch"))
    answer = write_feature_set(str(tmp_path), "", request)
    table = pq.read_table(answer.path)
    assert table.column_names == ["instrument", "time_ns", "ema_20", "stoch_k", "stoch_d"] == list(answer.columns)
    assert (answer.rows, answer.instruments, len(table)) == (65, 2, 65)
    assert table["instrument"].to_pylist() == ["X"] * 40 + ["Y"] * 25
    assert table["time_ns"].to_pylist()[:3] == [10, 11, 12]
    assert table["ema_20"].null_count == 19 * 2
    assert answer.size_bytes == Path(answer.path).stat().st_size
    assert (answer.basis.begin_ns, answer.basis.end_ns, answer.basis.source) == (10, 49, "request")


def test_a_set_says_of_what_versions_it_was_made(tmp_path):
    answer = write_feature_set(str(tmp_path), "", BuildFeatureSet("a", (history(30),), names=("rsi_14",)))
    meta = json.loads(pq.read_metadata(answer.path).metadata[b"nautilus"])
    assert meta["versions"] == answer.versions == {"rsi_14": 1}
    assert meta["digests"] == answer.digests == {"rsi_14": every("bar").digests["rsi_14"]}


def test_a_set_is_replaced_whole_and_a_failed_one_leaves_it(tmp_path):
    first = write_feature_set(str(tmp_path), "", BuildFeatureSet("a", (history(30),), names=("mom_10",)))
    bad = BuildFeatureSet("a", (history(30), history(5, close=(1.0,))), names=("mom_10",))
    with pytest.raises(Undefined):
        write_feature_set(str(tmp_path), "", bad)
    assert len(pq.read_table(first.path)) == 30
    write_feature_set(str(tmp_path), "", BuildFeatureSet("a", (history(12),), names=("mom_10",)))
    assert len(pq.read_table(first.path)) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_writer_that_is_killed_leaves_the_set_that_was_there(tmp_path):
    first = write_feature_set(str(tmp_path), "", BuildFeatureSet("a", (history(30),), names=("mom_10",)))
    code = (
        "import os, signal\n"
        "from tests.unit.store.test_feature_sets import BuildFeatureSet, history, write_feature_set\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"write_feature_set({str(tmp_path)!r}, '', BuildFeatureSet('a', (history(12),), names=('mom_10',)))\n"
    )
    root = Path(__file__).parents[3]
    child = subprocess.run([sys.executable, "-c", code], cwd=root, timeout=120, check=False)
    assert child.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2, "it had begun"
    assert len(pq.read_table(first.path)) == 30
    write_feature_set(str(tmp_path), "", BuildFeatureSet("a", (history(12),), names=("mom_10",)))
    assert len(pq.read_table(first.path)) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_two_that_write_one_set_leave_one_of_theirs(tmp_path):
    requests = [BuildFeatureSet("a", (history(count),), names=("mom_10",)) for count in (30, 3_000)]
    write_feature_set(str(tmp_path), "", requests[0])
    with ThreadPoolExecutor(2) as pool:
        written = [pool.submit(write_feature_set, str(tmp_path), "", requests[at % 2]) for at in range(16)]
        found = [len(pq.read_table(BytesIO(Path(each.result().path).read_bytes()))) for each in written]
    assert set(found) <= {30, 3_000}
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_steps_as_of_a_split_are_named_and_splits_gone_through(tmp_path):
    row = (80.0,) * 20 + (40.0,) * 20
    prices = dict.fromkeys(("open", "high", "low", "close"), row)
    untold = BuildFeatureSet("a", (history(40, **prices),), names=("mom_10", "avgprice"))
    assert "split that nobody told of: 1" in write_feature_set(str(tmp_path), "", untold).basis.method
    told = BuildFeatureSet("a", (history(40, splits=(Split(30, 2.0),), **prices),), names=("mom_10", "avgprice"))
    answer = write_feature_set(str(tmp_path), "", told)
    assert "nobody" not in answer.basis.method
    table = pq.read_table(answer.path)
    assert table["avgprice"].to_pylist() == list(row)
    assert table["mom_10"].to_pylist() == [None] * 10 + [0.0] * 30


def test_nothing_to_write_is_refused(tmp_path):
    with pytest.raises(Undefined) as caught:
        write_feature_set(str(tmp_path), "", BuildFeatureSet("a"))
    assert caught.value.code == "empty"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def catalog(tmp_path):
    place = tmp_path / "catalog"
    catalog = Catalog(place, create=True)
    with catalog.writer() as writer:
        writer.append(btcusdt(), "quote", quote_rows(400))
        writer.append(btcusdt(), "trade", trade_rows(400))
        writer.flush(publish=True)
    catalog.close()
    return str(place)


@pytest.mark.parametrize("source", list(FeatureSource))
def test_stored_records_give_the_numbers_of_the_stream_bit_for_bit(tmp_path, catalog, source):
    with Catalog(catalog) as known:
        [instrument] = known.instruments()
    request = BuildFeatureSet("s", source=source, stored=(instrument.key,), bars="tick:5")
    answer = write_feature_set(str(tmp_path / "sets"), catalog, request)
    table = pq.read_table(answer.path)
    features, ctx = FeaturesEngine(FeaturesConfig(bars="tick:5"), [btcusdt()], NoFeatureSets()), RecordingContext()
    quotes, trades = quote_rows(400), trade_rows(400)
    ends = np.searchsorted(quotes["now_ns"], trades["now_ns"], side="right")
    begin = 0
    for at, end in enumerate(ends):
        features.on_quote(quotes[begin:end], ctx)
        features.on_trade(trades[at : at + 1], ctx)
        begin = end
    features.on_quote(quotes[begin:], ctx)
    made = features.feeds[str(source)].made
    vector = features.on_request(GetFeatures("BTCUSDT", names=made.outputs), ctx)
    assert {name: table[name].to_pylist()[-1] for name in made.outputs} == vector.values
    assert len(table) == vector.basis[0].window
    assert answer.basis.source == "catalog"


def test_an_instrument_that_is_not_stored_is_refused(tmp_path, catalog):
    with pytest.raises(QueryError):
        write_feature_set(str(tmp_path), catalog, BuildFeatureSet("a", stored=("NOPE",)))


def test_a_range_without_records_is_empty(tmp_path, catalog):
    with Catalog(catalog) as known:
        [instrument] = known.instruments()
    with pytest.raises(Undefined) as caught:
        write_feature_set(str(tmp_path), catalog, BuildFeatureSet("a", stored=(instrument.key,), end_ns=1))
    assert caught.value.code == "empty"


def test_the_job_goes_to_another_process(tmp_path):
    sets = ParquetFeatureSets(str(tmp_path))
    question = (*sets.places, BuildFeatureSet("a", (history(30),), names=("mom_10",)))
    job, arguments = unpack(pack((name_of(sets.write), question)))
    answer = unpack(pack(find(*job)(*arguments)))
    assert answer.rows == 30
