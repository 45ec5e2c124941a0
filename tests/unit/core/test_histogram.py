"""The histogram against its naive twin, and its exports against the hdrhistogram package."""

import base64
import io
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.histogram import Histogram
from tests.kit.naive import NaiveHistogram

HIGHEST = 3_600_000_000_000
VALUES = st.lists(
    st.one_of(st.integers(0, 5_000), st.integers(0, HIGHEST), st.integers(0, 41).map(lambda bit: 1 << bit)),
    max_size=80,
)
HEADER = 128  # bytes before the histogram in a shared file
WRITER = """
import sys
from nautilus.core.histogram import Histogram
shared = Histogram(1_000_000, sys.argv[1])
print("ready", flush=True)
while True:
    for value in range(500, 1_000_000, 777):
        shared.record(value)
"""
PERCENTS = (0.0, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0)


@given(st.sampled_from((2, 1000, 2047, 2048, 2049, 10**6, HIGHEST)), VALUES)
def test_histogram_does_what_its_naive_twin_does(highest, values):
    real, twin = Histogram(highest), NaiveHistogram(highest)
    for value in values:
        assert real.record(value) == twin.record(value)
    assert (len(real), real.refused) == (len(twin), twin.refused)
    assert (real.minimum, real.maximum) == (twin.minimum, twin.maximum)
    assert real.counts() == twin.counts()
    assert [real.percentile(p) for p in PERCENTS] == [twin.percentile(p) for p in PERCENTS]
    assert real.mean() == pytest.approx(twin.mean(), rel=1e-12)


@settings(max_examples=15)
@given(VALUES)
def test_the_public_package_reads_the_same_percentiles(values):
    real, public = recorded(values)
    for percent in PERCENTS:
        assert real.percentile(percent) == public.get_value_at_percentile(percent)
    assert real.mean() == pytest.approx(public.get_mean_value(), rel=1e-12)
    assert real.deviation() == pytest.approx(public.get_stddev(), rel=1e-9, abs=1e-9)


@given(VALUES, st.lists(st.integers(1, 1 << 40), max_size=3))
def test_the_public_package_decodes_the_same_counts(values, repeats):
    real, public = recorded(values)
    for count in repeats:  # counts of many sizes, for every length of their encoding
        weight = Histogram(HIGHEST)
        weight.record(count)
        for _ in range(count.bit_length()):
            weight.merge(weight)
        real.merge(weight)
        public.record_value(count, 1 << count.bit_length())
    decoded = HdrHistogram.decode(base64.b64encode(real.to_bytes()))
    assert decoded.get_total_count() == len(real)
    assert decoded.equals(public)


@given(VALUES, st.sampled_from((1, 5, 10)))
def test_each_line_of_the_percentile_text_is_true(values, ticks):
    real, twin = Histogram(HIGHEST), NaiveHistogram(HIGHEST)
    for value in [*values, 77]:
        real.record(value)
        twin.record(value)
    lines = [[float(word) for word in line.split()] for line in real.to_hgrm(1000.0, ticks).splitlines()[2:-3]]
    tops = {low + twin.step(low) - 1: low for low in twin.counts()}
    for value, level, count, *_ in lines:
        top = min(tops, key=lambda top: abs(top / 1000 - value))
        assert abs(top / 1000 - value) <= 0.0005
        assert count == sum(v <= top for v in twin.values)
        assert sum(v < tops[top] for v in twin.values) < max(1, level * len(twin) + 1e-6)
        assert count >= level * len(twin) - 1e-6
    levels = [level for _, level, *_ in lines]
    assert (levels[0], levels[-1]) == (0.0, 1.0)
    steps = [later - level <= (1 - level) / ticks for level, later in itertools.pairwise(levels[:-1])]
    assert all(steps)
    assert all(abs(inverse[0] - 1 / (1 - level)) < 0.01 * inverse[0] for _, level, _, *inverse in lines[:-1])


def test_totals_of_the_percentile_text_equal_those_of_the_public_package():
    real, public = recorded([5, 5, 1_000_000, 2_000_000_000])
    text = io.BytesIO()
    public.output_percentile_distribution(text, 1.0)
    expected, shown = text.getvalue().decode().splitlines(), real.to_hgrm().splitlines()
    assert shown[0] == expected[0]
    assert shown[-3] == expected[-3]
    assert shown[-2].split(",")[0] == expected[-2].split(",")[0]
    assert shown[-1] == expected[-1]


def test_public_log_reader_reads_the_log(tmp_path):
    real, public = recorded([5, 5, 1_000_000, 2_000_000_000])
    path = tmp_path / "latency.hlog"
    path.write_text(real.to_log(start_seconds=1_700_000_000.0, length_seconds=2.5))
    reader = HistogramLogReader(str(path), HdrHistogram(1, HIGHEST, 3))
    assert reader.get_next_interval_histogram().equals(public)
    assert reader.get_next_interval_histogram() is None
    assert reader.get_start_time_sec() == 1_700_000_000.0
    reader.close()


def test_merge_equals_recording_into_one():
    first, second, both = Histogram(), Histogram(), Histogram()
    for value in range(0, 10_000_000, 997):
        (first if value % 2 else second).record(value)
        both.record(value)
    first.merge(second)
    assert first.to_bytes() == both.to_bytes()
    assert (first.minimum, first.maximum) == (both.minimum, both.maximum)


def test_merge_into_a_smaller_one_counts_what_does_not_fit():
    small, large = Histogram(1000), Histogram()
    large.record(500)
    large.record(5_000_000)
    large.record(-1)
    small.merge(large)
    assert (len(small), small.refused) == (1, 2)


def test_values_out_of_range_are_refused_and_counted():
    real = Histogram(1000)
    assert [real.record(value) for value in (-1, 0, 1000, 1001, (1 << 63) - 1)] == [False, True, True, False, False]
    assert (len(real), real.refused) == (2, 3)


def test_array_is_recorded_like_its_values():
    one, many = Histogram(), Histogram()
    values = np.arange(-5, 100_000, 37, dtype=np.int64)
    many.record_many(values)
    for value in values.tolist():
        one.record(value)
    assert (many.to_bytes(), many.refused) == (one.to_bytes(), one.refused)


def test_cleared_histogram_is_like_a_new_one():
    real = Histogram()
    real.record(12_345)
    real.record(-1)
    real.clear()
    assert real.to_bytes() == Histogram().to_bytes()
    assert (len(real), real.refused, real.minimum, real.maximum) == (0, 0, 0, 0)


def test_summary_is_plain_json():
    real = Histogram()
    real.record_many(np.arange(1, 1001, dtype=np.int64))
    summary = json.loads(json.dumps(real.summary()))
    assert summary["count"] == 1000
    assert (summary["min"], summary["p50"], summary["p99"], summary["max"]) == (1, 500, 990, 1000)


@pytest.mark.parametrize("highest", [-1, 0, 1])
def test_impossible_highest_is_refused(highest):
    with pytest.raises(ValueError, match=f"highest {highest}, expected at least 2"):
        Histogram(highest)


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan")])
def test_impossible_percentile_is_refused(percent):
    with pytest.raises(ValueError, match="expected 0 to 100"):
        Histogram().percentile(percent)


def test_many_histograms_need_little_memory():
    code = "\n".join(
        (
            "from nautilus.core.histogram import Histogram",
            "import resource",
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss",
            "many = [Histogram() for _ in range(1000)]",
            "[h.record(5) for h in many]",
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)",
        )
    )
    grown = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert grown < 24 * 1024  # KiB; all counts of all of them are 264 MiB


@given(VALUES, st.lists(st.integers(-5, 2 * HIGHEST), max_size=20))
def test_cumulative_counts_equal_those_of_the_naive_twin(values, bounds):
    real, twin = Histogram(HIGHEST), NaiveHistogram(HIGHEST)
    for value in values:
        real.record(value)
        twin.record(value)
    bounds.sort()
    expected = [sum(count for low, count in twin.counts().items() if bound >= 0 and low <= bound) for bound in bounds]
    assert real.cumulative(bounds) == expected


def test_shared_histogram_goes_on_with_its_counts(tmp_path):
    path = tmp_path / "latency.order"
    plain, first = Histogram(1_000_000), Histogram(1_000_000, path)
    for value in range(0, 500_000, 31):
        plain.record(value)
        first.record(value)
    del first
    again = Histogram(1_000_000, str(path))
    for histogram in (plain, again):
        histogram.record(777_777)
        histogram.record(-1)
    copy = Histogram.read(path)
    assert copy.to_bytes() == again.to_bytes() == plain.to_bytes()
    assert (copy.summary(), copy.refused, copy.highest) == (plain.summary(), 1, 1_000_000)
    again.record(5)
    assert len(copy) + 1 == len(again)
    assert os.listdir(tmp_path) == ["latency.order"]
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_killed_writer_leaves_a_sound_histogram_to_the_next(tmp_path):
    path = tmp_path / "latency"
    for _ in range(3):
        before = len(Histogram.read(path)) if path.exists() else 0
        with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as writer:
            try:
                assert writer.stdout.readline() == b"ready\n"
                while len(Histogram.read(path)) < before + 5_000:
                    assert writer.poll() is None
            finally:
                writer.kill()
        left = Histogram(1_000_000, path)
        assert len(left) == sum(left.counts().values()) > before
        assert left.minimum == 500
        assert left.percentile(100.0) >= left.maximum > 900_000
        del left


def test_counts_decide_where_a_crash_left_the_rest_behind(tmp_path):
    path = tmp_path / "latency"
    shared = Histogram(1_000_000, path)
    for value in (5, 70_000, 900_000):
        shared.record(value)
    del shared
    with open(path, "r+b") as file:
        file.seek(HEADER + 16)
        file.write((2).to_bytes(8, "little"))  # total
        file.seek(HEADER + 32)
        file.write((70_000).to_bytes(8, "little") + (70_000).to_bytes(8, "little"))  # minimum and maximum
    for mended in (Histogram.read(path), Histogram(1_000_000, path)):
        assert (len(mended), mended.minimum) == (3, 5)
        assert mended.maximum == min(mended.counts(), key=lambda low: abs(low - 900_000))


def test_shared_histogram_that_was_never_finished_is_begun_anew(tmp_path):
    path = tmp_path / "latency"
    Histogram(1_000, path)
    with open(path, "r+b") as file:
        file.seek(HEADER)
        file.write(bytes(64))
    with pytest.raises(FileNotFoundError):
        Histogram.read(path)
    Histogram(1_000, path).record(7)
    assert Histogram.read(path).counts() == {7: 1}


def test_shared_histogram_of_another_range_is_refused(tmp_path):
    path = tmp_path / "latency"
    Histogram(1_000, path)
    with pytest.raises(ValueError, match="a histogram up to 1000, expected 2000"):
        Histogram(2_000, path)
    with pytest.raises(ValueError, match="highest 1, expected at least 2"):
        Histogram(1, tmp_path / "other")


def test_histogram_that_is_not_there_is_told_apart_from_a_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        Histogram.read(tmp_path / "absent")
    path = tmp_path / "latency"
    for size in (0, 127, 128, 200, 20_000):
        Histogram(1_000, path).record(1)
        os.truncate(path, size)
        with pytest.raises(ValueError, match="damaged, or no histogram"):
            Histogram.read(path)
        path.unlink()
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(ValueError, match="damaged, or no histogram"):
        Histogram(1_000, path)


def recorded(values):
    real, public = Histogram(HIGHEST), HdrHistogram(1, HIGHEST, 3)
    for value in values:
        assert real.record(value)
        assert public.record_value(value)
    return real, public
