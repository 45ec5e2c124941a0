"""Growth of a kernel's pools."""

from typing import NamedTuple

from nautilus.core.kernel import Kernel

class PoolFacts(NamedTuple):
    """One pool: records it can hold and holds, committed beforehand, taken before they were, refused; bytes locked."""

    name: str
    capacity: int
    used: int
    ready: int
    late: int
    full: int
    locked_bytes: int

def grow(kernel: Kernel, orders: int, *, lock: bool = False, node: int = -1) -> None:
    """Let the pools of a kernel grow beforehand; once, before another thread runs it. OSError, ValueError."""

def pools_of(kernel: Kernel) -> list[PoolFacts]:
    """How the pools of a kernel are; also while it runs in another thread."""
