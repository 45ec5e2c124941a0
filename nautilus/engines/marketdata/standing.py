"""How far the market is, as the hub is told."""


class MarketStatus:
    """How far the market is. Whoever plays it keeps this up to date; the hub answers from it.

    Attributes
    ----------
    name : what plays.
    begin_ns, now_ns : time of its first and of its last step.
    played_ns : all stamped before this is published; -1 where that is so of the present.
    progress : part played, 0 to 1; -1 where there is no end.
    finished, broken : it has ended; what ended it early.
    """

    def __init__(self) -> None:
        self.name = ""
        self.begin_ns = 0
        self.now_ns = 0
        self.played_ns = -1
        self.progress = -1.0
        self.finished = False
        self.broken = ""
