"""Python face of the reader of request heads."""

INCOMPLETE: int
"""The end of the head is not there yet."""
MALFORMED: int
"""No head of HTTP/1.1 as RFC 9112 has it."""
VERSION: int
"""HTTP, but neither 1.1 nor 1.0."""
TOO_LARGE: int
"""More bytes or more headers than are read."""
CODING: int
"""Its body comes in another transfer encoding than chunked."""
KEEP_ALIVE: int
CHUNKED: int
EXPECTS: int
UPGRADE: int
OLD: int
HEAD_BYTES: int
"""Largest request line and headers together."""
MOST_HEADERS: int
METHODS: dict[bytes, str]

Headers = list[tuple[bytes, bytes]]

def parse_head(data: bytes, start: int = 0) -> tuple[str, bytes, Headers, int, int, int] | int:
    """Method, target, headers (lower-case names, in order), flags, declared length of the body and where the head ends.

    An int (0: INCOMPLETE, else below 0) where there is none. Flags: KEEP_ALIVE the connection may go on, CHUNKED the
    body comes in chunks, EXPECTS its sender waits for 100, UPGRADE it asks for another protocol, OLD it is HTTP/1.0.
    """
