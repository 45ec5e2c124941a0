"""Python face of the forms in which a breaker is used."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from nautilus.core.breaker import Breaker, Permit

P = ParamSpec("P")
R = TypeVar("R")

def permit(breaker: Breaker, clock: Callable[[], int] | None, ignored: tuple[type[BaseException], ...]) -> Permit:
    """See `Breaker.permit`."""

def wrap(
    breaker: Breaker,
    function: Callable[P, R],
    clock: Callable[[], int] | None,
    ignored: tuple[type[BaseException], ...],
) -> Callable[P, R]:
    """See `Breaker.wrap`."""

class GuardedCall:
    """A coroutine under way; awaited, or run as a task."""

    def send(self, value: object) -> object:
        """Go on with a value, as a generator."""
    def throw(self, kind: object, value: object = None, traceback: object = None) -> object:
        """Go on with an exception, as a generator."""
    def close(self) -> None:
        """End it where it is."""
    @property
    def cr_await(self) -> object: ...
    @property
    def cr_frame(self) -> object: ...
    @property
    def cr_running(self) -> bool: ...
    @property
    def cr_code(self) -> object: ...
