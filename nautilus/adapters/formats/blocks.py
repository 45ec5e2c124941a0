"""Text files in blocks of whole lines, gzip-compressed or plain, in little memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from nautilus.adapters.formats.recording import FormatError

GZIP_MAGIC = b"\x1f\x8b"
BLOCK_BYTES = 1 << 18  # of text: measured fastest, and small beside a processor's cache
READ_BYTES = 1 << 15  # of the file
LONGEST_LINE = 1 << 24
LINE_END = 10


class BlockReader:
    """Iterate over the blocks of a file; each is whole lines, the last may lack its line end.

    Parameters
    ----------
    path
        A text file; gzip is told by its first bytes, not by its name. Several gzip members in a row are one text.
    block_bytes
        About how much text a block holds.

    Raises
    ------
    FormatError
        While iterating, after all whole lines before the fault have been given: the file cannot be read, its
        compressed data is cut or damaged, or a line is longer than 16 MiB.
    """

    def __init__(self, path: Path, block_bytes: int = BLOCK_BYTES) -> None:
        self.path = path
        self.size = 0
        self.position = 0
        self.lines = 0
        self._block_bytes = block_bytes

    @property
    def progress(self) -> float:
        """Part of the stored bytes that was read, 0 to 1."""
        return self.position / self.size if self.size else 0.0

    def __iter__(self) -> Iterator[bytes]:
        pending = b""
        try:
            for text in self._texts():
                end = text.rfind(b"\n") + 1
                if end:
                    block = pending + text[:end] if pending else text[:end]
                    pending = text[end:]
                    yield block
                    self.lines += int(np.count_nonzero(np.frombuffer(block, np.uint8) == LINE_END))
                else:
                    pending += text
                    if len(pending) > LONGEST_LINE:
                        raise self._error(f"a line longer than {LONGEST_LINE >> 20} MiB", "a text file of short lines")
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror}", where=str(self.path), expected="a file") from error
        if pending:
            yield pending

    def _texts(self) -> Iterator[bytes]:
        """The text, decompressed, in pieces of at most a block."""
        with self.path.open("rb") as file:
            self.size = self.path.stat().st_size
            piece = file.read(READ_BYTES)
            if piece[:2] == GZIP_MAGIC:
                yield from self._decompressed(file.read, piece)
                return
            while piece:
                self.position += len(piece)
                yield piece
                piece = file.read(self._block_bytes)

    def _decompressed(self, read: Callable[[int], bytes], piece: bytes) -> Iterator[bytes]:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        gathered: list[bytes] = []
        size = 0
        fault = ""
        while piece:
            self.position += len(piece)
            while piece:
                try:
                    text = stream.decompress(piece, self._block_bytes)
                except zlib.error as error:
                    fault = f"the compressed data is damaged ({error})"
                    break
                piece = stream.unconsumed_tail
                if stream.eof:
                    # Another member may follow; zeros after the last one are padding.
                    piece = stream.unused_data.lstrip(b"\0")
                    if piece:
                        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
                gathered.append(text)
                size += len(text)
                if size >= self._block_bytes:
                    yield b"".join(gathered)
                    gathered.clear()
                    size = 0
            if fault:
                break
            piece = read(READ_BYTES)
            if piece and stream.eof:
                piece = piece.lstrip(b"\0")
                if piece:
                    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        if not fault and not stream.eof:
            fault = "the compressed data ends too early, the file is cut"
        yield b"".join(gathered)
        if fault:
            # The caller's piece of a line is dropped with this: it may be cut.
            raise self._error(fault, "a whole gzip file")

    def _error(self, what: str, expected: str) -> FormatError:
        return FormatError(what, where=f"{self.path}:{self.lines + 1}", expected=expected)


class ByteReader(BlockReader):
    """Iterate over the bytes of a binary file, gzip-compressed or plain, in pieces; errors as of `BlockReader`."""

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from (piece for piece in self._texts() if piece)
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror}", where=str(self.path), expected="a file") from error

    def _error(self, what: str, expected: str) -> FormatError:
        return FormatError(what, where=str(self.path), expected=expected)
