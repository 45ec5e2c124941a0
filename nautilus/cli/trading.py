"""`nautilus trading promote | key`."""

from __future__ import annotations

from typing import Any

import click

from nautilus.cli.instance import data_directory, instance_option, running, timeout_option
from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import json_option, print_json, print_table

COMMANDS = {
    "promote": (f"{__name__}:promote", "Make the standby the core, in the place of the one before."),
    "key": (f"{__name__}:key", "Print the public key of an instance, for `replica.allow` and `replica.core_key`."),
}
ANSWER_SECONDS = 30.0


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def trading() -> None:
    """Who is the core: promotion of a standby, and the keys by which core and standby know each other."""


@click.command()
@instance_option
@timeout_option(ANSWER_SECONDS)
@json_option
def promote(instance_name: str | None, timeout_seconds: float, as_json: bool) -> None:
    """Make the standby of this machine the core. The epoch is raised; everybody refuses the core before.

    It takes what the core before has sent, and tells it, if it can be reached, that it is none any more. Nothing that
    was acknowledged with `core.acknowledge` = replica is lost. Exit code 2 where the instance is no standby.
    """
    found = _ask(instance_name, timeout_seconds)
    if as_json:
        print_json(found)
        return
    print_table(
        "",
        ["promoted", f"epoch {found['epoch']}"],
        [
            ("last command", f"{found['last_sequence']:,}"),
            ("last event", f"{found['last_event_sequence']:,}"),
            ("state hash", found["state_hash"]),
            (
                "core before",
                "knows that it is fenced" if found["fenced"] else "not reached; refused when it comes back",
            ),
            ("known to be missing", f"{found['behind']:,} commands that were not acknowledged by this standby"),
        ],
    )


@click.command()
@instance_option
@json_option
def key(instance_name: str | None, as_json: bool) -> None:
    """Print the public key of an instance, up or down; its pair is made where there is none."""
    from nautilus.trading.stream import load_keys

    data = data_directory(instance_name)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    public = load_keys(data).public
    if as_json:
        print_json({"public": public})
    else:
        print(public)


def _ask(instance_name: str | None, timeout_seconds: float) -> dict[str, Any]:
    import msgspec
    import zmq

    from nautilus.model.errors import ModelError
    from nautilus.runtime.control import error_from
    from nautilus.runtime.journal import ORDERS

    instance = running(instance_name)
    if not any(spec.kind == "standby" for spec in instance.plan().processes):
        raise click.UsageError(
            f"instance {instance.name} is no standby; expected one of `nautilus up --standby-of ADDRESS`"
        )
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    try:
        socket.connect(f"ipc://{instance.directory}/{ORDERS}")
        socket.send(msgspec.json.encode({"do": "promote"}))
        if not socket.poll(int(timeout_seconds * 1000)):
            raise TimeoutError(
                f"no answer of the standby within {timeout_seconds:g} s; `nautilus status` shows what it is"
            )
        found: dict[str, Any] = msgspec.json.decode(socket.recv(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ModelError(f"answer of the standby: {error}", expected="one of this version") from None
    finally:
        socket.close()
        context.term()
    if "error" in found:
        raise error_from(found["error"])
    return found
