"""Heads of HTTP/1.1 messages as a proxy sees them: read strictly, rewritten in one pass."""

from collections.abc import Sequence

NO_BODY: int
"""The answer has no body, whatever its fields say."""
LENGTH: int
"""The body has `AnswerHead.length` bytes."""
CHUNKED: int
"""The body comes in chunks."""
NO_LENGTH: int
"""Of a request: it has no body. -2 stands for one in chunks."""
IN_CHUNKS: int
HEAD_BYTES: int
"""Largest head of an answer that is read."""
HEAD_FIELDS: int
"""Most fields of an answer."""
ERRORS: dict[int, str]
"""What is wrong with an answer, by the code that `read_answer` gives."""

class AnswerHead:
    """The head of an answer. Made by `read_answer`.

    Attributes
    ----------
    status : 100 to 599.
    body : `NO_BODY`, `LENGTH` or `CHUNKED`.
    length : bytes of the body; 0 unless `LENGTH`.
    size : bytes of the head itself.
    keep_alive : the sender lets the connection stay.
    lines : status line and fields that are meant for the client, each with its line end, without the empty line.
    """

    status: int
    body: int
    length: int
    size: int
    keep_alive: bool
    lines: bytes

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Names, in lower case, and values of what is in `lines`, in order."""
    def field(self, name: bytes) -> bytes:
        """The first value of a field (lower-case name) in `lines`; empty where there is none."""

def read_answer(data: bytes, head_only: bool = False, drop: Sequence[bytes] = ()) -> AnswerHead | int | None:
    """The head at the beginning of `data`; None: not all of it is there yet; an int: a key of `ERRORS`.

    Refused: what RFC 9112 does not allow, two lengths, a length beside chunks, an answer that ends with its connection.

    Parameters
    ----------
    head_only
        It answers HEAD: there is no body, whatever the fields say.
    drop
        Lower-case names of fields that the client is not to see, beside those of the connection (RFC 9110 7.6.1).
    """

def client_head(head: AnswerHead, add: bytes, own_us: int, upstream_us: int, close: bool) -> bytes:
    """The head for the client: `lines`, the lines `add`, Server-Timing, perhaps Connection: close, an empty line.

    Parameters
    ----------
    own_us, upstream_us
        Microseconds spent here, and waiting for the upstream; below zero: nothing is said.
    """

def upstream_head(
    start: bytes,
    fields: Sequence[tuple[bytes, bytes]],
    add: bytes,
    length: int,
    drop: Sequence[bytes] = (),
    upgrade: bool = False,
) -> bytes:
    """The head for the upstream.

    Parameters
    ----------
    start
        Request line with its line end.
    fields
        As the client sent them, names in lower case. What belongs to its connection, what names it or the way it came,
        and its credentials are left out.
    add
        Whole lines.
    length
        Of the body; `NO_LENGTH`: there is none, `IN_CHUNKS`: it comes in chunks.
    drop
        More names, in lower case.
    upgrade
        It asks for another protocol: Connection and Upgrade are said.
    """

def request_facts(fields: Sequence[tuple[bytes, bytes]]) -> tuple[int, bytes, bytes, bytes, bool]:
    """What a proxy must know of a request whose head was found right.

    Length of its body (`NO_LENGTH`, `IN_CHUNKS`), its traceparent where that is one (else empty), Host,
    Nautilus-Priority, and whether it asks for a WebSocket.
    """

def shown_by(fields: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes | None] | None:
    """Host and Authorization (None: there is none) of a request that says nothing else of who it is; None: it does."""

def new_trace() -> bytes:
    """A traceparent for a request that brought none. Differs from every other; no secret."""

def seed_traces() -> None:
    """Begin anew with what the system calls random. A fork does so by itself."""
