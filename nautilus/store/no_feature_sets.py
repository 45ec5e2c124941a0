"""In place of `ParquetFeatureSets` where nothing is to be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nautilus.model.errors import ConfigError
from nautilus.model.features import BuildFeatureSet, FeatureSet
from nautilus.model.message import Message


class NoFeatureSets(NamedTuple):
    """Where nothing is to be written: a run in virtual time."""

    @property
    def places(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def write(self) -> Callable[..., Message]:
        """A job that refuses."""
        return refuse_feature_set


def refuse_feature_set(message: BuildFeatureSet) -> FeatureSet:
    """ConfigError: no set is written here."""
    raise ConfigError(
        f"set {message.name!r}", where="features", expected="a live platform, which has a directory for it"
    )


__all__ = ["NoFeatureSets", "refuse_feature_set"]
