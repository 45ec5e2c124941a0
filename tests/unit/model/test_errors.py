"""The tree of errors, and what an error says."""

import copy

import pytest

from nautilus.model import errors
from nautilus.model.errors import BusError, ConfigError, InternalError, ModelError, NautilusError, VenueError


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ConfigError, "config"),
        (BusError, "bus"),
        (VenueError, "venue"),
        (ModelError, "model"),
        (InternalError, "internal"),
    ],
)
def test_each_root_has_a_stable_code_and_stands_in_the_tree(kind, code):
    assert issubclass(kind, NautilusError)
    assert kind("x").code == code
    assert kind.__name__ in (errors.__doc__ or "")


def test_an_error_says_where_what_and_expected():
    error = ModelError("price 1 is off tick", where="AAPL", expected="a multiple of 2")
    assert str(error) == "AAPL: price 1 is off tick; expected a multiple of 2"
    assert str(ModelError("price 1 is off tick")) == "price 1 is off tick"
    assert error.as_dict() == {
        "code": "model",
        "what": "price 1 is off tick",
        "where": "AAPL",
        "expected": "a multiple of 2",
    }


def test_an_error_keeps_its_facts_when_copied():
    error = ConfigError("a", where="b", expected="c")
    twin = copy.copy(error)
    assert (type(twin), twin.as_dict()) == (ConfigError, error.as_dict())
