"""Nautilus: a trading platform in Python with a Cython core. The command line is `nautilus` (`nautilus.cli`)."""

__all__ = ["__version__"]

__version__ = "0.1.0"
