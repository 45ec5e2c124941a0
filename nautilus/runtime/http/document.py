"""The description of an engine's HTTP interface: `openapi.json`, and a page for people that stands by itself."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import msgspec

from nautilus import __version__
from nautilus.engines.base import Operation, Stream
from nautilus.model.document import HTML, Document
from nautilus.policy.keys import READ, TRADE
from nautilus.runtime.http.access import READ_METHODS
from nautilus.runtime.http.exchange import JSON_TYPE
from nautilus.runtime.http.forms import request_forms, request_struct, struct_of
from nautilus.runtime.http.operations import PATH_FIELD
from nautilus.runtime.http.problems import PROBLEM_TYPE, Problem
from nautilus.runtime.http.sessions import PATH as SESSION_PATH
from nautilus.runtime.http.sessions import SessionAnswer, SessionRequest

_SECTION = "Parameters\n----------\n"
_BODY = "_body"
_REFERENCE = "#/components/schemas/{name}"
_BODILESS = (*READ_METHODS, "DELETE")
PROBES = {
    "/livez": ("Whether the process answers", {"200": "It does"}, "application/json"),
    "/readyz": ("Whether requests are taken", {"200": "They are", "503": "Why they are not"}, "application/json"),
    "/health": ("State, reasons, breaker, latencies, bus", {"200": "As it is", "503": "Unhealthy"}, "application/json"),
    "/metrics": ("Counters and latencies", {"200": "OpenMetrics"}, "application/openmetrics-text"),
    "/hybrid/performance": ("Latency of every operation in microseconds", {"200": "As it is"}, "application/json"),
}
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h2{font-size:1rem;margin:2rem 0 .3rem;border-top:1px solid #ddd;padding-top:1rem}code,pre{font:13px/1.4 monospace}
pre{background:#f5f5f5;padding:.6rem;overflow:auto}b{display:inline-block;min-width:4rem}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}pre{background:#242424}h2{border-color:#444}}"""


def describe(
    engine: str, operations: Sequence[Operation], *, sessions: bool = False, streams: Sequence[Stream] = ()
) -> dict[str, Any]:
    """The OpenAPI 3.1 document of an engine's declared operations and streams; `sessions`: of `POST /session` too."""
    types: list[Any] = [Problem]
    for operation in operations:
        types += [_request_struct(operation), struct_of(operation.reply)]
    if sessions:
        types += [SessionRequest, SessionAnswer]
    found, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    for name, component in components.items():
        _tell_fields_apart(component)
        if "enum" in component:
            component["type"] = "string"
        if not name.endswith(_BODY):
            # Answers may have more fields in a later version.
            component.pop("additionalProperties", None)
    paths = _probes()
    problem = {"description": "Problem", "content": {PROBLEM_TYPE: {"schema": found[0]}}}
    for at, operation in enumerate(operations):
        request, reply = found[1 + 2 * at], found[2 + 2 * at]
        name = request["$ref"].rpartition("/")[2]
        content = {JSON_TYPE: {"schema": reply}}
        if issubclass(operation.reply, Document):
            content = {HTML.partition(";")[0]: {"schema": {"type": "string"}}}
        described: dict[str, Any] = {
            "operationId": _identifier(operation),
            "summary": operation.summary,
            "tags": [engine],
            "x-nautilus-scope": operation.scope or (READ if operation.method in READ_METHODS else TRADE),
            "responses": {
                "200": {"description": operation.reply.__name__, "content": content},
                "default": problem,
            },
        }
        if operation.scopes:
            described["x-nautilus-scopes"] = [
                {"field": field, "value": value, "scope": scope} for field, value, scope in operation.scopes
            ]
        parameters = _parameters(operation, components, name)
        if parameters:
            described["parameters"] = parameters
        if operation.method in _BODILESS:
            del components[name]
        else:
            # Even where no field is needed: who sends no body sends no content type, and that is refused.
            described["requestBody"] = {"required": True, "content": {"application/json": {"schema": request}}}
        if described["x-nautilus-scope"] != READ:
            described["security"] = [{"token": []}]
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    for stream in streams:
        paths.setdefault(stream.path, {})["get"] = {
            "operationId": f"listen_{stream.path.strip('/').replace('/', '_')}",
            "summary": f"{stream.summary} (a WebSocket)",
            "tags": [engine],
            "x-nautilus-scope": stream.scope,
            "responses": {"101": {"description": "The events follow, each as a text frame"}, "default": problem},
        }
    if sessions:
        paths[SESSION_PATH] = {"post": _session(found[-2], found[-1], problem)}
    document = {
        "openapi": "3.1.0",
        "info": {"title": f"nautilus {engine}", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
    # Defaults may be tuples: what leaves here is plain JSON.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return plain


def _session(request: dict[str, Any], reply: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": "post_session",
        "summary": "A token for a while, for who shows an API key",
        "tags": ["access"],
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": {
            "201": {"description": "It is made", "content": {"application/json": {"schema": reply}}},
            "default": problem,
        },
        "security": [{"token": []}],
    }


def _probes() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path, (summary, codes, kind) in PROBES.items():
        schema = {"type": "object" if kind == "application/json" else "string"}
        answers = {code: {"description": told, "content": {kind: {"schema": schema}}} for code, told in codes.items()}
        identifier = "get" + path.replace("/", "_")
        found[path] = {"get": {"operationId": identifier, "summary": summary, "tags": ["probes"], "responses": answers}}
    return found


def page_of(document: dict[str, Any]) -> str:
    """The document as a page of HTML without scripts or references elsewhere."""
    schemas = document.get("components", {}).get("schemas", {})
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(document['info']['title'])}</title>",
        f"<style>{_STYLE}</style><h1>{escape(document['info']['title'])}</h1>",
        f"<p>Version {escape(document['info']['version'])}. The same for programs: "
        "<a href=openapi.json>openapi.json</a>. ",
        "Probes: <a href=livez>/livez</a> <a href=readyz>/readyz</a> <a href=health>/health</a> ",
        "<a href=metrics>/metrics</a> <a href=hybrid/performance>/hybrid/performance</a>.</p>",
    ]
    for path, methods in document.get("paths", {}).items():
        for method, operation in methods.items():
            parts.append(f"<h2><b>{escape(method.upper())}</b> <code>{escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation.get('summary', ''))}</p>")
            for parameter in operation.get("parameters", ()):
                need = "required" if parameter.get("required") else "optional"
                shown = escape(json.dumps(parameter.get("schema", {})))
                parts.append(
                    f"<p><code>{escape(parameter['name'])}</code> in {escape(parameter['in'])}, {need}: "
                    f"<code>{shown}</code></p>"
                )
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if body:
                parts.append(f"<p>Body</p>{_shown(body, schemas)}")
            for code, answer in operation.get("responses", {}).items():
                schema = answer.get("content", {}).get("application/json", {}).get("schema")
                if schema:
                    parts.append(f"<p>Answer {escape(code)}</p>{_shown(schema, schemas)}")
    parts.append(f"<h2>Types</h2><pre>{escape(json.dumps(schemas, indent=2))}</pre></html>")
    return "".join(parts)


def _request_struct(operation: Operation) -> type[msgspec.Struct]:
    """What of the request is in the query or the body: what the path does not say. A struct of its own each time."""
    in_path = frozenset(PATH_FIELD.findall(operation.path))
    return request_struct(operation.request, in_path, f"{_identifier(operation)}{_BODY}")


def _identifier(operation: Operation) -> str:
    words = [re.sub(r"[{}]", "", word) for word in operation.path.split("/") if word]
    return re.sub(r"[-.]", "_", "_".join([operation.method.lower(), *words]))


def _parameters(operation: Operation, components: dict[str, Any], name: str) -> list[dict[str, Any]]:
    forms = request_forms(operation.request)
    in_path = PATH_FIELD.findall(operation.path)
    schemas, extra = msgspec.json.schema_components([forms[field].type for field in in_path], ref_template=_REFERENCE)
    components.update(extra)
    found = [
        {"name": field, "in": "path", "required": True, "schema": schema}
        for field, schema in zip(in_path, schemas, strict=True)
    ]
    if operation.method in _BODILESS:
        required = components[name].get("required", ())
        found += [
            {"name": field, "in": "query", "required": field in required, "schema": schema}
            for field, schema in components[name].get("properties", {}).items()
        ]
    return found


def _tell_fields_apart(component: dict[str, Any]) -> None:
    """What a docstring says of each field goes to the field."""
    text, _, section = inspect.cleandoc(component.get("description", "")).partition(_SECTION)
    if text:
        component["description"] = text.strip()
    names: list[str] = []
    told: list[str] = []
    for line in [*section.splitlines(), ""]:
        if line.startswith(" "):
            told.append(line.strip())
            continue
        for name in names:
            if name in component.get("properties", {}):
                component["properties"][name]["description"] = " ".join(told)
        names, told = [name.strip() for name in line.split(",")], []


def _shown(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    shown = schemas.get(name, schema)
    fields = shown.get("properties")
    if not fields:
        return f"<pre>{escape(json.dumps(shown, indent=2))}</pre>"
    required = shown.get("required", ())
    lines = [
        f"{field}{'' if field in required else '?'}: {json.dumps(kind).replace('#/components/schemas/', '')}"
        for field, kind in fields.items()
    ]
    text = escape("\n".join([shown.get("description", ""), "", *lines]).strip())
    return f"<pre>{text}</pre>"
