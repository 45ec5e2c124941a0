"""The first part of `nautilus up --standby-of`: a standby alone, until it is promoted or stopped."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nautilus.cli.live_run import LiveOptions
    from nautilus.runtime.detach import Detached
    from nautilus.runtime.instance import Instance


class NotPromotedError(Exception):
    """The standby was stopped before it became the core."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("stopped as a standby")
        self.exit_code = exit_code


def stand_by(options: LiveOptions, instance: Instance, line: Detached | None) -> bool:
    """Return once this instance is to be the core: at once where its data were promoted before.

    The result is whether whoever waits on `line` was told that it is up: a standby is, before it is the core.

    Raises
    ------
    NotPromotedError
        It was stopped as a standby.
    """
    from nautilus.runtime.instance import command
    from nautilus.runtime.plan import make_plan
    from nautilus.runtime.supervisor import Supervisor
    from nautilus.trading.epochs import read_epoch

    quiet = options.as_json or line is not None
    known = read_epoch(instance.data)
    if known.own and known.epoch:
        # A service is started again as it was first: its core stays the core until another one has a higher epoch.
        if not quiet:
            print(f"this instance was promoted before (epoch {known.epoch}): it starts as the core", file=sys.stderr)
        return False
    plan = make_plan(options.configuration, instance, market="none", standby_of=options.standby_of)
    supervisor = Supervisor(instance, plan)
    try:
        if not supervisor.start():
            raise KeyboardInterrupt
        if line is not None:
            line.redirect(instance.data / "logs" / "supervisor.out")
            line.ready()
        elif not quiet:
            advice = command("trading promote", instance.name)
            print(f"standby of {options.standby_of}; {advice} makes it the core", file=sys.stderr)
        supervisor.run(lambda: supervisor.promoted, for_seconds=options.for_seconds)
    finally:
        code = supervisor.stop()
    if not supervisor.promoted:
        raise NotPromotedError(code)
    if not quiet:
        print("promoted: the core starts", file=sys.stderr)
    return True
