"""Credentials of an STS for the token of the pod's service account (AssumeRoleWithWebIdentity), renewed before they end."""

from __future__ import annotations

import http.client
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from trainyard.agent.adapters import s3xml
from trainyard.agent.adapters.connections import Endpoint, Pool, fault_of
from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Credentials
from trainyard.api.plan import WebIdentityPlan

log = logging.getLogger(__name__)
LEFT = 300.0
"""Seconds before their end at which credentials are renewed."""
PAUSE = 10.0
"""Between attempts to renew credentials that are still good."""


class WebIdentity:
    """Called for each request. Safe for threads: one asks, the others wait for it."""

    def __init__(
        self,
        plan: WebIdentityPlan,
        token: Path,
        *,
        connect_timeout: float = 5,
        read_timeout: float = 60,
        admits: Callable[[str], bool] = lambda _address: True,
    ) -> None:
        """`token`: a file, which the kubelet renews."""
        self._plan = plan
        self._token = token
        self._endpoint = Endpoint.parse(plan.sts_endpoint_url)
        self._pool = Pool(connect_timeout, read_timeout, admits)
        self._lock = threading.Lock()
        self._kept: Credentials | None = None
        self._used = ""
        self._not_before = 0.0

    def __call__(self) -> Credentials:
        """Good ones. Raises StoreFault: of kind `credentials` if the STS says no, of others if it cannot be asked."""
        with self._lock:
            kept = self._kept
            left = (kept.expires or 0) - time.time() if kept else 0.0
            token = self._read()
            if kept and left > LEFT and token == self._used:
                return kept
            if kept and left > 0 and time.monotonic() < self._not_before:
                return kept
            try:
                self._kept = self._ask(token)
            except StoreFault as fault:
                if kept is None or left <= 0:
                    raise
                self._not_before = time.monotonic() + PAUSE
                log.warning("credentials are not renewed yet: %s", fault)
                return kept
            self._used = token
            return self._kept

    def renew(self) -> None:
        """S3 says that they have expired, whatever the STS had said."""
        with self._lock:
            self._kept = None

    def _read(self) -> str:
        try:
            return self._token.read_text().strip()
        except OSError as error:
            raise StoreFault(
                "credentials", f"the token of the service account is not there: {error.strerror}"
            ) from error

    def _ask(self, token: str) -> Credentials:
        where = f"the STS at {self._plan.sts_endpoint_url}"
        form = urlencode(
            {
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": self._plan.role_arn,
                "RoleSessionName": self._plan.session_name,
                "DurationSeconds": str(self._plan.duration_seconds),
                "WebIdentityToken": token,
            }
        )
        kind = {"content-type": "application/x-www-form-urlencoded", "connection": "close"}
        try:
            with self._pool.connection(self._endpoint.secure, self._endpoint.host, fresh=True) as (connection, _):
                connection.request("POST", f"{self._endpoint.base}/", form, kind)
                response = connection.getresponse()
                status, body = response.status, response.read()
                connection.close()
        except StoreFault as fault:
            # Where no endpoint may be, no STS may be either.
            raise StoreFault("credentials", f"{where} is at {fault.detail}, which s3.deniedAddresses forbid") from fault
        except (OSError, http.client.HTTPException) as error:
            raise StoreFault("connection", f"{where}: {fault_of(error).detail}") from error
        if status == 200:
            return s3xml.session(body)
        said = f"{where} answers {status} ({s3xml.session_error(body)})"
        raise StoreFault("connection" if status >= 500 or status == 429 else "credentials", said)
