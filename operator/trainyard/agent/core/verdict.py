"""What a failed S3 request means: will it pass by itself, and if not, what should who do about it?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from trainyard.agent.errors import NOT_ENCRYPTED, StoreFault
from trainyard.api.reasons import Reason

Verb = Literal["list", "read", "write", "delete"]
TRANSIENT_STATUS = frozenset({408, 425, 429, *range(500, 600)}) - {501}
"""Of 5xx all but "not implemented": what stands before a server has codes of its own."""
TRANSIENT_CODES = frozenset(
    {
        "RequestTimeout",
        "SlowDown",
        "InternalError",
        "ServiceUnavailable",
        "Throttling",
        "BadDigest",
        "KMS.ThrottlingException",
        "ConditionalRequestConflict",
        "OperationAborted",
    }
)
UNKNOWN_KEY = frozenset({"InvalidAccessKeyId", "XAdminUserNotFound"})
EXPIRED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "ExpiredTokenException"})
ELSEWHERE = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "TemporaryRedirect", "IllegalLocationConstraintException"}
)
# Not in a bucket's name or a key, which a message may have too.
_OF_KMS = re.compile(r"\bkms:[A-Z]|\bKMS\b")
ACTIONS = {"list": "s3:ListBucket", "read": "s3:GetObject", "write": "s3:PutObject", "delete": "s3:DeleteObject"}


@dataclass(frozen=True)
class Target:
    """What a request was about."""

    verb: Verb
    bucket: str
    key: str = ""

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Who:
    """With which credentials and where."""

    role: str
    secret: str | None
    endpoint: str
    region: str
    web_identity: bool = False
    kms_key: str = ""
    """What objects that are written are to be encrypted with."""
    instance_metadata: bool = False

    @property
    def keys(self) -> str:
        return f'the keys in Secret "{self.secret}"' if self.secret else f'the credentials of role "{self.role}"'

    @property
    def make_secret(self) -> str:
        """The command that mends it."""
        return (
            f"kubectl create secret generic {self.secret or 'NAME'} --from-literal=AWS_ACCESS_KEY_ID=... "
            f"--from-literal=AWS_SECRET_ACCESS_KEY=..."
        )


@dataclass(frozen=True)
class Verdict:
    """`lasting`: trying again soon is no use. `misspelt`: of an endpoint that was never reached, its address is most likely wrong."""

    lasting: bool
    reason: Reason
    text: str
    misspelt: bool = False


def judge(fault: StoreFault, target: Target, who: Who) -> Verdict:
    """The verdict on one fault. `text` names the object and the fix and fits behind `Data download failed:`."""
    if fault.kind == "answer":
        return _judge_answer(fault, target, who)
    reason, lasting = Reason.DATA_DOWNLOAD_FAILED, False
    match fault.kind:
        case "credentials":
            reason, lasting = Reason.NO_CREDENTIALS, True
            text = _no_credentials(fault, who)
        case "nowhere":
            text = f"the S3 endpoint {who.endpoint} has no address ({fault.detail}): correct spec.s3.endpointURL of the ExecutionRole"
        case "dns":
            text = f"the address of the S3 endpoint {who.endpoint} cannot be found out ({fault.detail}): see to the cluster's name servers"
        case "refused":
            text = (
                f"the S3 endpoint {who.endpoint} refuses connections ({fault.detail}): start the server, or correct the "
                f"ExecutionRole's endpoint"
            )
        case "forbidden":
            reason, lasting = Reason.ACCESS_DENIED, True
            text = (
                f"the S3 endpoint {who.endpoint} is at {fault.detail}, where the operator's settings s3.deniedAddresses allow none: "
                f"correct spec.s3.endpointURL of the ExecutionRole, or have the address added to s3.allowedAddresses"
            )
        case "tls":
            lasting = True
            text = (
                f"the S3 endpoint {who.endpoint} has no certificate that can be trusted ({fault.detail}): give it one, or name its "
                f"authorities in spec.s3.caBundleConfigMapRef of the ExecutionRole"
            )
        case "damaged":
            lasting = True
            text = (
                f"{target.uri} arrived damaged: {fault.detail}. Write the object again, or see to the network and the store "
                f"between it and here ({who.endpoint})"
            )
        case _:
            text = f"{target.uri} cannot be reached: {who.endpoint} does not answer ({fault.detail})"
    return Verdict(lasting, reason, text, misspelt=fault.kind == "nowhere")


def _no_credentials(fault: StoreFault, who: Who) -> str:
    if who.web_identity:
        return (
            f'the ExecutionRole for role "{who.role}" gets no credentials for its service account: {fault.detail}. Correct its '
            f"spec.webIdentity, or the trust policy of the role that it names"
        )
    if who.secret:
        return (
            f'Secret "{who.secret}" of the ExecutionRole for role "{who.role}" is missing or has no key {fault.code}; '
            f"create it with: {who.make_secret}"
        )
    if who.instance_metadata:
        return (
            f'the ExecutionRole for role "{who.role}" uses the node\'s own credentials, and its instance metadata service gives none '
            f"({fault.detail}): give the node a role, and let pods reach the service (on EC2 by a hop limit of 2), or name a Secret, "
            f"made with: {who.make_secret}"
        )
    return (
        f'the ExecutionRole for role "{who.role}" names no Secret and its service account brings no AWS credentials '
        f"({fault.detail}): name a Secret in it, made with: {who.make_secret}"
    )


def _access(fault: StoreFault, target: Target, who: Who) -> Verdict | None:
    said = f"{fault.code or fault.status}: {fault.detail}"
    if fault.code in UNKNOWN_KEY:
        text = f"S3 at {who.endpoint} does not know {who.keys} ({said}): replace them: {who.make_secret}"
    elif fault.code == "SignatureDoesNotMatch":
        text = f"S3 at {who.endpoint} refuses {who.keys} ({said}): the secret access key is wrong; replace it: {who.make_secret}"
    elif fault.code in EXPIRED:
        text = f"{who.keys} have expired ({said}): renew them: {who.make_secret}"
    elif fault.code == "RequestTimeTooSkewed":
        text = f"the clock of this node is wrong ({said}): set it"
    elif fault.code == "InvalidObjectState":
        text = f"{target.uri} is in an archive storage class ({said}): restore it first"
    elif fault.status in {401, 403}:
        what = f"{target.bucket}" if target.verb == "list" else f"{target.bucket}/{target.key}"
        text = f"cannot {target.verb} {target.uri} ({said}): allow {who.keys} the action {ACTIONS[target.verb]} on arn:aws:s3:::{what}"
        if target.verb == "write":
            text = text.replace("cannot write", "cannot write to", 1)
    else:
        return None
    return Verdict(True, Reason.ACCESS_DENIED, text)


def _bucket(fault: StoreFault, target: Target, who: Who) -> Verdict | None:
    said = f"{fault.code or fault.status}: {fault.detail}"
    if fault.code in {"NoSuchBucket", "InvalidBucketName"}:
        text = f'bucket "{target.bucket}" does not exist at {who.endpoint} ({said}): create it, or correct the S3 URI {target.uri}'
        return Verdict(True, Reason.NO_SUCH_BUCKET, text)
    if fault.code in ELSEWHERE or fault.status in {301, 302, 307, 308}:
        text = (
            f'bucket "{target.bucket}" is not in region {who.region} at {who.endpoint} ({said}): set region and endpoint of the '
            f"ExecutionRole to the bucket's"
        )
        return Verdict(True, Reason.NO_SUCH_BUCKET, text)
    return None


def _object(fault: StoreFault, target: Target, _who: Who) -> Verdict | None:
    if fault.missing and target.verb == "read":
        text = f"{target.uri} is gone since it was listed: do not delete input data while a job uses it"
    elif fault.status == 412:
        text = f"{target.uri} has changed since it was listed: do not replace input data while a job uses it"
    else:
        return None
    return Verdict(True, Reason.DATA_DOWNLOAD_FAILED, text)


def _encryption(fault: StoreFault, target: Target, who: Who) -> Verdict | None:
    """S3 names the service that refused, KMS, in the code, or in the message of an AccessDenied."""
    said = f"{fault.code or fault.status}: {fault.detail}"
    told = fault.code.startswith("KMS.") or _OF_KMS.search(fault.detail) is not None
    if target.verb == "read" and told and fault.status in {400, 403}:
        text = f"{target.uri} is encrypted with a KMS key ({said}): allow {who.keys} the action kms:Decrypt on that key"
        return Verdict(True, Reason.ACCESS_DENIED, text)
    if target.verb != "write" or not who.kms_key:
        return None
    key = f'the KMS key "{who.kms_key}" of outputDataConfig.kmsKeyID'
    if fault.code == NOT_ENCRYPTED:
        text = (
            f"S3 at {who.endpoint} took {target.uri} and did not encrypt it with {key} ({said}): leave kmsKeyID out, and let the bucket's "
            f"default encryption do it, or use a server that has KMS"
        )
        return Verdict(True, Reason.ARTIFACT_UPLOAD_FAILED, text)
    odd = fault.code != "AccessDenied" and "encrypt" in f"{fault.code} {fault.detail}".lower()
    if told or odd or fault.code == "NotImplemented":
        text = (
            f"S3 at {who.endpoint} does not encrypt {target.uri} with {key} ({said}): name a key that exists and is enabled in region "
            f"{who.region}, and allow {who.keys} the actions kms:GenerateDataKey and kms:Decrypt on it"
        )
        return Verdict(True, Reason.ACCESS_DENIED, text)
    return None


_RULES: tuple[Callable[[StoreFault, Target, Who], Verdict | None], ...] = (_encryption, _access, _bucket, _object)


def _judge_answer(fault: StoreFault, target: Target, who: Who) -> Verdict:
    said = f"{fault.code or fault.status}: {fault.detail}"
    if fault.foreign:
        text = (
            f"{who.endpoint} answers as no S3 server does for {target.uri} ({said}): start the server behind it, or correct "
            f"the ExecutionRole's endpoint"
        )
        return Verdict(False, Reason.DATA_DOWNLOAD_FAILED, text, misspelt=True)
    if fault.status in TRANSIENT_STATUS or fault.code in TRANSIENT_CODES:
        text = f"S3 at {who.endpoint} keeps failing for {target.uri} ({said})"
        return Verdict(False, Reason.DATA_DOWNLOAD_FAILED, text)
    for rule in _RULES:
        if verdict := rule(fault, target, who):
            return verdict
    text = f"S3 at {who.endpoint} refuses to {target.verb} {target.uri} ({said})"
    return Verdict(True, Reason.DATA_DOWNLOAD_FAILED, text)


def pause(attempt: int, first: float, most: float, dice: float) -> float:
    """Seconds before try number `attempt` + 1 (from 1): doubling, with half of it left to `dice` in [0, 1)."""
    whole: float = min(most, first * 2 ** min(attempt - 1, 30))
    return whole * (0.5 + dice / 2)
