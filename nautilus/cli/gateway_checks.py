"""The checks of `nautilus doctor` that concern the gateway: its port and its clients, its certificate, its Redis."""

from __future__ import annotations

import datetime
import importlib
import resource
from typing import TYPE_CHECKING, Any

from nautilus.cli.checks import Check

if TYPE_CHECKING:
    from nautilus.gateway.config import GatewayConfig
    from nautilus.runtime.access_settings import AccessConfig

ENGINE = "gateway"
SPARED_FILES = 1024
"""Of those that a worker may open, for everything but clients."""
LEAST_DAYS = 14
PING_SECONDS = 1.0


def gateway() -> Check:
    """The gateway's port is free, or an instance of this user has it; its workers may hold as many clients as set."""
    from nautilus.cli.platform_checks import _is_free, _ports_of_instances
    from nautilus.engines import CATALOGUE

    config, _ = _settings()
    if not config.enabled:
        return Check("gateway", "ok", "left out (gateway.enabled = false)")
    port = CATALOGUE[ENGINE].port
    workers = f"{config.workers} worker{'s' if config.workers > 1 else ''}"
    where = f"port {port} is free"
    if not _is_free(port):
        owner = _ports_of_instances().get(port)
        if owner is None:
            advice = 'stop what has it, or set platform.ports = "free"'
            return Check("gateway", "warn", f"port {port} is in use by others; {workers}", advice)
        where = f"port {port}: instance {owner}"
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients = config.connections
    if most != resource.RLIM_INFINITY and clients + SPARED_FILES > most:
        clients = max(most - SPARED_FILES, most // 2)
        found = f"{where}; {workers} of {clients:,} clients, {config.connections:,} are set (files: {most:,})"
        return Check("gateway", "warn", found, "more gateway.workers, or a higher limit of open files (ulimit -Hn)")
    return Check("gateway", "ok", f"{where}; {workers} of {clients:,} clients")


def certificate() -> Check:
    """The files of TLS serve, and for some time yet."""
    from nautilus.model.errors import NautilusError
    from nautilus.runtime.access_settings import server_context

    _, access = _settings()
    if not access.tls:
        return Check("TLS", "ok", "not set (access.certificate): ports of this machine only")
    try:
        server_context(access)
    except NautilusError as error:
        return Check("TLS", "fail", str(error), "correct access.certificate and access.key")
    days = _days_left(access.certificate)
    if days is None:
        return Check("TLS", "ok", f"{access.certificate} serves")
    found = f"{access.certificate} serves, and ends in {days} days"
    if days < 0:
        return Check("TLS", "fail", f"{access.certificate} has ended {-days} days ago", "renew it")
    return Check("TLS", "ok", found) if days >= LEAST_DAYS else Check("TLS", "warn", found, "renew it")


def cache_server() -> Check:
    """The Redis that gateways share answers in, where there is to be one."""
    config, _ = _settings()
    if not config.cache_redis:
        return Check("gateway's Redis", "ok", "not set (gateway.cache_redis): none is needed")
    shown = config.cache_redis.rpartition("@")[2]
    from redis import Redis, RedisError

    try:
        server = Redis.from_url(config.cache_redis, socket_timeout=PING_SECONDS, socket_connect_timeout=PING_SECONDS)
        try:
            version = server.info("server")["redis_version"]
        finally:
            server.close()
    except (RedisError, ValueError, OSError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        advice = "start it, or correct gateway.cache_redis; the gateway goes on without"
        return Check("gateway's Redis", "warn", f"{shown}: {told}", advice)
    return Check("gateway's Redis", "ok", f"{shown} answers, version {version}")


def _settings() -> tuple[GatewayConfig, AccessConfig]:
    """The configuration in force, or the defaults where it is wrong: another check says so."""
    from nautilus.cli.settings import sections
    from nautilus.gateway.config import GatewayConfig
    from nautilus.runtime.access_settings import AccessConfig
    from nautilus.runtime.config import examine
    from nautilus.runtime.plain_names import PLAIN_NAMES

    resolved, _ = examine(sections(), plain=PLAIN_NAMES)
    found: dict[str, Any] = {} if resolved is None else dict(resolved.sections)
    return found.get(ENGINE, GatewayConfig()), found.get("access", AccessConfig())


def _days_left(path: str) -> int | None:
    """Until a certificate ends; None where this Python does not tell."""
    decode = getattr(importlib.import_module("_ssl"), "_test_decode_cert", None)
    if decode is None:
        return None
    import ssl

    ends = ssl.cert_time_to_seconds(decode(path)["notAfter"])
    left = datetime.datetime.fromtimestamp(ends, datetime.UTC) - datetime.datetime.now(datetime.UTC)
    return left.days


CHECKS = (gateway, certificate, cache_server)
