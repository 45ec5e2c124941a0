"""The options that say what plays: recordings, a stored range, or a live market."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from nautilus.runtime.market_name import MarketName

Command = TypeVar("Command", bound=Callable[..., Any])
NO_RECORDING = "no such recording; expected one that `nautilus data import` takes too, or a catalog"
CONFIGURED = "catalog:"
"""Stands for the catalog of the configuration."""


def range_options(command: Command) -> Command:
    """The options of a stored range: instruments, from, to."""
    for option in reversed(
        (
            click.option(
                "--instruments", metavar="A,B", help="Of a catalog, by symbol or key.  [default: all that it has]"
            ),
            click.option(
                "--from", "begin", metavar="TIME", help="Of a catalog: begin here (ISO 8601, UTC; or nanoseconds)."
            ),
            click.option("--to", "end", metavar="TIME", help="Of a catalog: end before this time."),
        )
    ):
        command = option(command)
    return command


def market_option(command: Command) -> Command:
    """The option of a live market."""
    return click.option(
        "--market",
        "live",
        metavar="VENUE:SYMBOL,...",
        help="Trade on paper against a live market: binance:BTCUSDT,ETHUSDT (spot) or binance-futures:BTCUSDT. Or "
        "publish a feed's ticks: ticks:DIRECTORY.",
    )(command)


def recorded_market(paths: Sequence[str], instruments: str | None, begin: str | None, end: str | None) -> MarketName:
    """The market of recordings or of a catalog.

    Raises
    ------
    FileNotFoundError
        One of them is not there.
    click.UsageError
        Options of a catalog with anything else.
    """
    from nautilus.model.moments import moment_ns
    from nautilus.runtime.market_name import catalog_name, files_name
    from nautilus.runtime.stored import is_catalog

    if tuple(paths) == (CONFIGURED,):
        from nautilus.cli.data import catalog_place

        paths = [catalog_place(None)]
    for path in paths:
        if not is_catalog(path) and not Path(path).exists():
            raise FileNotFoundError(2, NO_RECORDING, path)
    if len(paths) == 1 and is_catalog(paths[0]):
        listed = tuple(part.strip() for part in (instruments or "").split(",") if part.strip())
        return catalog_name(paths[0], listed, moment_ns(begin or "", "--from"), moment_ns(end or "", "--to"))
    if instruments or begin or end:
        raise click.UsageError(f"--instruments, --from and --to are of one catalog; {paths[0]} is none")
    return files_name(paths)


def chosen_market(
    recordings: Sequence[str],
    live: str | None,
    instruments: str | None,
    begin: str | None,
    end: str | None,
    *,
    simulated: bool = False,
    default: str,
) -> str:
    """What `up` and `demo` are to play, by name: at most one of the three."""
    from nautilus.runtime.market_name import market_name

    if sum((bool(recordings), live is not None, simulated)) > 1:
        raise click.UsageError("expected one of --replay, --market and --simulated")
    if not recordings and (instruments or begin or end):
        raise click.UsageError("--instruments, --from and --to are of a catalog: give one with --replay")
    if recordings:
        return str(recorded_market(recordings, instruments, begin, end))
    if live is None:
        return "simulated" if simulated else default
    name = market_name(live)
    if not name.lives:
        raise click.BadParameter(
            f"{live!r}: expected binance:SYMBOL,..., binance-futures:SYMBOL,... or ticks:DIRECTORY"
        )
    return str(name)
