"""Which epoch the core of a data directory has, and whether another core has a higher one.

Every segment of a journal carries the epoch of the core that wrote it. `nautilus trading promote` raises it: of two
cores that began with the same commands, the one with the higher epoch is the core, and everybody refuses the other. The
file `epoch.json` beside the journal says what its segments cannot: that this directory was given an epoch that no
segment has yet, or that it lost to a higher one elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from nautilus.model.errors import InternalError

NAME = "epoch.json"


class Epoch(msgspec.Struct, frozen=True):
    """What is known of the highest epoch.

    Parameters
    ----------
    epoch
        The highest that this directory knows of; 0: only what the segments say.
    own
        Whether it was given to this directory; else another core has it, and this one's is fenced.
    by
        Who said so.
    """

    epoch: int = 0
    own: bool = True
    by: str = ""


class FencedError(InternalError):
    """Another core has a higher epoch: this directory's is not the core any more."""

    code = "internal.fenced"


def read_epoch(data: str | Path) -> Epoch:
    """What a data directory knows; `Epoch()` where nothing was noted. InternalError where the file is damaged."""
    place = Path(data, NAME)
    try:
        return msgspec.json.decode(place.read_bytes(), type=Epoch)
    except FileNotFoundError:
        return Epoch()
    except msgspec.DecodeError as error:
        raise InternalError(
            f"cannot be read: {error}", where=str(place), expected="the highest epoch that this core knows of"
        ) from None


def write_epoch(data: str | Path, epoch: Epoch) -> None:
    """Note it; on disk, whole, when this returns. A lower one than is known is not noted."""
    if epoch.epoch < read_epoch(data).epoch:
        return
    place = Path(data, NAME)
    draft = place.with_name(f"{NAME}.new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(epoch))
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, place)
    directory = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def epoch_for(data: str | Path, journal_epoch: int) -> int | None:
    """The epoch to open a journal with; None: its own.

    Raises
    ------
    FencedError
        Another core has a higher one.
    """
    known = read_epoch(data)
    if known.epoch <= journal_epoch:
        return None
    if not known.own:
        raise FencedError(
            f"the core of epoch {journal_epoch} was replaced by one of epoch {known.epoch}"
            + (f" ({known.by})" if known.by else ""),
            where=str(data),
            expected="that one to trade; `nautilus up --standby-of ADDRESS` makes this one its standby",
        )
    return known.epoch
