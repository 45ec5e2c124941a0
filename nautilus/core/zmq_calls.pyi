"""Where the functions of libzmq are handed in."""

from collections.abc import Callable, Mapping

NAMES: tuple[str, ...]

def fill(addresses: Mapping[str, int], error: Callable[[int], Exception] = ...) -> None:
    """Take the functions' addresses, by name; once in a process. ValueError: one is missing or 0."""

def filled() -> bool:
    """Whether the functions can be called."""
