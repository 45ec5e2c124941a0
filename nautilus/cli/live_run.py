"""What `up`, `demo` and `replay` share: the options of a run of the live platform, and the run itself.

::

    options ─▶ instance (locked) ─▶ plan ─▶ supervisor: start, run, stop ─▶ summary
                                              └─ every tick: the live table
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from nautilus.cli.instance import instance_option
from nautilus.cli.market_run import known_strategies, positive
from nautilus.cli.output import json_option, print_error, print_json
from nautilus.cli.settings import config_options, load_configuration, refuse_keys
from nautilus.cli.standby_run import NotPromotedError, stand_by

if TYPE_CHECKING:
    from nautilus.cli.live_report import LiveReport
    from nautilus.model.instrument import Instrument
    from nautilus.runtime.config import Configuration
    from nautilus.runtime.detach import Detached
    from nautilus.runtime.instance import Instance
    from nautilus.runtime.plan import Plan
    from nautilus.runtime.platform import PlatformConfig
    from nautilus.runtime.supervisor import Supervisor

# A detached platform is forked off, which is sound from one thread only; numpy starts more unless told not to.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

Command = TypeVar("Command", bound=Callable[..., Any])
CAPITAL_KEY, CAPITAL = "portfolio.capital", "100000"
"""What a portfolio of a demonstration begins with: else its returns would be of nothing."""
DRAIN_SECONDS = 2.0
"""How long what a finished recording left on its way may take to arrive."""
MAX, FASTEST = "max", 1_000_000
"""So fast that a market is always behind: it is played as fast as the machine can, and nothing is skipped."""
LOCKSTEP_KEYS = ("lockstep.latency",)
"""Settings that a run of the live platform would ignore."""


class LiveOptions(NamedTuple):
    """Values of the options, checked.

    Attributes
    ----------
    market : see `nautilus.runtime.market_name`.
    without : processes that are started apart.
    standby_of : address of the core to be a standby of; "": of none.
    fresh : the data lie in the instance's directory and are gone with it, unless `data` names another place.
    """

    title: str
    market: str
    speed: float
    strategies: tuple[str, ...]
    for_seconds: float | None
    demo: bool
    fresh: bool
    data: str
    as_json: bool
    configuration: Configuration
    without: tuple[str, ...] = ()
    standby_of: str = ""


def speed_option(default: str | None, text: str) -> Callable[[Command], Command]:
    """The option `--speed`: a number or ``max``."""
    return click.option("--speed", default=default, callback=_speed, metavar="X|max", help=text)


def live_options(command: Command) -> Command:
    """The options that every live run takes; `live_options_of` reads them."""
    for option in reversed(
        (
            click.option(
                "--for",
                "for_seconds",
                type=float,
                callback=positive,
                metavar="SECONDS",
                help="Stop after so much wall time.",
            ),
            click.option("--seed", type=int, help="Of everything random.  [default: 1]"),
            click.option("--detach", is_flag=True, help="Return when it is up; `nautilus down` stops it."),
            instance_option,
            config_options,
            json_option,
        )
    ):
        command = option(command)
    return command


def strategy_option(default: Sequence[str], text: str) -> Callable[[Command], Command]:
    """The option `--strategy`, which may be repeated."""
    return click.option(
        "--strategy",
        "strategies",
        multiple=True,
        default=tuple(default),
        callback=known_strategies,
        metavar="NAME",
        help=f"quoting, momentum, file.py:Class or module:Class; may be repeated.  [default: {text}]",
    )


def live_options_of(
    options: Mapping[str, Any],
    *,
    title: str,
    market: str,
    speed: str | None,
    demo: bool = False,
    fresh: bool = False,
    data: str | None = None,
    record: bool | None = None,
) -> LiveOptions:
    """Resolve the configuration and pick the options out of a command's parameters."""
    from nautilus.runtime.config import Flag

    refuse_keys(options["assignments"], LOCKSTEP_KEYS, "of lock-step: --speed max")
    flags = [("platform", "instance", options["instance_name"], "--instance")]
    flags += [("lockstep", "seed", options["seed"], "--seed")]
    flags += [("platform", "data_directory", data, "--data"), ("marketdata", "record", record or None, "--record")]
    given = [Flag(*flag) for flag in flags if flag[2] is not None]
    if demo and not any(CAPITAL_KEY in each for each in options["assignments"]):
        given.append(Flag("portfolio", "capital", CAPITAL, "nautilus demo"))
    configuration = load_configuration(options["config_path"], options["profile"], options["assignments"], given)
    return LiveOptions(
        title=title,
        market=market,
        speed=float(speed or 1),
        strategies=tuple(options["strategies"]),
        for_seconds=options["for_seconds"],
        demo=demo,
        fresh=fresh,
        data=data or "",
        as_json=options["as_json"],
        configuration=configuration,
    )


def run(options: LiveOptions, *, detached: bool = False) -> int:
    """Run it here, or detached: then return as soon as it is up."""
    if not detached:
        return execute(options)
    from nautilus.runtime.detach import detach
    from nautilus.runtime.instance import Instance, command

    detach(lambda line: execute(options, line))
    instance = Instance.find(platform_of(options).instance)
    plan = instance.plan()
    standing = any(spec.kind == "standby" for spec in plan.processes)
    without = set() if standing else _processes(plan, options.without)
    waiting = plan.waiting_without(without)
    if options.as_json:
        print_json({"instance": instance.name, "pid": instance.pid, "waiting": waiting})
    elif standing:
        print(
            f"instance {instance.name} is a standby of {options.standby_of} (pid {instance.pid}); "
            f"{command('trading promote', instance.name)} makes it the core"
        )
    else:
        print(f"instance {instance.name} is up (pid {instance.pid}); {command('down', instance.name)} stops it")
        _say_waiting(instance.name, without, waiting)
    return 0


def _say_waiting(instance: str, without: Collection[str], waiting: Sequence[str]) -> None:
    """What does not work yet as an engine or a venue was left out, and what helps."""
    from nautilus.runtime.instance import command
    from nautilus.runtime.venue_settings import VENUES

    venues = sorted(set(without) & set(VENUES))
    if waiting:
        advice = ", ".join(command(f"engine run {name}", instance) for name in sorted(set(without) - set(venues)))
        print(f"{', '.join(waiting)} will be ready after {advice}", file=sys.stderr)
    for name in venues:
        advice = command(f"engine run {name}", instance)
        print(f"accounts at {name} are closed to new orders until {advice}", file=sys.stderr)


def execute(options: LiveOptions, line: Detached | None = None) -> int:
    """Bring the platform up, show it, stop it, print what came of it; the exit code.

    It ends after the time that was given, at the end of a recording, or at Ctrl-C or SIGTERM, which is a clean end too,
    whenever it comes.
    """
    try:
        with _terminable():
            report, killed = _execute(options, line)
    except KeyboardInterrupt:
        return _cut_short(options)
    except NotPromotedError as end:
        return end.exit_code
    return _print(report, killed, as_json=options.as_json or line is not None)


def _execute(options: LiveOptions, line: Detached | None) -> tuple[LiveReport | None, tuple[str, ...]]:
    from nautilus.cli.display import display
    from nautilus.cli.live_report import Collector
    from nautilus.cli.sampler import Sampler
    from nautilus.engines.strategy import StrategyConfig
    from nautilus.runtime.accounts import Accounts
    from nautilus.runtime.instance import Instance
    from nautilus.runtime.supervisor import Supervisor

    platform = platform_of(options)
    data = options.data or ("" if options.fresh else platform.data_directory)
    instance = Instance.create(platform.instance, data=data, fresh_data=options.fresh)
    try:
        told = bool(options.standby_of) and stand_by(options, instance, line)
        plan = _plan(options, instance)
        without = _processes(plan, options.without)
        collector = Collector(
            instance, options.title, kept=not options.fresh or bool(options.data), without=_engines(plan, without)
        )
        accounts = Accounts(instance.data)
        accounts.claim(plan.config("strategy", StrategyConfig).first_account, plan.strategies)
        supervisor = Supervisor(instance, plan, without=without)
        quiet = options.as_json or line is not None
        with display(Sampler(instance, options.title), quiet=quiet) as show:
            try:
                if not supervisor.start(lambda state: show()):
                    raise KeyboardInterrupt
            except BaseException:
                accounts.withdraw()
                raise
            if line is not None:
                if not told:
                    line.redirect(instance.data / "logs" / "supervisor.out")
                    line.ready()
            elif not quiet:
                _say_waiting(instance.name, without, plan.waiting_without(without))
            rank = _first_needed_rank(plan)
            failures: list[Exception] = []

            def before_rank(next_rank: int) -> None:
                # Whatever goes wrong with the report, everything has to stop.
                try:
                    if next_rank == rank:
                        collector.collect()
                except Exception as error:
                    failures.append(error)

            try:
                _run(supervisor, plan, options, show)
                collector.before_stop()
            finally:
                supervisor.stop(lambda state: show(), before_rank=before_rank)
            collector.after_stop()
    finally:
        instance.close()
    for failure in failures:
        raise failure
    return collector.report, supervisor.killed


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM is an interrupt until the supervisor takes the signals, and after it has given them back."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _cut_short(options: LiveOptions) -> int:
    """It was stopped before it was up: a clean end too."""
    if options.as_json:
        print_json({"title": options.title, "instance": platform_of(options).instance, "up": False})
    else:
        print(f"{options.title}: stopped before it was up")
    return 0


def _print(report: LiveReport | None, killed: Sequence[str], *, as_json: bool) -> int:
    if report is None:
        return 1
    if as_json:
        print_json(report.to_dict())
    else:
        from nautilus.cli.live_summary import print_live_summary

        print_live_summary(report)
    for name in killed:
        print_error(f"process {name} did not stop in time and was killed", "internal.process")
    for fault in report.faults:
        print_error(fault.what, fault.code)
    return 1 if killed else report.exit_code


def platform_of(options: LiveOptions) -> PlatformConfig:
    """The section ``platform`` of its configuration."""
    from nautilus.runtime.platform import PlatformConfig

    platform = options.configuration.sections["platform"]
    assert isinstance(platform, PlatformConfig)
    return platform


def _run(supervisor: Supervisor, plan: Plan, options: LiveOptions, show: Callable[[], None]) -> None:
    from nautilus.bus.positions import lost_between
    from nautilus.runtime.market_name import market_name
    from nautilus.runtime.status import read_positions

    recording = market_name(options.market).ends
    supervisor.run(
        lambda: recording and supervisor.finished, for_seconds=options.for_seconds, on_tick=lambda state: show()
    )
    if supervisor.finished:
        supervisor.run(
            lambda: not lost_between(read_positions(plan).values()),
            for_seconds=DRAIN_SECONDS,
            on_tick=lambda state: show(),
        )


def _plan(options: LiveOptions, instance: Instance) -> Plan:
    from nautilus.model.errors import ConfigError
    from nautilus.runtime.market_name import market_name
    from nautilus.runtime.plan import make_plan
    from nautilus.runtime.settings import LockStepConfig

    lockstep = options.configuration.sections["lockstep"]
    assert isinstance(lockstep, LockStepConfig)
    first_ns, name = None, market_name(options.market)
    if name.ends:
        from nautilus.runtime.market import market_begin_ns
        from nautilus.runtime.replay import section
        from nautilus.simulation.config import RecordingConfig

        # A file that cannot be read is better said before any process starts.
        name = name.absolute()
        if name.kind == "catalog":
            from nautilus.runtime.stored import pinned

            name = pinned(name)
        first_ns = market_begin_ns(str(name), section(options.configuration.sections, "recording", RecordingConfig))
    listed: tuple[Instrument, ...] = ()
    if name.lives and options.speed != 1:
        raise ConfigError(f"speed {options.speed:g}", where=str(name), expected="1: a live market has its own time")
    if name.kind == "ticks":
        from nautilus.runtime.tick_ring import listed_in

        name = name.absolute()
        listed = listed_in(name.paths[0])
    elif name.kind == "live":
        import asyncio

        from nautilus.runtime.live_feed import resolve
        from nautilus.runtime.market import section_of

        settings: Any = options.configuration.sections[section_of(name.venue)]
        listed = asyncio.run(resolve(name.venue, settings, name.instruments, str(instance.data)))
    return make_plan(
        options.configuration,
        instance,
        market=str(name),
        speed=options.speed,
        seed=lockstep.seed,
        strategies=options.strategies,
        demo=options.demo,
        first_ns=first_ns,
        standby_of=options.standby_of,
        promoted=bool(options.standby_of),
        listed=listed,
    )


def _processes(plan: Plan, names: Sequence[str]) -> set[str]:
    """Processes of engines and venues, by their own names or by those of their engines."""
    from nautilus.runtime.config import nearest

    known = {spec.name: spec.name for spec in plan.processes if spec.kind in ("engines", "venue")}
    known |= {engine: spec.name for spec in plan.processes for engine in spec.engines}
    for name in names:
        if name not in known:
            raise click.UsageError(f"--without {name}: expected one of {', '.join(known)}{nearest(name, known)}")
    return {known[name] for name in names}


def _engines(plan: Plan, processes: Collection[str]) -> set[str]:
    return {engine for name in processes for engine in plan.process(name).engines}


def _first_needed_rank(plan: Plan) -> int:
    """When the first process stops that the report needs; by then strategies, and in most layouts the market, have."""
    needed = ("risk", "portfolio", "trading")
    return min(spec.stop_rank for spec in plan.processes if set(spec.engines) & set(needed))


def _speed(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value in (None, MAX):
        return value
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number <= FASTEST:
        raise click.BadParameter(f"{value!r}: expected a number above 0 or {MAX!r}", context, parameter)
    return value
