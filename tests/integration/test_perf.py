"""The harness itself: what a stall costs, ratios against baselines, plots."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from nautilus.runtime.clock import pause
from perf.__main__ import BENCHES
from perf.bench_one_to_one_ring import ask
from perf.gate import Ratio, judge, load, renew
from perf.harness import ROOT, CheckError, Report, paced
from perf.plot import plot

MS = 1_000_000


def test_a_stall_counts_for_every_call_that_it_keeps_waiting() -> None:
    """Ten milliseconds once, at a thousand calls a second: about ten calls are late, one took long."""
    from_due, from_sent = paced(200, 1_000, lambda number: pause(0.05) if number == 100 else None)
    assert from_sent[100] > 45 * MS
    assert (from_due[101:125] > 20 * MS).all()
    assert (from_due >= from_sent).all()


def test_calls_are_made_at_their_rate() -> None:
    begun = time.perf_counter()
    paced(100, 1_000, lambda _: None)
    assert time.perf_counter() - begun >= 0.099


def result(path: Path, **medians: float) -> Path:
    path.write_text(json.dumps({"figures": [{"name": name, "median": value} for name, value in medians.items()]}))
    return path


@pytest.mark.parametrize(
    ("lower_is_better", "ours", "passes"),
    [(False, 8.0, True), (False, 7.1, True), (False, 6.9, False), (True, 12.9, True), (True, 13.1, False)],
)
def test_a_ratio_may_be_a_share_worse(tmp_path: Path, lower_is_better: bool, ours: float, passes: bool) -> None:
    ratio = Ratio("ours", "theirs", 1.0, 0.3, lower_is_better)
    baseline = tmp_path / "baseline.json"
    baseline.write_bytes(msgspec.json.encode([ratio]))
    [(found, value)] = judge(baseline, result(tmp_path / "result.json", ours=ours, theirs=10.0))
    assert found == ratio
    assert found.passes(value) is passes


def test_a_baseline_is_renewed_and_a_figure_that_is_missing_is_named(tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    baseline.write_bytes(msgspec.json.encode([Ratio("ours", "theirs", 1.0)]))
    renew(baseline, result(tmp_path / "result.json", ours=3.0, theirs=2.0))
    assert load(baseline) == [Ratio("ours", "theirs", 1.5)]
    with pytest.raises(KeyError, match="theirs"):
        list(judge(baseline, result(tmp_path / "result.json", ours=3.0)))


def test_every_baseline_is_one_of_a_bench() -> None:
    baselines = sorted((ROOT / "perf" / "baselines").glob("*.json"))
    assert baselines
    for baseline in baselines:
        assert baseline.stem in BENCHES
        assert load(baseline)


def test_the_gate_says_which_ratio_is_worse(tmp_path: Path) -> None:
    ratio = load(ROOT / "perf" / "baselines" / "star.json")[0]
    result(tmp_path / "star.json", **{ratio.of: ratio.ratio / 10, ratio.to: 1.0})
    run = subprocess.run(
        [sys.executable, "-m", "perf", "gate", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert f"WORSE star: {ratio.of} / {ratio.to}" in run.stdout


def test_a_plot_shows_every_latency_and_needs_no_network(tmp_path: Path) -> None:
    report = Report("mesh", "a summary")
    report.latency("there and back", np.arange(1, 100_001) * 100)
    report.latency("past a flood", np.arange(1, 1_001) * 10_000)
    path = tmp_path / "plots" / "mesh.html"
    plot(report, path)
    page = path.read_text(encoding="utf-8")
    assert "there and back" in page
    assert "past a flood" in page
    assert '<script src="http' not in page


def test_another_ring_is_asked_and_refused_where_its_records_were_wrong(tmp_path: Path) -> None:
    program = tmp_path / "peer"
    for wrong in (0, 3):
        program.write_text(f"""#!{sys.executable}
import json, sys
capacity, records, trips, first, second = map(int, sys.argv[1:])
print(json.dumps(dict(name="peer", records_per_second=records, p50_ns=1, p99_ns=capacity, wrong={wrong})))
""")
        program.chmod(0o755)
        if wrong:
            with pytest.raises(CheckError, match="3 records were wrong"):
                ask(program, 64, 0, 1)
        else:
            assert ask(program, 64, 0, 1)["p99_ns"] == 64
    program.write_text(f"#!{sys.executable}\nraise SystemExit(2)\n")
    with pytest.raises(CheckError, match="exit code 2"):
        ask(program, 64, 0, 1)
