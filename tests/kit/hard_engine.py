"""Processes of a platform whose portfolio engine is slow, and fails for some accounts."""

from __future__ import annotations

import socket

from nautilus.engines.base import Context
from nautilus.model.message import Message
from nautilus.model.queries import GetPositions
from nautilus.runtime.plan import Plan
from nautilus.runtime.process import run_process
from perf.slow_engine import SlowPortfolio

BROKEN_ACCOUNTS = 1_000_000
"""Whoever asks for the positions of one above it meets a handler that raises."""


class HardPortfolio(SlowPortfolio):
    """Slow, and broken for some."""

    def on_request(self, message: Message, ctx: Context) -> Message:
        """Answer late, or not."""
        if isinstance(message, GetPositions) and message.account_id > BROKEN_ACCOUNTS:
            raise ZeroDivisionError
        return super().on_request(message, ctx)


def run(plan: Plan, name: str, connection: socket.socket) -> int:
    """As any process of a platform."""
    if name == "portfolio":
        import nautilus.engines.portfolio as home

        home.PortfolioEngine = HardPortfolio  # type: ignore[misc]
    return run_process(plan, name, connection)
