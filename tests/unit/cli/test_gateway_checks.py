"""What `nautilus doctor` says of the gateway: a real socket, real certificates, a real Redis."""

from __future__ import annotations

import resource
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nautilus.cli import gateway_checks
from nautilus.engines import CATALOGUE
from tests.kit.redis_server import RedisServer

PORT = CATALOGUE["gateway"].port


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A socket at a port that the gateway is to have."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one


def test_a_gateway_that_is_left_out_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAUTILUS__GATEWAY__ENABLED", "false")
    check = gateway_checks.gateway()
    assert (check.status, check.found) == ("ok", "left out (gateway.enabled = false)")


def test_a_port_that_others_have_is_told(taken: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    port = taken.getsockname()[1]
    monkeypatch.setitem(CATALOGUE, "gateway", CATALOGUE["gateway"]._replace(port=port))
    check = gateway_checks.gateway()
    assert check.status == "warn"
    assert f"port {port} is in use by others" in check.found
    taken.close()
    assert f"port {port} is free" in gateway_checks.gateway().found


def test_more_clients_than_files_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setenv("NAUTILUS__GATEWAY__CONNECTIONS", str(min(most + 1, 1 << 20)))
    check = gateway_checks.gateway()
    assert "clients" in check.found
    if most < 1 << 20 and "in use by others" not in check.found:
        assert check.status == "warn"
        assert "more gateway.workers" in check.advice


def test_without_tls_there_is_nothing_to_check() -> None:
    assert gateway_checks.certificate().status == "ok"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
@pytest.mark.parametrize(("days", "status"), [(90, "ok"), (3, "warn")])
def test_a_certificate_serves_and_tells_how_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, status: str
) -> None:
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-days", str(days), "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    for path in (certificate, key):
        path.chmod(0o600)
    monkeypatch.setenv("NAUTILUS__ACCESS__CERTIFICATE", str(certificate))
    monkeypatch.setenv("NAUTILUS__ACCESS__KEY", str(key))
    check = gateway_checks.certificate()
    assert check.status == status
    assert f"ends in {days - 1} days" in check.found
    key.chmod(0o644)
    assert gateway_checks.certificate().status == "fail"
    key.chmod(0o600)
    key.write_text("no key")
    check = gateway_checks.certificate()
    assert (check.status, check.advice) == ("fail", "correct access.certificate and access.key")


def test_a_redis_that_answers_is_told_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "none is needed" in gateway_checks.cache_server().found
    with tempfile.TemporaryDirectory(prefix="nr-") as place:
        server = RedisServer(Path(place))
        monkeypatch.setenv("NAUTILUS__GATEWAY__CACHE_REDIS", server.url)
        server.start()
        try:
            check = gateway_checks.cache_server()
            assert check.status == "ok"
            assert "answers, version" in check.found
        finally:
            server.kill()
        check = gateway_checks.cache_server()
        assert check.status == "warn"
        assert "goes on without" in check.advice


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAUTILUS__GATEWAY__CACHE_REDIS", "redis://user:hidden@127.0.0.1:1/0")
    check = gateway_checks.cache_server()
    assert check.status == "warn"
    assert "hidden" not in check.found
