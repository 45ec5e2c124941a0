"""An answer that is a document for people, whole, as it is to be shown."""

from __future__ import annotations

from typing import Final

from nautilus.model.message import Message

HTML: Final = "text/html; charset=utf-8"


class Document(Message, frozen=True):
    """Over HTTP the text is the body of the answer, with its content type; it stands alone, and runs no script."""

    text: str
    content_type: str = HTML


MESSAGES: Final[tuple[type[Message], ...]] = (Document,)

__all__ = ["HTML", "MESSAGES", "Document"]
