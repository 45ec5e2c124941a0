"""Fixtures and naive twins shared by the tests."""

import pytest

# Their assertions are the tests': show what differed.
pytest.register_assert_rewrite("tests.kit.pair", "tests.kit.audit")
