"""Python face of what decoders of logs of JSON lines share."""

class LineFault:
    """What is wrong with a line: `line` (from 1), `what`, `expected`."""

    line: int
    what: str
    expected: str

    def __init__(self, line: int, what: str, expected: str) -> None: ...
