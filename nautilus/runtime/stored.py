"""Ranges of a catalog as recordings."""

from __future__ import annotations

from pathlib import Path

KINDS = ("quote", "trade", "book")


def is_catalog(path: str | Path) -> bool:
    """Whether a directory is that of a catalog."""
    return any(Path(path, kind).is_dir() for kind in KINDS)
