"""Which requests go first, how long each may take, and who is turned away when there is too much to do.

::

    critical   50 ms   orders, cancels, risk checks; shed last, and never for the sake of the others
    high      100 ms   what a person or an engine waits for: books, quotes, positions
    normal    500 ms   all else
    low     2,000 ms   reports, exports, what a machine asks for in the background

A priority may have so much of a concurrency limit: critical requests twice the limit, so that the others never keep
them out; low ones three fifths of it, so that they are the first to go.
"""

from __future__ import annotations

PRIORITIES: tuple[str, ...] = ("critical", "high", "normal", "low")
"""From first to last."""
BUDGETS_MS: dict[str, int] = {"critical": 50, "high": 100, "normal": 500, "low": 2000}
"""Within which an answer is of use."""
SHARES_PERMILLE: dict[str, int] = {"critical": 2000, "high": 1000, "normal": 800, "low": 600}
"""Of a concurrency limit."""
UNDER = 0.9
"""A time-out lies a little under its budget: the answer, too, has to be on its way by then."""


def index_of(priority: str) -> int:
    """Its place, 0 to 3; that of ``normal`` for a word that is none."""
    return PRIORITIES.index(priority) if priority in BUDGETS_MS else PRIORITIES.index("normal")


def asked_for(own: int, asked: str, *, may_rise: bool) -> int:
    """The priority of a request whose sender asks for one: lower than the operation's, or higher where it may rise.

    Raises
    ------
    KeyError
        No such priority.
    """
    text = asked.strip().lower()
    if text not in BUDGETS_MS:
        raise KeyError(text)
    wanted = PRIORITIES.index(text)
    return wanted if wanted >= own or may_rise else own


def budget_ns(priority: str, budget_ms: float = 0.0) -> int:
    """Nanoseconds that a request may take: its own budget where it has one, else that of its priority."""
    return round((budget_ms or BUDGETS_MS[priority]) * 1e6)


def time_out_ns(budget_ms: float, stretch: float = 1.0) -> int:
    """Nanoseconds after which a call is given up; `stretch`: of all budgets, on a machine that is not fit for them."""
    return round(budget_ms * UNDER * stretch * 1e6)


__all__ = [
    "BUDGETS_MS",
    "PRIORITIES",
    "SHARES_PERMILLE",
    "UNDER",
    "asked_for",
    "budget_ns",
    "index_of",
    "time_out_ns",
]
