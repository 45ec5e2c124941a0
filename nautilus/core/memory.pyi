"""Regions of memory from the operating system, as the pools and maps of the core take them."""

from typing import TypedDict

class Region(TypedDict):
    mapped: bool
    locked_bytes: int
    committed_bytes: int
    huge_bytes: int
    bind_error: int
    nodes: int

def probe(size: int, huge: bool = False, prefault: bool = False, node: int = -1) -> Region:
    """Map, bind, lock, commit and unmap a region of `size` bytes; what this machine grants."""
