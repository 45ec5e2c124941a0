"""`nautilus data get`: ask a running hub for what a data provider has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from nautilus.cli.instance import client_of, instance_option, running, timeout_option
from nautilus.cli.output import json_option, print_json, print_table

KINDS = ("quote", "bar", "fundamental", "economic", "listing", "event")
SHOWN = {
    "quote": ("time_ns", "last", "bid", "ask", "volume", "currency"),
    "bar": ("begin_ns", "open", "high", "low", "close", "volume"),
    "fundamental": ("begin_ns", "end_ns", "concept", "value", "unit", "form"),
    "economic": ("begin_ns", "value", "unit", "frequency"),
    "listing": ("key", "name", "category", "frequency"),
    "event": ("time_ns", "country", "name", "actual", "forecast"),
}
"""Fields of a fact that a person sees; `--json` has all."""


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("symbol")
@click.option("--source", default="", metavar="NAME", help="Provider.  [default: the first that has this kind]")
@click.option("--interval", default="1d", show_default=True, help="Of bars: 1m, 5m, 1h, 1d, 1w, 1mo.")
@click.option("--from", "begin", default="", metavar="TIME", help="A date, with or without a time; UTC.")
@click.option("--to", "end", default="", metavar="TIME", help="The same; not included.")
@click.option("--limit", type=click.IntRange(0), default=0, help="At most so many, the latest.  [default: all]")
@instance_option
@timeout_option(15.0)
@json_option
def get(
    kind: str,
    symbol: str,
    source: str,
    interval: str,
    begin: str,
    end: str,
    limit: int,
    instance_name: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Ask the hub for data of a provider, or what it keeps of it. SYMBOL: a ticker, a series, or words to look for."""
    from nautilus.model.datasets import DataKind, GetData
    from nautilus.model.moments import moment_ns

    question = GetData(
        DataKind(kind),
        symbol,
        source,
        interval if kind == "bar" else "",
        moment_ns(begin, "--from"),
        moment_ns(end, "--to"),
        limit,
    )
    answer = client_of(running(instance_name), timeout_seconds=timeout_seconds).ask("marketdata", question)
    if as_json:
        print_json(answer)
        return
    names = SHOWN[kind]
    rows = [tuple(_text(name, fact[name]) for name in names) for fact in answer["facts"]]
    print_table(f"{symbol} of {answer['source']}", [name.removesuffix("_ns") for name in names], rows)
    how = "kept" if answer["cached"] else "fetched now"
    marks = [how, f"{answer['age_seconds']:.0f} s old", *(["stale"] if answer["stale"] else [])]
    marks += ["made up"] if answer["provenance"]["synthetic"] else []
    print(f"{len(rows):,} facts of {answer['provenance']['url']}; {', '.join(marks)}")
    if answer["reason"]:
        print(answer["reason"])


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name.endswith("_ns"):
        if not value:
            return ""
        moment = datetime.fromtimestamp(value / 1e9, UTC)
        return f"{moment:%Y-%m-%d}" if value % 86_400_000_000_000 == 0 else f"{moment:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e10 else f"{value:,.10g}"
    return str(value)
