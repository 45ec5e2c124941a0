"""Regions of memory from the operating system, as the pools and maps of the core take them."""

from typing import TypedDict

class Region(TypedDict):
    mapped: bool
    locked_bytes: int

def probe(size: int, huge: bool = False) -> Region:
    """Map, lock and unmap a region of `size` bytes; what this machine grants."""
