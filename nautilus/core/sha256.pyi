"""Python face of HMAC-SHA256."""

def hmac_sha256(key: bytes | bytearray | memoryview, data: bytes | bytearray | memoryview) -> bytes:
    """The code of 32 bytes of a buffer, with a key of any length."""
