"""`nautilus replay`: a recording of a real market."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nautilus.cli.market_run import execute, run_options, run_options_of


def _only_max(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if value != "max":
        raise click.BadParameter(
            f"{value!r}: expected 'max'; other speeds need the live platform, which is not there yet",
            context,
            parameter,
        )
    return value


@click.command()
@click.argument("path")
@click.option(
    "--speed",
    default="max",
    show_default=True,
    callback=_only_max,
    metavar="max",
    help="How fast: max is as fast as it goes.",
)
@run_options
def replay(path: str, speed: str, **options: Any) -> int:
    """Run a recording of a real market through engines and core.

    PATH is a Binance raw WebSocket log (.gz) or a LOBSTER pair (one of its two files, or their directory).
    """
    if not Path(path).exists():
        raise FileNotFoundError(2, "no such recording; expected a Binance raw log or a LOBSTER pair", path)
    return execute(f"replay: {path}", path, run_options_of(options))
