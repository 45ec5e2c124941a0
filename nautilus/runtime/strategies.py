"""Find strategies by name, in a file or in a module."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from nautilus.engines.strategy import STRATEGIES, Strategy
from nautilus.model.errors import ConfigError

_HERE = Path(__file__).resolve().parents[1]


def load_strategies(
    wanted: Sequence[str | Strategy], sections: Mapping[str, msgspec.Struct] | None = None
) -> tuple[Strategy, ...]:
    """Strategies from a mix of strategies, names of those that come along, and ``file.py:Class`` or ``module:Class``.

    One that comes along is given the settings of the section of its name.

    Raises
    ------
    ConfigError
        There is none of that name, or the class is no strategy.
    """
    return tuple(one if isinstance(one, Strategy) else _load(one, sections or {}) for one in wanted)


def _load(name: str, sections: Mapping[str, msgspec.Struct]) -> Strategy:
    place, colon, class_name = name.rpartition(":")
    if not colon:
        known = STRATEGIES.get(name)
        if known is None:
            near = get_close_matches(name, list(STRATEGIES), 1)
            raise ConfigError(
                f"strategy {name!r}",
                expected=f"one of {', '.join(STRATEGIES)} or file.py:Class"
                + (f"; did you mean {near[0]!r}?" if near else ""),
            )
        maker: Any = known
        return _checked(maker(sections.get(name)), name)
    maker = _class(place, class_name, name)
    if not (inspect.isclass(maker) and issubclass(maker, Strategy)):
        raise ConfigError(f"strategy {name!r} is no strategy", expected="a class derived from Strategy")
    try:
        return _checked(maker(), name)
    except Exception as error:
        raise ConfigError(
            f"strategy {name!r} cannot be made: {_described(error, place)}",
            expected="a class that is made without arguments",
        ) from error


def _class(place: str, class_name: str, name: str) -> Any:
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(f"nautilus_strategy_{Path(place).stem}", place)
            if spec is None or spec.loader is None:
                raise ConfigError(f"strategy file {place}", expected="a Python file")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
    except ConfigError:
        raise
    except Exception as error:  # the file's own code may raise anything
        if place.endswith(".py") and not Path(place).is_file():
            raise ConfigError(f"no strategy file {place}", where=name, expected="an existing Python file") from None
        if isinstance(error, ModuleNotFoundError) and f"{place}.".startswith(f"{error.name}."):
            raise ConfigError(f"no module {place}", where=name, expected="a module that Python finds") from None
        raise ConfigError(
            f"strategy module {place} cannot be imported: {_described(error, place)}",
            where=name,
            expected="a Python module",
        ) from error
    if not hasattr(module, class_name):
        raise ConfigError(f"no class {class_name} in {place}", where=name, expected="file.py:Class")
    return getattr(module, class_name)


def _described(error: Exception, place: str) -> str:
    """Type and text of an error, and the last line of the user's file or module that led to it."""
    text = f"{type(error).__name__}: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    name = Path(place).name if place.endswith(".py") else f"{place.rpartition('.')[2]}.py"
    own = [frame for frame in frames if Path(frame.filename).name == name] or [
        frame for frame in frames if not Path(frame.filename).is_relative_to(_HERE)
    ]
    if isinstance(error, SyntaxError) or not own:
        return text
    return f"{text} ({Path(own[-1].filename).name}:{own[-1].lineno})"


def _checked(strategy: Strategy, name: str) -> Strategy:
    if not isinstance(strategy, Strategy):
        raise ConfigError(f"strategy {name!r} is no strategy", expected="a class derived from Strategy")
    return strategy
