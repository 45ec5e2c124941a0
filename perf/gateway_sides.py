"""Processes of the gateway's benches: an engine's side that answers at once, and the gateway with all it has.

`python -m perf.gateway_sides backend|gateway ...` prints its port and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvloop

from nautilus.core.breaker import Breakers
from nautilus.core.counters import Counters
from nautilus.core.limiter import Limiters, LimiterSettings
from nautilus.core.route import Routes
from nautilus.core.throttle import Throttle
from nautilus.engines.base import Stream
from nautilus.gateway.choosing import Chooser
from nautilus.gateway.data_path import HEDGE_SHARE, HEDGES, RETRIES, RETRY_SHARE, TARGET_NS, RulesAccess
from nautilus.gateway.endpoints import Address, EngineSpec
from nautilus.gateway.gate import Gate
from nautilus.gateway.pool import PoolSettings
from nautilus.gateway.proxy import Budgets, Proxy
from nautilus.gateway.spin import Spin
from nautilus.model.topics import RISK_ALERTS
from nautilus.policy.breaker import config_of
from nautilus.policy.retry import RetryBudget
from nautilus.runtime.access_keys import AccessKeys, LiveKeys
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.exchange import Exchange, Response
from nautilus.runtime.http.port import Port
from perf.harness import ROOT, check

BODY = b'{"status":"ok","engine":"risk","value":[1,2,3,4,5,6,7,8,9,10],"text":"' + b"0123456789" * 6 + b'"}'
ENGINES = ("strategy", "risk", "analytics", "ml", "factor", "features", "websocket", "marketdata", "portfolio")
STREAMS = (Stream("/stream", RISK_ALERTS, "What is broadcast"),)
CONNECTIONS = 32
NGINX = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else "")
_COMMON = """worker_processes 1; daemon off; pid {place}/{name}.pid; error_log {place}/{name}.log crit;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {place}/b; proxy_temp_path {place}/p;
fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s; {server} }}
"""
_BACKEND = "server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{body}'; }} }}"
_PROXY = """upstream u {{ server 127.0.0.1:{backend}; keepalive {connections}; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://u; proxy_http_version 1.1;
proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $remote_addr; }} }}"""


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _answer(exchange: Exchange) -> None:
    exchange.respond(Response(BODY))


async def _backend() -> None:
    await _serve(Port(_answer, Counters(), HttpConfig(connections=4096, idle_seconds=3600)))


async def _gateway(backend: int, keys: str, connections: int, place: int = 0, spin_us: int = 0) -> None:
    counters = Counters()
    specs = [
        EngineSpec(name, (Address(name, "127.0.0.1", backend),), (), PoolSettings(CONNECTIONS), 5.0, streams=STREAMS)
        for name in ENGINES
    ]
    throttle = Throttle()
    rules = AccessRules("t" * 43, keys=LiveKeys(AccessKeys(Path(keys)), lambda: throttle))
    budgets = {
        name: Budgets(RetryBudget(RETRY_SHARE, RETRIES, RETRIES), RetryBudget(HEDGE_SHARE, HEDGES, HEDGES))
        for name in ENGINES
    }
    proxy = Proxy(specs, RulesAccess(rules), counters, token="t" * 43, budgets=budgets)
    proxy.spin = Spin(spin_us) if spin_us else None
    breakers, limiters, routes = Breakers(64), Limiters(32), Routes(512)
    for engine in proxy.engines.values():
        limiter = limiters.limiter(
            engine.name, LimiterSettings(least=2 * CONNECTIONS, first=2 * CONNECTIONS, target_ns=TARGET_NS)
        )
        breaker = breakers.breaker(engine.name, config_of(engine.name).settings())
        engine.gate = Gate(engine.name, breaker, limiter, counters)
        engine.group.chooser = Chooser(routes, engine.name, engine.group.instances)
    config = HttpConfig(connections=connections, idle_seconds=3600)
    await _serve(Port(proxy, counters, config, most=connections), place)


async def _serve(port: Port, place: int = 0) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.socket()
    if place:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", place))
    listener.listen(4096)
    listener.setblocking(False)
    await port.listen(listener)
    gc.collect()
    gc.freeze()
    print(listener.getsockname()[1], flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    await ended.wait()
    await port.close(0.1)


@contextmanager
def side(core: int, *words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process of this module on one core: the process and its port."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, "-m", "perf.gateway_sides", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        check(line.strip().isdigit(), f"{' '.join(words)} did not start")
        yield process, int(line)
    finally:
        end_process(process)


@contextmanager
def nginx(core: int, kind: str, backend: int = 0) -> Iterator[tuple[int, int]]:
    """An nginx on one core: pid of its worker, and its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        server = (
            _BACKEND.format(port=port, body=BODY.decode())
            if kind == "backend"
            else _PROXY.format(port=port, backend=backend, connections=CONNECTIONS)
        )
        config = Path(place, "nginx.conf")
        config.write_text(_COMMON.format(place=place, name=kind, server=server))
        process = subprocess.Popen(["taskset", "-c", str(core), NGINX, "-c", str(config), "-p", place], text=True)
        try:
            worker = 0
            while process.poll() is None and not worker:
                with socket.socket() as trial:
                    if trial.connect_ex(("127.0.0.1", port)) == 0:
                        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                        worker = int(children[0]) if children else 0
            check(bool(worker), "nginx did not start")
            yield worker, port
        finally:
            end_process(process)


def cpu_seconds(pid: int) -> float:
    """What a process has used."""
    fields = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(fields[0]) / 1e9


def end_process(process: subprocess.Popen[str]) -> None:
    """End a process that this one has started."""
    if process.stdin is not None:
        process.stdin.close()
    else:
        process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def make_key(directory: str) -> str:
    """A key that may trade, in a new list: what is shown as a bearer's."""
    made, secret = AccessKeys(Path(directory)).new("bench", ("trade",), wall_ns())
    return f"nk_{made.id}_{secret}"


def main(words: Sequence[str]) -> None:
    """See the module."""
    if words[0] == "backend":
        uvloop.run(_backend())
    else:
        uvloop.run(_gateway(int(words[1]), words[2], *map(int, words[3:])))


if __name__ == "__main__":
    main(sys.argv[1:])
