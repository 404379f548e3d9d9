"""The base of what operator and agent say to each other.

Not of pydantic's, which the resources are made of: an agent's process would load for it longer than for all else.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

import msgspec

from trainyard.api.casing import field_name


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=field_name):
    """Under the manifest's names, without what is as it is by default; unknown fields are ignored."""

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Raises ValueError, with the field, if that is none."""
        try:
            return msgspec.json.decode(text, type=cls)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """From JSON-ready values. Raises ValueError, with the field, if they are none."""
        return msgspec.convert(value, cls)

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def but(self, **changes: Any) -> Self:
        """The same with other values of these fields."""
        return msgspec.structs.replace(self, **changes)


# A count or a size that a JSON number holds exactly.
Size = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
