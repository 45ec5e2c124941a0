"""Settings of the whole test run: hypothesis profiles, seeds, names of parametrized tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Examples are bounded so that the whole run stays within minutes; `make soak` raises the bound.
SOAK = int(os.environ.get("NAUTILUS_SEEDS", "0"))

settings.register_profile(
    "nautilus",
    deadline=None,
    max_examples=max(40, 20 * SOAK),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("nautilus")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name a binary or long parameter by its argument: parallel workers must agree, and a person can read it.

    (A compressed text holds the time at which it was made, so its bytes differ from worker to worker.)
    """
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable() and len(val) <= 60):
        return argname
    return None
