"""`nautilus data sources`: the data providers of a running hub, and how its cache does."""

from __future__ import annotations

from typing import Any

import click

from nautilus.cli.instance import client_of, instance_option, running, timeout_option
from nautilus.cli.output import json_option, print_json, print_table

COLUMNS = ("source", "state", "calls", "errors", "304", "left", "cost", "open", "ms")


@click.command()
@instance_option
@timeout_option(10.0)
@json_option
def sources(instance_name: str | None, timeout_seconds: float, as_json: bool) -> None:
    """List the data providers that the hub asks: state, calls, what is left of the quota of the day, cost, open
    connections, and the median of their answers in milliseconds."""
    from nautilus.model.datasets import GetProviders

    answer = client_of(running(instance_name), timeout_seconds=timeout_seconds).ask("marketdata", GetProviders())
    if as_json:
        print_json(answer)
        return
    print_table("data providers", COLUMNS, map(_row, answer["sources"]), right=range(2, 9), whole=range(9), close=True)
    kinds = [(each["name"], ", ".join(kind.lower() for kind in each["kinds"])) for each in answer["sources"]]
    print_table("what they have", ("source", "kinds"), kinds, whole=(0,))
    for each in answer["sources"]:
        if each["last_error"]:
            print(f"{each['name']}: {each['last_error']} ({each['last_code']})")
    told = ("hits", "misses", "joined", "stale", "negative", "prefetched", "prefetch_used")
    print(", ".join(f"{answer[name]:,} {name.replace('_', ' ')}" for name in told))
    print(f"hit rate {100 * answer['hit_rate']:.1f} %; fresh, of all: {100 * answer['fresh_rate']:.1f} %")


def _row(source: dict[str, Any]) -> tuple[str, ...]:
    left, limit = source["day_left"], source["day_limit"]
    return (
        source["name"],
        source["state"],
        f"{source['calls']:,}",
        f"{source['errors']:,}",
        f"{source['not_modified']:,}",
        "-" if limit < 0 else f"{_short(left)}/{_short(limit)}",
        f"{source['cost']:.2f} {source['currency']}" if source["cost"] else "-",
        str(source["connections"]),
        f"{source['p50_ms']:.0f}" if source["p50_ms"] else "-",
    )


def _short(count: int) -> str:
    """A count of at most five signs."""
    return f"{count:,}" if count < 100_000 else f"{count / 1000:,.0f}K"
