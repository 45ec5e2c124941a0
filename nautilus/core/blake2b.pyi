"""Python face of BLAKE2b."""

KEY_BYTES: int

def blake2b_32(data: bytes | bytearray | memoryview, key: bytes | bytearray | memoryview | None = None) -> bytes:
    """The hash of 32 bytes of a buffer, with a key of up to 64 bytes or without."""
