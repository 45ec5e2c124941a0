"""How messages look over HTTP: objects by field name, members of enumerations by name, members of a union with "type".

On the mesh a message is an array. Its form is derived from it once: a struct that msgspec decodes, checks and
describes, and functions between the two. That of a request is a little different: its whole numbers have 64 bits, and
ids may be text, as some languages round numbers beyond 2^53.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from functools import cache, reduce
from operator import attrgetter, or_
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec

from nautilus.model.errors import InternalError
from nautilus.model.message import Message

TAG_FIELD = "type"
MOST, MOST_ID = (1 << 63) - 1, (1 << 64) - 1
WHOLE = Annotated[int, msgspec.Meta(ge=-MOST - 1, le=MOST)]
# msgspec itself checks no bound beyond 63 bits.
ID = Annotated[int, msgspec.Meta(ge=0, extra_json_schema={"maximum": MOST_ID})]
_ID_TEXT = Annotated[str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,19})$")]
Change = Callable[[Any], Any]


class Form(NamedTuple):
    """How values of a type look.

    Parameters
    ----------
    type
        What msgspec decodes and describes.
    enter
        From what was decoded to what a message holds; None: it is the same.
    leave
        From what a message holds to what is encoded; None: it is the same.
    """

    type: Any
    enter: Change | None = None
    leave: Change | None = None


@cache
def form_of(annotation: Any, tagged: bool = False) -> Form:
    """The form of a type that a message's field can have; `tagged`: it is one of several."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return _struct_form(annotation, tagged)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        # Flags are sums of members: their numbers stay.
        return Form(int) if issubclass(annotation, enum.Flag) else _enum_form(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        form = form_of(arguments[0], tagged)
        return form if form.enter or form.leave else Form(annotation)
    if origin in (Union, UnionType):
        return _union_form(arguments)
    if origin in (tuple, list, frozenset, set):
        return _sequence_form(origin, arguments)
    if origin is dict:
        key, value = form_of(arguments[0]), form_of(arguments[1])
        if key.enter or value.enter:
            raise InternalError(f"{annotation} in a message over HTTP", expected="plain keys and values")
    return Form(annotation)


def struct_of(message: type[Message]) -> type[msgspec.Struct]:
    """The struct that describes a reply."""
    described: type[msgspec.Struct] = form_of(message).type
    return described


def request_struct(message: type[Message], without: frozenset[str], name: str) -> type[msgspec.Struct]:
    """The struct that describes a request but for some of its fields, under a name of its own."""
    return _define(message, name, False, request_forms(message), without)


def request_form(message: type[Message]) -> Form:
    """The form of a request."""
    return _struct_form(message, False, request_forms(message))


@cache
def request_forms(message: type[msgspec.Struct]) -> Mapping[str, Form]:
    """The form of each field of a request."""
    return {name: _of_request(name, form) for name, form in field_forms(message).items()}


def _of_request(name: str, form: Form) -> Form:
    is_id = name.endswith("_id")
    kind = (ID if is_id else WHOLE) if form.type is int else form.type
    if get_origin(kind) is not Annotated or get_args(kind)[0] is not int:
        return form
    if not is_id:
        return Form(kind)
    least, most = _bounds(kind) or (0, MOST_ID)

    def enter(value: int | str) -> int:
        number = int(value)
        if not least <= number <= most:
            raise msgspec.ValidationError(f"Expected `int` from {least} to {most} - at `$.{name}`")
        return number

    return Form(Annotated[kind | _ID_TEXT, msgspec.Meta(description="Also as text.")], enter)


def is_whole(annotation: Any) -> bool:
    """Values of a type are whole numbers, or some of them are."""
    if annotation is int:
        return True
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Annotated, tuple, list, frozenset, set):
        return is_whole(arguments[0])
    return origin in (Union, UnionType) and any(map(is_whole, arguments))


@cache
def field_forms(message: type[msgspec.Struct]) -> Mapping[str, Form]:
    """The form of each field of a message."""
    return {field.name: form_of(field.type) for field in msgspec.structs.fields(message)}


def expected_of(form: Form) -> str:
    """What a value of a form has to be, in words; empty where that takes too many."""
    kind = form.type
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        names = [str(member.value) for member in kind]
        return f"one of {', '.join(names)}" if len(names) <= 20 else ""
    if is_whole(kind):
        bounds = None if kind == WHOLE else _bounds(kind)
        many = get_origin(kind) in (tuple, list, frozenset, set)
        what = "whole numbers" if many else "a whole number"
        return f"{what} from {bounds[0]} to {bounds[1]}" if bounds else what
    return {str: "text", float: "a number", bool: "true or false"}.get(kind, "")


def _bounds(kind: Any) -> tuple[int, int] | None:
    """The least and the most that a number, or each of several, may be, where both are said."""
    for part in get_args(kind):
        if isinstance(part, msgspec.Meta):
            most = part.le if part.le is not None else (part.extra_json_schema or {}).get("maximum")
            if part.ge is not None and most is not None:
                return int(part.ge), int(most)
        found = _bounds(part)
        if found:
            return found
    return None


@cache
def _enum_form(kind: type[enum.Enum]) -> Form:
    names = enum.Enum(kind.__name__, {name: name for name in kind.__members__})  # type: ignore[misc]
    members = {names[name]: member for name, member in kind.__members__.items()}

    def leave(value: Any) -> Any:
        return value._name_ if isinstance(value, kind) else kind(value)._name_

    return Form(names, members.__getitem__, leave)


def _define(
    message: type[msgspec.Struct],
    name: str,
    tagged: bool,
    forms: Mapping[str, Form],
    without: frozenset[str] = frozenset(),
) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for field in msgspec.structs.fields(message):
        if field.name in without:
            continue
        form = forms[field.name]
        if field.default is not msgspec.NODEFAULT:
            shown = form.leave(field.default) if form.leave and field.default is not None else field.default
            default = msgspec.convert(shown, form.type)
            fields.append((field.name, form.type, default))
        elif field.default_factory is not msgspec.NODEFAULT:
            fields.append((field.name, form.type, msgspec.field(default_factory=field.default_factory)))
        else:
            fields.append((field.name, form.type))
    return msgspec.defstruct(
        name,
        fields,
        kw_only=True,
        forbid_unknown_fields=True,
        tag=message.__struct_config__.tag if tagged else None,
        tag_field=TAG_FIELD if tagged else None,
        namespace={"__doc__": message.__doc__},
        # One that carries its type is another type: the module tells them apart where both are described.
        module="tagged" if tagged else "http",
    )


def _struct_form(message: type[msgspec.Struct], tagged: bool, forms: Mapping[str, Form] | None = None) -> Form:
    fields = [field.name for field in msgspec.structs.fields(message)]
    forms = field_forms(message) if forms is None else forms
    entering = [(name, change) for name in fields if (change := forms[name].enter)]
    leaving = [(name, change) for name in fields if (change := forms[name].leave)]
    head = {TAG_FIELD: message.__struct_config__.tag} if tagged else {}
    # attrgetter gives a tuple for two names or more.
    values: Change = attrgetter(*fields) if len(fields) > 1 else lambda m: tuple(getattr(m, name) for name in fields)

    def enter(decoded: Any) -> Any:
        found = dict(zip(fields, values(decoded), strict=True))
        for name, change in entering:
            found[name] = change(found[name])
        return message(**found)

    def leave(held: Any) -> dict[str, Any]:
        found = head | dict(zip(fields, values(held), strict=True))
        for name, change in leaving:
            found[name] = change(found[name])
        return found

    return Form(_define(message, message.__name__, tagged, forms), enter, leave)


def _union_form(arguments: tuple[Any, ...]) -> Form:
    plain = [kind for kind in arguments if kind is not NoneType]
    structs = [kind for kind in plain if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    if structs and len(structs) < len(plain):
        raise InternalError(f"{arguments} in a message over HTTP", expected="messages alone, or none")
    # Asked for in one way alone: what is cached by other arguments would be another struct of the same name.
    forms = {kind: form_of(kind, tagged=True) if len(structs) > 1 else form_of(kind) for kind in plain}
    union: Any = reduce(or_, (forms[kind].type if kind in forms else kind for kind in arguments))
    if len(plain) == 1:
        (form,) = forms.values()
        return Form(union, _unless_none(form.enter), _unless_none(form.leave))
    if not structs:
        if any(form.enter for form in forms.values()):
            raise InternalError(f"{arguments} in a message over HTTP", expected="one of them")
        return Form(union)
    entering = {form.type: form.enter for form in forms.values()}
    leaving = {kind: form.leave for kind, form in forms.items()}

    def by_type(changes: Mapping[Any, Change | None]) -> Change:
        def change(value: Any) -> Any:
            chosen = changes[type(value)]
            return chosen(value) if chosen else value

        return change

    return Form(union, _unless_none(by_type(entering)), _unless_none(by_type(leaving)))


def _unless_none(change: Change | None) -> Change | None:
    if change is None:
        return None
    return lambda value: None if value is None else change(value)


def _sequence_form(origin: type, arguments: tuple[Any, ...]) -> Form:
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        forms = [form_of(kind) for kind in arguments]
        if any(form.enter or form.leave for form in forms):
            raise InternalError(f"tuple of {arguments} in a message over HTTP", expected="plain members")
        return Form(GenericAlias(tuple, tuple(form.type for form in forms)))
    form = form_of(arguments[0])
    kind: Any = GenericAlias(origin, (form.type, ...) if origin is tuple else (form.type,))
    enter, leave = form.enter, form.leave
    return Form(
        kind,
        (lambda values: origin(enter(value) for value in values)) if enter else None,
        (lambda values: [leave(value) for value in values]) if leave else None,
    )
