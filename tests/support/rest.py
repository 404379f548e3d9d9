"""The apiserver over one connection, for tests that ask it much: a kubectl process for each request takes a hundred times as long."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kubernetes import client, config

MERGE = "application/merge-patch+json"
JOBS = "/apis/trainyard.dev/v1alpha1/namespaces/{}/trainingjobs"
TYPES = "/apis/trainyard.dev/v1alpha1/instancetypes"
ROLES = "/apis/trainyard.dev/v1alpha1/namespaces/{}/executionroles"
PODS, PLANS, SERVICES, EVENTS = (
    f"/api/v1/namespaces/{{}}/{plural}" for plural in ("pods", "configmaps", "services", "events")
)
Raw = dict[str, Any]


class Rest:
    """`body` is sent as JSON, a str as it is."""

    def __init__(self, kubeconfig: Path | str) -> None:
        self._configuration = client.Configuration()
        config.load_kube_config(config_file=str(kubeconfig), client_configuration=self._configuration)
        self._api = client.ApiClient(self._configuration)

    def __call__(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> tuple[int, Raw]:
        """HTTP status and answer."""
        headers = {"Content-Type": kind}
        self._api.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a cluster under test may have a certificate that nobody vouches for
            answer = self._api.rest_client.pool_manager.request(
                method,
                self._configuration.host + path,
                body=data.encode() if data is not None else None,
                headers=headers,
            )
        return answer.status, json.loads(answer.data)

    def done(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> Raw:
        """The answer to a request that must succeed."""
        status, answer = self(method, path, body, kind=kind)
        assert status < 300, (method, path, answer)
        return answer

    def items(self, path: str, selector: str = "") -> list[Raw]:
        found: list[Raw] = self.done("GET", f"{path}?labelSelector={quote(selector)}")["items"]
        return found

    def merge(self, path: str, patch: Raw) -> Raw:
        return self.done("PATCH", path, patch, kind=MERGE)
