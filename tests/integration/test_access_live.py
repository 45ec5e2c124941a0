"""Access at a real instance: keys made and revoked while it runs, TLS, sessions, the audit log, the kill signal."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nautilus.policy.signing import signed_header
from nautilus.runtime.clock import pause, wall_ns
from tests.kit.certificates import Certificate, make_authority, make_certificate
from tests.kit.instances import Place, own_place
from tests.kit.platform import PATIENT
from tests.kit.shell import call

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "127.0.0.2"
LOOKS = 600


class Running:
    """A platform with TLS at an address of its own, and what asks it."""

    def __init__(self, place: Place, authority: Certificate) -> None:
        self.place, self.authority = place, authority
        self.client = make_certificate(authority, "desk-7")
        self.stranger = make_certificate(authority, "stranger")
        server = make_certificate(authority, "server", ADDRESS)
        settings = {
            "platform.ports": "free",
            "platform.bind": ADDRESS,
            "access.certificate": server.certificate,
            "access.key": server.key,
            "access.client_authority": authority.certificate,
            "access.client_required": "false",
            "access.subjects": json.dumps({"desk-7": ["trade"]}),
            "access.session_seconds": "600",
        }
        self.sets = [word for item in settings.items() for word in ("--set", f"{item[0]}={item[1]}")]
        self.sets += [word for setting in PATIENT for word in ("--set", setting)]
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.printed = ""
        self.run("up", "--simulated", "--detach", *self.sets)
        self.ports = {
            name: port
            for process in json.loads((place.base / "nautilus" / place.name / "state.json").read_text())["processes"]
            for name, port in process["ports"].items()
        }

    def run(self, *arguments: object, code: int = 0) -> str:
        """A command; what it prints on both streams is kept, as it may be looked through."""
        words = [sys.executable, "-m", "nautilus", *map(str, arguments)]
        if arguments[0] != "config":
            words += ["--instance", self.place.name]
        result = subprocess.run(
            words, capture_output=True, text=True, timeout=300, cwd=self.place.base, env=self.environment, check=False
        )
        assert result.returncode == code, result.stderr
        self.printed += result.stderr
        return result.stdout

    def object(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """What a command prints, carried out in this process: it is asked often."""
        found = call(*arguments, "--json", "--instance", self.place.name)
        assert found.returncode == code, found.stderr
        self.printed += found.stderr
        return json.loads(found.stdout)

    def ask(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"", *, tls: bool = False,
        certificate: Certificate | None = None, engine: str = "trading",
    ) -> tuple[int, dict[str, Any]]:  # fmt: skip
        """One request over a new connection: status, and the answer's object."""
        port = self.ports[engine]
        line: http.client.HTTPConnection
        if tls:
            context = ssl.create_default_context(cafile=str(self.authority.certificate))
            if certificate is not None:
                context.load_cert_chain(certificate.certificate, certificate.key)
            line = http.client.HTTPSConnection(ADDRESS, port, timeout=60, context=context)
        else:
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            line.request(method, target, body or None, {"Content-Type": "application/json", **(headers or {})})
            response = line.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        finally:
            line.close()

    def signed(self, key: dict[str, Any], method: str, target: str, body: bytes = b"", **change: Any) -> dict[str, str]:
        given = {"timestamp_ms": wall_ns() // 1_000_000, "nonce": secrets.token_hex(8), **change}
        return {"Nautilus-Signature": signed_header(key["id"], key["secret"], method, target.encode(), body, **given)}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with own_place() as place:
        made = Running(place, make_authority(tmp_path_factory.mktemp("certificates")))
        try:
            yield made
        finally:
            made.run("down")


def until(what: Any) -> None:
    for _ in range(LOOKS):
        if what():
            return
        pause(0.05)
    pytest.fail("it never came about")


def let_in(answer: tuple[int, dict[str, Any]]) -> bool:
    """Whether who asked was let in, whatever became of the order."""
    return answer[0] < 500 and not code_of(answer).startswith(("access.", "http."))


def code_of(answer: tuple[int, dict[str, Any]]) -> str:
    return answer[1].get("code", "") if answer[0] >= 400 else ""


def test_a_key_made_while_it_runs_is_let_in_and_one_revoked_is_not(running: Running) -> None:
    key = running.object("keys", "api", "new", "desk-1", "--scope", "trade")
    target = "/orders"
    body = json.dumps({"instrument": "BTCUSDT", "side": "BUY", "quantity": "1", "price": "1"}).encode()

    def asked() -> tuple[int, dict[str, Any]]:
        return running.ask("POST", target, running.signed(key, "POST", target, body), body)

    until(lambda: let_in(asked()))
    headers = running.signed(key, "POST", target, body)
    assert let_in(running.ask("POST", target, headers, body))
    assert code_of(running.ask("POST", target, headers, body)) == "access.replayed"
    assert code_of(running.ask("POST", target, headers, body, engine="risk")) == "access.replayed"
    assert code_of(running.ask("POST", target, running.signed(key, "POST", target, b"{}"), body)) == "access.digest"
    late = running.signed(key, "POST", target, body, timestamp_ms=wall_ns() // 1_000_000 - 6_000)
    assert code_of(running.ask("POST", target, late, body)) == "access.window"
    reader = running.object("keys", "api", "new", "looker")
    until(lambda: running.ask("GET", "/orders", running.signed(reader, "GET", "/orders"))[0] == 200)
    refused = running.ask("POST", target, running.signed(reader, "POST", target, body), body)
    assert (refused[0], refused[1]["code"]) == (403, "access.scope")
    running.run("keys", "api", "revoke", "desk-1")
    until(lambda: code_of(asked()) == "access.key")


def test_a_session_stands_for_its_key_until_that_is_revoked(running: Running) -> None:
    key = running.object("keys", "api", "new", "desk-2", "--scope", "trade")
    wanted = b'{"scopes": ["read"], "seconds": 60}'
    answers = []

    def begun() -> bool:
        answers.append(running.ask("POST", "/session", running.signed(key, "POST", "/session", wanted), wanted))
        return answers[-1][0] == 201

    until(begun)
    shown = {"Authorization": f"Bearer {answers[-1][1]['token']}"}
    assert answers[-1][1]["scopes"] == ["read"]
    assert running.ask("GET", "/orders", shown, tls=True)[0] == 200
    assert code_of(running.ask("POST", "/orders", shown, b"{}")) == "access.scope"
    assert code_of(running.ask("POST", "/session", shown)) == "access.session"
    running.run("keys", "api", "revoke", "desk-2")
    until(lambda: code_of(running.ask("GET", "/orders", shown, tls=True)) == "access.key")


def test_over_tls_nothing_but_liveness_is_read_without_a_key(running: Running) -> None:
    assert running.ask("GET", "/livez", tls=True)[0] == 200
    assert code_of(running.ask("GET", "/health", tls=True)) == "http.token"
    assert running.ask("GET", "/health")[0] == 200
    token = (running.place.base / "nautilus" / running.place.name / "token").read_text()
    assert running.ask("GET", "/health", {"Authorization": f"Bearer {token}"}, tls=True)[0] == 200


def test_a_clients_certificate_stands_for_whom_the_settings_say(running: Running) -> None:
    assert running.ask("GET", "/health", tls=True, certificate=running.client)[0] == 200
    assert code_of(running.ask("GET", "/health", tls=True, certificate=running.stranger)) == "http.token"
    body = json.dumps({"instrument": "BTCUSDT", "side": "BUY", "quantity": "1", "price": "1"}).encode()
    assert let_in(running.ask("POST", "/orders", body=body, tls=True, certificate=running.client))
    assert "desk-7" in {call["principal"] for call in running.object("audit", "show")["calls"]}


def test_the_port_of_the_gateway_speaks_tls_too(running: Running) -> None:
    state, order = "/api/v1/engines/risk/risk/state", "/api/v1/engines/trading/orders"
    assert running.ask("GET", "/livez", tls=True, engine="gateway")[0] == 200
    assert code_of(running.ask("GET", state, tls=True, engine="gateway")) == "http.token"
    assert code_of(running.ask("GET", state, tls=True, certificate=running.stranger, engine="gateway")) == "http.token"
    assert running.ask("GET", state, tls=True, certificate=running.client, engine="gateway")[0] == 200
    assert running.ask("GET", state, engine="gateway")[0] == 200  # plain, for this machine alone
    body = json.dumps({"instrument": "BTCUSDT", "side": "BUY", "quantity": "1", "price": "1"}).encode()
    assert let_in(running.ask("POST", order, body=body, tls=True, certificate=running.client, engine="gateway"))
    plain = http.client.HTTPConnection(ADDRESS, running.ports["gateway"], timeout=60)
    plain.request("GET", "/livez")
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.getresponse()


def test_the_health_monitor_reaches_engines_whose_ports_speak_tls(running: Running) -> None:
    def engines() -> dict[str, Any]:
        status, found = running.ask(
            "GET", "/api/v1/hybrid/engines", tls=True, certificate=running.client, engine="gateway"
        )
        assert status == 200
        return found["engines"]

    until(lambda: {each["status"] for each in engines().values()} <= {"healthy", "degraded"})
    assert "trading" in engines()


def test_what_waits_to_be_accepted_over_tls_outlives_its_worker(running: Running) -> None:
    (worker,) = running.object("gateway", "status")["workers"]
    os.kill(worker["pid"], signal.SIGSTOP)
    waiting = [socket.create_connection((ADDRESS, running.ports["gateway"]), 60) for _ in range(20)]
    os.kill(worker["pid"], signal.SIGKILL)
    context = ssl.create_default_context(cafile=str(running.authority.certificate))
    for each in waiting:
        with context.wrap_socket(each, server_hostname=ADDRESS) as secure:
            secure.sendall(b"GET /livez HTTP/1.1\r\nHost: %b\r\n\r\n" % ADDRESS.encode())
            assert secure.recv(100).startswith(b"HTTP/1.1 200 ")


def test_old_versions_of_tls_and_plain_text_are_refused_there(running: Running) -> None:
    for version in ("-tls1", "-tls1_1", "-no_tls1_3 -cipher AES128-SHA", "-tls1_2", "-tls1_3"):
        place = f"{ADDRESS}:{running.ports['trading']}"
        words = ["openssl", "s_client", "-connect", place, *version.split()]
        if "cipher" not in version:
            words += ["-cipher", "ALL:@SECLEVEL=0"]
        done = subprocess.run(words, input="", capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode == 0) == (version in ("-tls1_2", "-tls1_3")), (version, done.stderr)
    plain = http.client.HTTPConnection(ADDRESS, running.ports["trading"], timeout=60)
    plain.request("GET", "/livez")
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.getresponse()


def test_thousands_of_replays_over_a_socket_are_refused(running: Running) -> None:
    key = running.object("keys", "api", "new", "desk-3", "--scope", "trade")
    line = http.client.HTTPConnection("127.0.0.1", running.ports["trading"], timeout=60)

    def ask(headers: dict[str, str]) -> int:
        line.request("DELETE", "/orders/1", None, headers)
        response = line.getresponse()
        response.read()
        return response.status

    until(lambda: ask(running.signed(key, "DELETE", "/orders/1")) not in (401, 403))
    headers = running.signed(key, "DELETE", "/orders/1")
    first = ask(headers)
    assert first not in (401, 403)
    assert {ask(headers) for _ in range(3_000)} == {401}
    line.close()


def test_the_signal_sets_the_kill_switch_of_everything_and_is_recorded(running: Running) -> None:
    state = running.place.base / "nautilus" / running.place.name / "state.json"
    supervisor = json.loads(state.read_text())["pid"]
    assert running.object("kill-switch", "status")["on"] is False
    os.kill(supervisor, signal.SIGUSR2)
    until(lambda: running.object("kill-switch", "status")["on"])
    assert running.object("kill-switch", "status")["scopes"][0]["account_id"] == 0
    core = next(each for each in json.loads(state.read_text())["processes"] if each["name"] == "core")
    until(lambda: "signal" in {call["principal"] for call in running.object("audit", "show")["calls"]})
    assert "core" in {each["process"] for each in running.object("audit", "verify")["processes"]}
    running.run("kill-switch", "off")
    until(lambda: not running.object("kill-switch", "status")["on"])
    os.kill(core["pid"], signal.SIGUSR2)
    until(lambda: running.object("kill-switch", "status")["on"])
    running.run("kill-switch", "off")
    assert json.loads(state.read_text())["pid"] == supervisor
    assert core in json.loads(state.read_text())["processes"]


@pytest.mark.parametrize("engine", ["portfolio", "gateway"])
def test_a_revoked_key_ends_its_websockets_which_is_recorded(running: Running, engine: str) -> None:
    path = "/streams/positions" if engine == "portfolio" else "/api/v1/engines/portfolio/streams/positions"
    name = f"listener-{engine}"
    key = running.object("keys", "api", "new", name)
    until(lambda: running.ask("GET", "/health", {"Authorization": f"Bearer {key['token']}"}, engine=engine)[0] == 200)
    with socket.create_connection(("127.0.0.1", running.ports[engine]), 60) as line:
        line.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Authorization: Bearer {key['token']}\r\n\r\n".encode()
        )
        assert line.recv(65536).startswith(b"HTTP/1.1 101 ")
        running.run("keys", "api", "revoke", name)
        found = b""
        while b"\x88\x10\x03\xf0access.revoked" not in found:
            piece = line.recv(65536)
            assert piece, found
            found += piece
    calls = {(name, "CLOSE", "websockets=1", 1008)}
    until(lambda: calls <= {_told(call) for call in running.object("audit", "show", "-n", 10_000)["calls"]})


def _told(call: dict[str, Any]) -> tuple[Any, ...]:
    return call["principal"], call["method"], call["target"], call["status"]


@pytest.mark.parametrize("engine", ["trading", "gateway"])
def test_who_trades_may_stop_everything_and_only_an_administrator_go_on(running: Running, engine: str) -> None:
    target = "/kill-switch" if engine == "trading" else "/api/v1/engines/trading/kill-switch"
    keys = [running.object("keys", "api", "new", f"{scope}-{engine}", "--scope", scope) for scope in ("trade", "admin")]
    trader, admin = ({"Authorization": f"Bearer {key['token']}"} for key in keys)
    on, off = json.dumps({"on": True}).encode(), json.dumps({"on": False}).encode()
    until(lambda: running.ask("GET", target, admin, engine=engine)[0] == 200)
    assert running.ask("POST", target, trader, on, engine=engine)[0] == 200
    status, problem = running.ask("POST", target, trader, off, engine=engine)
    assert (status, problem["code"]) == (403, "access.scope")
    assert running.object("kill-switch", "status")["on"] is True
    assert running.ask("POST", target, admin, off, engine=engine)[0] == 200
    assert running.object("kill-switch", "status")["on"] is False


def test_every_call_that_changed_something_is_in_the_log_which_holds(running: Running) -> None:
    key = running.object("keys", "api", "new", "desk-5", "--scope", "trade")
    until(lambda: running.ask("DELETE", "/orders/7", running.signed(key, "DELETE", "/orders/7"))[0] not in (401, 403))
    for turn in ("on", "off"):
        running.run("kill-switch", turn)
    found = running.object("audit", "verify")
    assert found["valid"], found["problems"]
    assert "trading" in {each["process"] for each in found["processes"]}
    calls = running.object("audit", "show", "-n", 10_000)["calls"]
    targets = {(call["principal"], call["method"], call["target"]) for call in calls}
    assert {("desk-5", "DELETE", "/orders/7"), ("instance", "POST", "/kill-switch")} <= targets
    assert not any(target.startswith("/bus/") for _, _, target in targets)
    trading = next(each for each in found["processes"] if each["process"] == "trading")
    noted = f"trading:{trading['last_sequence']}:{trading['last_hash']}"
    assert running.object("audit", "verify", "--expect", noted)["valid"]
    assert not running.object("audit", "verify", "--expect", noted[:-8] + "00000000", code=1)["valid"]


def test_no_secret_is_in_a_log_a_metric_an_error_or_the_configuration(running: Running) -> None:
    key = running.object("keys", "api", "new", "desk-4", "--scope", "admin")
    until(lambda: running.ask("GET", "/orders", running.signed(key, "GET", "/orders"))[0] == 200)
    answers = [
        running.ask("GET", "/orders", {"Authorization": f"Bearer {key['token']}x"}),
        running.ask("GET", "/orders", {"Authorization": f"Bearer {key['token']}", "Nautilus-Signature": key["secret"]}),
        running.ask("POST", "/orders", {"Authorization": f"Bearer {key['token']}"}, b'{"price": 1}'),
        running.ask("GET", f"/none?key={key['id']}", {"Authorization": f"Bearer {key['token']}"}),
    ]
    data = next(running.place.base.glob("share/nautilus/*"))
    place = running.place.base / "nautilus" / running.place.name
    hidden = {
        "token of the instance": (place / "token").read_bytes(),
        "secret of access": (data / "access" / "secret").read_bytes(),
        "secret of a key": key["secret"].encode(),
    }
    texts = {str(path): path.read_bytes() for path in data.glob("logs/*")}
    texts |= {str(path): path.read_bytes() for path in data.glob("audit/*/*.audit")}
    texts |= {name: (place / name).read_bytes() for name in ("plan.json", "state.json")}
    for engine, port in running.ports.items():
        for target in ("/metrics", "/health", "/openapi.json"):
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            line.request("GET", target)
            texts[f"{engine} {target}"] = line.getresponse().read()
            line.close()
    texts["config show"] = running.run("config", "show", "--origin", *running.sets).encode()
    texts["config show --json"] = running.run("config", "show", "--json", *running.sets).encode()
    texts["config validate"] = running.run("config", "validate", *running.sets).encode()
    texts["status"] = running.run("status", "--json").encode()
    texts["keys api list"] = running.run("keys", "api", "list", "--json").encode()
    texts["doctor"] = running.run("keys", "api", "list").encode()
    texts["stderr"] = running.printed.encode()
    texts["answers"] = json.dumps(answers).encode()
    assert len(texts) > 20
    found = [f"{what} in {where}" for where, text in texts.items() for what, value in hidden.items() if value in text]
    assert found == []
    assert b"access_refused" in texts["trading /metrics"]
