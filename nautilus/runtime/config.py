"""Configuration: built-in defaults < file < profile < environment < flag, each value with its origin.

Of the environment a setting's own name, `NAUTILUS__SECTION__KEY`, comes before its plain name, where it has one.

A section of the file is a frozen msgspec struct that stands beside its user; this module knows no setting by name.
Every key is checked by itself against the type of its field, so that an error names the key, the value, what was
expected, the nearest valid name, and the file and line; then the struct is built once, which runs its own checks.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from nautilus.model.errors import ConfigError, NautilusError

FILE_VARIABLE = "NAUTILUS_CONFIG"
PROFILE_VARIABLE = "NAUTILUS_PROFILE"
PREFIX = "NAUTILUS__"
FILE_PLACE = "config/nautilus.toml"
DEFAULT_PROFILE = "default"
HIDDEN = "***"
"""What is shown of a secret."""
PROFILES = Path(__file__).resolve().parents[1] / "profiles"
"""The profiles that come along; in a checkout a link to `config/profiles`."""

Sections = Mapping[str, type[msgspec.Struct]]
Check = Callable[[Mapping[str, msgspec.Struct]], Iterable[ConfigError]]
"""What is wrong with all sections together."""


class Setting(NamedTuple):
    """One resolved value: what `nautilus config show --origin` prints a line for."""

    section: str
    key: str
    value: Any
    origin: str


class Flag(NamedTuple):
    """A value given on the command line, and the flag that gave it."""

    section: str
    key: str
    value: Any
    origin: str


class PlainName(NamedTuple):
    """A variable of the environment that sets one key under a name of its own.

    Parameters
    ----------
    section, key
        What it sets.
    parse
        Its text to the value of the key; ValueError for a text that is none.
    expected
        The texts that it may have, for people.
    """

    section: str
    key: str
    parse: Callable[[str], Any]
    expected: str


class Configuration(NamedTuple):
    """Everything resolved.

    Attributes
    ----------
    sections : one frozen struct for each section.
    settings : every value of every section with its origin, in order of declaration.
    files : the files that were read, the configuration file first.
    profile : name of the profile in force.
    """

    sections: Mapping[str, msgspec.Struct]
    settings: tuple[Setting, ...]
    files: tuple[str, ...]
    profile: str


class _Given(NamedTuple):
    """A value somebody set, before it is checked. `text` values stand for what they parse to."""

    section: str
    key: str
    value: Any
    origin: str
    text: bool


def load(
    sections: Sections,
    *,
    path: str | None = None,
    profile: str | None = None,
    flags: Iterable[Flag] = (),
    environment: Mapping[str, str] | None = None,
    plain: Mapping[str, PlainName] | None = None,
    checks: Iterable[Check] = (),
) -> Configuration:
    """Resolve every section.

    Parameters
    ----------
    sections
        Section name -> frozen struct with a default for every field.
    path
        Configuration file; None: `NAUTILUS_CONFIG`, else `config/nautilus.toml` under the working directory where
        there is one, else no file at all.
    profile
        Name of a file in `profiles/` beside the configuration file, else of one that comes along; None:
        `NAUTILUS_PROFILE`, else `default`.
    flags
        Values from the command line, the last of equal ones wins.
    environment
        Default: `os.environ`.
    plain
        Variables that set a key under a name of their own; those of sections that are not there set nothing.
    checks
        What else is to be right, once every section is by itself.

    Raises
    ------
    ConfigError
        The first thing that is wrong, in order of precedence.
    """
    configuration, problems = examine(
        sections, path=path, profile=profile, flags=flags, environment=environment, plain=plain, checks=checks
    )
    if configuration is None:
        raise problems[0]
    return configuration


def examine(
    sections: Sections,
    *,
    path: str | None = None,
    profile: str | None = None,
    flags: Iterable[Flag] = (),
    environment: Mapping[str, str] | None = None,
    plain: Mapping[str, PlainName] | None = None,
    checks: Iterable[Check] = (),
) -> tuple[Configuration | None, list[ConfigError]]:
    """As `load`, but every problem is collected; the configuration is None where there is any."""
    environment = os.environ if environment is None else environment
    problems: list[ConfigError] = []
    given: list[_Given] = []
    files: list[str] = []
    name = (environment.get(PROFILE_VARIABLE) or DEFAULT_PROFILE) if profile is None else profile
    try:
        file = find(path, environment)
        if file is not None:
            given += _read(file, sections, problems)
            files.append(file)
        profile_file = _profile_file(file, name)
        if profile_file is not None:
            given += _read(profile_file, sections, problems)
            files.append(profile_file)
    except ConfigError as error:
        problems.append(error)
    given += _from_plain_names(environment, plain or {}, sections, problems)
    given += _from_environment(environment, sections, problems)
    given += [_Given(*flag, text=isinstance(flag.value, str)) for flag in flags]

    values: dict[tuple[str, str], Setting] = {
        (section, field.name): Setting(section, field.name, field_default(field), "default")
        for section, struct in sections.items()
        for field in msgspec.structs.fields(struct)
    }
    for item in given:
        try:
            checked = _check(item, sections)
        except ConfigError as error:
            problems.append(error)
        else:
            values[item.section, item.key] = Setting(item.section, item.key, checked, item.origin)

    built: dict[str, msgspec.Struct] = {}
    if not problems:
        for section, struct in sections.items():
            own = [setting for setting in values.values() if setting.section == section]
            try:
                built[section] = struct(**{setting.key: setting.value for setting in own})
            except (ValueError, TypeError, NautilusError) as error:
                problems.append(_refused(section, own, error))
        if not problems:
            problems += [problem for check in checks for problem in check(built)]
    if problems:
        return None, problems
    return Configuration(built, tuple(values.values()), tuple(files), name), []


def find(path: str | None, environment: Mapping[str, str]) -> str | None:
    """The configuration file in force; None where there is none, which only an explicit name makes an error."""
    named, origin = (environment.get(FILE_VARIABLE) or None, FILE_VARIABLE) if path is None else (path, "--config")
    if named is not None:
        if not Path(named).is_file():
            raise ConfigError(f"no file {named or repr(named)}", where=origin, expected="a TOML file")
        return named
    return FILE_PLACE if Path(FILE_PLACE).is_file() else None


def schema(sections: Sections) -> dict[str, Any]:
    """JSON Schema of the whole file."""
    references, components = msgspec.json.schema_components(sections.values(), ref_template="#/$defs/{name}")
    properties = dict(zip(sections, references, strict=True))
    for component in components.values():
        component["additionalProperties"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": components,
    }


def resolve_sections(table: Mapping[str, str]) -> dict[str, type[msgspec.Struct]]:
    """``{"section": "package.module:Struct"}`` to the structs themselves, imported now."""
    resolved = {}
    for section, place in table.items():
        module, _, attribute = place.partition(":")
        resolved[section] = getattr(importlib.import_module(module), attribute)
    return resolved


def nearest(word: str, valid: Iterable[str]) -> str:
    """The hint for a misspelt name: "; did you mean 'x'?" or nothing."""
    close = difflib.get_close_matches(word, list(valid), 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def is_secret(kind: Any) -> bool:
    """Whether a value of a type is shown to nobody: its `Meta` has ``extra={"secret": True}``."""
    return any((getattr(note, "extra", None) or {}).get("secret") for note in getattr(kind, "__metadata__", ()))


def hidden(sections: Sections, section: str, key: str, value: Any) -> Any:
    """A value as it may be shown: `HIDDEN` for a secret that is set."""
    fields = msgspec.structs.fields(sections[section]) if section in sections else ()
    kind = next((field.type for field in fields if field.name == key), None)
    return HIDDEN if value not in ("", None) and is_secret(kind) else value


def field_default(field: msgspec.structs.FieldInfo) -> Any:
    """The built-in default of a field; every setting must have one."""
    if field.default is not msgspec.NODEFAULT:
        return field.default
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    raise TypeError(f"setting {field.name} has no default")


def type_name(kind: Any) -> str:
    """A type as a person reads it: ``integer >= 1``, ``one of "a", "b"``, ``true or false``."""
    description = _described(kind)
    names = {
        "integer": "an integer",
        "number": "a number",
        "string": "a text",
        "boolean": "true or false",
        "array": "a list",
        "object": "a table",
        "null": "nothing",
    }
    if "anyOf" in description:
        return " or ".join(names.get(part.get("type", ""), "another form") for part in description["anyOf"])
    if "enum" in description:
        return "one of " + ", ".join(json.dumps(value) for value in description["enum"])
    text = names.get(description.get("type", ""), description.get("type", str(kind)))
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {description[name]}" for name, sign in bounds.items() if name in description]
    if "pattern" in description:
        limits.append(f"like {description['pattern']}")
    return " ".join([text, " and ".join(limits)]).strip()


def _read(file: str, sections: Sections, problems: list[ConfigError]) -> list[_Given]:
    try:
        text = Path(file).read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=file, expected="a readable TOML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"byte {error.start} is not UTF-8", where=file, expected="a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", where=file, expected="[section] and key = value") from None
    given = []
    for section, body in document.items():
        if not isinstance(body, dict):
            line = _line(text, None, section)
            problems.append(
                ConfigError(
                    f"{section} = {_show(body)} stands outside of a section",
                    where=f"{file}:{line}",
                    expected=f"it under one of [{'], ['.join(sections)}]",
                )
            )
            continue
        if section not in sections:
            where = f"{file}:{_line(text, section, None)}"
            problems.append(_unknown_section(section, where, sections))
            continue
        given += [
            _Given(section, key, value, f"{file}:{_line(text, section, key)}", False) for key, value in body.items()
        ]
    return given


def _profile_file(file: str | None, name: str) -> str | None:
    own = [] if file is None else [Path(file).parent / "profiles"]
    directories = [*own, PROFILES]
    for directory in own if name == DEFAULT_PROFILE else directories:  # the default that comes along sets nothing
        place = directory / f"{name}.toml"
        if re.fullmatch(r"[a-z0-9_-]+", name) and place.is_file():
            return str(place)
    if name == DEFAULT_PROFILE:
        return None
    known = sorted({path.stem for directory in directories for path in directory.glob("*.toml")})
    raise ConfigError(
        f"profile {name!r}",
        where=" or ".join(map(str, directories)),
        expected=(f"one of {', '.join(known)}" if known else "a file there") + nearest(name, known),
    )


def _from_environment(environment: Mapping[str, str], sections: Sections, problems: list[ConfigError]) -> list[_Given]:
    given = []
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIX):
            continue
        section, _, key = name.removeprefix(PREFIX).lower().partition("__")
        if section not in sections:
            problems.append(_unknown_section(section, f"environment {name}", sections))
        else:
            given.append(_Given(section, key, value, f"environment {name}", True))
    return given


def _from_plain_names(
    environment: Mapping[str, str], plain: Mapping[str, PlainName], sections: Sections, problems: list[ConfigError]
) -> list[_Given]:
    given = []
    for name, meaning in plain.items():
        if name not in environment or meaning.section not in sections:
            continue
        text, origin = environment[name], f"environment {name}"
        try:
            given.append(_Given(meaning.section, meaning.key, meaning.parse(text), origin, False))
        except ValueError:
            shown = hidden(sections, meaning.section, meaning.key, text)
            told = f"{meaning.section}.{meaning.key} = {_show(shown)}"
            problems.append(ConfigError(told, where=origin, expected=meaning.expected))
    return given


def _refused(section: str, settings: Iterable[Setting], error: Exception) -> ConfigError:
    """What a section's own checks said, with the origins of the keys that it names (of all where it names none)."""
    what, expected = (error.what, error.expected) if isinstance(error, NautilusError) else (str(error), "")
    given = [setting for setting in settings if setting.origin != "default"]
    named = [setting for setting in given if re.search(rf"\b{setting.key}\b", what)]
    origins = ", ".join(dict.fromkeys(setting.origin for setting in named or given))
    told = f"[{section}] {what}"
    for setting in named:
        # As every other wrong value is shown.
        for shown in (f"{setting.key} {setting.value}", f"{setting.key} {setting.value!r}"):
            if what.startswith(shown):
                told = f"{section}.{setting.key} = {_show(setting.value)}{what.removeprefix(shown)}"
    return ConfigError(told, where=origins or "built-in defaults", expected=expected)


def _unknown_section(section: str, where: str, sections: Sections) -> ConfigError:
    return ConfigError(
        f"unknown section {section!r}",
        where=where,
        expected=f"one of {', '.join(sections)}{nearest(section, sections)}",
    )


def _check(item: _Given, sections: Sections) -> Any:
    struct = sections.get(item.section)
    if struct is None:
        raise _unknown_section(item.section, item.origin, sections)
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    if item.key not in fields:
        raise ConfigError(
            f"unknown key {item.key!r} = {_show(item.value)} in section {item.section!r}",
            where=item.origin,
            expected=f"one of {', '.join(fields)}{nearest(item.key, fields)}",
        )
    field = fields[item.key]
    value = _parse_text(item, field.type) if item.text else item.value
    many = isinstance(value, dict | list)
    try:
        return msgspec.convert(value, field.type, strict=many or not item.text)
    except (msgspec.ValidationError, NautilusError) as error:
        expected = type_name(field.type)
        valid = msgspec.json.schema(field.type).get("enum", ())
        hint = nearest(value, [str(word) for word in valid]) if isinstance(value, str) else ""
        # Of a single value everything is told already; of many, which one it is.
        reason = f" ({error})" if many or not isinstance(error, msgspec.ValidationError) else ""
        shown = hidden(sections, item.section, item.key, item.value)
        raise ConfigError(
            f"{item.section}.{item.key} = {_show(shown)}{reason}", where=item.origin, expected=expected + hint
        ) from None


def _parse_text(item: _Given, kind: Any) -> Any:
    """Lists and tables are written as in the file, or as JSON; the rest is converted by type."""
    text = item.value.strip()
    if text[:1] not in ("[", "{") or _described(kind).get("type") not in ("array", "object"):
        return item.value
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        found = tomllib.loads(f"value = {text}")
        wrong = "" if len(found) == 1 else "more than one value"
    except tomllib.TOMLDecodeError as error:
        wrong = f"not TOML: {error}"
    if wrong:
        raise ConfigError(
            f"{item.section}.{item.key} = {_show(item.value)} ({wrong})",
            where=item.origin,
            expected=f"{type_name(kind)}, in TOML or JSON",
        )
    return found["value"]


def _described(kind: Any) -> dict[str, Any]:
    """The schema of a type itself, also where it goes by a name."""
    found = msgspec.json.schema(kind)
    while "$ref" in found:
        found = {**found["$defs"][found["$ref"].rpartition("/")[2]], "$defs": found["$defs"]}
    return found


def _show(value: Any) -> str:
    return json.dumps(value, default=str)


def _line(text: str, section: str | None, key: str | None) -> int:
    """Line of a section head or of a key in it, from 1; 1 where it cannot be told (an inline table, say)."""
    current: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        head = re.match(r"\s*\[\s*([^\]\s]+)\s*\]", line)
        if head:
            current = head[1].strip("\"'")
            if key is None and current == section:
                return number
        elif key is not None and current == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return 1
