"""The base of all models of resources."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from trainyard.api.casing import field_name


class Model(BaseModel):
    """Frozen; unknown fields are ignored, so that an older program survives a newer resource (the apiserver refuses typos)."""

    model_config = ConfigDict(alias_generator=field_name, populate_by_name=True, frozen=True, extra="ignore")

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values under the manifest's names, without what is unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)


# A count or a size that a JSON number holds exactly.
Size = Annotated[int, Field(ge=0, le=2**53)]
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
