"""Fixtures and naive twins shared by the tests."""
