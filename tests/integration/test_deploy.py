"""What lies in deploy/: read by the programs that it is for, where this machine has them, and true of the engines."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from nautilus.engines import CATALOGUE
from nautilus.runtime.client import Client, EngineError, NotReachableError
from nautilus.runtime.instance import SERVICE
from tests.kit.platform import Platform, demo
from tests.kit.ports import held_port

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PORTS = {"postgres": 5432, "redis": 6379, "redis-star": 6380, "redis-mesh": 6381, "prometheus": 9090, "grafana": 3002}
PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")


def load(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text())


COMPOSE = load("compose.yaml")
SERVICES = COMPOSE["services"]


def test_every_yaml_file_and_dashboard_can_be_read() -> None:
    for path in [*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")]:
        assert yaml.safe_load(path.read_text()), path
    for path in DEPLOY.rglob("*.json"):
        assert json.loads(path.read_text()), path


def test_the_services_are_those_of_the_platform_with_their_names() -> None:
    assert {name: service["container_name"] for name, service in SERVICES.items()} == {
        name: f"nautilus-{name}" for name in PORTS
    }
    assert "timescaledb" in SERVICES["postgres"]["image"]


@pytest.mark.parametrize("name", PORTS)
def test_a_service_listens_on_its_port_of_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    if service.get("network_mode") == "host":
        command, environment = service.get("command", []), service.get("environment", {})
        listens = f"--web.listen-address=127.0.0.1:{PORTS[name]}" in command
        assert listens or (
            environment.get("GF_SERVER_HTTP_ADDR") == "127.0.0.1"
            and environment.get("GF_SERVER_HTTP_PORT") == str(PORTS[name])
        )
        assert "ports" not in service
    else:
        assert [port.rpartition(":")[0] for port in service["ports"]] == [f"127.0.0.1:{PORTS[name]}"]


@pytest.mark.parametrize("name", PORTS)
def test_a_service_has_a_health_check_and_a_pinned_image(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert re.fullmatch(r"[a-z0-9/-]+:[a-z0-9.-]*[0-9]+\.[0-9]+[a-z0-9.-]*", SERVICES[name]["image"])


def test_what_is_mounted_is_there_and_named_volumes_are_declared() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).is_dir(), source
            else:
                assert source in COMPOSE["volumes"]


def test_no_password_is_in_any_file_under_version_control() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or str(value).startswith("/run/secrets/"), name
    assert all(secret["file"].startswith("./secrets/") for secret in COMPOSE["secrets"].values())
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_start_makes_the_passwords_once_for_this_user_alone(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets"))
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text('#!/bin/sh\necho "$@"\n')
    docker.chmod(0o755)
    environment = {**os.environ, "PATH": f"{docker.parent}:{os.environ['PATH']}"}
    secrets = tmp_path / "deploy" / "secrets"
    made = []
    for _ in range(2):
        result = subprocess.run(
            [tmp_path / "deploy" / "start"], env=environment, capture_output=True, text=True, check=True
        )
        assert "compose --file compose.yaml up --detach --wait" in result.stdout
        made.append({path.name: path.read_text() for path in secrets.iterdir()})
    assert made[0] == made[1]
    assert set(made[0]) == {f"{name}_password" for name in ("postgres", "redis", "grafana")}
    assert len(set(made[0].values())) == 3
    assert all(len(password) == 48 for password in made[0].values())
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700


def test_prometheus_scrapes_every_engine_and_nothing_else() -> None:
    jobs = {job["job_name"]: job for job in load("prometheus/prometheus.yml")["scrape_configs"]}
    found = {target: group["labels"] for group in jobs["nautilus"]["static_configs"] for target in group["targets"]}
    assert found == {
        f"127.0.0.1:{entry.port}": {"engine": name, "tier": entry.tier} for name, entry in CATALOGUE.items()
    }
    assert jobs["prometheus"]["static_configs"][0]["targets"] == [f"127.0.0.1:{PORTS['prometheus']}"]


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool (Debian package prometheus)")
def test_promtool_accepts_configuration_and_rules() -> None:
    assert PROMTOOL is not None
    result = subprocess.run(
        [PROMTOOL, "check", "config", "--lint=all", "--lint-fatal", DEPLOY / "prometheus" / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    source = load("grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]
    assert source["url"] == f"http://127.0.0.1:{PORTS['prometheus']}"
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "nautilus.json").read_text())
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
    place = load("grafana/provisioning/dashboards/nautilus.yaml")["providers"][0]["options"]["path"]
    assert f"./grafana/dashboards:{place}:ro" in SERVICES["grafana"]["volumes"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{place}/nautilus.json"


def test_panels_lie_within_the_grid_and_apart() -> None:
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "nautilus.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_image_opens_the_engines_ports_and_copies_what_is_there() -> None:
    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    exposed = re.search(r"(?m)^EXPOSE (.+)$", text)
    assert exposed is not None
    assert sorted(map(int, exposed[1].split())) == sorted(entry.port for entry in CATALOGUE.values())
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for words in re.findall(r"(?m)^COPY (?!--from)(.+)$", text):
        for source in words.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, source


def test_a_service_has_its_instances_where_its_user_may_write_and_finds_them() -> None:
    unit = (DEPLOY / "systemd" / "nautilus.service").read_text()
    image = (DEPLOY / "docker" / "Dockerfile").read_text()
    assert re.search(r"(?m)^RuntimeDirectory=nautilus$", unit)
    assert str(SERVICE) == "/run/nautilus"
    assert f"--mode 0700 {SERVICE} " in image
    # /run itself is root's: with it as XDG_RUNTIME_DIR the instance would go to /tmp, which a service has for itself.
    settings = re.findall(r"(?m)^Environment=.*$|^ENV (?:.*\\\n)*.*$", unit + image)
    assert len(settings) == 2
    assert not any("XDG_RUNTIME_DIR" in text for text in settings)


def test_the_image_is_built_with_the_profiles() -> None:
    build = (DEPLOY / "docker" / "Dockerfile").read_text().partition("RUN python")[0]
    assert "COPY config config" in build  # nautilus/profiles is a link to it


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    # A stand-in for the installed command: that it is missing here is no fault of the unit.
    unit = (DEPLOY / "systemd" / "nautilus.service").read_text()
    command = re.search(r"(?m)^ExecStart=(\S+)", unit)
    assert command is not None
    file = tmp_path / "nautilus.service"
    file.write_text(unit.replace(command[1], "/bin/true"))
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, check=False
    )
    complaints = [line for line in result.stderr.splitlines() if "nautilus.service" in line]
    assert (result.returncode, complaints) == (0, []), result.stderr


def expressions() -> list[str]:
    """Every PromQL expression of rules and panels, its variables filled in."""
    rules = [rule["expr"] for group in load("prometheus/alerts.yml")["groups"] for rule in group["rules"]]
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "nautilus.json").read_text())
    panels = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [text.replace("$__rate_interval", "1m") for text in (*rules, *panels)]


@pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus (Debian package prometheus)")
def test_a_real_prometheus_scrapes_every_engine_and_knows_every_metric_that_is_asked_for(tmp_path: Path) -> None:
    with demo(whole=True) as running, held_port() as port:
        # As it lies in deploy/, but for the ports: the test's engines have free ones, so that it disturbs nobody.
        config = load("prometheus/prometheus.yml")
        ports = {f"127.0.0.1:{entry.port}": running.ports[name] for name, entry in CATALOGUE.items()}
        ports[f"127.0.0.1:{PORTS['prometheus']}"] = port
        for job in config["scrape_configs"]:
            for group in job["static_configs"]:
                group["targets"] = [f"127.0.0.1:{ports[target]}" for target in group["targets"]]
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        shutil.copy(DEPLOY / "prometheus" / "alerts.yml", tmp_path)
        assert PROMETHEUS is not None
        command = [
            PROMETHEUS, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
        ]  # fmt: skip
        with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                look_at(running, port)
            finally:
                process.terminate()


def look_at(running: Platform, port: int) -> None:
    """Wait until all targets are up, then check rules and metrics."""
    client = Client({"prometheus": port})

    def targets() -> dict[str, str]:
        try:
            answer = client.call("prometheus", "GET", "/api/v1/targets?state=active")
        except (NotReachableError, EngineError):
            return {}
        return {target["scrapeUrl"]: target["health"] for target in answer["data"]["activeTargets"]}

    def found(expression: str) -> list[Any]:
        answer = client.call("prometheus", "GET", f"/api/v1/query?{urlencode({'query': expression})}")
        assert answer["status"] == "success", expression
        return list(answer["data"]["result"])

    running.wait(
        lambda: len(targets()) == len(CATALOGUE) + 1 and set(targets().values()) == {"up"}, "targets that are up"
    )
    running.wait(lambda: found("nautilus_orders_filled_total > 0"), "fills in Prometheus")
    names = {name for text in expressions() for name in re.findall(r"\bnautilus_\w+", text)}
    running.wait(lambda: all(map(found, names)), f"all of {sorted(names)} in Prometheus")
    for text in expressions():
        found(text)
    rules = client.call("prometheus", "GET", "/api/v1/rules")["data"]["groups"][0]["rules"]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    running.wait(lambda: len(found('up{job="nautilus"} == 1')) == len(CATALOGUE), "engines that are up")
    running.wait(
        lambda: {sample["metric"]["engine"] for sample in found("nautilus_engine_ready == 1")} == set(CATALOGUE),
        "engines that are ready",
    )
