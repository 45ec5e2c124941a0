"""Entry of the command line: finds the command, runs it, turns every error into one line and an exit code.

Exit codes: 0 ok, 1 error, 2 usage or not found, 3 not running, 4 bad configuration, 5 time-out.
Only click is imported here: `nautilus --help` answers within 100 ms.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from nautilus import __version__
from nautilus.cli.lazy import LazyGroup

OK, ERROR, USAGE, NOT_RUNNING, CONFIG, TIMEOUT = range(6)
INTERRUPTED = 130
TRACEBACK_VARIABLE = "NAUTILUS_TRACEBACK"

COMMANDS = {
    "up": ("nautilus.cli.up:up", "Start the platform: core, engines, HTTP."),
    "down": ("nautilus.cli.down:down", "Stop an instance in order."),
    "status": ("nautilus.cli.status:status", "Print how an instance is."),
    "top": ("nautilus.cli.top:top", "Show the live table of an instance."),
    "demo": ("nautilus.cli.demo:demo", "Run the platform with a simulated market and a sample strategy."),
    "replay": ("nautilus.cli.replay:replay", "Run a recording of a real market through engines and core."),
    "order": ("nautilus.cli.order:order", "Enter, amend, cancel or list orders."),
    "book": ("nautilus.cli.book:book", "Print the best levels of a book."),
    "kill-switch": ("nautilus.cli.kill_switch:kill_switch", "Stop all trading, or allow it again."),
    "engine": ("nautilus.cli.engine:engine", "List the engines, or run one by itself."),
    "logs": ("nautilus.cli.logs:logs", "Print the logs of all processes."),
    "journal": ("nautilus.cli.journal:journal", "Verify, dump or replay a journal."),
    "config": ("nautilus.cli.config:config", "Show, validate or describe the configuration."),
    "doctor": ("nautilus.cli.doctor:doctor", "Check this machine and this installation."),
}
NOT_RUNNING_CODES = ("bus.not_running", "bus.not_reachable")
LIVE_CODE = "config.instance_live"
NOT_FOUND_STATUS = 404


@click.command(
    "nautilus", cls=LazyGroup, commands_at=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="nautilus", message="%(prog)s %(version)s")
def cli() -> None:
    """A trading platform whose core runs at native speed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        with cli.make_context("nautilus", given) as context:
            code = cli.invoke(context)
        sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.exceptions.NoArgsIsHelpError as request:
        print(request.format_message(), file=sys.stderr)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone (`nautilus ... | head`): what it wanted was said. The descriptor is replaced so that
        # the interpreter's own last flush does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        return _say(*describe(error))


def describe(error: Exception) -> tuple[str, int]:
    """One line for a person and the exit code of an error."""
    if isinstance(error, click.ClickException):
        text = error.format_message()
        context = getattr(error, "ctx", None)
        hint = f" (see '{context.command_path} --help')" if context is not None else ""
        return text + hint, USAGE if isinstance(error, click.UsageError) else error.exit_code
    if isinstance(error, TimeoutError):
        return str(error) or "timed out", TIMEOUT
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}", USAGE if isinstance(error, FileNotFoundError) else ERROR
    code = getattr(error, "code", None)
    if isinstance(code, str):
        return str(error), _code_of(code, getattr(error, "status", 0))
    return (
        f"internal error: {type(error).__name__}: {error} (set {TRACEBACK_VARIABLE}=1 to see where)",
        ERROR,
    )


def _code_of(code: str, http_status: int) -> int:
    if code in NOT_RUNNING_CODES:
        return NOT_RUNNING
    if http_status == NOT_FOUND_STATUS:
        return USAGE
    # Nothing is wrong with the configuration where an instance is up already.
    if http_status or code == LIVE_CODE:
        return ERROR
    return CONFIG if code == "config" or code.startswith("config.") else ERROR


def _say(text: str, code: int) -> int:
    line = " ".join(text.split())
    print(f"nautilus: error: {line}", file=sys.stderr)
    return code
