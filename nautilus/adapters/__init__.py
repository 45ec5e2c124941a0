"""Venues and data sources: everything that speaks somebody else's format or protocol."""
