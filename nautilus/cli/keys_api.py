"""`nautilus keys api new | list | revoke`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nautilus.cli.instance import data_directory, instance_option
from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from nautilus.policy.keys import ApiKey
    from nautilus.runtime.access_keys import AccessKeys

COMMANDS = {
    "new": (f"{__name__}:new", "Make a key; its secret is printed this once."),
    "list": (f"{__name__}:list_keys", "Print the keys, and what they may do."),
    "revoke": (f"{__name__}:revoke", "Let a key in no more; processes that run see it within a second."),
}
_SPAN = re.compile(r"(\d{1,9})([smhd])")
_LAST = 253_402_300_799
"""The last second of the year 9999, which is as far as days are written."""
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def api() -> None:
    """Keys of those who ask over HTTP (docs/access.md)."""


@click.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "trade", "admin"]),
    help="What it may do; each holds those before it.  [default: read]",
)
@click.option("--expires", metavar="SPAN", help="After so long, such as 90d, 12h or 30m.  [default: never]")
@click.option(
    "--rate", type=click.FloatRange(0, 1_000_000), default=0.0, help="Requests a second.  [default: access.rate]"
)
@click.option("--burst", type=click.IntRange(0, 1_000_000), default=0, help="Requests at once.  [default: as --rate]")
@click.option(
    "--secret-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Take the secret from a file (mode 600).  [default: a random one]",
)
@instance_option
@json_option
def new(
    name: str,
    scopes: Sequence[str],
    expires: str | None,
    rate: float,
    burst: int,
    secret_file: Path | None,
    instance_name: str | None,
    as_json: bool,
) -> None:
    """Make a key for NAME. Its secret is printed, and kept nowhere.

    A running instance knows the key within a second.
    """
    from nautilus.runtime.access_keys import private_bytes
    from nautilus.runtime.clock import wall_ns

    now_ns = wall_ns()
    secret = ""
    if secret_file is not None:
        secret = private_bytes(secret_file, "the secret").decode(errors="replace").strip()
    made, secret = _files(instance_name).new(
        name,
        tuple(scopes) or ("read",),
        now_ns,
        expires_ns=now_ns + _span(expires) * 1_000_000_000 if expires else 0,
        rate=rate,
        burst=burst,
        secret=secret,
    )
    token = f"nk_{made.id}_{secret}"
    if as_json:
        print_json({**_line(made), "secret": secret, "token": token})
        return
    print(f"{made.name} {made.id}: {', '.join(made.scopes)}")
    print(f"secret  {secret}")
    print(f"token   {token}")
    print("They are kept nowhere else. Sign with the secret, or show the token as Bearer over TLS (docs/access.md).")


@click.command("list")
@instance_option
@json_option
def list_keys(instance_name: str | None, as_json: bool) -> None:
    """Print the keys, and what they may do."""
    from nautilus.runtime.clock import wall_ns

    files = _files(instance_name)
    known = files.read(files.derived()) if files.place.exists() else ()
    if as_json:
        print_json({"file": str(files.place), "keys": [_line(key) for key in known]})
        return
    now_ns = wall_ns()
    rows = [
        (
            key.id,
            key.name,
            " ".join(key.scopes),
            f"{key.rate:g}/s" if key.rate else "-",
            f"revoked {_day(key.revoked_ns)}"
            if key.revoked_ns
            else f"{'until' if now_ns < key.expires_ns else 'ended'} {_day(key.expires_ns)}"
            if key.expires_ns
            else "",
        )
        for key in known
    ]
    print_table(f"keys in {files.place}", ["id", "name", "may", "rate", "state"], rows)


@click.command()
@click.argument("name")
@instance_option
@json_option
def revoke(name: str, instance_name: str | None, as_json: bool) -> None:
    """Let the key of NAME (or with that id) in no more, nor the sessions that it began."""
    from nautilus.runtime.access_keys import UnknownAccessKeyError
    from nautilus.runtime.clock import wall_ns

    try:
        gone = _files(instance_name).revoke(name, wall_ns())
    except UnknownAccessKeyError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        print_json(_line(gone))
    else:
        print(f"{gone.name} {gone.id} is revoked")


def _files(instance_name: str | None) -> AccessKeys:
    from nautilus.cli.settings import load_configuration
    from nautilus.runtime.access_settings import AccessConfig, access_files

    access = load_configuration(None, None, (), checked=False).sections["access"]
    assert isinstance(access, AccessConfig)
    return access_files(access, data_directory(instance_name))


def _span(text: str) -> int:
    match = _SPAN.fullmatch(text)
    if match is None or not int(match[1]):
        raise click.UsageError(f"--expires {text}: expected a number and s, m, h or d, such as 90d")
    return int(match[1]) * _SECONDS[match[2]]


def _line(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "rate": key.rate or None,
        "burst": key.burst or None,
        "created": _day(key.created_ns),
        "expires": _day(key.expires_ns) if key.expires_ns else None,
        "revoked": _day(key.revoked_ns) if key.revoked_ns else None,
    }


def _day(ns: int) -> str:
    return datetime.fromtimestamp(min(ns // 1_000_000_000, _LAST), UTC).isoformat()
