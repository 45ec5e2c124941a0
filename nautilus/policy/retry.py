"""What may be sent twice, and how much of it.

Reads may: again after a failure, or to a second instance while the first is silent, each within a `RetryBudget`. What
is declared idempotent may be sent again, once it is known that the first one failed. All else, and every order whatever
it is declared as, is sent once: its outcome is unknown until somebody has asked for it.
"""

from __future__ import annotations

from nautilus.core.budget import Budget

READS = ("GET", "HEAD", "OPTIONS")
ORDER_PATHS = ("/orders", "/kill-switch")
"""First parts of paths under which anything but a read is an order."""


def is_order(method: str, path: str) -> bool:
    """Whether a request changes what is at the market."""
    return method not in READS and any(path == each or path.startswith(f"{each}/") for each in ORDER_PATHS)


def may_repeat(method: str, path: str, idempotent: bool = False) -> bool:
    """Whether a request may be sent again after it has failed."""
    return method in READS or (idempotent and not is_order(method, path))


def may_hedge(method: str, path: str) -> bool:
    """Whether a request may be under way twice at once: a read alone may."""
    return method in READS and not is_order(method, path)


class RetryBudget(Budget):
    """How often may be sent again: a bucket into which each request puts a part of a token, and each repeat takes one.

    With everything failing, what is sent stays under ``1 + share`` times what was asked for, but for the reserve.

    Parameters
    ----------
    share
        Of a token, that each request puts in.
    most
        Tokens that the bucket holds: repeats in a row after a time without any.
    reserve
        Tokens at the beginning, for the first requests of all.
    """

    __slots__ = ()

    def __init__(self, share: float = 0.2, most: float = 50.0, reserve: float = 0.0) -> None:
        if not (0 <= share <= 1 and most >= 1 and 0 <= reserve <= most):
            raise ValueError(f"RetryBudget: share {share}, most {most}, reserve {reserve}; expected 0 to 1, 1 or more, "
                             "0 to `most`")  # fmt: skip
        super().__init__(share, most, reserve)


__all__ = ["ORDER_PATHS", "READS", "RetryBudget", "is_order", "may_hedge", "may_repeat"]
