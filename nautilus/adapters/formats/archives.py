"""Members of zip archives as texts, in blocks of whole lines and in little memory."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from nautilus.adapters.formats.blocks import BLOCK_BYTES, BlockReader
from nautilus.adapters.formats.recording import FormatError

ZIP_MAGIC = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
MOST_MEMBERS = 100_000
LARGEST_MEMBER = 1 << 40
EXPECTED_ZIP = "a whole zip archive"


def members(path: Path) -> list[str]:
    """Names of the files in an archive, in its order.

    Raises
    ------
    FormatError
        It is cut or damaged, or holds nothing, too much, or what is encrypted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise FormatError(f"the zip archive is damaged ({error})", where=str(path), expected=EXPECTED_ZIP) from error
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", where=str(path), expected="a file") from error
    if not infos:
        raise FormatError("the zip archive is empty", where=str(path), expected="files in it")
    if len(infos) > MOST_MEMBERS:
        raise FormatError(f"{len(infos)} files in the archive", where=str(path), expected=f"at most {MOST_MEMBERS}")
    for info in infos:
        if info.flag_bits & 1:
            raise FormatError("is encrypted", where=f"{path}:{info.filename}", expected="a file without password")
        if info.file_size > LARGEST_MEMBER:
            raise FormatError("is larger than 1 TiB", where=f"{path}:{info.filename}", expected="a smaller file")
    return [info.filename for info in infos]


class MemberReader(BlockReader):
    """Iterate over the blocks of a member of a zip archive; as `BlockReader`, faults are at ``path:member:line``."""

    def __init__(self, path: Path, member: str, block_bytes: int = BLOCK_BYTES) -> None:
        super().__init__(path, block_bytes)
        self.member = member

    def _texts(self) -> Iterator[bytes]:
        # Read beside the reader: an error inside of it names the place that was reached.
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                self.size = max(1, archive.getinfo(self.member).file_size)
                while piece := file.read(self._block_bytes):
                    self.position += len(piece)
                    yield piece
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, EOFError) as error:
            raise self._error(f"the compressed data is damaged ({error})", EXPECTED_ZIP) from error

    def _error(self, what: str, expected: str) -> FormatError:
        return FormatError(what, where=f"{self.path}:{self.member}:{self.lines + 1}", expected=expected)
