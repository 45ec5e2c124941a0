"""Files compared with the list, and the list made anew from the files."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from nautilus.store.catalog_instruments import StoredInstrument
from nautilus.store.catalog_kinds import KINDS, RECORD_KINDS, record_kind
from nautilus.store.catalog_lock import take_lock
from nautilus.store.catalog_log import segment_path, segments, sync_directory
from nautilus.store.catalog_log_reader import read_segment
from nautilus.store.catalog_manifest import NAME, Manifest, Part
from nautilus.store.catalog_part_reader import opened, read_meta, unlisted
from nautilus.store.catalog_parts import PartMeta
from nautilus.store.catalog_publish import LAST_SEQUENCE
from nautilus.store.catalog_recovery import ASIDE, DAMAGED, NUMBERED, SEGMENT, put_aside
from nautilus.store.catalog_upkeep import MERGE_ROWS

UNFINISHED: Final = NAME + ".unfinished"


class Finding(NamedTuple):
    """Something wrong with a file."""

    path: str
    problem: str


def verify(root: Path, manifest: Manifest) -> list[Finding]:
    """Read every listed file whole, with the checksums of its pages, and compare it with the list."""
    findings = []
    with manifest.snapshot():
        known = {each.instrument_id: each for each in manifest.instruments()}
        parts = manifest.parts()
    for part in parts:
        problem = _check(root, part, known[part.instrument])
        if problem:
            findings.append(Finding(part.path, problem))
    for place, unfinished in unlisted(root, KINDS, manifest.paths()):
        what = "never finished" if unfinished else "not on the list"
        findings.append(Finding(place.relative_to(root).as_posix(), f"{what}: the next writer takes it out of the way"))
    return findings


def _check(root: Path, part: Part, owner: StoredInstrument) -> str:
    place = root / part.path
    if not place.is_file():
        return "it is not there"
    if place.stat().st_size != part.bytes:
        return f"{place.stat().st_size} bytes instead of {part.bytes}"
    try:
        with opened(place) as file:
            meta = read_meta(file)
            if meta is None:
                return "it does not say what it is"
            if (meta.kind, meta.instrument.key, meta.day) != (part.kind, owner.key, part.day):
                return f"it says that it is {meta.kind} of {meta.instrument.key} on {meta.day}"
            rows, before = 0, None
            time = record_kind(part.kind).time if part.kind in RECORD_KINDS else meta.time
            for batch in file.iter_batches(MERGE_ROWS):
                rows += batch.num_rows
                if time and batch.num_rows:
                    times = batch.column(batch.schema.get_field_index(time)).to_numpy(zero_copy_only=False)
                    if (np.diff(times) < 0).any() or (before is not None and times[0] < before):
                        return "its rows are not in order of time"
                    before = times[-1]
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        return f"it cannot be read: {str(error).splitlines()[0]}"
    return "" if rows == part.rows else f"{rows} rows instead of {part.rows}"


def rebuild(root: Path) -> list[Finding]:
    """Make the list anew from what the files say of themselves, where it is lost or damaged; what could not be used.

    The old list stays beside it, and counts until the new one is whole; files that cannot be used are set aside. What
    is in the log still is not taken from files: the next writer publishes it. Positions of sources are not in the
    files: an import has to be told where to go on.
    """
    lock = take_lock(root)
    findings: list[Finding] = []
    try:
        parts: list[tuple[PartMeta, Part]] = []
        for place, unfinished in unlisted(root, KINDS, ()):
            path = place.relative_to(root).as_posix()
            found = None if unfinished else _described(place, path)
            if isinstance(found, tuple):
                parts.append(found)
            elif found is not None:
                findings.append(Finding(path, found))
                put_aside(place, ASIDE)
        pending = _pending(root, parts)
        published = [segment for segment in segments(root) if segment not in pending]
        numbered = max([*published, *(meta.segment for meta, _ in parts)], default=0)
        # What has a segment in the log may not be whole: that segment is done again.
        parts = [each for each in parts if each[0].replaces or each[0].segment not in pending]
        gone = {path for meta, _ in parts for path in meta.replaces}
        for name in _files(UNFINISHED):
            (root / name).unlink(missing_ok=True)
        manifest = Manifest(root, write=True, name=UNFINISHED)
        try:
            with manifest.transaction():
                for meta, part in sorted(parts, key=lambda each: each[1].first_sequence):
                    if part.path not in gone:
                        manifest.add([part._replace(instrument=manifest.know(meta.instrument).instrument_id)])
                manifest.set_number(LAST_SEQUENCE, max((part.last_sequence for _, part in parts), default=0))
                manifest.set_number(SEGMENT, min(pending) - 1 if pending else numbered)
                manifest.set_number(NUMBERED, numbered)
        finally:
            manifest.close()
        # A list of before goes whole: its journal must not be taken for one of the new list.
        for name in _files(NAME):
            with suppress(FileNotFoundError):
                os.replace(root / name, root / f"{name}{DAMAGED}")
        os.replace(root / UNFINISHED, root / NAME)
        sync_directory(root)
    finally:
        os.close(lock)
    return findings


def _files(name: str) -> tuple[str, ...]:
    return (name, name + "-wal", name + "-shm")


def _pending(root: Path, parts: list[tuple[PartMeta, Part]]) -> set[int]:
    """Segments of the log that are not known to be published whole.

    What compaction has taken was published; its rows' numbers say how far.
    """
    compacted = max((part.last_sequence for meta, part in parts if meta.replaces), default=0)
    pending = set()
    for number in segments(root):
        sequences = (batch.sequence for batch in read_segment(segment_path(root, number), []) if batch.rows)
        if next(sequences, compacted + 1) > compacted:
            pending.add(number)
    return pending


def _described(place: Path, path: str) -> tuple[PartMeta, Part] | str:
    try:
        with opened(place) as file:
            meta = read_meta(file)
            rows = file.metadata.num_rows
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        return f"it cannot be read: {str(error).splitlines()[0]}"
    if meta is None:
        return "it does not say what it is"
    ends: tuple[Any, ...] = (meta.instrument.price_increment, meta.instrument.lot_size, meta.first_day, meta.last_day)
    part = Part(
        0,
        meta.kind,
        0,
        meta.day,
        path,
        rows,
        place.stat().st_size,
        meta.first_ns,
        meta.last_ns,
        meta.first_sequence,
        meta.last_sequence,
        *ends,
    )
    return meta, part
