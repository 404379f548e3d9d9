"""`trainingCredentials: none`, seen from inside of the training container: a program that looks everywhere finds nothing."""

from __future__ import annotations

import json
from typing import Any

from hack import s3server
from tests.e2e.jobs import Job, channel, manifest
from tests.e2e.site import Desk

RUN = "import json; exec(json.load(open('/opt/ml/input/config/hyperparameters.json'))['program'])"

# Where credentials, tokens and endpoints are: the environment of every process, files, the metadata services of clouds and
# containers, and whatever listens on loopback. Every HTTP status but 404 is an answer worth telling.
SEARCH = """
import concurrent.futures, json, os, urllib.error, urllib.request
def read(path):
    try:
        return open(path, "rb").read().decode("latin-1")
    except OSError:
        return ""
env = "\\0".join(read(f"/proc/{pid}/environ") for pid in os.listdir("/proc") if pid.isdigit())
env = sorted({entry for entry in env.split("\\0") if entry.startswith(("AWS_", "S3_")) or "TOKEN" in entry or "KEY" in entry})
places = ["/var/run/secrets", "/run/secrets", "/root/.aws", "/trainyard", os.path.expanduser("~/.aws")]
files = [os.path.join(at, name) for place in places for at, _, names in os.walk(place) for name in names]
seen = [f for f in files if not f.startswith("/trainyard/tools")]
# Only the pod's own listeners: in hexadecimal, address:port.
def ports():
    lines = [line.split() for name in ("tcp", "tcp6") for line in read("/proc/net/" + name).splitlines()[1:]]
    return sorted({int(line[1].rpartition(":")[2], 16) for line in lines if line[3] == "0A"})
def ask(url, method="GET", headers=None):
    try:
        asked = urllib.request.Request(url, method=method, headers=headers or {})
        with urllib.request.urlopen(asked, timeout=2) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except Exception:
        return None
paths = ["/credentials", "/v2/credentials", "/v2/credentials/x", "/latest/meta-data/iam/security-credentials/", "/report", "/archive"]
urls = [f"http://127.0.0.1:{port}{path}" for port in ports() for path in paths]
urls += ["http://169.254.170.2/v2/credentials", "http://169.254.170.23/v1/credentials"]
urls += ["http://169.254.169.254/latest/meta-data/iam/security-credentials/"]
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    answers = dict(zip(urls, pool.map(ask, urls)))
answers["imds token"] = ask("http://169.254.169.254/latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
config = {name: read("/opt/ml/input/config/" + name) for name in os.listdir("/opt/ml/input/config")}
found = {"env": env, "files": seen, "answers": answers, "ports": ports(), "config": json.dumps(config)}
json.dump(found, open("/opt/ml/model/found.json", "w"))
"""


def search(desk: Desk, name: str) -> tuple[Job, dict[str, Any]]:
    desk.bucket.put("data/a", "a")
    image = desk.images["test-train"]
    made = manifest(
        name,
        image,
        desk.bucket,
        channels=[channel("train", desk.bucket.uri("data/"))],
        hyper={"program": SEARCH},
        algorithmSpecification={"trainingImage": image, "containerEntrypoint": ["python3", "-c", RUN]},
    )
    job = desk.submit(made)
    job.completes()
    return job, json.loads(job.model()["found.json"])


def test_a_program_without_credentials_finds_no_key_token_endpoint_or_server(desk: Desk) -> None:
    desk.role("default", trainingCredentials="none")
    _, found = search(desk, "none")
    assert [entry for entry in found["env"] if not entry.startswith("AWS_REGION=")] == []
    assert found["files"] == []
    # The agent is there, and has nothing for whoever cannot show its token.
    assert found["ports"]
    told = {url: code for url, code in found["answers"].items() if code is not None}
    assert {code for url, code in told.items() if url.startswith("http://127.0.0.1:")} <= {401, 403, 404}
    assert all(code == 404 for url, code in told.items() if url.endswith("/credentials") and "127.0.0.1" in url)
    # A cloud's metadata service may be there; it must have nothing for a pod.
    assert [url for url, code in told.items() if not url.startswith("http://127.") and code in (200, 401)] == []
    secrets = (desk.site.s3.access_key, desk.site.s3.secret_key, s3server.INSIDE)
    assert not [secret for secret in secrets if secret in json.dumps(found)]


def test_the_search_finds_what_a_role_lends(desk: Desk) -> None:
    """So that finding nothing means something."""
    _, found = search(desk, "lent")
    names = {entry.partition("=")[0] for entry in found["env"]}
    assert {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "S3_ENDPOINT_URL"} <= names
    assert 401 in found["answers"].values()
