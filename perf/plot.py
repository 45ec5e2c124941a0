"""Latency by percentile, or figures against a size, as a page of its own, drawn by plotly."""

from __future__ import annotations

from pathlib import Path

import click

from perf.harness import Report

PERCENTILES = (0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999)


def plot(report: Report, path: Path) -> None:
    """Write the bench's latencies, or its curves where it has some, into an HTML file that needs no network.

    The axis of percentiles is 1 / (1 - share), as HdrHistogram's plotter has it: each nine takes the same room.
    """
    try:
        from plotly import colors, graph_objects
    except ImportError:
        raise click.UsageError("--plot: no plotly; expected the packages of the extra `perf`") from None
    figure = graph_objects.Figure()
    if report.curves:
        for name, points in report.curves.items():
            sizes, values = zip(*points, strict=True)
            figure.add_scatter(name=name, x=sizes, y=values, mode="lines+markers")
        figure.update_layout(
            title=f"{report.bench}: {report.summary}",
            template="plotly_white",
            legend={"orientation": "h", "y": -0.15},
            xaxis={"title": report.size_axis, "type": report.size_type, "dtick": 1, "exponentformat": "power"},
            yaxis={"title": report.value_axis, "rangemode": "tozero"},
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.write_html(path, include_plotlyjs=True)
        return
    for name, histogram in report.histograms.items():
        # Beyond the last nine that the count carries there is one value, again and again.
        shown = [percent for percent in PERCENTILES if (100 - percent) * report.latency_ns[name]["count"] >= 100]
        figure.add_scatter(
            name=name,
            x=[100 / (100 - percent) for percent in shown],
            y=[histogram.percentile(percent) / 1e3 for percent in shown],
            mode="lines+markers",
            hovertemplate="%{y:,.1f} us<extra>" + name + "</extra>",
        )
    ticks = [50, 90, 99, 99.9, 99.99, 99.999]
    figure.update_layout(
        title=f"{report.bench}: {report.summary}",
        template="plotly_white",
        colorway=colors.qualitative.Dark24,
        hovermode="x unified",
        legend={"orientation": "h", "y": -0.15},
        xaxis={
            "title": "percentile",
            "type": "log",
            "tickvals": [100 / (100 - percent) for percent in ticks],
            "ticktext": [f"{percent:g}" for percent in ticks],
        },
        yaxis={"title": "microseconds", "type": "log", "exponentformat": "none", "tickformat": ",", "dtick": 1},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(path, include_plotlyjs=True)
