"""Python face of what regions with holders share."""

class Tenant:
    """Base of what takes permits of a shared region."""

    def holders_alive(self) -> list[int]:
        """Pids with a place in the table, in order of the places."""
