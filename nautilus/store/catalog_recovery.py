"""What a writer finds when it opens a catalog: a list that is lost, files that are not on it, segments that fail."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from nautilus.store.catalog_errors import CatalogDamagedError
from nautilus.store.catalog_kinds import KINDS
from nautilus.store.catalog_log import Damage, segment_path, segments
from nautilus.store.catalog_manifest import NAME, Manifest
from nautilus.store.catalog_part_reader import opened, read_meta, unlisted
from nautilus.store.catalog_parts import PartMeta

SEGMENT: Final = "segment"
NUMBERED: Final = "numbered"
"""Greatest number that a segment had when the list was made anew."""
DAMAGED: Final = ".damaged"
ASIDE: Final = ".aside"


def check_list(root: Path) -> None:
    """Refuse to begin a list beside data that it would not have.

    Raises
    ------
    CatalogDamagedError
        The list is lost.
    """
    place = root / NAME
    if place.is_file() and place.stat().st_size:
        return
    found = next((str(file) for file, unfinished in unlisted(root, KINDS, ()) if not unfinished), "")
    if not found and (numbers := segments(root)):
        found = str(segment_path(root, numbers[0]))
    if found:
        raise _lost(root, found)


def set_aside_unlisted(root: Path, manifest: Manifest, notices: list[Damage]) -> None:
    """Take what is not on the list out of the way; only what is surely elsewhere too is deleted."""
    paths, logs = manifest.paths(), set(segments(root))
    published = manifest.number(SEGMENT)
    orphans = list(unlisted(root, KINDS, paths))
    described = {place: None if unfinished else _meta(place) for place, unfinished in orphans}
    if not paths and not published:
        # A list that has never had anything: what is here and not in the log is of another one.
        for place, meta in described.items():
            if meta is not None and meta.segment not in logs:
                raise _lost(root, str(place))
    for place, unfinished in orphans:
        meta = described[place]
        again = meta is not None and not meta.replaces and meta.segment > published and meta.segment in logs
        whole = meta is not None and bool(meta.replaces) and paths.issuperset(meta.replaces)
        if unfinished or again or whole:
            what = "a file that was never finished" if unfinished else "a file that is not on the list"
            notices.append(Damage(str(place), f"{what}, taken away: what was in it is kept elsewhere"))
            place.unlink(missing_ok=True)
        else:
            aside = put_aside(place, ASIDE)
            notices.append(Damage(str(place), f"a file that is not on the list, set aside as {aside.name}"))


def set_aside_segment(root: Path, manifest: Manifest, number: int, error: Exception) -> Damage:
    """Take a segment that cannot become files out of the way of those behind it; what is to be told."""
    with manifest.transaction():
        manifest.set_number(SEGMENT, max(number, manifest.number(SEGMENT)))
    place = segment_path(root, number)
    aside = put_aside(place, DAMAGED)
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return Damage(str(place), f"cannot become files, and is set aside as {aside.name}: {type(error).__name__}: {said}")


def put_aside(place: Path, suffix: str) -> Path:
    """Rename a file; never over one that is there."""
    aside = place.with_name(place.name + suffix)
    number = 1
    while aside.exists():
        number += 1
        aside = place.with_name(f"{place.name}{suffix}-{number}")
    with suppress(FileNotFoundError):
        os.rename(place, aside)
    return aside


def _meta(place: Path) -> PartMeta | None:
    try:
        with opened(place) as file:
            return read_meta(file)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def _lost(root: Path, found: str) -> CatalogDamagedError:
    return CatalogDamagedError(
        f"its list {NAME} is lost, and there are data: {found}",
        where=str(root),
        expected="`nautilus.store.catalog_checks.rebuild`, which makes the list anew from the files",
    )
