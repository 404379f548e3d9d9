"""The data plane's credentials: the ExecutionRole's Secret as files, or whatever its service account brings."""

from __future__ import annotations

import time
from pathlib import Path

from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Credentials

ACCESS_KEY = "AWS_ACCESS_KEY_ID"
SECRET_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - a name, not a value
TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - a name, not a value
KEEP_SECONDS = 1.0


class CredentialFiles:
    """Called for each request, so that a rotated or repaired Secret is used as soon as the kubelet shows it."""

    def __init__(self, directory: Path, secret: str | None, *, metadata: bool = False) -> None:
        """`metadata`: without any, those of the node will do."""
        self._directory = directory
        self._secret = secret
        self._metadata = metadata
        self._kept: tuple[float, Credentials] | None = None

    def __call__(self) -> Credentials:
        """Current ones, at most a second old. Raises StoreFault of kind `credentials`, its code the name of the missing key."""
        kept = self._kept
        if kept and time.monotonic() - kept[0] < KEEP_SECONDS:
            return kept[1]
        found = self._find()
        self._kept = time.monotonic(), found
        return found

    def renew(self) -> None:
        """S3 says that they have expired: look again at once."""
        self._kept = None

    def in_files(self) -> Credentials | None:
        """Those of the Secret; None where none is named and none is there. Raises StoreFault, as above."""
        access, secret = self._read(ACCESS_KEY), self._read(SECRET_KEY)
        if access and secret:
            return Credentials(access, secret, self._read(TOKEN))
        if self._secret or access or secret:
            raise StoreFault("credentials", "empty or missing", code=SECRET_KEY if access else ACCESS_KEY)
        return None

    def _find(self) -> Credentials:
        if (found := self.in_files()) is not None:
            return found
        # Importing botocore takes as long as a small job's whole staging: only where it is needed.
        from trainyard.agent.adapters.ambient import ambient_credentials  # noqa: PLC0415

        return ambient_credentials(self._metadata)

    def _read(self, name: str) -> str:
        try:
            return (self._directory / name).read_text().strip()
        except OSError:
            return ""
