"""The entry of the command line: help, errors as one line, exit codes."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from nautilus.cli.lazy import LazyGroup
from nautilus.cli.main import COMMANDS, cli, describe, main
from nautilus.model.errors import ConfigError, ModelError, VenueError
from nautilus.runtime.client import EngineError
from nautilus.runtime.instance import InstanceLiveError, NotRunningError

ROOT = Path(__file__).resolve().parents[3]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in shown] == []


def test_help_imports_neither_numpy_nor_rich_nor_a_command() -> None:
    code = (
        "import sys; from nautilus.cli.main import main; main(['--help']); "
        "heavy = {'numpy', 'rich', 'msgspec', 'asyncio', 'zmq', 'nautilus.core', 'nautilus.cli.demo'}; "
        "heavy &= set(sys.modules); "
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_there_and_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert "Usage: nautilus " + name in capsys.readouterr().out


def _leaves(group: click.Group, context: click.Context, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found += _leaves(command, context, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


def test_every_command_takes_json() -> None:
    context = click.Context(cli)
    for path in _leaves(cli, context):
        command: click.Command | None = cli
        for name in path:
            assert isinstance(command, click.Group)
            command = command.get_command(context, name)
        assert command is not None
        assert "--json" in {option for parameter in command.params for option in parameter.opts}, path


def test_lazy_help_says_what_the_command_says() -> None:
    context = click.Context(cli)
    for path in _leaves(cli, context):
        group: click.Group = cli
        for name in path[:-1]:
            found = group.get_command(context, name)
            assert isinstance(found, click.Group)
            group = found
        assert isinstance(group, LazyGroup)
        command = group.get_command(context, path[-1])
        assert command is not None
        assert (command.help or "").splitlines()[0], path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rplay"], "unknown command 'rplay'; expected one of up, down, status, top, demo, replay, order, book, "
                    "phase, tap, bus, kill-switch, engine, logs, gateway, journal, trading, keys, audit, data, config, "
                    "doctor; did you mean 'replay'? (see 'nautilus --help') (usage)"),
        (["engine", "lst"], "unknown command 'lst'; expected one of list, run; did you mean 'list'? "
                            "(see 'nautilus engine --help') (usage)"),
        (["doctor", "--jsn"], "No such option '--jsn'. Did you mean '--json'? (see 'nautilus doctor --help') (usage)"),
    ],
)  # fmt: skip
def test_a_misspelt_word_is_one_line_with_the_nearest_name(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"nautilus: error: {message}\n"


def test_without_a_command_help_is_shown_and_it_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("Usage: nautilus")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConfigError("x = 1", where="f.toml:2", expected="2"), ("f.toml:2: x = 1; expected 2 (config)", 4)),
        (VenueError("no", where="f.gz", expected="a recording"), ("f.gz: no; expected a recording (venue)", 1)),
        (ModelError("price 1.5"), ("price 1.5 (model)", 1)),
        (NotRunningError("instance 'x' is not running"), ("instance 'x' is not running (bus.not_running)", 3)),
        (InstanceLiveError("instance 'x' is up"), ("instance 'x' is up (config.instance_live)", 1)),
        (FileNotFoundError(2, "No such file or directory", "f.gz"),
         ("f.gz: No such file or directory (usage.not_found)", 2)),
        (PermissionError(13, "Permission denied", "f.gz"), ("f.gz: Permission denied (internal.os)", 1)),
        (TimeoutError("no answer in 5 s"), ("no answer in 5 s (bus.timeout)", 5)),
        (click.UsageError("no"), ("no (usage)", 2)),
        (EngineError.of("bus.unknown", "order 7", status=504), ("order 7 (bus.unknown)", 5)),
        (EngineError.of("bus.unanswered", "order 7", status=503), ("order 7 (bus.unanswered)", 5)),
        (EngineError.of("http.504", "late", status=504), ("late (http.504)", 5)),
        (EngineError.of("bus.core_absent", "no core", status=503), ("no core (bus.core_absent)", 1)),
        (KeyError("x"),
         ("internal error: KeyError: 'x' (set NAUTILUS_TRACEBACK=1 to see where) (internal.error)", 1)),
    ],
)  # fmt: skip
def test_an_error_is_described_in_one_line_with_its_code(error: Exception, expected: tuple[str, int]) -> None:
    assert describe(error) == expected


def test_the_package_runs_as_the_command_does() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "nautilus", "--version"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0
    assert result.stdout.startswith("nautilus ")


def test_a_closed_pipe_is_no_error() -> None:
    pipeline = f'"{sys.executable}" -m nautilus config schema | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}'
    result = subprocess.run(["bash", "-c", pipeline], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "0"
    assert result.stderr == ""


def test_what_cannot_be_printed_is_one_error_that_says_where() -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "nautilus", "config", "show"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr == (
        "nautilus: error: standard output: No space left on device; expected one that takes what is printed "
        "(internal.os)\n"
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_disturbs_nothing(closed: str) -> None:
    command = f'"{sys.executable}" -m nautilus demo --market-for 1 {closed}; echo $? >&3'
    result = subprocess.run(["bash", "-c", f"exec 3>&1; {command}"], capture_output=True, text=True, check=False)
    assert result.stdout.rstrip().endswith("0")
    assert "error" not in result.stderr


def test_a_terminal_without_the_letters_is_given_others() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from nautilus.cli.main import main; main(['--version']); print('a─b…c é')"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("a-b~c ?\n")


def _commands(command: click.Command = cli, name: str = "") -> dict[str, click.Command]:
    """Every command by its words."""
    if not isinstance(command, click.Group):
        return {name: command}
    context = click.Context(command)
    found: dict[str, click.Command] = {}
    for word in command.list_commands(context):
        child = command.get_command(context, word)
        assert child is not None
        found |= _commands(child, f"{name} {word}".strip())
    return found


def test_what_a_command_acts_on_comes_first() -> None:
    """All arguments by place: one instrument, order, process or file, then what it is to be."""
    places = {
        name: " ".join(str(each.name) for each in command.params if isinstance(each, click.Argument))
        for name, command in _commands().items()
    }
    assert {name: names for name, names in places.items() if names} == {
        "replay": "paths",
        "book": "instrument",
        "order submit": "instrument side quantity",
        "order amend": "order_id quantity price",
        "order cancel": "order_id",
        "order queue": "order_id",
        "phase set": "instrument wanted",
        "engine run": "name",
        "tap": "topics",
        "bus replay": "topic instrument",
        "bus promote": "endpoint",
        "logs": "processes",
        "journal verify": "path",
        "keys new": "name",
        "keys revoke": "name",
        "keys api new": "name",
        "keys api revoke": "name",
        "journal dump": "path",
        "journal replay": "path",
        "data export": "out",
        "data get": "kind symbol",
        "data import": "paths",
        "data show": "name",
    }


def test_an_option_means_the_same_everywhere() -> None:
    """One word for one thing: the same option fills the same parameter in every command that has it."""
    meant: dict[str, set[str | None]] = {}
    for command in _commands().values():
        for each in command.params:
            for option in each.opts if isinstance(each, click.Option) else ():
                meant.setdefault(option, set()).add(each.name)
    assert {option: names for option, names in meant.items() if len(names) > 1} == {
        "--data": {"data", "journal"},  # of `demo` and `replay` it is --journal too
        "--from": {"begin", "first"},  # a time; of a journal, a sequence
        "--instrument": {"instrument", "instruments"},  # of what is exported, several
        "--market": {"market", "live"},  # an order at any price; a live market
        "--replay": {"again", "recordings"},  # a market that is to be run; letters that are to be sent
        "--strategy": {"strategies", "strategy_id"},  # one that is to run, by name; of a kill switch, by its number
    }


EXAMPLES = sorted(
    {
        line.partition("  #")[0].strip()
        for page in [Path("README.md"), *Path("docs").glob("*.md")]
        for line in (ROOT / page).read_text().splitlines()
        if line.startswith("nautilus ") and "`" not in line and not line.rstrip().endswith("\\")
    }
)


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_of_the_documents_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arguments, in their places, are what the command takes; it is not run."""
    (tmp_path / "reversion.py").touch()
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
    command.make_context("example", words)
