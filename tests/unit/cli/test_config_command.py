"""`nautilus config`: values with origins, all problems at once, the schema; and the files that come along."""

import json
import re
from pathlib import Path

import pytest

from nautilus.cli.main import main
from nautilus.cli.settings import sections
from nautilus.runtime.config import examine

CONFIG = Path(__file__).resolve().parents[3] / "config"
PROFILES = sorted(path.stem for path in (CONFIG / "profiles").glob("*.toml"))


def test_show_prints_the_origin_of_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--origin", "--json", "--set", "lockstep.seed=7"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["lockstep"]["seed"] == {"value": 7, "origin": "--set lockstep.seed"}


def test_show_fits_eighty_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["config", "show", "--origin"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_wrong_value_is_a_configuration_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--set", "lockstep.sede=7"]) == 4
    assert capsys.readouterr().err == (
        "nautilus: error: --set lockstep.sede: unknown key 'sede' = \"7\" in section 'lockstep'; expected one of "
        "seed, latency, engines; did you mean 'seed'? (config)\n"
    )


@pytest.mark.parametrize("text", ["seed=7", "lockstep.seed", "=", ""])
def test_a_malformed_assignment_is_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--set", text]) == 2
    assert "expected SECTION.KEY=VALUE" in capsys.readouterr().err


def test_validate_names_every_problem_and_exits_with_four(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text('[lockstep]\nseed = "x"\nlatncy = 1\n')
    assert main(["config", "validate", "--config", str(file), "--json"]) == 4
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["valid"] is False
    assert len(document["problems"]) == 2
    assert len(captured.err.splitlines()) == 2


def test_schema_knows_every_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert set(json.loads(capsys.readouterr().out)["properties"]) == set(sections())


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_that_comes_along_is_valid(profile: str) -> None:
    _, problems = examine(sections(), path=str(CONFIG / "nautilus.toml"), profile=profile, environment={})
    assert problems == []


def test_every_key_that_the_file_shows_exists_with_that_default(tmp_path: Path) -> None:
    shown = re.sub(r"(?m)^# (\w+ = )", r"\1", (CONFIG / "nautilus.toml").read_text())
    file = tmp_path / "shown.toml"
    file.write_text(shown)
    configuration, problems = examine(sections(), path=str(file), environment={})
    assert problems == []
    assert configuration is not None
    defaults = {name: struct() for name, struct in sections().items()}
    wrong = [
        f"{item.origin}: {item.section}.{item.key} is shown as {item.value!r}"
        for item in configuration.settings
        if item.value != getattr(defaults[item.section], item.key)
    ]
    assert wrong == []


def test_every_setting_has_a_default() -> None:
    assert {name: struct() for name, struct in sections().items()}
