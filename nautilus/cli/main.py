"""Entry of the command line: finds the command, runs it, turns every error into one line and an exit code.

Exit codes: 0 ok, 1 error, 2 usage or not found, 3 not running, 4 bad configuration, 5 time-out.
Only click is imported here: `nautilus --help` answers within 100 ms.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Sequence

import click

from nautilus import __version__
from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import marked, print_error

OK, ERROR, USAGE, NOT_RUNNING, CONFIG, TIMEOUT = range(6)
INTERRUPTED = 130
TRACEBACK_VARIABLE = "NAUTILUS_TRACEBACK"
STDOUT = "standard output"
WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
PLAIN = {"─": "-", "…": "~"}

COMMANDS = {
    "up": ("nautilus.cli.up:up", "Start the platform: core, engines, HTTP."),
    "down": ("nautilus.cli.down:down", "Stop an instance in order."),
    "status": ("nautilus.cli.status:status", "Print how an instance is."),
    "top": ("nautilus.cli.top:top", "Show the live table of an instance."),
    "demo": ("nautilus.cli.demo:demo", "Run the platform with a simulated market and a sample strategy."),
    "replay": ("nautilus.cli.replay:replay", "Run a recording of a real market through engines and core."),
    "order": ("nautilus.cli.order:order", "Enter, amend, cancel or list orders, and see where they stand."),
    "book": ("nautilus.cli.book:book", "Print the best levels of a book."),
    "phase": ("nautilus.cli.phase:phase", "Set or show the phase in which instruments trade."),
    "tap": ("nautilus.cli.tap:tap", "Print what is said on topics."),
    "bus": ("nautilus.cli.bus:bus", "Look into the bus: what it carried, how quick it is."),
    "kill-switch": ("nautilus.cli.kill_switch:kill_switch", "Stop all trading, or allow it again."),
    "engine": ("nautilus.cli.engine:engine", "List the engines, or run one by itself."),
    "logs": ("nautilus.cli.logs:logs", "Print the logs of all processes."),
    "gateway": ("nautilus.cli.gateway:gateway", "See and replace the processes of the gateway."),
    "journal": ("nautilus.cli.journal:journal", "Verify, dump or replay a journal."),
    "trading": ("nautilus.cli.trading:trading", "Make a standby the core."),
    "keys": ("nautilus.cli.keys:keys", "Make, list and revoke the keys of processes on the bus, and of HTTP clients."),
    "audit": ("nautilus.cli.audit:audit", "Check and print the log of what was changed, and by whom."),
    "data": ("nautilus.cli.data:data", "Import, list, show and export stored market data."),
    "config": ("nautilus.cli.config:config", "Show, validate or describe the configuration."),
    "doctor": ("nautilus.cli.doctor:doctor", "Check this machine and this installation."),
}
NOT_RUNNING_CODES = ("bus.not_running", "bus.not_reachable")
# Whether it was carried out nobody knows.
DOUBT_CODES = ("bus.unknown", "bus.unanswered")
LIVE_CODE = "config.instance_live"
NOT_FOUND_STATUS, TIMEOUT_STATUS = 404, 504


@click.command(
    "nautilus", cls=LazyGroup, commands_at=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="nautilus", message="%(prog)s %(version)s")
def cli() -> None:
    """A trading platform whose core runs at native speed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    _mend_streams()
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
        print("nautilus: error: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`nautilus ... | head`): what it wanted was said. The descriptor is replaced so that
        # the interpreter's own last flush does not complain.
        _drop_output()
        return OK
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        text, code, exit_code = _facts(_of_output(error))
        print_error(text, code)
        return exit_code


def describe(error: Exception) -> tuple[str, int]:
    """One line for a person, its stable code at the end, and the exit code of an error."""
    text, code, exit_code = _facts(error)
    return marked(text, code), exit_code


def _facts(error: Exception) -> tuple[str, str, int]:
    """What, stable code, exit code."""
    if isinstance(error, click.ClickException):
        text = error.format_message()
        context = getattr(error, "ctx", None)
        hint = f" (see '{context.command_path} --help')" if context is not None else ""
        return text + hint, "usage", USAGE if isinstance(error, click.UsageError) else error.exit_code
    if isinstance(error, TimeoutError):
        return str(error) or "timed out", "bus.timeout", TIMEOUT
    if isinstance(error, OSError):
        text = f"{error.filename}: {error.strerror or error}" if error.filename else str(error.strerror or error)
        missing = isinstance(error, FileNotFoundError)
        return text, "usage.not_found" if missing else "internal.os", USAGE if missing else ERROR
    code = getattr(error, "code", None)
    if isinstance(code, str):
        return str(error), code, _code_of(code, getattr(error, "status", 0))
    return (
        f"internal error: {type(error).__name__}: {error} (set {TRACEBACK_VARIABLE}=1 to see where)",
        "internal.error",
        ERROR,
    )


def _code_of(code: str, http_status: int) -> int:
    if code in NOT_RUNNING_CODES:
        return NOT_RUNNING
    if code in DOUBT_CODES or http_status == TIMEOUT_STATUS:
        return TIMEOUT
    if http_status == NOT_FOUND_STATUS:
        return USAGE
    # Nothing is wrong with the configuration where an instance is up already.
    if http_status or code == LIVE_CODE:
        return ERROR
    return CONFIG if code == "config" or code.startswith("config.") else ERROR


def _mend_streams() -> None:
    """Give each standard stream that was closed (`>&-`) a place that takes everything, and each an encoding that does.

    A descriptor that is free would be the next file's, and what is printed would end there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free one, so this
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        # pytest and others put streams of their own here.
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            codecs.register_error("nautilus.plain", _plain)
            stream.reconfigure(errors="nautilus.plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that a terminal does not have."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(PLAIN.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


def _of_output(error: Exception) -> Exception:
    """The error itself, or that standard output does not take what is printed, where that is what it says."""
    if not isinstance(error, OSError) or error.filename or error.errno not in WRITE_ERRORS:
        return error
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    # Nothing but output is written by the code of commands, and of what draws for them.
    module = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    if module.partition(".")[0] not in ("rich", "click") and not module.startswith("nautilus.cli."):
        return error
    _drop_output()
    return OSError(error.errno, f"{error.strerror}; expected one that takes what is printed", STDOUT)


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
