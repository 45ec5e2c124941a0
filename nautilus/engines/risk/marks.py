"""What worths rest on: the newest quotes of instruments, how old they are, and whether they are those of a venue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from nautilus.engines.risk.tree import LimitTree
from nautilus.model.basis import Basis

SOURCE: Final = "star"


def marks_basis(tree: LimitTree, instrument_ids: Iterable[int], method: str, *, synthetic: bool = False) -> Basis:
    """Basis of what is worked out from the prices of these instruments alone; see `CheckResult`."""
    wanted = set(instrument_ids)
    times = [tree.quotes[key].now_ns for key in wanted if key in tree.quotes]
    return Basis(
        method,
        window=len(times),
        begin_ns=min(times, default=0),
        end_ns=max(times, default=0),
        source=SOURCE,
        missing=len(wanted) - len(times),
        synthetic=synthetic or bool(wanted & tree.synthetic),
    )


def with_marks(tree: LimitTree, portfolio_id: int, histories: Basis) -> Basis:
    """Basis of what is worked out from histories and from what a portfolio holds at its worth now."""
    held = {leaf.instrument_id for leaf in tree.leaves_of(portfolio_id) if leaf.position.quantity}
    return msgspec.structs.replace(
        histories,
        source=", ".join(filter(None, (histories.source, SOURCE))),
        synthetic=histories.synthetic or bool(held & tree.synthetic),
    )


__all__ = ["SOURCE", "marks_basis", "with_marks"]
