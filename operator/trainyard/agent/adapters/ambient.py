"""Credentials that a service account brings (web identity, pod identity, environment): botocore's chain, and its only use."""

from __future__ import annotations

import functools
import os
from typing import Any

from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Credentials


@functools.cache
def _session() -> Any:
    # The node's own role is not the job's: never ask the instance metadata service.
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    import botocore.session  # noqa: PLC0415 - see CredentialFiles

    return botocore.session.Session()


def ambient_credentials() -> Credentials:
    """Current ones: botocore renews them by itself. Raises StoreFault of kind `credentials`."""
    try:
        found = _session().get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except Exception as error:
        raise StoreFault("credentials", f"{type(error).__name__}: {error}") from error
    if frozen is None:
        raise StoreFault("credentials", "botocore's chain found none")
    # No public way to ask: credentials that are not renewed have none.
    expires = getattr(found, "_expiry_time", None)
    return Credentials(
        frozen.access_key, frozen.secret_key, frozen.token or "", expires.timestamp() if expires is not None else None
    )
