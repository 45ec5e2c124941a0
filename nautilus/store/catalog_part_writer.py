"""One Parquet file of a catalog, written whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nautilus.store.catalog_log import no_room, sync_directory
from nautilus.store.catalog_parts import META, ROW_GROUP, UNFINISHED, arrow

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


class PartWriter:
    """One Parquet file, published by `finish`: whole under its name, or not there.

    ::

        with PartWriter(root, path, schema, meta_of, compression) as part:
            part.write(table)
            size = part.finish(meta)
    """

    def __init__(self, root: Path, path: str, schema: pa.Schema, compression: str, level: int | None) -> None:
        self._pa = arrow()
        self._final = root / path
        self._place = self._final.with_name(self._final.name + UNFINISHED)
        self.rows = 0
        made = []
        for parent in (self._final.parent, *self._final.parent.parents):
            if parent.exists():
                break
            made.append(parent)
        try:
            self._final.parent.mkdir(parents=True, exist_ok=True)
            for parent in made:
                sync_directory(parent.parent)
            self._file = open(self._place, "wb")  # noqa: SIM115
        except OSError as error:
            raise no_room(error, self._final) from None
        names = [field.name for field in schema]
        # Of wide integers neighbours differ little; what is narrow has few values, which are worth a dictionary.
        wide = [name for name in names if _is_wide(schema.field(name).type)]
        dictionary = [name for name in names if name not in wide]
        encodings = dict.fromkeys(wide, "DELTA_BINARY_PACKED")
        self._sink: pq.ParquetWriter | None = self._pa.parquet.ParquetWriter(
            self._pa.PythonFile(self._file, mode="w"),
            schema,
            compression=compression,
            compression_level=level if compression == "zstd" else None,
            use_dictionary=dictionary,
            column_encoding=encodings or None,
            write_statistics=True,
            write_page_index=True,
            write_page_checksum=True,
        )

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.abandon()

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        assert self._sink is not None
        try:
            self._sink.write_table(table, row_group_size=ROW_GROUP)
        except OSError as error:
            raise no_room(error, self._final) from None
        self.rows += len(table)

    def finish(self, meta: msgspec.Struct) -> int:
        """Make it durable and give it its name; its size in bytes."""
        assert self._sink is not None
        try:
            self._sink.add_key_value_metadata({META: msgspec.json.encode(meta)})
            self._sink.close()
            self._sink = None
            self._file.flush()
            os.fsync(self._file.fileno())
            size = os.fstat(self._file.fileno()).st_size
            self._file.close()
            os.replace(self._place, self._final)
            sync_directory(self._final.parent)
        except OSError as error:
            raise no_room(error, self._final) from None
        return size

    def abandon(self) -> None:
        """Take away what is not finished."""
        if self._sink is not None:
            with suppress(OSError):
                self._sink.close()
            self._sink = None
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._place.unlink()


def _is_wide(kind: pa.DataType) -> bool:
    return bool(arrow().types.is_integer(kind) and kind.bit_width >= 32)
