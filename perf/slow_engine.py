"""Processes of a platform of which one engine's handler takes its time: what an overload is made of."""

from __future__ import annotations

import socket
import time

from nautilus.engines.base import Context, Work
from nautilus.engines.portfolio import PortfolioEngine
from nautilus.model.message import Message
from nautilus.runtime.plan import Plan
from nautilus.runtime.process import run_process

SERVICE_SECONDS = 0.005


class SlowPortfolio(PortfolioEngine):
    """Each request takes `SERVICE_SECONDS`, one after the other, as a model that computes does."""

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """Answer, late."""
        time.sleep(SERVICE_SECONDS)
        return super().on_request(message, ctx)


def run(plan: Plan, name: str, connection: socket.socket) -> int:
    """As any process of a platform."""
    if name == "portfolio":
        import nautilus.engines.portfolio as home

        home.PortfolioEngine = SlowPortfolio  # type: ignore[misc]
    return run_process(plan, name, connection)
