"""Shows the live table: in place on a terminal, as a plain line every two seconds elsewhere, not at all with --json."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nautilus.model.errors import NautilusError
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, pause

if TYPE_CHECKING:
    from nautilus.cli.sampler import Sampler
    from nautilus.cli.view import View

Show = Callable[[], None]
LOOK_NS = NANOSECONDS
"""Drawing takes tens of milliseconds of a processor that engines could use: once a second is enough."""
PLAIN_NS = 2 * NANOSECONDS
PAUSE_SECONDS = 0.1
NEVER_NS = 1 << 62


@contextmanager
def display(sampler: Sampler, *, quiet: bool = False) -> Iterator[Show]:
    """A function to call often: it looks at the instance and shows it when that is due.

    A terminal that cannot go back (TERM=dumb) is given lines too.

    Lines and table go to stderr where stdout is no terminal, so that what is piped is the result alone.
    """
    if quiet:
        yield lambda: None
        return
    sampler.start()
    try:
        if _can_go_back():
            with _live(sampler) as show:
                yield show
        else:
            yield _plain(sampler)
    finally:
        sampler.close()


def _can_go_back() -> bool:
    if not sys.stdout.isatty():
        return False
    from nautilus.cli.output import console

    return not console().is_dumb_terminal


def look_once(sampler: Sampler) -> dict[str, Any]:
    """One view as plain values, rates included: they need two looks."""
    import msgspec

    sampler.look()
    pause(LOOK_NS / NANOSECONDS)
    view: dict[str, Any] = msgspec.to_builtins(sampler.view())
    return view


def wait(show: Show, goes_on: Callable[[], bool], for_seconds: float | None) -> None:
    """Show until it is over."""
    until_ns = None if for_seconds is None else monotonic_ns() + round(for_seconds * NANOSECONDS)
    while goes_on() and (until_ns is None or monotonic_ns() < until_ns):
        show()
        pause(PAUSE_SECONDS)


def _due(every_ns: int, act: Callable[[View], None], sampler: Sampler) -> Show:
    next_ns = 0

    def show() -> None:
        nonlocal next_ns
        now_ns = monotonic_ns()
        if now_ns < next_ns:
            return
        next_ns = now_ns + every_ns
        try:
            act(sampler.view())
        except NautilusError:
            pass  # it is only starting, or stopping
        except Exception as error:
            # Whoever looks on must not stop the platform.
            next_ns = now_ns + NEVER_NS
            print(f"nautilus: the live table ends: {type(error).__name__}: {error}", file=sys.stderr)

    return show


def _plain(sampler: Sampler) -> Show:
    from nautilus.cli.table import plain_line

    return _due(PLAIN_NS, lambda view: print(plain_line(view), file=sys.stderr, flush=True), sampler)


@contextmanager
def _live(sampler: Sampler) -> Iterator[Show]:
    from rich.live import Live

    from nautilus.cli.output import console
    from nautilus.cli.table import draw

    # The alternate screen: the table may be as high as the terminal, and leaves nothing behind.
    terminal = console()
    with Live(console=terminal, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        yield _due(LOOK_NS, lambda view: live.update(draw(view, *terminal.size), refresh=True), sampler)
