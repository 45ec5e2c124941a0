"""The OpenAPI document of the gateway: its own operations, and those of every engine under the path of the proxy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from nautilus.engines import CATALOGUE
from nautilus.gateway.endpoints import BASE
from nautilus.gateway.problems import PROBLEM_SCHEMA
from nautilus.policy.keys import READ
from nautilus.runtime.http.document import PROBES, describe
from nautilus.runtime.http.problems import PROBLEM_TYPE

_REFERENCE = "#/components/schemas/"
_PROBLEM = {"$ref": f"{_REFERENCE}Problem"}
_PASSED = {
    "502": "The engine could not be reached, or its answer was no HTTP",
    "503": "The engine is not there, its breaker is open, or the gateway is under load",
    "504": "The engine did not answer in time",
}


def describe_gateway(routes: Sequence[BaseRoute], names: Iterable[str], *, sessions: bool = False) -> dict[str, Any]:
    """The OpenAPI 3.1 document.

    Parameters
    ----------
    routes
        Of the management API.
    names
        Of the engines behind the gateway; what the catalogue does not know is left out.
    sessions
        Whether a session may be begun here.
    """
    document = describe("gateway", (), sessions=sessions)
    schemas = document["components"]["schemas"]
    included = get_openapi(title="", version="", openapi_version="3.1.0", routes=list(routes))
    for path, methods in included.get("paths", {}).items():
        document["paths"][path] = methods
        for operation in methods.values():
            # What may be read may be read without a key too, unless `access.anonymous` says else.
            operation["security"] = [{}, {"token": []}] if operation["x-nautilus-scope"] == READ else [{"token": []}]
    schemas.update(included.get("components", {}).get("schemas", {}))
    inline = json.dumps(PROBLEM_SCHEMA)
    schemas["Problem"] = json.loads(inline)
    for name in names:
        if name in CATALOGUE:
            _add_engine(document, name)
    found: dict[str, Any] = json.loads(json.dumps(_shorten(document, schemas["Problem"])))
    found["components"]["schemas"]["Problem"] = json.loads(inline)
    return found


def _add_engine(document: dict[str, Any], name: str) -> None:
    """The operations of an engine, as they are asked for here."""
    kind = CATALOGUE[name].load()
    own = describe(name, kind.operations, streams=kind.streams)
    schemas = document["components"]["schemas"]
    renamed = {}
    for known, schema in own["components"]["schemas"].items():
        # Types of the vocabulary are the same everywhere; what else goes by one name is named after its engine.
        if known != "Problem" and schemas.get(known, schema) != schema:
            renamed[_REFERENCE + known] = f"{_REFERENCE}{name}_{known}"
    for known, schema in own["components"]["schemas"].items():
        if known != "Problem":
            place = renamed.get(_REFERENCE + known, _REFERENCE + known).removeprefix(_REFERENCE)
            schemas[place] = _refer(schema, renamed)
    prefix = f"{BASE.decode()}{name}"
    for path, methods in own["paths"].items():
        if path in PROBES:
            continue
        for operation in methods.values():
            operation["operationId"] = f"{name}_{operation['operationId']}"
            for code, told in _PASSED.items():
                operation["responses"][code] = {"description": told, "content": {PROBLEM_TYPE: {"schema": _PROBLEM}}}
        document["paths"][prefix + path] = _refer(methods, renamed)


def _refer(value: Any, renamed: dict[str, str]) -> Any:
    """With references to types by their new names."""
    if isinstance(value, dict):
        return {
            key: renamed.get(each, each) if key == "$ref" and isinstance(each, str) else _refer(each, renamed)
            for key, each in value.items()
        }
    return [_refer(each, renamed) for each in value] if isinstance(value, list) else value


def _shorten(value: Any, problem: dict[str, Any]) -> Any:
    """With a reference wherever the problem is written out, as it is in applications that know no such type."""
    if value == problem:
        return _PROBLEM
    if isinstance(value, dict):
        return {key: _shorten(each, problem) for key, each in value.items()}
    return [_shorten(each, problem) for each in value] if isinstance(value, list) else value


__all__ = ["describe_gateway"]
