"""Python face of what tables of things with names share."""

from nautilus.core.holders import Tenant

NAME_BYTES: int

class NamedTable(Tenant):
    """Any process, any thread. Base of the tables of `Breakers` and `Limiters`."""

    @property
    def capacity(self) -> int:
        """How many it has room for."""
    def names(self) -> list[str]:
        """Names of all in it, in the order they were made, by whomever."""
    def sweep(self) -> int:
        """Take back what dead processes hold; how many permits that were."""
