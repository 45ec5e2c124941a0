"""Configuration: precedence, origins, and one clear message for everything that is wrong."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.model.errors import ConfigError
from nautilus.runtime.config import PROFILES, Flag, examine, load, nearest, resolve_sections, schema, type_name
from nautilus.runtime.sections import SECTIONS as SECTION_PLACES
from nautilus.runtime.settings import LimitsConfig


class Quoting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    spread_ticks: Annotated[int, msgspec.Meta(ge=1)] = 2
    quantity: str = "0.001"
    model: Literal["front", "back"] = "back"
    enabled: bool = True
    levels: tuple[int, ...] = (1, 2)


class Risk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    low: int = 1
    high: int = 10

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")


SECTIONS = {"quoting": Quoting, "risk": Risk}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in, with a place for the configuration file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config" / "profiles").mkdir(parents=True)
    return tmp_path / "config"


def resolve(**options: object) -> tuple[dict[str, object], dict[str, str]]:
    configuration = load(SECTIONS, environment=options.pop("environment", {}), **options)
    values = {f"{setting.section}.{setting.key}": setting.value for setting in configuration.settings}
    origins = {f"{setting.section}.{setting.key}": setting.origin for setting in configuration.settings}
    return values, origins


def refuse(**options: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(SECTIONS, environment=options.pop("environment", {}), **options)
    return caught.value


def test_without_any_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    configuration = load(SECTIONS, environment={})
    assert configuration.sections["quoting"] == Quoting()
    assert configuration.files == ()
    assert {setting.origin for setting in configuration.settings} == {"default"}


def test_default_gives_way_to_file_to_profile_to_environment_to_flag(house: Path) -> None:
    seen = []
    seen.append(resolve())
    (house / "nautilus.toml").write_text("[quoting]\n\nspread_ticks = 3\n")
    seen.append(resolve())
    (house / "profiles" / "tight.toml").write_text("[quoting]\nspread_ticks = 4\n")
    seen.append(resolve(profile="tight"))
    environment = {"NAUTILUS__QUOTING__SPREAD_TICKS": "5"}
    seen.append(resolve(profile="tight", environment=environment))
    flags = [Flag("quoting", "spread_ticks", 6, "--spread-ticks")]
    seen.append(resolve(profile="tight", environment=environment, flags=flags))
    assert [(values["quoting.spread_ticks"], origins["quoting.spread_ticks"]) for values, origins in seen] == [
        (2, "default"),
        (3, "config/nautilus.toml:3"),
        (4, "config/profiles/tight.toml:2"),
        (5, "environment NAUTILUS__QUOTING__SPREAD_TICKS"),
        (6, "--spread-ticks"),
    ]


def test_the_file_is_found_by_flag_before_variable_before_place(house: Path) -> None:
    for name, spread in (("nautilus.toml", 3), ("variable.toml", 4), ("flag.toml", 5)):
        (house / name).write_text(f"[quoting]\nspread_ticks = {spread}\n")
    environment = {"NAUTILUS_CONFIG": str(house / "variable.toml")}
    assert resolve()[0]["quoting.spread_ticks"] == 3
    assert resolve(environment=environment)[0]["quoting.spread_ticks"] == 4
    assert resolve(environment=environment, path=str(house / "flag.toml"))[0]["quoting.spread_ticks"] == 5


def test_a_named_file_that_is_not_there_is_refused(house: Path) -> None:
    assert str(refuse(path="nowhere.toml")) == "--config: no file nowhere.toml; expected a TOML file"
    assert refuse(environment={"NAUTILUS_CONFIG": "x.toml"}).where == "NAUTILUS_CONFIG"


def test_an_empty_name_of_a_file_or_profile_is_refused_where_a_flag_gives_it(house: Path) -> None:
    (house / "nautilus.toml").write_text("")
    assert str(refuse(path="")) == "--config: no file ''; expected a TOML file"
    assert "profile ''" in str(refuse(profile=""))
    resolve(environment={"NAUTILUS_CONFIG": "", "NAUTILUS_PROFILE": ""})


def test_an_unknown_key_names_key_value_file_line_and_the_nearest(house: Path) -> None:
    (house / "nautilus.toml").write_text("# a comment\n[quoting]\nspred_ticks = 3\n")
    assert str(refuse()) == (
        "config/nautilus.toml:3: unknown key 'spred_ticks' = 3 in section 'quoting'; expected one of "
        "spread_ticks, quantity, model, enabled, levels; did you mean 'spread_ticks'?"
    )


def test_an_unknown_section_names_the_nearest(house: Path) -> None:
    (house / "nautilus.toml").write_text("[quotin]\nspread_ticks = 3\n")
    assert str(refuse()) == (
        "config/nautilus.toml:1: unknown section 'quotin'; expected one of quoting, risk; did you mean 'quoting'?"
    )


def test_a_misspelt_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "environment NAUTILUS__RISC__LOW: unknown section 'risc'" in str(
        refuse(environment={"NAUTILUS__RISC__LOW": "1"})
    )
    assert "unknown key 'lw'" in str(refuse(environment={"NAUTILUS__RISK__LW": "1"}))
    assert "unknown key ''" in str(refuse(environment={"NAUTILUS__RISK": "1"}))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("spread_ticks = 0", "quoting.spread_ticks = 0; expected an integer >= 1"),
        ('spread_ticks = "3"', 'quoting.spread_ticks = "3"; expected an integer >= 1'),
        ("spread_ticks = nan", "quoting.spread_ticks = NaN; expected an integer >= 1"),
        ('model = "bakc"', 'quoting.model = "bakc"; expected one of "back", "front"; did you mean \'back\'?'),
        ('enabled = "yes"', 'quoting.enabled = "yes"; expected true or false'),
        ("quantity = 5", "quoting.quantity = 5; expected a text"),
    ],
)
def test_a_wrong_value_names_key_value_and_expected(house: Path, line: str, message: str) -> None:
    (house / "nautilus.toml").write_text(f"[quoting]\n{line}\n")
    assert str(refuse()) == f"config/nautilus.toml:2: {message}"


def test_values_of_the_environment_are_read_by_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values, _ = resolve(
        environment={
            "NAUTILUS__QUOTING__ENABLED": "false",
            "NAUTILUS__QUOTING__QUANTITY": "5",
            "NAUTILUS__QUOTING__LEVELS": "[3, 4]",
        }
    )
    assert (values["quoting.enabled"], values["quoting.quantity"], values["quoting.levels"]) == (False, "5", (3, 4))
    assert "expected a list" in str(refuse(environment={"NAUTILUS__QUOTING__LEVELS": "[3, "}))


class Way(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: Literal["left", "right"] = "left"
    weights: dict[str, float] = {}


class Roads(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    way: Way = Way()
    places: dict[str, tuple[str, ...]] = {}
    name: str = ""


def road(key: str, text: str) -> object:
    """The value of a key that is given on the command line."""
    return getattr(
        load({"roads": Roads}, environment={}, flags=[Flag("roads", key, text, "--set")]).sections["roads"], key
    )


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("way", '{to = "right", weights = {a = 1, "b c" = 2.5}}', Way("right", {"a": 1.0, "b c": 2.5})),
        ("way", ' { "to": "right", "weights": {"a": 1} } ', Way("right", {"a": 1.0})),
        ("way", "{}", Way()),
        ("places", '{north = ["a", "b"], south = []}', {"north": ("a", "b"), "south": ()}),
        ("name", "{to = 1}", "{to = 1}"),
        ("name", "[x]", "[x]"),
    ],
)
def test_tables_on_the_command_line_are_written_as_in_the_file_or_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, text: str, expected: object
) -> None:
    monkeypatch.chdir(tmp_path)
    assert road(key, text) == expected


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("way", '{to = "right"', "not TOML: Unclosed inline table (at end of document)"),
        ("way", '{to = "right"}\nname = "x"', "more than one value"),
        ("way", "{}\n[roads]", "more than one value"),
        ("way", '{two = "right"}', "Object contains unknown field `two`"),
        ("way", '{weights = {a = "1"}}', "Expected `float`, got `str` - at `$.weights[...]`"),
        ("places", '{north = "a"}', "Expected `array`, got `str` - at `$[...]`"),
    ],
)
def test_a_table_that_is_none_says_why_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, text: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        road(key, text)
    message = str(caught.value)
    assert (caught.value.code, message.count("\n")) == ("config", 0)
    assert message.startswith(f"--set: roads.{key} = ")
    assert f"({told}); expected a table" in message


def test_a_key_outside_of_a_section_is_refused(house: Path) -> None:
    (house / "nautilus.toml").write_text("spread_ticks = 3\n")
    assert str(refuse()) == (
        "config/nautilus.toml:1: spread_ticks = 3 stands outside of a section; "
        "expected it under one of [quoting], [risk]"
    )


@pytest.mark.parametrize("content", [b"[quoting", b"\xff\xfe[quoting]", b"a = 1\na = 2\n"])
def test_a_file_that_is_not_toml_is_refused(house: Path, content: bytes) -> None:
    (house / "nautilus.toml").write_bytes(content)
    assert str(refuse()).startswith("config/nautilus.toml: ")


def test_an_unknown_profile_names_the_known_and_the_nearest(house: Path) -> None:
    (house / "nautilus.toml").write_text("")
    (house / "profiles" / "tight.toml").write_text("")
    assert str(refuse(profile="thight")) == (
        f"config/profiles or {PROFILES}: profile 'thight'; expected one of colocated, compact, default, latency, "
        "native, throughput, tight; did you mean 'tight'?"
    )
    assert "profile '../nautilus'" in str(refuse(profile="../nautilus"))
    assert load(SECTIONS, environment={"NAUTILUS_PROFILE": "tight"}).profile == "tight"


def test_profiles_that_come_along_need_no_file_and_give_way_to_those_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sections = resolve_sections({name: SECTION_PLACES[name] for name in ("platform", "core", "lockstep")})
    configuration = load(sections, environment={}, profile="compact")
    assert configuration.files == (str(PROFILES / "compact.toml"),)
    assert configuration.sections["platform"].processes == "compact"
    (tmp_path / "own" / "profiles").mkdir(parents=True)
    (tmp_path / "own" / "nautilus.toml").write_text("")
    assert load(sections, environment={}, path="own/nautilus.toml", profile="compact").files[1] == str(
        PROFILES / "compact.toml"
    )
    (tmp_path / "own" / "profiles" / "compact.toml").write_text("[platform]\nprocesses = 'native'\n")
    configuration = load(sections, environment={}, path="own/nautilus.toml", profile="compact")
    assert configuration.files == ("own/nautilus.toml", "own/profiles/compact.toml")
    assert configuration.sections["platform"].processes == "native"


def test_every_profile_that_comes_along_is_valid_and_lies_in_the_checkout_once() -> None:
    shipped = sorted(path.stem for path in PROFILES.glob("*.toml"))
    assert shipped == ["colocated", "compact", "default", "latency", "native", "throughput"]
    for name in shipped:
        load(resolve_sections(SECTION_PLACES), environment={}, profile=name)
    checkout = PROFILES.parents[1] / "config" / "profiles"
    assert not checkout.is_dir() or PROFILES.resolve() == checkout


def test_a_profile_that_is_nowhere_is_refused_without_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "profile 'tight'; expected one of colocated" in str(refuse(profile="tight"))


def test_values_that_do_not_fit_together_name_their_origins(house: Path) -> None:
    (house / "nautilus.toml").write_text("[risk]\nlow = 20\n")
    assert str(refuse()) == "config/nautilus.toml:2: risk.low = 20 is above high 10"


def test_a_value_that_its_section_refuses_is_named_once_with_its_own_origin(house: Path) -> None:
    given = {"NAUTILUS__LIMITS__POSITION": "-1", "NAUTILUS__LIMITS__MESSAGE_RATE": "5"}
    with pytest.raises(ConfigError) as caught:
        load({"limits": LimitsConfig}, environment=given)
    assert str(caught.value) == (
        "environment NAUTILUS__LIMITS__POSITION: limits.position = -1; expected 0 to 9223372036854775807"
    )


def test_every_problem_is_found_at_once(house: Path) -> None:
    (house / "nautilus.toml").write_text("[risk]\nlow = 'a'\nhihg = 3\n[ris]\n")
    configuration, problems = examine(SECTIONS, environment={"NAUTILUS__RISK__HIGH": "x"})
    assert configuration is None
    assert [problem.where for problem in problems] == [
        "config/nautilus.toml:4",
        "config/nautilus.toml:2",
        "config/nautilus.toml:3",
        "environment NAUTILUS__RISK__HIGH",
    ]


@given(st.binary(max_size=200))
def test_any_bytes_as_a_file_load_or_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "any.toml"
    file.write_bytes(content)
    configuration, problems = examine(SECTIONS, path=str(file), environment={})
    assert (configuration is None) == bool(problems)


def test_the_schema_refuses_what_load_refuses() -> None:
    document = schema(SECTIONS)
    assert document["additionalProperties"] is False
    assert set(document["properties"]) == {"quoting", "risk"}
    assert document["$defs"]["Quoting"]["properties"]["spread_ticks"]["minimum"] == 1
    assert document["$defs"]["Quoting"]["additionalProperties"] is False


def test_types_are_named_as_a_person_reads_them() -> None:
    assert type_name(Annotated[int, msgspec.Meta(ge=1, le=5)]) == "an integer >= 1 and <= 5"
    assert type_name(Literal["a", "b"]) == 'one of "a", "b"'
    assert type_name(bool) == "true or false"
    assert type_name(int | None) == "an integer or nothing"
    assert nearest("seeed", ["seed", "spread"]) == "; did you mean 'seed'?"
    assert nearest("zzz", ["seed"]) == ""


def test_sections_are_named_by_place_and_imported_late() -> None:
    assert resolve_sections({"quoting": f"{__name__}:Quoting"}) == {"quoting": Quoting}
