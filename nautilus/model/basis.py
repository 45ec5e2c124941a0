"""What a number rests on: every answer that holds numbers says so."""

from __future__ import annotations

from nautilus.model.message import Message


class Basis(Message, frozen=True):
    """Method, window, range and provenance of an answer.

    Parameters
    ----------
    method
        The definition with its convention, in words: "historical VaR, linear interpolation".
    window
        Observations that were used.
    begin_ns, end_ns
        Of the first and of the last of them; 0: they have no times.
    source
        Where they are from: ``star``, ``request``, ``uploaded``, or a provider's name.
    missing
        Observations within the range that were not there, or were left out.
    synthetic
        Some of it is not as its venue or provider sent it: records of a simulation, quotes that the hub derived from
        books, sizes that nobody told (`RecordFlag.SYNTHETIC`), or histories that were made up
        (`marketdata.allow_synthetic`).
    version
        Of the definition, where it has one.
    """

    method: str
    window: int = 0
    begin_ns: int = 0
    end_ns: int = 0
    source: str = ""
    missing: int = 0
    synthetic: bool = False
    version: str = ""


__all__ = ["Basis"]
