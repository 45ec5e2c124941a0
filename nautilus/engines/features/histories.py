"""Features of histories that a request brings: a pure job, with the checks and the provenance of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nautilus.maths.errors import Undefined
from nautilus.maths.indicators import (
    INPUTS,
    Compiled,
    FeatureTable,
    chosen,
    through_splits,
    untold_steps,
    wanted_outputs,
    whole,
)
from nautilus.model.basis import Basis
from nautilus.model.features import ComputeFeatures, FeatureColumn, FeatureColumns, FeatureHistory


class Made(NamedTuple):
    """Features of a history, and how often its price steps as through a split that it does not tell of."""

    made: Compiled
    table: FeatureTable
    steps: int


def table_of(history: FeatureHistory, source: str, names: Sequence[str]) -> Made:
    """Features of a history. Undefined says why there are none."""
    made = chosen(source, tuple(sorted(names)))
    given = {name: getattr(history, name) for name in INPUTS[source] if getattr(history, name)}
    columns = {name: np.array(values, np.float64) for name, values in given.items()}
    times = np.array(history.times_ns, np.int64) if history.times_ns else None
    splits = [(each.time_ns, each.ratio) for each in history.splits]
    if splits and times is None:
        raise Undefined("mismatch", "splits without times", "times of the rows beside them")
    if splits and times is not None:
        table = through_splits(made, columns, times, splits)
    else:
        table = whole(made, columns, times)
    return Made(made, table, untold_steps(source, columns, times, splits))


def steps_in_words(steps: int) -> str:
    """What a basis says of prices that step as through a split that nobody told of; "" of none."""
    return f", steps of the price as through a split that nobody told of: {steps}" if steps else ""


def basis_of(
    times_ns: Sequence[NDArray[np.int64]],
    rows: int,
    what: str,
    source: str,
    digests: Sequence[str],
    *,
    splits: bool = False,
    steps: int = 0,
) -> Basis:
    """What features of histories rest on. `times_ns`: of the rows of each; none where they are not known."""
    known = [each for each in times_ns if each.size]
    adjusted = ", through splits in the shares of each row" if splits else ""
    return Basis(
        method=f"features of {what}, definitions of the registry{adjusted}{steps_in_words(steps)}",
        window=rows,
        begin_ns=min((int(each[0]) for each in known), default=0),
        end_ns=max((int(each[-1]) for each in known), default=0),
        source=source,
        version=",".join(digest[:8] for digest in digests[:8]),
    )


def compute(message: ComputeFeatures) -> FeatureColumns:
    """The job of a batch request.

    Raises
    ------
    Undefined
        The history is none: see `checked_rows`.
    """
    history, source = message.history, str(message.source)
    made, table, steps = table_of(history, source, message.names)
    rows = table.values.shape[1]
    begin = max(rows - message.last, 0) if message.last else 0
    columns, undefined, digests = [], {}, []
    owners = {place: each for each in made.definitions for place in range(*made.spans[each.name])}
    for place in wanted_outputs(made, message.names):
        owner, name = owners[place], made.outputs[place]
        values, valid = table.values[place, begin:].tolist(), table.valid[place, begin:].tolist()
        columns.append(
            FeatureColumn(
                name,
                owner.name,
                owner.version,
                made.warm_up[place],
                tuple(value if there else None for value, there in zip(values, valid, strict=True)),
            )
        )
        if rows <= made.warm_up[place]:
            undefined[name] = "too_few"
        elif not table.valid[place, max(begin, made.warm_up[place]) :].all():
            undefined[name] = owner.lacks or "undefined"
        digests.append(made.digests[owner.name])
    times = np.array(history.times_ns, np.int64)
    what, listed = f"{source} rows of the request", list(dict.fromkeys(digests))
    basis = basis_of([times], rows, what, "request", listed, splits=bool(history.splits), steps=steps)
    return FeatureColumns(history.instrument, history.times_ns[begin:], tuple(columns), undefined, basis)


__all__ = ["Made", "basis_of", "compute", "steps_in_words", "table_of"]
