"""`nautilus keys new | list | revoke`, of processes on the bus; `nautilus keys api` is in `keys_api`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nautilus.cli.instance import data_directory, instance_option
from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from nautilus.bus.keys import AllowedKey

Command = TypeVar("Command", bound=Callable[..., Any])

COMMANDS = {
    "new": (f"{__name__}:new", "Make a key for a process, or add one that was made elsewhere."),
    "list": (f"{__name__}:list_keys", "Print who is let in, and what they may do."),
    "revoke": (f"{__name__}:revoke", "Let a key in no more; processes that run cut it off."),
    "api": ("nautilus.cli.keys_api:api", "Make, list and revoke the keys of who asks over HTTP."),
}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def keys() -> None:
    """Keys by which processes on other hosts know each other (docs/bus-security.md); `api`: keys of HTTP clients."""


def directory_option(command: Command) -> Command:
    """The options by which a directory of keys is found."""
    option = click.option(
        "--directory",
        type=click.Path(file_okay=False, path_type=Path),
        help="Of the keys.  [default: bus.keys, else `keys` in the data of the instance]",
    )
    return option(instance_option(command))


@click.command()
@click.argument("name")
@click.option(
    "--grant",
    "grants",
    multiple=True,
    metavar="GRANT",
    help="publish:TOPIC, send:WHAT or read:TOPIC, with a * at its end for whatever follows; may be repeated.  "
    "[default: what the engines of a process of that name do]",
)
@click.option("--public", metavar="KEY", help="The public key of a pair that was made on another host.")
@directory_option
@json_option
def new(
    name: str,
    grants: Sequence[str],
    public: str | None,
    directory: Path | None,
    instance_name: str | None,
    as_json: bool,
) -> None:
    """Make a pair of keys for process NAME, and let it in.

    The pair is a file for this user alone; the list of those let in goes to every host. WHAT is orders, cancels, kill,
    resume, phases or ask.
    """
    from nautilus.bus.grants import WHAT, granted
    from nautilus.bus.keys import AllowedKey, allow, key_place, new_process
    from nautilus.model.topics import TOPICS
    from nautilus.runtime.clock import wall_ns

    for grant in grants:
        verb, _, what = grant.partition(":")
        if verb == "send" and what != "*" and what not in WHAT:
            raise click.UsageError(f"--grant {grant}: expected send: and one of {', '.join(WHAT)}, or *")
        if verb in ("publish", "read") and not any(granted((grant,), verb, topic.name) for topic in TOPICS):
            known = ", ".join(topic.name for topic in TOPICS)
            raise click.UsageError(f"--grant {grant}: no such topic; expected NAME.* or one of {known}")
    place = keys_place(directory, instance_name)
    wanted = tuple(grants) or _usual(name)
    if public is None:
        made = new_process(place, name, wanted, wall_ns())
    else:
        made = AllowedKey(name, public, wanted, wall_ns())
        allow(place, made)
    if as_json:
        print_json(_line(made))
        return
    print(f"{made.name} {made.public}")
    if public is None:
        print(f"its pair is in {key_place(place, name)}; copy that to its host, and {place}/allowed.json to every one")
    if not wanted:
        print(f"{name} is let in and may do nothing: `nautilus keys new` has --grant")


@click.command("list")
@directory_option
@json_option
def list_keys(directory: Path | None, instance_name: str | None, as_json: bool) -> None:
    """Print who is let in, and what they may do."""
    from nautilus.bus.keys import read_allowed

    place = keys_place(directory, instance_name)
    known = read_allowed(place).keys
    if as_json:
        print_json({"directory": str(place), "keys": [_line(key) for key in known]})
        return
    rows = [
        (key.name, key.public, _day(key.revoked_ns) if key.revoked_ns else "", " ".join(key.grants) or "-")
        for key in known
    ]
    print_table(f"keys in {place}", ["name", "public key", "revoked", "may"], rows)


@click.command()
@click.argument("name")
@directory_option
@json_option
def revoke(name: str, directory: Path | None, instance_name: str | None, as_json: bool) -> None:
    """Let the key of NAME in no more. Processes of this instance cut it off within a second.

    Its pair is removed where it is in the same directory. Other hosts need the new list.
    """
    from nautilus.bus.keys import UnknownKeyError
    from nautilus.bus.keys import revoke as revoke_key
    from nautilus.runtime.clock import wall_ns

    place = keys_place(directory, instance_name)
    try:
        gone = revoke_key(place, name, wall_ns())
    except UnknownKeyError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        print_json(_line(gone))
    else:
        print(f"{gone.name} {gone.public} is revoked; copy {place}/allowed.json to every host")


def keys_place(directory: Path | None, instance_name: str | None) -> Path:
    """The directory of keys: the one given, that of the configuration, or that in the data of the instance."""
    from nautilus.cli.settings import load_configuration
    from nautilus.runtime.bus_settings import BusConfig

    if directory is not None:
        return directory
    bus = load_configuration(None, None, (), checked=False).sections["bus"]
    assert isinstance(bus, BusConfig)
    return Path(bus.keys) if bus.keys else data_directory(instance_name) / "keys"


def _usual(name: str) -> tuple[str, ...]:
    """What the engines of a process of that name do."""
    from nautilus.bus.grants import grants_of
    from nautilus.runtime.plan import LAYOUTS

    for layout in LAYOUTS.values():
        for spec in layout:
            if spec.name == name:
                return grants_of(spec.engines)
    return grants_of((name,))


def _line(key: AllowedKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "public": key.public,
        "grants": list(key.grants),
        "created": _day(key.created_ns),
        "revoked": _day(key.revoked_ns) if key.revoked_ns else None,
    }


def _day(ns: int) -> str:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).isoformat()
