"""The options that every command with a configuration takes, and the sections that exist."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import msgspec

    from nautilus.runtime.config import Check, Configuration, Flag

Command = TypeVar("Command", bound=Callable[..., Any])


def config_options(command: Command) -> Command:
    """The options `--config`, `--profile` and `--set`, as `config_path`, `profile` and `assignments`."""
    command = click.option(
        "--set",
        "assignments",
        metavar="SECTION.KEY=VALUE",
        multiple=True,
        help="Set one value; wins over file, profile and environment.",
    )(command)
    command = click.option("--profile", metavar="NAME", help="Settings for a purpose, such as 'compact'.")(command)
    return click.option("--config", "config_path", metavar="PATH", help="Default: config/nautilus.toml.")(command)


def sections() -> dict[str, type[msgspec.Struct]]:
    """Section -> struct."""
    from nautilus.runtime.config import resolve_sections
    from nautilus.runtime.sections import SECTIONS

    return resolve_sections(SECTIONS)


def checks() -> list[Check]:
    """What is checked across sections."""
    from nautilus.runtime.sections import CHECKS

    found = []
    for place in CHECKS:
        module, _, name = place.partition(":")
        found.append(getattr(importlib.import_module(module), name))
    return found


def parse_assignments(assignments: Iterable[str]) -> list[Flag]:
    """``section.key=value`` of `--set`."""
    from nautilus.runtime.config import Flag

    flags = []
    for text in assignments:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot):
            raise click.UsageError(f"--set {text}: expected SECTION.KEY=VALUE")
        flags.append(Flag(section, key, value, f"--set {name.strip()}"))
    return flags


def refuse_keys(assignments: Iterable[str], refused: Iterable[str], whose: str) -> None:
    """Usage error where `--set` gives a key, or a key of a section, that this kind of run would ignore."""
    known = set(refused)
    for flag in parse_assignments(assignments):
        if known & {flag.section, f"{flag.section}.{flag.key}"}:
            raise click.UsageError(f"--set {flag.section}.{flag.key} is {whose}")


def load_configuration(
    config_path: str | None,
    profile: str | None,
    assignments: Iterable[str],
    flags: Iterable[Flag] = (),
    *,
    checked: bool = True,
) -> Configuration:
    """The configuration in force; flags of the command come before `--set`.

    checked: it must be one to start with; a command that makes what is still missing does without.
    """
    from nautilus.runtime.config import load
    from nautilus.runtime.plain_names import PLAIN_NAMES

    return load(
        sections(),
        path=config_path,
        profile=profile,
        flags=[*parse_assignments(assignments), *flags],
        plain=PLAIN_NAMES,
        checks=checks() if checked else (),
    )
