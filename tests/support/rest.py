"""The apiserver over one connection, for tests that ask it much: a kubectl process for each request takes a hundred times as long."""

from __future__ import annotations

import functools
import json
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kubernetes import client, config

MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
JOBS = "/apis/trainyard.dev/v1alpha1/namespaces/{}/trainingjobs"
TYPES = "/apis/trainyard.dev/v1alpha1/instancetypes"
ROLES = "/apis/trainyard.dev/v1alpha1/namespaces/{}/executionroles"
PODS, PLANS, SERVICES, EVENTS, CLAIMS = (
    f"/api/v1/namespaces/{{}}/{plural}"
    for plural in ("pods", "configmaps", "services", "events", "persistentvolumeclaims")
)
Raw = dict[str, Any]
# What kubectl calls them. A namespace's name is of no use to those that are in none.
PATHS = {
    **dict.fromkeys(("tj", "trainingjob", "trainingjobs"), JOBS),
    **dict.fromkeys(("pod", "pods"), PODS),
    "configmaps": PLANS,
    "services": SERVICES,
    "events": EVENTS,
    "persistentvolumeclaims": CLAIMS,
    "namespaces": "/api/v1/namespaces",
}


class Rest:
    """`body` is sent as JSON, a str as it is."""

    def __init__(self, kubeconfig: Path | str) -> None:
        self._configuration = client.Configuration()
        config.load_kube_config(config_file=str(kubeconfig), client_configuration=self._configuration)
        self._api = client.ApiClient(self._configuration)

    def __call__(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> tuple[int, Raw]:
        """HTTP status and answer."""
        status, answer = self.raw(method, path, body, kind=kind)
        return status, json.loads(answer)

    def raw(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> tuple[int, bytes]:
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
        return answer.status, answer.data

    def done(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> Raw:
        """The answer to a request that must succeed."""
        status, answer = self(method, path, body, kind=kind)
        assert status < 300, (method, path, answer)
        return answer

    def text(self, path: str) -> str:
        """What is there, or the apiserver's words why not."""
        return self.raw("GET", path)[1].decode(errors="replace")

    def get(self, path: str) -> Raw | None:
        """An object, None if there is none; as kubectl shows it, so without managedFields."""
        status, answer = self("GET", path)
        if status == 404:
            return None
        assert status < 300, (path, answer)
        return _shown(answer)

    def items(self, path: str, selector: str = "") -> list[Raw]:
        """Objects, each with its kind, which a list itself leaves out."""
        found = self.done("GET", f"{path}?labelSelector={quote(selector)}")
        kind = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
        return [kind | _shown(item) for item in found["items"]]

    def merge(self, path: str, patch: Raw) -> Raw:
        return self.done("PATCH", path, patch, kind=MERGE)


def _shown(found: Raw) -> Raw:
    found["metadata"].pop("managedFields", None)
    return found


@functools.cache
def connected(kubeconfig: str) -> Rest:
    return Rest(kubeconfig)
