"""Bodies in chunks (RFC 9112 7.1), strictly read."""

TOO_LARGE: int
MALFORMED: int
ERRORS: dict[int, str]
"""What is wrong with a body, by the code that `ChunkReader.feed` gives."""

class ChunkReader:
    """Takes a body out of its chunks.

    Attributes
    ----------
    done : the last chunk and the trailers have come.
    rest : bytes of the last `feed` behind the end.
    """

    done: bool
    rest: int

    def feed(self, data: bytes) -> bytes | int:
        """What of the body is in `data` (perhaps nothing); an int: a key of `ERRORS`. Trailers are thrown away."""
