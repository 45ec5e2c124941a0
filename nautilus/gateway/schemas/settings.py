"""The configuration in force, and changes of it."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, model_validator

from nautilus.gateway.schemas.words import Answer, Count, Question, StrategyName


class SettingOfGateway(Answer):
    """One setting in force."""

    value: Any = Field(description="As in the configuration file.", examples=[True])
    origin: str = Field(
        description="Where it comes from.",
        examples=["default", "environment HEALTH_CHECK_INTERVAL", "PUT /config by ops"],
    )
    variable: str = Field(
        description="Plain name in the environment; empty: it has none.", examples=["HEALTH_CHECK_INTERVAL"]
    )
    changeable: bool = Field(description="Whether `PUT /config` changes it.")


class HybridConfig(Answer):
    """The configuration in force."""

    hybrid_routing_enabled: bool
    default_strategy: StrategyName
    revision: Count = Field(description="Raised by each change at run time; 0: there was none.")
    settings: dict[str, SettingOfGateway] = Field(description="The section `gateway`, by key.")


def _optional(schema: dict[str, Any]) -> None:
    """A field that is left out changes nothing, so there is no default to tell of; one at least is given."""
    for field in schema["properties"].values():
        field.pop("default", None)
    schema["minProperties"] = 1
    schema["examples"] = [{"hybrid_routing_enabled": True, "default_strategy": "hybrid_intelligent"}]


class ConfigChange(Question):
    """What is to change; a field that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra=_optional)

    hybrid_routing_enabled: bool = Field(default=True, description="Off: everything goes through the gateway.")
    default_strategy: StrategyName = Field(default="hybrid_intelligent", description="Of engines in no category.")

    @model_validator(mode="after")
    def _changes(self) -> ConfigChange:
        if not self.model_fields_set:
            raise ValueError("nothing is to change")
        return self

    def changes(self) -> dict[str, Any]:
        """The fields that were given."""
        return {
            name: getattr(self, name)
            for name in ("hybrid_routing_enabled", "default_strategy")
            if name in self.model_fields_set
        }
