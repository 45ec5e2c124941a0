"""`nautilus config show | validate | schema`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import json_option, print_error, print_json, print_table
from nautilus.cli.settings import checks, config_options, load_configuration, parse_assignments, sections

if TYPE_CHECKING:
    from nautilus.runtime.config import Setting

COMMANDS = {
    "show": (f"{__name__}:show", "Print every value in force."),
    "validate": (f"{__name__}:validate", "Name everything that is wrong; exit code 4 where anything is."),
    "schema": (f"{__name__}:schema", "Print the JSON Schema of the configuration file."),
}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def config() -> None:
    """Show, validate or describe the configuration (default < file < profile < environment < flag)."""


@click.command()
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@config_options
@json_option
def show(origin: bool, config_path: str | None, profile: str | None, assignments: Sequence[str], as_json: bool) -> None:
    """Print every value in force."""
    from nautilus.runtime.config import hidden
    from nautilus.runtime.plain_names import variable_of

    configuration = load_configuration(config_path, profile, assignments, checked=False)
    kinds = sections()
    settings = [
        setting._replace(value=hidden(kinds, setting.section, setting.key, setting.value))
        for setting in configuration.settings
    ]
    if as_json:
        document: dict[str, dict[str, Any]] = {}
        for setting in settings:
            value = _plain(setting.value)
            told = {"value": value, "origin": setting.origin}
            variable = variable_of(setting.section, setting.key)
            if variable:
                told["variable"] = variable
            document.setdefault(setting.section, {})[setting.key] = told if origin else value
        print_json(document)
        return
    columns = ["setting", "value", "origin"] if origin else ["setting", "value"]
    rows = [
        [f"{setting.section}.{setting.key}", _text(setting.value), _origin(setting)][: len(columns)]
        for setting in settings
    ]
    print_table("", columns, rows)
    print(f"profile {configuration.profile}; read: {', '.join(configuration.files) or 'no file, built-in defaults'}")


@click.command()
@config_options
@json_option
def validate(config_path: str | None, profile: str | None, assignments: Sequence[str], as_json: bool) -> int:
    """Name everything that is wrong; exit code 4 where anything is."""
    from nautilus.runtime.config import examine
    from nautilus.runtime.plain_names import PLAIN_NAMES

    configuration, problems = examine(
        sections(),
        path=config_path,
        profile=profile,
        flags=parse_assignments(assignments),
        plain=PLAIN_NAMES,
        checks=checks(),
    )
    files = list(configuration.files) if configuration else []
    if as_json:
        print_json({"valid": not problems, "files": files, "problems": [problem.as_dict() for problem in problems]})
    elif not problems:
        print(f"valid: {', '.join(files) or 'no file, built-in defaults'}")
    for problem in problems:
        print_error(str(problem), problem.code)
    return 4 if problems else 0


@click.command()
@json_option
def schema(as_json: bool) -> None:
    """Print the JSON Schema of the configuration file."""
    from nautilus.runtime.config import schema as schema_of

    print_json(schema_of(sections()))


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


def _origin(setting: Setting) -> str:
    """Where a value comes from, and the plain name by which the environment may set it."""
    from nautilus.runtime.plain_names import variable_of

    variable = variable_of(setting.section, setting.key)
    return (
        setting.origin if not variable or setting.origin.endswith(f" {variable}") else f"{setting.origin} (${variable})"
    )


def _text(value: Any) -> str:
    import json

    return json.dumps(_plain(value), ensure_ascii=False)
