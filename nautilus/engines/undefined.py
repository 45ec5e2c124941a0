"""Single numbers of a larger answer that do not exist: None in their place, and why."""

from __future__ import annotations

from collections.abc import Callable

from nautilus.maths.errors import Undefined


class Measures:
    """Collects numbers by name; those that are not defined are None, with their code in `undefined`.

    Attributes
    ----------
    values : by name, in order.
    undefined : measure to code (`nautilus.maths.errors.CODES`), for the field of that name in answers.
    """

    def __init__(self) -> None:
        self.values: dict[str, float | None] = {}
        self.undefined: dict[str, str] = {}

    def take(self, name: str, compute: Callable[[], float]) -> float | None:
        """The number that `compute` gives, or None where it raises Undefined."""
        try:
            value: float | None = float(compute())
        except Undefined as error:
            value = None
            self.undefined[name] = error.code
        self.values[name] = value
        return value


__all__ = ["Measures"]
