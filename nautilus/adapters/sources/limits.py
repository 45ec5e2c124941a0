"""What a provider allows: requests a second, a minute and a day, and when it said to wait."""

from __future__ import annotations

from nautilus.adapters.sources.config import SourceConfig


class SourceLimits:
    """Limits of one provider. `take` before each request; its answer is how long to wait."""

    def __init__(self, name: str, config: SourceConfig) -> None:
        self.name = name
        self.config = config
        self.reason = ""
        self._blocked_ns = 0

    def take(self, now_ns: int) -> int:
        """One request: 0, it may leave now and is counted; else the nanoseconds until it is worth asking again."""
        return max(0, self._blocked_ns - now_ns)

    def wait_ns(self, now_ns: int) -> int:
        """Nanoseconds until one may leave; 0: now. Takes nothing."""
        return max(0, self._blocked_ns - now_ns)

    def block(self, until_ns: int) -> None:
        """The provider said to wait until then; all processes do."""
        self._blocked_ns = max(self._blocked_ns, until_ns)

    def day_left(self, now_ns: int) -> int:
        """Requests left of the provider's day; -1: it has no limit."""
        return self.config.per_day or -1


__all__ = ["SourceLimits"]
