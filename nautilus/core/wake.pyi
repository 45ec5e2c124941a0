"""How a thread waits, chosen once: for readers of rings and for hosts that wait for descriptors."""

from nautilus.core.affinity import Grant

POLICIES: tuple[str, ...]
SPIN_NS: int

class Waiting:
    """Any thread. One of four ways to wait: "block", "hold-awake", "spin-then-block", "spin"."""

    def __init__(self, policy: str = "block", *, spin_ns: int = ...) -> None: ...
    @property
    def policy(self) -> str: ...
    @property
    def spin_ns(self) -> int: ...
    @property
    def grant(self) -> Grant | None: ...
    def readable(self, descriptor: int, timeout_ns: int) -> bool:
        """Wait until a descriptor can be read; False: not within the time."""
    def close(self) -> None:
        """Let the cores sleep again, where they were held awake."""
