"""Credentials that a service account brings (web identity, pod identity, environment), or the node's own where they may be used:
botocore's chain, and its only use."""

from __future__ import annotations

import functools
import os
from typing import Any

from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Credentials

METADATA_ATTEMPTS, METADATA_SECONDS = 3, 2


@functools.cache
def _session(metadata: bool) -> Any:
    # The node's own role is not the job's: the instance metadata service is asked where that is wanted, and nowhere else; and
    # only in its second version, which does not answer those that were talked into asking it.
    os.environ["AWS_EC2_METADATA_DISABLED"] = "false" if metadata else "true"
    os.environ["AWS_EC2_METADATA_V1_DISABLED"] = "true"
    import botocore.session  # noqa: PLC0415 - see CredentialFiles

    session = botocore.session.Session()
    session.set_config_variable("metadata_service_num_attempts", METADATA_ATTEMPTS)
    session.set_config_variable("metadata_service_timeout", METADATA_SECONDS)
    return session


def ambient_credentials(metadata: bool = False) -> Credentials:
    """Current ones: botocore renews them by itself. `metadata`: the node's own will do, too. Raises StoreFault of kind
    `credentials`."""
    try:
        found = _session(metadata).get_credentials()
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
