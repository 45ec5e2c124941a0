"""The fields of a request to an operation: from path, query and body by name, to the message that a handler takes."""

from __future__ import annotations

import re
from typing import Any, get_origin

import msgspec

from nautilus.model.message import Message
from nautilus.runtime.errorlog import shortened
from nautilus.runtime.http.body import NO_BODY
from nautilus.runtime.http.forms import Form, expected_of, is_whole, request_form, request_forms
from nautilus.runtime.http.problems import HttpError
from nautilus.runtime.http.request import Request

_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]*)`")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,30}")


class FieldReader:
    """Makes messages of one type."""

    def __init__(self, message: type[Message]) -> None:
        self._form = request_form(message)
        self._fields = request_forms(message)

    def read(self, request: Request) -> Any:
        """The message that a request stands for. Raises HttpError where it stands for none."""
        values: dict[str, Any] = {}
        for name, text in request.path_values.items():
            values[name] = self._from_text(name, [text], "path")
        texts: dict[str, list[str]] = {}
        for name, text in request.query:
            texts.setdefault(name, []).append(text)
        for name, found in texts.items():
            self._once(name, values)
            values[name] = self._from_text(name, found, "query")
        body = request.body
        if body is not NO_BODY:
            if not isinstance(body, dict):
                raise HttpError(422, "http.fields", "the body is no object", where="body", expected="an object")
            for name in values:
                self._once(name, body)
            values.update(body)
        assert self._form.enter is not None
        try:
            return self._form.enter(msgspec.convert(values, self._form.type))
        except msgspec.ValidationError as error:
            raise self._refusal(str(error)) from None

    def _from_text(self, name: str, texts: list[str], where: str) -> Any:
        form = self._fields.get(name)
        if form is None:
            raise HttpError(
                422,
                "http.fields",
                f"unknown field {shortened(repr(name))}",
                where=where,
                expected=", ".join(self._fields),
            )
        many = get_origin(form.type) in (tuple, list, set, frozenset)
        if len(texts) > 1 and not many:
            raise HttpError(422, "http.fields", f"field {name!r} is given twice", where=where, expected="it once")
        if is_whole(form.type):
            return self._whole(name, form, texts if many else texts[0])
        try:
            # To plain values: what is decoded in the end is the whole message, from text and body together.
            return msgspec.to_builtins(msgspec.convert(texts if many else texts[0], form.type, strict=False))
        except msgspec.ValidationError as error:
            raise self._refusal(f"{error} - at `$.{name}`") from None

    @staticmethod
    def _whole(name: str, form: Form, given: str | list[str]) -> Any:
        """Whole numbers as JSON writes them: converting would take 1e3 and 1.0 for some too."""
        for text in given if isinstance(given, list) else [given]:
            if not _WHOLE.fullmatch(text):
                raise HttpError(
                    422,
                    "http.fields",
                    f"expected `int`, got {shortened(repr(text))}",
                    where=name,
                    expected=expected_of(form),
                )
        return [int(text) for text in given] if isinstance(given, list) else int(given)

    @staticmethod
    def _once(name: str, others: dict[str, Any]) -> None:
        if name in others:
            raise HttpError(422, "http.fields", f"field {name!r} is given twice", where=name, expected="it once")

    def _refusal(self, text: str) -> HttpError:
        place = _PLACE.search(text)
        where = place[1] if place else ""
        missing = _MISSING.search(text)
        if missing:
            where = f"{where}.{missing[1]}".lstrip(".")
        form = self._fields.get(re.split(r"[.\[]", where)[0])
        expected = expected_of(form) if form else ""
        if not expected and "unknown field" in text:
            expected = ", ".join(self._fields)
        what = shortened(_PLACE.sub("", text))
        return HttpError(422, "http.fields", what[:1].lower() + what[1:], where=where or "body", expected=expected)
