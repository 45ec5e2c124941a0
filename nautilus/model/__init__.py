"""The vocabulary: every word on the wire, defined once.

Packed numpy records (`nautilus.core.types`) carry facts on the star; frozen msgspec structs carry decisions on the
mesh. Prices are counts of an instrument's price increment, quantities are lots, money is a count of the smallest
unit of the quote currency, time is nanoseconds since the epoch; decimals become integers at `Instrument`, nowhere else.
"""

from nautilus.model.errors import BusError, ConfigError, InternalError, ModelError, NautilusError, VenueError
from nautilus.model.instrument import Instrument

__all__ = ["BusError", "ConfigError", "Instrument", "InternalError", "ModelError", "NautilusError", "VenueError"]
