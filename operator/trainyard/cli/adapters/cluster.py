"""TrainingJobs of the cluster that a kubeconfig names. The only module that knows the kubernetes client.

Whatever goes wrong leaves this module as one of `cli.errors`, with a line that a user can act on.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from trainyard.api.names import GROUP, VERSION
from trainyard.cli.errors import Failed, Missing, Unreachable

Resource = dict[str, Any]

_PLURAL = "trainingjobs"
_FIELD_MANAGER = "trainyard-cli"
_SECONDS = (10.0, 30.0)  # to connect, to answer


class _Complaints(logging.Handler):
    """Takes the place of the log that libraries would write to standard error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(_line(record.getMessage()))


class Cluster:
    """`namespace` is the context's, `default` if it names none. Raises Failed where the kubeconfig is no help."""

    def __init__(self, kubeconfig: str | None = None, context: str | None = None) -> None:
        configuration = client.Configuration()
        complaints = _Complaints()
        try:
            contexts, current = config.list_kube_config_contexts(config_file=kubeconfig)  # type: ignore[no-untyped-call]
            named = next((item for item in contexts if item["name"] == context), None) if context else current
            if named is None:
                raise Failed(f"no cluster: the kubeconfig has no context {context}")
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=kubeconfig, context=context, client_configuration=configuration, persist_config=False
            )
        except (ConfigException, OSError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Failed(f"no cluster: {_line(error)}; set KUBECONFIG, or give --kubeconfig or --context") from None
        if complaints.said:
            # A program that should have given credentials did not; the library would go on without any.
            raise Failed(f"no cluster: {complaints.said[0]}; the kubeconfig says how credentials are made")
        configuration.retries = False
        if not configuration.verify_ssl:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the kubeconfig says so
        self.context = str(named["name"])
        self.namespace = str(named.get("context", {}).get("namespace") or "default")
        self.server = str(configuration.host)
        self._api = client.CustomObjectsApi(client.ApiClient(configuration))

    def get(self, namespace: str, name: str) -> Resource:
        return self._call("get", namespace, name)

    def set(self, namespace: str, name: str, uid: str, field: str, value: bool) -> Resource:
        """One field of the spec, and only if it is still the object with that uid."""
        body = {"metadata": {"uid": uid}, "spec": {field: value}}
        return self._call(
            "patch",
            namespace,
            name,
            body=body,
            field_manager=_FIELD_MANAGER,
            _content_type="application/merge-patch+json",
        )

    def _call(self, verb: str, namespace: str, name: str, **more: Any) -> Resource:
        method = getattr(self._api, f"{verb}_namespaced_custom_object")
        try:
            answer = method(GROUP, VERSION, namespace, _PLURAL, name, _request_timeout=_SECONDS, **more)
        except ApiException as error:
            raise self._refusal(error, verb, namespace, name) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unreachable(error) from None
        except (ConfigException, ValueError) as error:
            raise Failed(f"{self.server}: {_line(error)}") from None
        if not isinstance(answer, dict):
            raise Failed(f"{self.server} answers, but not as Kubernetes does; is it an apiserver?")
        return answer

    def _unreachable(self, error: BaseException) -> Failed:
        return Unreachable(f"the cluster does not answer at {self.server} (context {self.context}): {_cause(error)}")

    def _refusal(self, error: ApiException, verb: str, namespace: str, name: str) -> Failed:
        told = _told(error)
        message = str(told.get("message") or error.reason or "")
        here = f"the cluster at {self.server}"
        refusal: Failed
        match error.status:
            case 0 | None:
                refusal = self._unreachable(error)
            case 401:
                refusal = Failed(f"{here} does not accept the credentials of context {self.context}: {message}")
            case 403:
                refusal = Failed(f"no right to {verb} TrainingJobs in namespace {namespace}: {message}")
            case 404 if _details(told).get("name") == name:
                refusal = Missing(f"there is no TrainingJob {name} in namespace {namespace}")
            case 404:
                refusal = Failed(f"{here} knows no TrainingJobs; is trainyard installed there?")
            case 409:
                refusal = Failed(
                    f"TrainingJob {name} was replaced by another of its name meanwhile; nothing was changed"
                )
            case code if code == 429 or code >= 500:
                refusal = Unreachable(f"{here} cannot answer now (HTTP {code}): {_line(message)}")
            case code:
                refusal = Failed(f"{here} refuses (HTTP {code}): {_line(message)}")
        return refusal


def _told(error: ApiException) -> Resource:
    """The answer, if it is a Kubernetes Status."""
    try:
        parsed = json.loads(error.body or "")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) and parsed.get("kind") == "Status" else {}


def _details(told: Resource) -> Resource:
    found = told.get("details")
    return found if isinstance(found, dict) else {}


def _cause(error: BaseException) -> str:
    """What the operating system or TLS said, below what libraries put around it."""
    seen: BaseException | None = error
    said = _line(error)
    for _ in range(10):
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        below = getattr(seen, "reason", None)
        seen = below if isinstance(below, BaseException) else (seen.__cause__ or seen.__context__) if seen else None
        if seen is None:
            return said.rpartition(": ")[2] or type(error).__name__
    return said


def _line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
