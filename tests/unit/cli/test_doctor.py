"""`nautilus doctor`: every check answers, and a broken installation is named."""

import json
import os
import socket
import tempfile
from pathlib import Path

import pytest

from nautilus.cli import checks, platform_checks
from nautilus.cli.main import main
from nautilus.engines import CATALOGUE
from nautilus.runtime.instance import Instance
from nautilus.runtime.states import PlatformState, ProcessState
from tests.kit.instances import own_place, plan_in


def test_this_machine_passes_and_every_check_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["status"] in ("ok", "warn")
    assert len(document["checks"]) == 28
    assert all(check["found"] for check in document["checks"])
    assert all(check["advice"] for check in document["checks"] if check["status"] != "ok")


def test_lines_fit_eighty_columns_without_colour(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_an_extension_that_is_not_built_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "absent.pyi").touch()
    monkeypatch.setattr(checks, "PACKAGE", tmp_path)
    check = checks.extensions()
    assert check.status == "fail"
    assert "absent" in check.found
    assert check.advice == "run `make`"


def test_a_missing_package_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "REQUIRED", ("numpy", "no_such_package"))
    assert checks.packages() == checks.Check("packages", "fail", "missing: no_such_package", "run `make`")


def test_a_missing_compiler_is_only_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    check = checks.compiler()
    assert check.status == "warn"
    assert "apt-get install gcc" in check.advice


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # A port of its own: the engines' may be in use on this machine, and must not be taken from them.
        monkeypatch.setattr("nautilus.engines.CATALOGUE", {"risk": CATALOGUE["risk"]._replace(port=port)})
        check = platform_checks.ports()
        assert (check.status, check.found) == ("warn", f"in use: {port}")
    assert platform_checks.ports() == checks.Check("ports", "ok", f"{port} are free")


def test_a_port_of_an_own_instance_is_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, own_place() as place:
        port = taken.getsockname()[1]
        monkeypatch.setattr("nautilus.engines.CATALOGUE", {"risk": CATALOGUE["risk"]._replace(port=port)})
        instance = Instance.create(place.name)
        try:
            plan = plan_in(instance)
            ready = ProcessState("risk", ("risk",), state="ready", ports={"risk": port})
            instance.write_plan(plan)
            instance.write_state(PlatformState(os.getpid(), 0, "running", 1, True, False, (ready,)))
            check = platform_checks.ports()
            assert (check.status, check.found) == ("ok", f"in use by your own: {port}: instance {place.name}")
        finally:
            instance.close()


def test_a_directory_of_instances_that_others_can_read_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="n-") as place:  # a short one: sockets lie in it
        monkeypatch.setenv("XDG_RUNTIME_DIR", place)
        assert platform_checks.instance_directory().found.endswith("made by `nautilus up`")
        (Path(place) / "nautilus" / "main").mkdir(mode=0o755, parents=True)
        (Path(place) / "nautilus").chmod(0o755)
        check = platform_checks.instance_directory()
        assert (check.status, check.advice) == ("warn", f"chmod 0700 {place}/nautilus")
        (Path(place) / "nautilus").chmod(0o700)
        assert platform_checks.instance_directory().found.endswith("nautilus: main")


def test_recordings_are_looked_for_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAUTILUS_DATA", str(tmp_path / "absent"))
    assert checks.recordings().status == "warn"
    (tmp_path / "lobster").mkdir()
    monkeypatch.setenv("NAUTILUS_DATA", str(tmp_path))
    assert checks.recordings() == checks.Check("recordings", "ok", f"1 sets in {tmp_path}")


def test_a_wrong_configuration_fails_with_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAUTILUS__NOTHING__HERE", "1")
    check = checks.configuration()
    assert check.status == "fail"
    assert "NAUTILUS__NOTHING__HERE" in check.found


def test_a_check_that_cannot_look_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind() -> checks.Check:
        raise OSError("no /proc")

    monkeypatch.setattr(checks, "memory", blind)
    statuses = {check.name: check.status for check in checks.run_checks()}
    assert statuses["blind"] == "warn"
