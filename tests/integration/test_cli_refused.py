"""What the commands of the live platform refuse, before anything runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.kit.shell import Shell, call, own_shell


@pytest.fixture
def shell() -> Iterator[Shell]:
    with own_shell() as made:
        (made.place.base / "text.gz").write_text("not a recording\n")
        (made.place.base / "mine.py").write_text("x = 1\n")
        yield made


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("up", "--replay", "absent.gz"), 2, "no such recording"),
        (("up", "--replay", "x.gz", "--simulated"), 2, "one of --replay, --market and --simulated"),
        (("up", "--speed", "max"), 2, "lock-step"),
        (("up", "--speed", "0"), 2, "expected a number above 0"),
        (("up", "--set", "platform.bind=0.0.0.0"), 4, "bind"),
        (("up", "--set", "platform.prots=free"), 4, "did you mean 'ports'"),
        (("up", "--strategy", "qoting"), 2, "did you mean 'quoting'"),
        (("up", "--strategy", "mine.py:Absent", "--set", "platform.ports=free"), 4, "no class Absent"),
        (("up", "--without", "riks"), 2, "did you mean 'risk'"),
        (("up", "--without", "venue0"), 2, "--without venue0: expected one of"),  # none is configured
        (("replay", "text.gz", "--speed", "2"), 1, "text.gz"),
        (("replay", "text.gz", "--speed", "2", "--market-for", "3"), 2, "of lock-step"),
        (("demo", "--market-for", "3", "--detach"), 2, "of the live platform"),
        (("demo", "--market-for", "3", "--speed", "3"), 2, "--speed X is of the live platform"),
        (("demo", "--market-for", "3"), 2, "--instance is of the live platform"),
        (("up", "--set", "lockstep.latency=1ms"), 2, "is of lock-step"),
        (("up", "--data", "/etc/passwd"), 4, "/etc/passwd: cannot be a data directory: File exists"),
        (("up", "--strategy", "no.module:X", "--set", "platform.ports=free"), 4, "no module no.module"),
        (("down",), 3, "is not running"),
        (("top",), 3, "is not running"),
        (("order", "list"), 3, "is not running"),
        (("book", "SIMUSD"), 3, "is not running"),
        (("kill-switch", "status"), 3, "is not running"),
        (("engine", "run", "risk"), 3, "is not running"),
        (("logs",), 2, "no such directory of logs"),
    ],
)
def test_what_cannot_be_is_one_line_with_the_right_code(
    arguments: tuple[str, ...], code: int, words: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shell.place.base)
    result = call(*arguments, "--instance", shell.name)
    assert (result.returncode, words in result.stderr) == (code, True), result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("nautilus: error: ")]) == 1
    assert result.stdout == ""


def test_an_instance_name_that_is_none_is_a_configuration_error(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "name", "No Name" + uuid.uuid4().hex)
    assert "a name like" in shell.refused("status", code=4)
