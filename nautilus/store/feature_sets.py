"""Feature sets for training: one Parquet file each, written whole or not at all, as the catalog writes its files.

::

    <directory>/<name>.parquet       instrument, time_ns, then a column for each output; null where it has no value

The file says of itself what it was made of: its metadata hold the definitions with their versions and hashes.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from nautilus.engines.features.histories import basis_of, table_of
from nautilus.maths.errors import Undefined
from nautilus.maths.indicators import Compiled, FeatureTable, wanted_outputs
from nautilus.model.features import BuildFeatureSet, FeatureSet
from nautilus.model.message import Message
from nautilus.store.catalog_log import sync_directory
from nautilus.store.catalog_part_writer import PartWriter
from nautilus.store.catalog_parts import SUFFIX, arrow
from nautilus.store.feature_rows import stored_tables

if TYPE_CHECKING:
    import pyarrow as pa

LEVEL = 3


class FeatureSetMeta(msgspec.Struct, frozen=True):
    """What a file says of itself. `versions` and `digests` by feature."""

    name: str
    source: str
    rows: int
    instruments: int
    versions: dict[str, int]
    digests: dict[str, str]
    bars: str = ""


class Part(NamedTuple):
    """Features of one instrument. Without times of its own the rows are numbered; `steps`: see `untold_steps`."""

    instrument: str
    times_ns: npt.NDArray[np.int64]
    made: Compiled
    table: FeatureTable
    steps: int


class ParquetFeatureSets(NamedTuple):
    """Writes sets into a directory, of histories that come with the request or are in a catalog."""

    directory: str
    catalog: str = ""

    @property
    def places(self) -> tuple[str, ...]:
        """Of `write_feature_set`."""
        return self.directory, self.catalog

    @property
    def write(self) -> Callable[..., Message]:
        """The job."""
        return write_feature_set


def write_feature_set(directory: str, catalog: str, message: BuildFeatureSet) -> FeatureSet:
    """Compute features and write them; a set of that name is replaced.

    Raises
    ------
    Undefined
        A history is none, or there is none at all (`empty`); nothing is written then.
    QueryError, CatalogError
        An instrument or the catalog is not there.
    ConfigError
        pyarrow is not installed.
    CatalogFullError
        There is no room for it.
    """
    parts = [*_given(message), *_stored(catalog, message)]
    if not parts:
        raise Undefined("empty", "no histories", "some that the request brings, or stored ones")
    made = parts[0].made
    places = wanted_outputs(made, message.names)
    features = [each for each in made.definitions if set(range(*made.spans[each.name])) & set(places)]
    versions = {each.name: each.version for each in features}
    digests = {each.name: made.digests[each.name] for each in features}
    columns = tuple(made.outputs[each] for each in places)
    kinds = arrow()
    schema = kinds.schema(
        [
            ("instrument", kinds.string()),
            ("time_ns", kinds.int64()),
            *((name, kinds.float64()) for name in columns),
        ]
    )
    root, path = Path(directory), f"{message.name}{SUFFIX}"
    with _alone(root), PartWriter(root, path, schema, "zstd", LEVEL) as part:
        for each in parts:
            part.write(_arrow_table(schema, each, places))
        rows, bars = part.rows, message.bars if message.stored else ""
        meta = FeatureSetMeta(message.name, str(message.source), rows, len(parts), versions, digests, bars)
        size = part.finish(meta)
    return FeatureSet(
        message.name,
        str(root / path),
        rows,
        len(parts),
        ("instrument", "time_ns", *columns),
        size,
        versions,
        digests,
        basis_of(
            [each.times_ns for each in parts],
            rows,
            f"{message.source} rows of the {'catalog' if message.stored else 'request'}",
            "catalog" if message.stored else "request",
            list(digests.values()),
            splits=any(history.splits for history in message.histories),
            steps=sum(each.steps for each in parts),
        ),
    )


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """While one process writes a set into a directory others wait: two of one name would write into one file."""
    if not root.exists():
        root.mkdir(parents=True, exist_ok=True)
        sync_directory(root.parent)
    held = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _given(message: BuildFeatureSet) -> Iterator[Part]:
    for history in message.histories:
        made, table, steps = table_of(history, str(message.source), message.names)
        rows = table.values.shape[1]
        times = np.array(history.times_ns, np.int64) if history.times_ns else np.arange(rows, dtype=np.int64)
        yield Part(history.instrument, times, made, table, steps)


def _stored(catalog: str, message: BuildFeatureSet) -> Iterator[Part]:
    if not message.stored:
        return
    for found in stored_tables(catalog, message):
        yield Part(*found)


def _arrow_table(schema: pa.Schema, part: Part, places: list[int]) -> pa.Table:
    kinds: Any = arrow()
    names = kinds.array([part.instrument] * part.times_ns.size, kinds.string())
    # Without a mask a value that is none would be a number: null says that there is none.
    values = [kinds.array(part.table.values[each], mask=~part.table.valid[each]) for each in places]
    return kinds.Table.from_arrays([names, kinds.array(part.times_ns), *values], schema=schema)


__all__ = [
    "FeatureSetMeta",
    "ParquetFeatureSets",
    "write_feature_set",
]
