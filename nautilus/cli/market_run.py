"""What `demo` and `replay` share in lock-step: options, and a run with its progress and its summary."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from nautilus.cli.output import print_error, print_json
from nautilus.cli.settings import load_configuration, refuse_keys

if TYPE_CHECKING:
    import msgspec

    from nautilus.runtime.report import Progress
    from nautilus.simulation.source import MarketSource

Command = TypeVar("Command", bound=Callable[..., Any])
LIVE_SECTIONS = ("platform", "core", "journal", "replica", "venue0", "venue1", "venue2", "logging", "http")
"""Settings that a run in lock-step would ignore."""
MOST_SECONDS = 1e9
"""Thirty years: virtual time stays within 64 bits of nanoseconds."""


class RunOptions(NamedTuple):
    """Values of the shared options, checked; `--seed` and `--latency` are in the section `lockstep`."""

    for_seconds: float | None
    market_seconds: float | None
    strategies: tuple[str, ...]
    journal: str | None
    as_json: bool
    sections: Mapping[str, msgspec.Struct]


def lockstep_options(command: Command) -> Command:
    """The options that only a run in virtual time takes."""
    command = click.option(
        "--latency",
        callback=_latency,
        metavar="TIME",
        help='In lock-step, between venue and engines: "1ms", "250us/1ms" (from / to the venue), "1ms+100us" (with '
        'jitter), "none".  [default: 1ms each way]',
    )(command)
    return click.option(
        "--market-for",
        "market_seconds",
        type=float,
        callback=positive,
        metavar="SECONDS",
        help="In lock-step, stop after so much of the market's time; with the same seed the run is the same.",
    )(command)


def run_options_of(options: Mapping[str, Any]) -> RunOptions:
    """Resolve the configuration and pick the shared options out of a command's parameters."""
    from nautilus.runtime.config import Flag

    if options["instance_name"] is not None:
        raise click.UsageError("--instance is of the live platform, not of lock-step")
    refuse_keys(options["assignments"], LIVE_SECTIONS, "of the live platform, not of lock-step")
    flags = [Flag("lockstep", name, options[name], f"--{name}") for name in ("seed", "latency")]
    given = [flag for flag in flags if flag.value is not None]
    configuration = load_configuration(options["config_path"], options["profile"], options["assignments"], given)
    return RunOptions(
        for_seconds=options["for_seconds"],
        market_seconds=options["market_seconds"],
        strategies=tuple(options["strategies"]),
        journal=options["journal"],
        as_json=options["as_json"],
        sections=configuration.sections,
    )


def execute(title: str, source: MarketSource | str, options: RunOptions) -> int:
    """Run, show progress on stderr, print the summary or the object; the exit code."""
    from nautilus.cli.progress import progress_display
    from nautilus.runtime.replay import run

    # With --json stdout holds one object and nothing else, whatever a strategy prints.
    stdout = redirect_stdout(sys.stderr) if options.as_json else nullcontext()
    display = progress_display(title.partition(":")[0], options.for_seconds, quiet=options.as_json)
    with stdout, display as show, _interruptible(show) as step:
        report = run(
            source,
            options.strategies,
            sections=options.sections,
            for_seconds=options.for_seconds,
            market_seconds=options.market_seconds,
            journal=options.journal,
            progress=step,
        )
    if options.as_json:
        print_json(report.to_dict())
    else:
        from nautilus.cli.summary import print_summary

        print_summary(title, report, endless=not isinstance(source, str))
    if report.broken:
        print_error(report.broken, "venue.broken")
    for error in report.errors:
        print_error(f"{error.where}: {error.error} ({error.count} times)", "internal.handler")
    if not report.positions_equal:
        print_error("positions of the portfolio engine differ from the core's", "internal.positions")
    return report.exit_code


@contextmanager
def _interruptible(show: Callable[[Progress], None] | None) -> Iterator[Callable[[Progress], None]]:
    """What is called now and then during the run: it shows progress, and raises where Ctrl-C was pressed.

    Raised anywhere else, in a strategy's or a library's callback, the interrupt could be swallowed; the second one is
    raised where it comes.
    """
    interrupted = False

    def note(number: int, frame: object) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True

    def step(progress: Progress) -> None:
        if interrupted:
            raise KeyboardInterrupt
        if show is not None:
            show(progress)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield step
    finally:
        signal.signal(signal.SIGINT, before)


def positive(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Check a number of seconds."""
    if value is not None and not 0 < value <= MOST_SECONDS:
        raise click.BadParameter(
            f"{value:g}: expected a number of seconds above 0, at most {MOST_SECONDS:g}", context, parameter
        )
    return value


def known_strategies(context: click.Context, parameter: click.Parameter, names: Sequence[str]) -> Sequence[str]:
    """Check names of strategies as far as that goes without loading them."""
    import difflib

    from nautilus.engines.strategy import STRATEGIES

    for name in names:
        place, _, class_name = name.rpartition(":")
        if place.endswith(".py") and class_name and not Path(place).is_file():
            raise click.BadParameter(f"{name!r}: no file {place}", context, parameter)
        if name not in STRATEGIES and not (place and class_name):
            close = difflib.get_close_matches(name, STRATEGIES, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise click.BadParameter(
                f"{name!r}: expected one of {', '.join(STRATEGIES)} or file.py:Class{hint}", context, parameter
            )
    return names


def _latency(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from nautilus.model.errors import ConfigError
    from nautilus.runtime.latency import parse_latency

    if value is not None:
        try:
            parse_latency(value)
        except ConfigError as error:
            raise click.BadParameter(f"{error.what}; expected {error.expected}", context, parameter) from None
    return value


def new_directory(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check that a directory is empty, or not there yet."""
    # A run begins its journal; going on with another run's would mix two markets.
    if value is not None and Path(value).is_file():
        raise click.BadParameter(f"{value} is a file; expected a new directory", context, parameter)
    if value is not None and Path(value).is_dir() and any(Path(value).iterdir()):
        raise click.BadParameter(f"{value} is not empty; expected a new directory", context, parameter)
    return value
