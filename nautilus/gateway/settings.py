"""What of the gateway's configuration changes at run time: one place for all workers, read by them without a lock.

::

    <shared>/gateway.settings   mapped by every worker: revision, whether hybrid routing is on, the strategy
    <shared>/gateway.changes    the changes with who made them and when (JSON, replaced whole), the truth of the two
    <shared>/gateway.changing   locked by the one who changes

A change is in force in every worker before it is answered, as all of them read the same bytes for each decision. It
lasts over a restart of workers and of their lead, until the instance ends: then the configuration file counts again.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.schemas import HybridConfig, SettingOfGateway
from nautilus.policy.routing import StrategyName
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.files import FileLock, write_atomically
from nautilus.runtime.http.problems import RETRY, HttpError
from nautilus.runtime.plain_names import variable_of

STRATEGIES: tuple[StrategyName, ...] = get_args(StrategyName)
CHANGEABLE = ("hybrid_routing_enabled", "default_strategy")
WAIT_SECONDS = 2.0
_SECTION = "gateway"
_SIZE = 64
_REVISION = struct.Struct("<Q")
_ENABLED, _STRATEGY, _MADE = 8, 9, 10


class Change(msgspec.Struct, frozen=True):
    """One setting as it was changed.

    Parameters
    ----------
    value
        In force since.
    by
        Who did it.
    at_ns
        When, in nanoseconds since the epoch.
    """

    value: Any
    by: str
    at_ns: int


class Changes(msgspec.Struct, frozen=True):
    """All changes since the instance began: how many, and the last one of each setting."""

    revision: int = 0
    changed: dict[str, Change] = {}


class SharedSettings:
    """The settings as every process of the gateway sees them.

    Parameters
    ----------
    shared
        Directory of the instance's shared memory.
    config
        The section ``gateway`` of the plan.
    origins
        Where its values come from, by key; those that are left out are defaults.
    """

    def __init__(self, shared: str, config: GatewayConfig, origins: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._origins = dict(origins or {})
        self._changes_path = Path(shared, "gateway.changes")
        self._lock_path = Path(shared, "gateway.changing")
        descriptor = os.open(Path(shared, "gateway.settings"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
            self._bytes = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._renew(WAIT_SECONDS)

    @property
    def enabled(self) -> bool:
        """Whether requests are routed, now."""
        return self._bytes[_ENABLED] != 0

    @property
    def strategy(self) -> StrategyName:
        """Of engines in no category, now."""
        return STRATEGIES[self._bytes[_STRATEGY]]

    @property
    def revision(self) -> int:
        """How many changes there were."""
        return int(_REVISION.unpack_from(self._bytes)[0])

    def current(self) -> HybridConfig:
        """All settings with their origins."""
        changes = self._changes()
        if changes.revision != self.revision:
            self._renew(0.0)  # who made the last change died between writing it down and putting it in force
        values = msgspec.to_builtins(self._config) | {key: each.value for key, each in changes.changed.items()}
        scheme, _, _ = values["cache_redis"].partition("://")
        _, user, place = values["cache_redis"].rpartition("@")
        if user:
            values["cache_redis"] = f"{scheme}://***@{place}"  # who may read this may not know its password
        for rules in values["headers"].values():
            rules["add_request"] = dict.fromkeys(rules["add_request"], "***")  # likewise: an engine's own key, say
        return HybridConfig(
            hybrid_routing_enabled=values["hybrid_routing_enabled"],
            default_strategy=values["default_strategy"],
            revision=changes.revision,
            settings={
                key: SettingOfGateway(
                    value=value,
                    origin=self._origin(key, changes),
                    variable=variable_of(_SECTION, key),
                    changeable=key in CHANGEABLE,
                )
                for key, value in values.items()
            },
        )

    async def change(self, changes: Mapping[str, Any], by: str) -> HybridConfig:
        """Put changes in force in every process; HttpError 503 where somebody else holds the lock for too long."""
        await asyncio.get_running_loop().run_in_executor(None, self.apply, changes, by)
        return self.current()

    def apply(self, changes: Mapping[str, Any], by: str) -> int:
        """As `change`, waiting for the lock in this thread; the revision."""
        lock = FileLock.take(self._lock_path, wait_seconds=WAIT_SECONDS)
        if lock is None:
            raise HttpError(503, "gateway.busy", "another change is being made", where="config", headers=RETRY)
        try:
            before, at_ns = self._changes(), wall_ns()
            changed = before.changed | {key: Change(value, by, at_ns) for key, value in changes.items()}
            after = Changes(before.revision + 1, changed)
            write_atomically(self._changes_path, msgspec.json.encode(after))
            self._store(after)
            return after.revision
        finally:
            lock.release()

    def close(self) -> None:
        """Let go of the shared bytes."""
        self._bytes.close()

    def _changes(self) -> Changes:
        try:
            return msgspec.json.decode(self._changes_path.read_bytes(), type=Changes)
        except FileNotFoundError:
            return Changes()

    def _renew(self, wait_seconds: float) -> None:
        """Put in force what is written down; nobody else may be about to do so with something newer."""
        lock = FileLock.take(self._lock_path, wait_seconds=wait_seconds)
        if lock is not None or not self._bytes[_MADE]:
            self._store(self._changes())
        if lock is not None:
            lock.release()

    def _store(self, changes: Changes) -> None:
        def value(key: str) -> Any:
            return changes.changed[key].value if key in changes.changed else getattr(self._config, key)

        self._bytes[_ENABLED] = bool(value("hybrid_routing_enabled"))
        self._bytes[_STRATEGY] = STRATEGIES.index(value("default_strategy"))
        _REVISION.pack_into(self._bytes, 0, changes.revision)
        self._bytes[_MADE] = 1

    def _origin(self, key: str, changes: Changes) -> str:
        if key in changes.changed:
            return f"PUT /config by {changes.changed[key].by}"
        return self._origins.get(key, "default")


__all__ = ["CHANGEABLE", "STRATEGIES", "Change", "Changes", "SharedSettings"]
