"""How often may be sent again: see `nautilus.policy.retry.RetryBudget`."""

class Budget:
    """The common part of `nautilus.policy.retry.RetryBudget`."""

    granted: int
    refused: int
    _share: float
    _most: float
    _tokens: float

    def __init__(self, share: float, most: float, reserve: float) -> None: ...
    def deposit(self, now_ns: int = 0) -> None:
        """A request has come; one, however often it is sent."""
    def withdraw(self, now_ns: int = 0) -> bool:
        """Whether one may be sent again; if so, it is taken as sent."""
