"""The processes that belong to the journal, made from the plan: follower, replica, standby."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import zmq

from nautilus.bus.security import Doorkeeper
from nautilus.core.counters import Counters
from nautilus.model.errors import ConfigError
from nautilus.runtime.control import Control
from nautilus.runtime.plan import Plan
from nautilus.runtime.platform import CoreConfig, JournalConfig, ReplicaConfig
from nautilus.trading import follower, shipper, standby, stream
from nautilus.trading.compaction import Rules
from nautilus.trading.epochs import read_epoch

ORDERS = "standby.n"
"""Name of the socket in the instance's directory by which a standby is told to promote."""
STREAM = "replica.n"
"""Name of the one by which a standby of the same machine may dial."""


def listen_address(plan: Plan) -> str:
    """Where standbys dial."""
    given = plan.config("replica", ReplicaConfig).listen
    return stream.check_address(given, where="replica.listen") if given else f"ipc://{plan.directory}/{STREAM}"


def run_follower(plan: Plan, name: str, control: Control) -> int:
    """Follow the journal until told to stop; the exit code."""
    config = plan.config("journal", JournalConfig)
    counters = Counters(path=plan.counters_of(name))
    source = "standby" if any(spec.kind == "standby" for spec in plan.processes) else "core"

    def written() -> int | None:
        try:
            return Counters.read(plan.counters_of(source)).get("journal.last_sequence")
        except (OSError, ValueError):
            return None

    def needed() -> dict[str, int]:
        if not any(spec.kind == "replica" for spec in plan.processes):
            return {}
        try:
            found = Counters.read(plan.counters_of("replica"))
        except (OSError, ValueError):
            return {"the standby": 1}
        return {"the standby": found.get(shipper.CORE_GAUGE, 0) + 1}

    followed = follower.Follower(
        plan.data,
        follower.Settings(
            config.snapshot_commands,
            Rules(config.compact, config.keep_snapshots, config.keep_segments, config.archive),
        ),
        counters,
        written=written,
        needed=needed,
    )
    with contextlib.closing(followed):
        return followed.run(control)


def run_replica(plan: Plan, name: str, control: Control) -> int:
    """Hand the journal to a standby until told to stop; the exit code."""
    config = plan.config("replica", ReplicaConfig)
    address = listen_address(plan)
    with contextlib.ExitStack() as undo:
        context = zmq.Context()
        undo.callback(context.destroy, 0)
        keys, doorkeeper = None, None
        if address.startswith("tcp://"):
            keys = stream.load_keys(plan.data)
            doorkeeper = Doorkeeper(context, config.allow)
        socket = stream.listen(context, address, keys)
        ship = shipper.Shipper(plan.data, plan.shared, socket, Counters(path=plan.counters_of(name)), doorkeeper)
        undo.callback(ship.close)
        announce = None
        if plan.standby_of:
            epoch = read_epoch(plan.data).epoch
            own = stream.load_keys(plan.data) if plan.standby_of.startswith("tcp://") else None
            announce = shipper.Announcer(context, plan.standby_of, own, config.core_key, lambda: epoch)
        return ship.run(control, announce)


def run_standby(plan: Plan, name: str, control: Control) -> int:
    """Keep a copy of a core's journal until told to stop, or promoted; the exit code."""
    config, core = plan.config("replica", ReplicaConfig), plan.config("core", CoreConfig)
    address = stream.check_address(plan.standby_of, where="--standby-of")
    Path(plan.data).mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = None
    if address.startswith("tcp://"):
        keys = stream.load_keys(plan.data)
        if len(config.core_key) != len(keys.public):
            raise ConfigError(
                f"replica.core_key {config.core_key!r}",
                where=address,
                expected="the public key of the core: `nautilus trading key` prints it there",
            )
    with contextlib.ExitStack() as undo:
        context = zmq.Context()
        undo.callback(context.destroy, 0)
        orders = context.socket(zmq.ROUTER)
        orders.setsockopt(zmq.LINGER, 1000)
        orders.bind(f"ipc://{plan.directory}/{ORDERS}")
        stands = standby.Standby(
            plan.data,
            standby.Settings(address, config.acknowledge, core.segment_mib << 20, core.open_orders, config.core_key),
            context,
            orders,
            Counters(path=plan.counters_of(name)),
            keys,
        )
        undo.callback(orders.close)
        undo.callback(stands.close)
        code = stands.run(control)
        if stands.promoted is not None:
            control.promoted()
            while not control.stop_requested:
                zmq.zmq_poll([(control.fileno(), zmq.POLLIN)], 50)
                control.poll()
        return code


RUNS: dict[str, Callable[[Plan, str, Control], int]] = {
    "follower": run_follower,
    "replica": run_replica,
    "standby": run_standby,
}
