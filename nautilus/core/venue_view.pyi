"""What a kernel knows of external venues."""

from typing import NamedTuple

from nautilus.core.kernel import Kernel

class ExternalVenue(NamedTuple):
    """One venue."""

    venue_id: int
    instrument_id: int
    open_accounts: int

def venue_of(kernel: Kernel, instrument_id: int) -> int:
    """The venue of an instrument; 0: the internal one, or no instrument of that id."""

def external_venues(kernel: Kernel) -> list[ExternalVenue]:
    """The external venues that a kernel has instruments of, by id; while it runs, too."""
