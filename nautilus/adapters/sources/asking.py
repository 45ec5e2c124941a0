"""One question to a provider: its requests, and what is known of them together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nautilus.adapters.sources.reply import Reply
from nautilus.model.datasets import Provenance

if TYPE_CHECKING:
    from nautilus.adapters.sources.session import Session


class Asking:
    """One question: its requests, which have one time together, and what is known of them."""

    __slots__ = ("_deadline", "calls", "etag", "not_modified", "pages", "provenance", "replies", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.calls = 0
        self.replies: list[Reply] = []
        self.pages: list[Reply] = []
        self.not_modified = True
        self.etag = ""
        self.provenance = Provenance(session.name, "", 0)
        self._deadline = asyncio.get_running_loop().time() + session.config.answer_seconds

    @contextmanager
    def part(self, share: float) -> Iterator[None]:
        """Requests that have this share of the time that is left, so that there is some when they fail."""
        whole, now = self._deadline, asyncio.get_running_loop().time()
        self._deadline = now + (whole - now) * share
        try:
            yield
        finally:
            self._deadline = whole

    async def get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        secret_query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        base: str = "",
        any_status: bool = False,
        main: bool = True,
    ) -> Reply:
        """One page.

        Parameters
        ----------
        path
            Behind `base_url`, with its slash, quoted.
        query
            What may be shown.
        secret_query
            What may not: keys.
        headers
            More of them; never shown.
        base
            Instead of `base_url`.
        any_status
            Whatever it answers is right, but a limit or a failure.
        main
            Part of the answer to the question, and not of getting in.

        Raises
        ------
        SourceError
            There is no answer, or none that is right.
        """
        reply = self.session.page(base, path, query or {}) if main else None
        if reply is None:
            reply = await self.session.request(
                base, path, query or {}, secret_query or {}, headers or {}, self._deadline, any_status
            )
            self.calls += 1
        if {"etag", "last-modified"} & reply.headers.keys():
            self.replies.append(reply)  # that may be remembered
        if main:
            self.pages.append(reply)
            # The last one: what comes first tells what a series is.
            self.provenance, self.etag = reply.provenance, reply.etag
            self.not_modified = self.not_modified and reply.not_modified
        return reply
