"""Where the data plane's credentials come from, as the ExecutionRole has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from trainyard.agent.adapters.credentials import CredentialFiles
from trainyard.agent.ports import Credentials
from trainyard.agent.timing import Timing
from trainyard.api.names import IDENTITY_TOKEN
from trainyard.api.plan import StorePlan


class Source(Protocol):
    """Asked for each request. Raises StoreFault."""

    def __call__(self) -> Credentials: ...

    def renew(self) -> None:
        """The last ones are good no more."""
        ...


def source(plan: StorePlan, credentials: Path, identity: Path, timing: Timing, admits: Callable[[str], bool]) -> Source:
    """`credentials` and `identity`: directories of the Secret and of the service account's token."""
    if plan.web_identity is None:
        return CredentialFiles(credentials, plan.credentials_secret, metadata=plan.instance_metadata)
    from trainyard.agent.adapters.webidentity import WebIdentity  # noqa: PLC0415 - few roles have it

    return WebIdentity(
        plan.web_identity,
        identity / IDENTITY_TOKEN,
        connect_timeout=timing.connect,
        read_timeout=timing.read,
        admits=admits,
    )
