"""Directories for instances of tests: short, as sockets need them, and gone at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nautilus.runtime.config import Configuration
from nautilus.runtime.instance import Instance
from nautilus.runtime.plan import Plan, make_plan
from nautilus.runtime.platform import CoreConfig, LoggingConfig, PlatformConfig
from perf.platform import TRADING_ALONE, WITHOUT


class Place(NamedTuple):
    """Where a test's instances live, and a name that no other test uses."""

    base: Path
    name: str

    @property
    def shared(self) -> Path:
        """Directory of the shared memory of the instance of that name."""
        return Path("/dev/shm") / f"nautilus-{os.geteuid()}" / self.name


@contextmanager
def own_place() -> Iterator[Place]:
    """A place for instances of this process."""
    base = Path(tempfile.mkdtemp(prefix="nau-"))
    place = Place(base, f"t{uuid.uuid4().hex[:10]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(base))
        patch.setenv(WITHOUT, TRADING_ALONE)
        patch.setenv("XDG_DATA_HOME", str(base / "share"))
        try:
            yield place
        finally:
            shutil.rmtree(base, ignore_errors=True)
            shutil.rmtree(place.shared, ignore_errors=True)


def configuration(**platform: Any) -> Configuration:
    """Settings of a platform, those of the section `platform` by name."""
    sections = {"platform": PlatformConfig(**platform), "core": CoreConfig(), "logging": LoggingConfig()}
    return Configuration(sections, (), (), "default")


def plan_in(instance: Instance, **options: Any) -> Plan:
    """A plan for an instance, with settings of its own where `configuration` is not among the options."""
    return make_plan(options.pop("configuration", configuration()), instance, **options)
