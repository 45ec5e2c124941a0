from typing import NamedTuple

class JournalError(ValueError):
    code: str
    def __init__(self, message: str, code: str) -> None: ...

class JournalDamage(NamedTuple):
    segment: str
    offset: int
    what: str
    expected: str
    found: str
