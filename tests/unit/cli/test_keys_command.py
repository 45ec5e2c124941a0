"""`nautilus keys`: made, listed and revoked, with exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from nautilus.bus.grants import DEFAULTS
from nautilus.bus.keys import key_place, new_keys, read_allowed, read_keys
from nautilus.cli.main import main
from nautilus.policy.keys import sealed, write_list
from nautilus.runtime.access_keys import AccessKeys


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    assert main(["keys", *arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_new_key_is_listed_until_it_is_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "keys")
    made = _json(capsys, "new", "risk", "--directory", place)
    assert made["public"] == read_keys(key_place(place, "risk")).public
    assert made["grants"] == list(DEFAULTS["risk"])
    listed = _json(capsys, "list", "--directory", place)
    assert listed == {"directory": place, "keys": [made]}
    gone = _json(capsys, "revoke", "risk", "--directory", place)
    assert gone["revoked"]
    assert read_allowed(place).by_name == {}
    assert main(["keys", "list", "--directory", place]) == 0
    assert "risk" in capsys.readouterr().out


def test_a_key_of_another_host_is_added_with_its_grants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, public = str(tmp_path), new_keys().public
    _json(capsys, "new", "far", f"--public={public}", "--grant", "read:*", "--grant", "send:ask", "--directory", place)
    assert read_allowed(place).by_name["far"].grants == ("read:*", "send:ask")
    assert not key_place(place, "far").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["new", "risk"], 4, "risk has a key"),
        (["new", "Risk"], 4, "name 'Risk'"),
        (["new", "x", "--grant", "fly:x"], 4, "grant 'fly:x'"),
        (["new", "x", "--grant", "send:all"], 2, "one of orders, cancels"),
        (["new", "x", "--grant", "read:marketdata.real_time.quot"], 2, "no such topic"),
        (["new", "x", "--public", "short"], 4, "public key 'short'"),
        (["revoke", "x"], 2, "no key of 'x'"),
        (["list", "--json", "--directory", "broken"], 4, "no list of keys"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code(tmp_path, monkeypatch, capsys, arguments, code, words) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "allowed.json").write_text("{}")
    assert main(["keys", "new", "risk", "--directory", "."]) == 0
    extra = [] if "--directory" in arguments else ["--directory", "."]
    assert main(["keys", *arguments, *extra]) == code
    assert words in capsys.readouterr().err


def test_where_nothing_is_said_they_lie_in_the_data_of_the_instance(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = _json(capsys, "new", "strategy", "--instance", "nowhere")
    assert found["name"] == "strategy"
    places = list(tmp_path.rglob("strategy.key"))
    assert len(places) == 1
    assert places[0].parent.name == "keys"
    monkeypatch.setenv("NAUTILUS__BUS__KEYS", str(tmp_path / "own"))
    _json(capsys, "new", "strategy")
    assert (tmp_path / "own" / "strategy.key").exists()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AccessKeys:
    """The list of API keys of an instance without any."""
    monkeypatch.setenv("NAUTILUS__ACCESS__KEYS", str(tmp_path / "access"))
    return AccessKeys(tmp_path / "access")


@pytest.mark.parametrize("span", ["99999d", "9999999d", "999999999d"])
def test_an_api_key_whose_end_cannot_be_told_is_not_made(own: AccessKeys, capsys, span: str) -> None:
    assert main(["keys", "api", "new", "desk", "--expires", span, "--json"]) == 4
    assert "2262" in capsys.readouterr().err
    assert not own.place.exists()
    made = _json(capsys, "api", "new", "desk", "--expires", "80000d")
    assert str(made["expires"]) > "2200"


def test_api_keys_of_ends_beyond_all_days_are_listed(own: AccessKeys, capsys) -> None:
    key, _ = own.new("desk", ("read",), 1, expires_ns=2)
    far = sealed(msgspec.structs.replace(key, expires_ns=1 << 63), own.derived())
    farther = sealed(msgspec.structs.replace(key, id="other", expires_ns=900_000_000_000_000_000_000), own.derived())
    own.place.write_bytes(write_list((far, farther)))
    assert main(["keys", "api", "list"]) == 0
    printed = capsys.readouterr().out
    assert "2262" in printed
    assert "9999" in printed
