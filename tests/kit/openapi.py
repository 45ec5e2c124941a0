"""Drives an HTTP interface by its own OpenAPI document: what is asked is drawn from it, what is answered held to it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""Of every request."""
OWN_CHECKS = {"good": [positive_data_acceptance], "bad": [negative_data_rejection]}
PROBE = "GET /readyz"
"""Says with a 503 that the engine is not ready and why, which is its work: on a machine that stands still, say."""
MODES = {"good": GenerationMode.POSITIVE, "bad": GenerationMode.NEGATIVE}

load_all_checks()


def document_of(base_url: str) -> dict[str, Any]:
    """The OpenAPI document that is served there."""
    with urllib.request.urlopen(f"{base_url}/openapi.json") as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def operations_of(document: Mapping[str, Any]) -> list[str]:
    """``GET /path`` of every operation that a document tells of."""
    return [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]


class Explorer:
    """Asks every operation of a document, well and badly, and collects what does not hold.

    Parameters
    ----------
    base_url
        Where it is served.
    headers
        Of every request.
    without
        Operations that are left out, ``METHOD /path``.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str] | None = None,
        *,
        without: Collection[str] = (),
    ) -> None:
        self.base_url = base_url
        self.document = document_of(base_url)
        self.asked = 0
        self.statuses: dict[int, int] = {}
        self._headers = dict(headers or {})
        self._session = requests.Session()
        schema = schemathesis.openapi.from_dict(self.document)
        self._operations = {
            f"{operation.method.upper()} {operation.path}": operation
            for operation in (result.ok() for result in schema.get_all_operations())
            if f"{operation.method.upper()} {operation.path}" not in without
        }

    def close(self) -> None:
        """Let go of its connections."""
        self._session.close()

    def __iter__(self) -> Iterator[str]:
        return iter(self._operations)

    def complaints(
        self, operation: str, mode: str, examples: int, number: int = 1, *, accepted: bool = False
    ) -> list[str]:
        """What did not hold in so many requests to an operation, with the smallest request that shows it.

        With `accepted` nothing is refused that the document allows, but for names that are not there.
        """
        found: list[str] = []
        try:
            strategy = self._operations[operation].as_strategy(generation_mode=MODES[mode])
        except Exception as error:
            return [f"{operation}: {error}"]

        @seed(number)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def explore(case: Any) -> None:
            # Asked once: a 503 that passes is found, too.
            response = case.call(base_url=self.base_url, session=self._session, headers=self._headers, timeout=60)
            self.asked += 1
            self.statuses[response.status_code] = self.statuses.get(response.status_code, 0) + 1
            checks = CHECKS + (OWN_CHECKS[mode] if accepted or mode == "bad" else [])
            if operation == PROBE and response.status_code == 503 and response.json()["reasons"]:
                checks.remove(not_a_server_error)
            case.validate_response(response, checks=checks)

        try:
            explore()
        except (Exception, BaseExceptionGroup) as error:
            # What an operation cannot be asked badly (nothing of it can be wrong) hypothesis finds unsatisfiable.
            if type(error).__name__ not in ("Unsatisfiable", "Unsatisfied"):
                found.append(f"{operation} ({mode}): {error}")
        return found
