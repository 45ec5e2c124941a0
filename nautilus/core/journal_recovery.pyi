from os import PathLike

from nautilus.core.journal_reader import JournalReport

def repair(path: str | bytes | PathLike[str]) -> JournalReport: ...
