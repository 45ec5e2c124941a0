"""`python -m perf list`, `run NAME [--json FILE] [--plot FILE]`, `table`, `gate`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import click

from perf import gate as gates
from perf.harness import ROOT, CheckError, Report, conditions
from perf.plot import plot
from perf.show import markdown, number, show

RESULTS = ROOT / "perf" / "results"
BASELINES = ROOT / "perf" / "baselines"
# name -> module; `run all` takes them in this order
BENCHES = {
    "ring": "perf.bench_one_to_one_ring",
    "matching": "perf.bench_matching",
    "matcher": "perf.bench_matcher",
    "book_depth": "perf.bench_book_depth",
    "book_building": "perf.bench_book_building",
    "log_to_book": "perf.bench_log_to_book",
    "ingest": "perf.bench_ingest",
    "many_books": "perf.bench_many_books",
    "primitives": "perf.bench_primitives",
    "breaker": "perf.bench_breaker",
    "risk_check": "perf.bench_risk_check",
    "journal": "perf.bench_journal",
    "recovery": "perf.bench_recovery",
    "command-line": "perf.bench_command_line",
    "star": "perf.bench_star",
    "ring_star": "perf.bench_ring_star",
    "star_wire": "perf.bench_star_wire",
    "mesh": "perf.bench_mesh",
    "urgent": "perf.bench_urgent",
    "mesh_orders": "perf.bench_mesh_orders",
    "one_to_all": "perf.bench_one_to_all",
    "distribution": "perf.bench_distribution",
    "thousand": "perf.bench_thousand",
    "redis_fallback": "perf.bench_redis_fallback",
    "partition": "perf.bench_partition",
    "last_value": "perf.bench_last_value",
    "host": "perf.bench_host",
    "order_round_trip": "perf.bench_order_round_trip",
    "cached_request": "perf.bench_cached_request",
    "access": "perf.bench_access",
    "platform": "perf.bench_platform",
    "gateway": "perf.bench_gateway",
    "connections": "perf.bench_connections",
    "route": "perf.bench_route",
    "health": "perf.bench_health",
    "cache": "perf.bench_cache",
    "gateway_process": "perf.bench_gateway_process",
    "http2_upstream": "perf.bench_http2_upstream",
    "gateway_failover": "perf.bench_gateway_failover",
    "gateway_engines": "perf.bench_gateway_engines",
    "gateway_overload": "perf.bench_gateway_overload",
    "catalog": "perf.bench_catalog",
    "vpin": "perf.bench_vpin",
    "vpin_study": "perf.study_vpin",
    "factor": "perf.bench_factor",
    "portfolio": "perf.bench_portfolio",
    "analytics": "perf.bench_analytics",
    "engine_operations": "perf.bench_engine_operations",
    "models": "perf.bench_models",
    "risk_engine": "perf.bench_risk_engine",
    "features": "perf.bench_features",
    "margin": "perf.bench_margin",
}


@click.group()
def main() -> None:
    """Benchmarks of the platform; each checks its own result."""


@main.command("list")
def list_benches() -> None:
    """Names of the benches and what each measures."""
    for name, module in BENCHES.items():
        click.echo(f"{name:17} {importlib.import_module(module).SUMMARY}")


@main.command("run")
@click.argument("name", type=click.Choice([*BENCHES, "all"]))
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="File, or directory for one file a bench; - is stdout."
)
@click.option("--hgrm", type=click.Path(path_type=Path, file_okay=False), help="Directory for percentile files.")
@click.option(
    "--plot", "plot_path", type=click.Path(path_type=Path), help="HTML file, or directory for one file a bench."
)
@click.option(
    "--peer",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Program that measures another ring, beside ours (ring only; perf/bench_one_to_one_ring.py says how).",
)
def run(name: str, json_path: Path | None, hgrm: Path | None, plot_path: Path | None, peer: Path | None) -> None:
    """Run one bench, or all of them into perf/results."""
    names = list(BENCHES) if name == "all" else [name]
    if name == "all" and json_path is None:
        json_path = RESULTS
    if len(names) > 1 and json_path is not None and (json_path.suffix == ".json" or str(json_path) == "-"):
        raise click.UsageError(f"--json {json_path}: expected a directory for more than one bench")
    if peer is not None and name != "ring":
        raise click.UsageError(f"--peer {peer}: expected with the bench ring, found with {name}")
    if len(names) > 1 and plot_path is not None and plot_path.suffix == ".html":
        raise click.UsageError(f"--plot {plot_path}: expected a directory for more than one bench")
    for each in names:
        module = importlib.import_module(BENCHES[each])
        report = Report(each, module.SUMMARY, conditions())
        try:
            module.run(report, **({} if peer is None else {"peer": peer.resolve()}))
        except CheckError as failure:
            click.echo(f"perf {each}: {failure}", err=True)
            sys.exit(1)
        _write(report, json_path, hgrm)
        if plot_path is not None and (report.histograms or report.curves):
            plot(report, plot_path if plot_path.suffix == ".html" else plot_path / f"{each}.html")
        if str(json_path) != "-":
            show(report)


@main.command("table")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False), default=RESULTS)
def table(directory: Path) -> None:
    """The last results as the tables of docs/performance.md."""
    paths = [directory / f"{name}.json" for name in BENCHES]
    click.echo(markdown([json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]), nl=False)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False), default=RESULTS)
@click.option("--renew", is_flag=True, help="Take the ratios of these results as the new baselines.")
def gate(directory: Path, renew: bool) -> None:
    """Compare ratios of the last results with perf/baselines; exit code 1 where one is worse than it may be."""
    worse = 0
    for baseline in sorted(BASELINES.glob("*.json")):
        result = directory / baseline.name
        if not result.exists():
            click.echo(f"{baseline.stem}: no result in {directory}")
            continue
        if renew:
            gates.renew(baseline, result)
        for ratio, found in gates.judge(baseline, result):
            passes = ratio.passes(found)
            worse += not passes
            click.echo(
                f"{'ok   ' if passes else 'WORSE'} {baseline.stem}: {ratio.of} / {ratio.to} = {number(found)}, "
                f"at {'most' if ratio.lower_is_better else 'least'} {number(ratio.limit)}"
            )
    sys.exit(1 if worse else 0)


def _write(report: Report, json_path: Path | None, hgrm: Path | None) -> None:
    if json_path is not None:
        text = json.dumps(report.fields(), indent=2) + "\n"
        if str(json_path) == "-":
            click.echo(text, nl=False)
        else:
            path = json_path if json_path.suffix == ".json" else json_path / f"{report.bench}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if hgrm is not None:
        hgrm.mkdir(parents=True, exist_ok=True)
        for number, histogram in enumerate(report.histograms.values(), 1):
            (hgrm / f"{report.bench}-{number}.hgrm").write_text(histogram.to_hgrm(1000.0), encoding="utf-8")


if __name__ == "__main__":
    main()
