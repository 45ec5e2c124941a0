"""The option `--instance`, and what every command that talks to a running instance begins with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from nautilus.runtime.client import Client
    from nautilus.runtime.instance import Instance
    from nautilus.runtime.platform import PlatformConfig

Command = TypeVar("Command", bound=Callable[..., Any])
ANSWER_SECONDS = 5.0


def instance_option(command: Command) -> Command:
    """The option `--instance`, as the parameter `instance_name`."""
    return click.option(
        "--instance", "instance_name", metavar="NAME", help="Which instance.  [default: that of the configuration]"
    )(command)


def timeout_option(default_seconds: float = ANSWER_SECONDS) -> Callable[[Command], Command]:
    """The option `--timeout`, as the parameter `timeout_seconds`."""
    return click.option(
        "--timeout",
        "timeout_seconds",
        type=click.FloatRange(0.001, 3600),
        default=default_seconds,
        show_default=True,
        metavar="SECONDS",
        help="Wait so long; exit code 5 after that.",
    )


def running(name: str | None) -> Instance:
    """The instance of that name, which runs; NotRunningError (exit code 3) where it does not."""
    from nautilus.runtime.instance import Instance

    return Instance.find(name or _platform().instance)


def running_with_hub(name: str | None) -> Instance:
    """As `running`; UsageError where it is but a process that joined an instance of another host."""
    instance = running(name)
    joined = instance.plan().joined
    if joined:
        raise click.UsageError(
            f"instance {instance.name!r} is a process that joined the hub at {joined}; expected the instance there"
        )
    return instance


def data_directory(name: str | None) -> Path:
    """Where the data of an instance lie, whether it runs or not."""
    from nautilus.runtime.instance import Instance, NotRunningError, data_of

    platform = _platform()
    wanted = name or platform.instance
    try:
        return Instance.find(wanted).data
    except NotRunningError:
        configured = platform.data_directory if wanted == platform.instance else ""
        return Path(configured) if configured else data_of(wanted)


def client_of(instance: Instance, *, timeout_seconds: float = ANSWER_SECONDS) -> Client:
    """An HTTP client of its engines."""
    from nautilus.runtime.client import Client
    from nautilus.runtime.status import read_state

    plan = instance.plan()
    ports = {name: port for process in read_state(instance, plan).processes for name, port in process.ports.items()}
    return Client(ports, token=instance.token(), host=plan.plain_host, timeout_seconds=timeout_seconds)


def _platform() -> PlatformConfig:
    from nautilus.cli.settings import load_configuration
    from nautilus.runtime.platform import PlatformConfig

    platform = load_configuration(None, None, (), checked=False).sections["platform"]
    assert isinstance(platform, PlatformConfig)
    return platform
