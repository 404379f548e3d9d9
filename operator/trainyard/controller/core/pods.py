"""The pod of one host: the user's container, untouched, and the agent's around it. Why there is a `hold`: docs, "One job, in pods"."""

from __future__ import annotations

from typing import Any

from trainyard.api import names
from trainyard.api.platform import ExecutionRoleSpec
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.controller.core import folders, mounts, naming
from trainyard.controller.core.children import Manifest, metadata
from trainyard.controller.core.job import Job
from trainyard.controller.core.jobplan import LOOPBACK, lends
from trainyard.controller.core.quantity import from_bytes, from_millicores
from trainyard.controller.core.references import Resolved
from trainyard.controller.core.security import Security
from trainyard.controller.core.snapshot import Options

VOLUME_ML, VOLUME_SHM, VOLUME_STATE, VOLUME_TOOLS = "ml", "shm", "state", "tools"
# EKS injects a service account's web identity into every container but these.
_WEB_IDENTITY_SKIPS = "eks.amazonaws.com/skip-containers"
_NO_IDENTITY = (names.CONTAINER_PREFETCH, names.CONTAINER_TRAINING, names.CONTAINER_HOLD)
VOLUME_PLAN, VOLUME_PODINFO, VOLUME_CREDENTIALS = "plan", "podinfo", "credentials"
VOLUME_CA, VOLUME_IDENTITY = "ca", "identity"
IDENTITY_SECONDS = 3600  # the kubelet renews a token when 80 % of its time is over
# Both kinds of TLS in the agent read these two, and so trust the role's authorities beside those of the image.
_TRUST = {"SSL_CERT_FILE": names.CA_FILE, "SSL_CERT_DIR": "/etc/ssl/certs"}
PODTOOL = f"{names.TOOLS_DIR}/podtool"
# The kubelet waits this long for an answer; a busy sidecar on a full node is slow, not dead.
LIVENESS_TIMEOUT_SECONDS = 5


def literal(value: str) -> str:
    """As a pod's spec must hold it for the container to see `value`: the kubelet expands $(NAME) and turns $$ into $."""
    return value.replace("$", "$$")


def pod(job: Job, host: str, resolved: Resolved, options: Options) -> Manifest:
    """`job.spec` must be readable."""
    spec = job.spec
    assert spec is not None
    restricted = (resolved.role.security_mode or options.default_security_mode) == "restricted"
    security = Security(
        restricted, options.restricted_uid, owns_volume=resolved.instance.storage_class_name is not None
    )
    several = spec.resource_config.instance_count > 1
    pod_spec: Manifest = {
        "restartPolicy": "Never",
        "serviceAccountName": resolved.role.service_account_name or "default",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": names.STOP_GRACE_SECONDS + options.deletion_budget,
        "hostname": host,
        "securityContext": security.pod(),
        "initContainers": [
            _sidecar(host, spec, resolved, security, options),
            _prefetch(spec, security, options),
            _stage(host, resolved, security, options),
        ],
        "containers": [_training(job, spec, resolved, security, options), _hold(security, options)],
        "volumes": _volumes(job, spec, resolved),
    }
    if several:
        service = naming.service_name(job.name, job.uid, job.attempt)
        # The short names that frameworks use. The kubelet appends the search path: a Service algo-1 of the namespace wins.
        pod_spec["subdomain"] = service
        pod_spec["dnsConfig"] = {"searches": [f"{service}.{job.namespace}.svc.{options.cluster_domain}"]}
    if resolved.instance.node_selector:
        pod_spec["nodeSelector"] = dict(resolved.instance.node_selector)
    if resolved.instance.tolerations:
        pod_spec["tolerations"] = list(resolved.instance.tolerations)
    labels = {names.LABEL_HOST: host, names.LABEL_TRAINING_JOB_NAME: job.training_job_name}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(job, naming.pod_name(job.name, job.attempt, host), **labels)
        | {"annotations": {_WEB_IDENTITY_SKIPS: ",".join(_NO_IDENTITY)}},
        "spec": pod_spec,
    }


def _mount(volume: str, path: str, read_only: bool = False, sub_path: str | None = None) -> Manifest:
    mount: Manifest = {"name": volume, "mountPath": path}
    if read_only:
        mount["readOnly"] = True
    if sub_path is not None:
        mount["subPath"] = sub_path
    return mount


def _read_only(channel: str) -> Manifest:
    """A FastFile channel over its place in the writable input directory: not even root can write to it."""
    place = f"data/{channel}"
    return _mount(VOLUME_ML, f"{names.ML_SUBPATHS['input']}/{place}", read_only=True, sub_path=f"input/{place}")


def _agent(name: str, host: str, resolved: Resolved, security: Security, options: Options) -> Manifest:
    """What `sidecar` and `stage` share: the S3 identity and the agent's volumes."""
    found = [
        _mount(VOLUME_ML, names.ML_DIR),
        _mount(VOLUME_STATE, names.STATE_DIR),
        _mount(VOLUME_PLAN, names.PLAN_FILE.rsplit("/", 1)[0], read_only=True),
        _mount(VOLUME_PODINFO, names.PODINFO_DIR, read_only=True),
    ]
    if resolved.role.credentials_secret_ref is not None:
        found.append(_mount(VOLUME_CREDENTIALS, names.CREDENTIALS_DIR, read_only=True))
    if resolved.role.web_identity is not None:
        found.append(_mount(VOLUME_IDENTITY, names.IDENTITY_DIR, read_only=True))
    trust = {}
    if resolved.role.s3.ca_bundle_config_map_ref is not None:
        found.append(_mount(VOLUME_CA, names.CA_DIR, read_only=True))
        trust = _TRUST
    return {
        "name": name,
        "image": options.agent_image,
        "imagePullPolicy": options.agent_image_pull_policy,
        "args": [name],
        "env": [
            {"name": names.ENV_HOST, "value": host},
            {"name": "TMPDIR", "value": f"{names.STATE_DIR}/tmp"},  # noqa: S108 - on a volume of the pod's own
            *({"name": name, "value": value} for name, value in trust.items()),
        ],
        "securityContext": security.agent(),
        "volumeMounts": found,
    }


def _sidecar(host: str, spec: TrainingJobSpec, resolved: Resolved, security: Security, options: Options) -> Manifest:
    sidecar = _agent(names.CONTAINER_SIDECAR, host, resolved, security, options)
    sidecar["volumeMounts"].append(_mount(VOLUME_TOOLS, names.TOOLS_DIR))
    # The process that streams reads ahead, beside the one that uploads.
    memory = "512Mi" if any(spec.mode_of(channel) == "Pipe" for channel in spec.input_data_config) else "256Mi"
    return sidecar | {
        "restartPolicy": "Always",
        "ports": [{"name": "agent", "containerPort": names.AGENT_PORT, "protocol": "TCP"}],
        "lifecycle": {
            # Done before the next init container starts: that one runs the tool in the user's image.
            "postStart": {"exec": {"command": [names.PODTOOL, "copy", PODTOOL]}},
            "preStop": {"httpGet": {"path": names.PATH_PRESTOP, "port": names.AGENT_PORT}},
        },
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": memory}},
    }


def _prefetch(spec: TrainingJobSpec, security: Security, options: Options) -> Manifest:
    """Shows a wrong image before any download. It stays, as a sidecar: the next init container then starts at once, and
    not only when the kubelet has noticed, up to a second later, that this one has ended."""
    return _user_image(names.CONTAINER_PREFETCH, spec, options) | {
        "restartPolicy": "Always",
        "command": [PODTOOL, "wait"],
        "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"memory": "32Mi"}},
        "securityContext": security.bystander(),
        "volumeMounts": [_mount(VOLUME_TOOLS, names.TOOLS_DIR, read_only=True)],
    }


def _stage(host: str, resolved: Resolved, security: Security, options: Options) -> Manifest:
    stage = _agent(names.CONTAINER_STAGE, host, resolved, security, options)
    stage["volumeMounts"] += mounts.of_stage(resolved)
    if options.restarts_stage:
        killed = {"operator": "In", "values": list(names.KILLED_EXIT_CODES)}
        stage |= {"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart", "exitCodes": killed}]}
    return stage | {
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }


def _hold(security: Security, options: Options) -> Manifest:
    return {
        "name": names.CONTAINER_HOLD,
        "image": options.agent_image,
        "imagePullPolicy": options.agent_image_pull_policy,
        "command": [names.PODTOOL, "hold", names.RELEASE_FILE],
        "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"memory": "16Mi"}},
        "securityContext": security.bystander(),
        "volumeMounts": [_mount(VOLUME_STATE, names.STATE_DIR, read_only=True)],
    }


def _user_image(name: str, spec: TrainingJobSpec, options: Options) -> Manifest:
    container: Manifest = {"name": name, "image": spec.algorithm_specification.training_image}
    if options.training_image_pull_policy:
        container["imagePullPolicy"] = options.training_image_pull_policy
    return container


def _training(job: Job, spec: TrainingJobSpec, resolved: Resolved, security: Security, options: Options) -> Manifest:
    """As `docker run IMAGE train` would run it."""
    algorithm, share = spec.algorithm_specification, resolved.compute
    container = _user_image(names.CONTAINER_TRAINING, spec, options)
    if algorithm.container_entrypoint is not None:
        container["command"] = [literal(part) for part in algorithm.container_entrypoint]
    if algorithm.container_arguments is not None:
        container["args"] = [literal(part) for part in algorithm.container_arguments]
    elif algorithm.container_entrypoint is None:
        container["args"] = ["train"]
    region = resolved.role.s3.region
    platform = {"TRAINING_JOB_NAME": job.training_job_name, "TRAINING_JOB_ARN": job.arn(region), "AWS_REGION": region}
    lent = _lent(job, spec, resolved.role)
    environment = platform | lent | spec.environment
    extended = dict(share.extended)
    return container | {
        "env": [{"name": name, "value": literal(value)} for name, value in environment.items()],
        "resources": {
            "requests": {"cpu": from_millicores(share.cpu), "memory": from_bytes(share.memory)} | extended,
            "limits": {"memory": from_bytes(share.memory)} | extended,
        },
        "livenessProbe": {
            "httpGet": {"path": names.PATH_LIVE, "port": names.AGENT_PORT},
            "periodSeconds": names.LIVENESS_PERIOD_SECONDS,
            "failureThreshold": names.LIVENESS_THRESHOLD,
            "timeoutSeconds": LIVENESS_TIMEOUT_SECONDS,
            "terminationGracePeriodSeconds": names.STOP_GRACE_SECONDS,
        },
        "securityContext": security.training(),
        "volumeMounts": [
            *(_mount(VOLUME_ML, path, sub_path=sub_path) for sub_path, path in folders.storage(spec).items()),
            *(
                _read_only(channel.channel_name)
                for channel in spec.input_data_config
                if spec.mode_of(channel) == "FastFile" and channel.channel_name not in resolved.volumes
            ),
            *mounts.of_training(resolved),
            _mount(VOLUME_SHM, "/dev/shm"),  # noqa: S108 - the contract's path, on a volume of its own
            *([_mount(VOLUME_CA, names.CA_DIR, read_only=True)] if "AWS_CA_BUNDLE" in lent else []),
        ],
    }


def _lent(job: Job, spec: TrainingJobSpec, role: ExecutionRoleSpec) -> dict[str, str]:
    """Where AWS's SDKs find the role's credentials, and AWS's toolkit and boto3 the S3 server."""
    if not lends(spec, role):
        return {}
    where = f"http://{LOOPBACK}:{names.AGENT_PORT}{names.PATH_CREDENTIALS}"
    lent = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": where,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": names.credentials_token(job.uid, job.attempt),
        "AWS_DEFAULT_REGION": role.s3.region,
    }
    if (endpoint := role.s3.endpoint_url) is not None:
        lent |= {"S3_ENDPOINT_URL": endpoint, "AWS_ENDPOINT_URL_S3": endpoint}
    if role.s3.ca_bundle_config_map_ref is not None:
        lent["AWS_CA_BUNDLE"] = names.CA_FILE
    return lent


def _annotation_item(path: str, annotation: str) -> Manifest:
    return {"path": path, "fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}


def _storage(job: Job, spec: TrainingJobSpec, resolved: Resolved) -> Manifest:
    """What /opt/ml is on. Only a volume of its own says ENOSPC; over its limit a directory of the node is an eviction without grace."""
    size, storage_class = f"{spec.resource_config.volume_size_in_gb}Gi", resolved.instance.storage_class_name
    if storage_class is None:
        return {"emptyDir": {"sizeLimit": size}}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": size}},
    }
    labels = naming.labels(job.name, job.uid, job.attempt)
    return {"ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": labels}, "spec": claim}}}


def _volumes(job: Job, spec: TrainingJobSpec, resolved: Resolved) -> list[dict[str, Any]]:
    volumes: list[Manifest] = [
        {"name": VOLUME_ML} | _storage(job, spec, resolved),
        {"name": VOLUME_SHM, "emptyDir": {"medium": "Memory", "sizeLimit": from_bytes(resolved.compute.shared_memory)}},
        {"name": VOLUME_STATE, "emptyDir": {}},
        {"name": VOLUME_TOOLS, "emptyDir": {}},
        {"name": VOLUME_PLAN, "configMap": {"name": naming.config_map_name(job.name, job.attempt)}},
        {
            "name": VOLUME_PODINFO,
            "downwardAPI": {
                "items": [
                    _annotation_item(names.PODINFO_STOP, names.ANNOTATION_STOP),
                    _annotation_item(names.PODINFO_TRAINING_ENDED, names.ANNOTATION_TRAINING_ENDED),
                ]
            },
        },
    ]
    if (secret := resolved.role.credentials_secret_ref) is not None:
        # Optional: a missing Secret is reported by the agent; a mandatory one would hang the mount without a word.
        volumes.append({"name": VOLUME_CREDENTIALS, "secret": {"secretName": secret.name, "optional": True}})
    if (identity := resolved.role.web_identity) is not None:
        token = {"audience": identity.audience, "expirationSeconds": IDENTITY_SECONDS, "path": names.IDENTITY_TOKEN}
        volumes.append({"name": VOLUME_IDENTITY, "projected": {"sources": [{"serviceAccountToken": token}]}})
    if (bundle := resolved.role.s3.ca_bundle_config_map_ref) is not None:
        item = {"key": bundle.key, "path": names.CA_FILE.rpartition("/")[2]}
        volumes.append({"name": VOLUME_CA, "configMap": {"name": bundle.name, "items": [item], "optional": True}})
    return [*volumes, *mounts.volumes(resolved)]
