"""Settings of the whole test run: hypothesis profiles and seeds."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Examples are bounded so that the whole run stays within minutes; `make soak` raises the bound.
SOAK = int(os.environ.get("NAUTILUS_SEEDS", "0"))

settings.register_profile(
    "nautilus",
    deadline=None,
    max_examples=max(60, 20 * SOAK),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("nautilus")
