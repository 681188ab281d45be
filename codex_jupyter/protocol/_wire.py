"""The base of every model that crosses a wire, and the rules they share."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = ["Count", "Integer", "WireModel"]

Count = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""How many: the original's u32."""

Integer = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
"""A number that any program can hold: the original's i64."""


class WireModel(BaseModel):
    """A message shape owned by the protocol.

    Fields are ``snake_case`` here and ``camelCase`` on the wire. Instances are frozen: a message
    that arrived is a fact, and facts are not edited. Fields we do not know are dropped, not
    refused, so that an older client survives a newer server. Validators are built at the first
    use of a model, so that `initialize` never waits for models it does not need.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="ignore",
        frozen=True,
        defer_build=True,
    )

    def wire(self) -> dict[str, Any]:
        """Return the members as they travel; absent stays absent and is never ``null``."""
        return self.model_dump(mode="json", exclude_none=True)
