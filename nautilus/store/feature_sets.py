"""Feature sets for training: one Parquet file each, written whole or not at all, as the catalog writes its files.

::

    <place>/<name>.parquet       instrument, time_ns, then a column for each output; null where it has no value

The file says of itself what it was made of: its metadata hold the definitions with their versions and hashes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from nautilus.engines.features.histories import basis_of, table_of
from nautilus.maths.indicators import Compiled, FeatureTable, wanted_outputs
from nautilus.model.errors import ConfigError
from nautilus.model.features import BuildFeatureSet, FeatureHistory, FeatureSet
from nautilus.model.message import Message
from nautilus.store.catalog_part_writer import PartWriter
from nautilus.store.catalog_parts import SUFFIX, arrow

LEVEL = 3


class FeatureSetMeta(msgspec.Struct, frozen=True):
    """What a file says of itself. `versions` and `digests` by feature."""

    name: str
    source: str
    rows: int
    instruments: int
    versions: dict[str, int]
    digests: dict[str, str]
    synthetic: bool = False


class ParquetFeatureSets(NamedTuple):
    """Writes sets into a directory; see `nautilus.engines.base.FeatureSets`."""

    place: str

    @property
    def write(self) -> Callable[..., Message]:
        """The job."""
        return write_feature_set


class NoFeatureSets(NamedTuple):
    """Where nothing is to be written: a run in virtual time."""

    place: str = ""

    @property
    def write(self) -> Callable[..., Message]:
        """A job that refuses."""
        return refuse_feature_set


def refuse_feature_set(place: str, message: BuildFeatureSet) -> FeatureSet:
    """ConfigError: no set is written here."""
    raise ConfigError(
        f"set {message.name!r}", where="features", expected="a live platform, which has a directory for it"
    )


def write_feature_set(place: str, message: BuildFeatureSet) -> FeatureSet:
    """Compute the features of histories and write them; a set of that name is replaced.

    Raises
    ------
    Undefined
        A history is none; nothing is written then.
    ConfigError
        pyarrow is not installed.
    CatalogFullError
        There is no room for it.
    """
    source = str(message.source)
    tables: list[tuple[FeatureHistory, Compiled, FeatureTable]] = []
    for history in message.histories:
        made, table = table_of(history, source, message.names)
        tables.append((history, made, table))
    made = tables[0][1]
    places = wanted_outputs(made, message.names)
    features = [each for each in made.definitions if set(range(*made.spans[each.name])) & set(places)]
    versions = {each.name: each.version for each in features}
    digests = {each.name: made.digests[each.name] for each in features}
    columns = tuple(made.outputs[each] for each in places)
    pa = arrow()
    schema = pa.schema(
        [("instrument", pa.string()), ("time_ns", pa.int64()), *((name, pa.float64()) for name in columns)]
    )
    rows = 0
    root, path = Path(place), f"{message.name}{SUFFIX}"
    with PartWriter(root, path, schema, "zstd", LEVEL) as part:
        for history, _, table in tables:
            batch = _rows(pa, schema, history, table, places)
            part.write(batch)
            rows += len(batch)
        meta = FeatureSetMeta(message.name, source, rows, len(tables), versions, digests)
        size = part.finish(meta)
    return FeatureSet(
        message.name,
        str(root / path),
        rows,
        len(tables),
        ("instrument", "time_ns", *columns),
        size,
        versions,
        digests,
        basis_of([history for history, _, _ in tables], rows, source, list(digests.values())),
    )


def _rows(pa: Any, schema: Any, history: FeatureHistory, table: FeatureTable, places: list[int]) -> Any:
    count = table.values.shape[1]
    times = np.array(history.times_ns, np.int64) if history.times_ns else np.arange(count, dtype=np.int64)
    arrays = [pa.array([history.instrument] * count, pa.string()), pa.array(times)]
    # Without a mask a value that is none would be a number: null says that there is none.
    arrays += [pa.array(table.values[each], mask=~table.valid[each]) for each in places]
    return pa.Table.from_arrays(arrays, schema=schema)


__all__ = ["FeatureSetMeta", "NoFeatureSets", "ParquetFeatureSets", "refuse_feature_set", "write_feature_set"]
