"""A job's pods without Kubernetes: real agent processes on temporary directories, a real S3 server, and the test as kubelet.

Nothing in here is mocked. The only thing put between agent and S3 is a proxy that can hold bytes back.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from hack import ports, tools
from trainyard.agent.app.settings import Settings
from trainyard.agent.timing import Timing
from trainyard.api.names import agent_token
from trainyard.api.plan import ChannelPlan, CheckpointPlan, Host, JobIdentity, Plan, StorePlan
from trainyard.api.report import Report

ACCESS_KEY = "rig-access-key"
SECRET_KEY = "rig-secret-key"
# Looked up before any test changes HOME, in which the cache is.
IDENTITY = JobIdentity(namespace="ns", name="job", uid="uid-1", training_job_name="Job", arn="arn:job", attempt=1)
JOB_ID = IDENTITY.digest
S3FETCH = tools.S3FETCH.directory / "s3fetch"
QUICK = Timing(
    poll=0.05,
    probe_period=0.1,
    kill_lead=0.3,
    grace=0.5,
    silence=1.0,
    never_probed=3,
    long_silence=1.5,
    limit_margin=0.3,
    quiet=20,
    failed_upload=2,
    checkpoint_hurry=0.1,
    fence_age=0.1,
    peer_poll=0.1,
    peer_lost=2,
    peer_wait=5,
    unreachable=1,
    brief=1,
    backoff_first=0.05,
    backoff_most=0.3,
    connect=2,
    read=20,
    worker_restart=0.1,
    worker_stuck=3,
)


def wait_for(what: str, check: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true answer; fails loudly when none comes."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer := check():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"still waiting for {what} after {seconds} s")


def command_of(pid: int) -> bytes:
    """What that process was started as; nothing once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def replaced(path: Path, text: str) -> None:
    """Swapped in whole, as the kubelet does it."""
    part = path.with_name(f".{path.name}")
    part.write_text(text)
    part.rename(path)


def children(pid: int) -> list[int]:
    """Processes that `pid` has started and that live."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def rss(pid: int) -> int:
    """Resident bytes; 0 once it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def s3fetch() -> Path:
    """The program: named by TRAINYARD_S3FETCH, or of this source from the cache that `make setup` fills."""
    return Path(os.environ.get("TRAINYARD_S3FETCH") or S3FETCH)


def find_versitygw() -> Path | None:
    """The server's binary: named by TRAINYARD_VERSITYGW, or in the cache that `make setup` fills."""
    if named := os.environ.get("TRAINYARD_VERSITYGW"):
        return Path(named)
    fallback = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trainyard"
    cache = Path(os.environ.get("TRAINYARD_CACHE") or fallback)
    found = sorted(path for path in cache.glob("tools/*/versitygw") if path.is_file() and os.access(path, os.X_OK))
    return found[-1] if found else None


class S3Server:
    """A versitygw on a directory of its own."""

    def __init__(self, binary: Path, directory: Path, access_log: Path | None = None, *, domain: str = "") -> None:
        """`domain`: of whose names the first part is a bucket's."""
        self.directory = directory
        self._access_log = access_log
        self._port = ports.free()
        self.url = f"http://{'localhost' if domain else '127.0.0.1'}:{self._port}"
        self.virtual_url = f"http://{domain}:{self._port}"
        self._process = subprocess.Popen(
            [
                binary,
                "--port",
                f"127.0.0.1:{self._port}",
                "--health",
                "/health",
                "--keep-alive",
                "--quiet",
                *(["--access-log", access_log] if access_log else []),
                *(["--virtual-domain", f"{domain}:{self._port}"] if domain else []),
                "posix",
                directory,
            ],
            env=os.environ | {"ROOT_ACCESS_KEY_ID": ACCESS_KEY, "ROOT_SECRET_ACCESS_KEY": SECRET_KEY},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for("the S3 server", self._healthy)
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def damage(self, bucket: str, key: str) -> None:
        """Changes one byte of an object on the server's disk, behind its back: size, ETag and checksum stay."""
        with (self.directory / bucket / key).open("r+b") as file:
            byte = file.read(1)
            file.seek(0)
            file.write(bytes([byte[0] ^ 1]))

    def keys(self, bucket: str) -> list[str]:
        return [item["Key"] for item in self.client.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def read(self, bucket: str, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=bucket, Key=key)["Body"].read())

    def archive(self, bucket: str, key: str) -> dict[str, bytes]:
        """Path -> content of a .tar.gz; directories have None's place taken by b''."""
        with tarfile.open(fileobj=io.BytesIO(self.read(bucket, key)), mode="r:gz") as archive:
            return {m.name: (f.read() if (f := archive.extractfile(m)) else b"") for m in archive}

    def requests(self, bucket: str) -> list[str]:
        """Method and key of every request about that bucket so far."""
        assert self._access_log is not None
        lines = self._access_log.read_text().splitlines() if self._access_log.exists() else []
        return [line for line in lines if f" {bucket} " in line]

    def uploads(self, bucket: str) -> list[str]:
        return [item["Key"] for item in self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


class Proxy:
    """Forwards bytes to S3, until `limit` of them were sent: then it holds the rest back until `open` is called.

    `cuts`: so many times, a connection is cut after a megabyte, in the middle of whatever it carries.
    `rate`: bytes in a second towards S3, of all connections together.
    """

    def __init__(self, server: S3Server, limit: int | None = None, cuts: int = 0, rate: int = 0, port: int = 0) -> None:
        self.cuts = cuts
        self._rate = rate
        self._pace = threading.Lock()
        host, _, behind = server.url.removeprefix("http://").partition(":")
        self._target = (host, int(behind))
        self._listener = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._left = limit
        self._gate = threading.Event()
        self.held = threading.Event()
        if limit is None:
            self._gate.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def open(self) -> None:
        self._gate.set()

    def close(self) -> None:
        self.open()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        try:
            passed = 0
            while data := source.recv(65536):
                passed += len(data)
                if self.cuts and passed > 1_000_000:
                    self.cuts -= 1
                    break
                if counted and not self._gate.is_set() and self._left is not None:
                    self._left -= len(data)
                    if self._left <= 0:
                        self.held.set()
                        self._gate.wait()
                if counted and self._rate:
                    with self._pace:
                        time.sleep(len(data) / self._rate)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@dataclass
class Pod:
    """One host's volumes and processes."""

    job: Job
    host: Host
    root: Path
    process: subprocess.Popen[bytes] | None = None
    probing: threading.Event = field(default_factory=threading.Event)
    answers: list[int] = field(default_factory=list)

    @property
    def ml(self) -> Path:
        return self.root / "ml"

    @property
    def state(self) -> Path:
        return self.root / "state"

    def command(self, role: str, log: str = "termination-log") -> list[str]:
        return [
            *(sys.executable, "-m", "trainyard.agent", role),
            *(
                f"--host={self.host.name}",
                f"--ml={self.ml}",
                f"--state={self.state}",
                f"--plan={self.root / 'plan.json'}",
            ),
            *(f"--podinfo={self.root / 'podinfo'}", f"--credentials={self.job.credentials}"),
            f"--identity={self.root / 'identity'}",
            f"--fetcher={s3fetch()}",
            *(f"--termination-log={self.root / log}", f"--bind={self.host.address}", f"--port={self.job.port}"),
            f"--timing={json.dumps(asdict(self.job.timing))}",
        ]

    def make(self) -> None:
        (self.root / "podinfo").mkdir(parents=True)
        self.write_plan()

    @property
    def settings(self) -> Settings:
        """Of its helpers, for what they do in the test's own process."""
        return Settings(
            host=self.host.name, ml=self.ml, state=self.state, plan=self.root / "plan.json", podinfo=self.root / "podinfo",
            credentials=self.job.credentials, timing=self.job.timing,
        )  # fmt: skip

    def write_plan(self) -> None:
        replaced(self.root / "plan.json", self.job.plan.to_json())

    def stage(self, *, code: int | None = 0) -> Report:
        """Runs `stage` to its end."""
        done = subprocess.run(self.command("stage", "stage-log"), capture_output=True, timeout=60, check=False)
        message = (self.root / "stage-log").read_text()
        assert b"Traceback" not in message.encode()
        assert code is None or done.returncode == code, (message, done.stderr.decode())
        assert len(message.encode()) <= 2048
        return Report.from_json(message)

    def stage_in_background(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command("stage", "stage-log"), stderr=subprocess.DEVNULL)

    def staged_report(self) -> Report:
        return Report.from_json((self.root / "stage-log").read_text())

    def start(self) -> None:
        """The sidecar; again after it was killed."""
        with (self.root / "sidecar.err").open("ab") as errors:
            self.process = subprocess.Popen(self.command("sidecar"), stderr=errors, start_new_session=True)
        wait_for("the sidecar", lambda: self.get("/healthz") == 200)
        assert self.process.poll() in (None, 0), "another process answered"

    def get(self, path: str) -> int:
        return self.request("GET", path)[0]

    def request(self, method: str, path: str, body: bytes | None = None, *, token: bool = False) -> tuple[int, bytes]:
        """Status (0: no answer) and body."""
        request = urllib.request.Request(f"http://{self.host.address}:{self.job.port}{path}", body, method=method)
        if token:
            request.add_header(
                "Authorization", f"Bearer {agent_token(self.job.plan.job.uid, self.job.plan.job.attempt)}"
            )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def report(self) -> Report:
        status, body = self.request("GET", "/report", token=True)
        assert status == 200
        return Report.from_json(body)

    def run_training(self, files: dict[str, bytes] | None = None) -> None:
        """Training runs: probes begin, and files appear in the model directory."""
        self.stage()
        self.write(files or {})
        self.probe()

    def probe(self) -> None:
        """Probes begin, or begin again."""
        self.answers.clear()
        self.probing.set()
        threading.Thread(target=self._probe, daemon=True).start()
        wait_for("a probe", lambda: self.answers)

    def write(self, files: dict[str, bytes], tree: str = "model") -> None:
        for name, content in files.items():
            path = self.ml / tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _probe(self) -> None:
        while self.probing.is_set():
            self.answers.append(self.get("/live"))
            time.sleep(self.job.timing.probe_period)

    def training_ends(self, code: int | None = 0, reason: str = "") -> None:
        """The container is gone; the operator says so, unless it is absent (None)."""
        self.probing.clear()
        if code is not None:
            body = json.dumps({"exitCode": code, "reason": reason}).encode()
            assert self.request("POST", "/training-ended", body, token=True)[0] == 200

    def seen(self) -> dict[str, Any]:
        """What other hosts see of this one."""
        status, body = self.request("GET", "/peer/state", token=True)
        assert status == 200
        found: dict[str, Any] = json.loads(body)
        return found

    def annotate(self, name: str, content: dict[str, Any]) -> None:
        """As the kubelet shows an annotation: swapped in whole."""
        replaced(self.root / "podinfo" / name, json.dumps(content))

    def released(self, seconds: float = 30) -> None:
        wait_for(f"the release of {self.host.name}", (self.state / "release").exists, seconds)

    def terminate(self) -> Report:
        """SIGTERM, as the kubelet sends it when every regular container is gone; the report it leaves."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        return self.report_left()

    def report_left(self) -> Report:
        """The termination message."""
        message = (self.root / "termination-log").read_text()
        assert len(message.encode()) <= 2048
        return Report.from_json(message)

    def end(self) -> Report:
        """The ordinary end: hold exits once it may, then the kubelet ends the sidecar."""
        self.released()
        assert self.get("/prestop") == 200
        return self.terminate()

    def kill(self) -> None:
        """SIGKILL to everything in the container."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Job:
    """A job of some hosts in its own bucket."""

    def __init__(self, server: S3Server, root: Path, bucket: str, hosts: int = 1, url: str | None = None) -> None:
        self.server = server
        self.bucket = bucket
        self.port = ports.free()
        self.timing = QUICK
        self.credentials = root / "credentials"
        self.credentials.mkdir()
        self.set_credentials()
        self.plan = Plan(
            job=IDENTITY,
            hosts=[
                Host(name=f"algo-{n}", address=f"127.0.0.{n + 1}", instance_type="ml.m5.large")
                for n in range(1, hosts + 1)
            ],
            s3_output_path=f"s3://{bucket}/out",
            store=StorePlan(role="arn:role", endpoint_url=url or server.url, credentials_secret="s3-keys"),
            download_retry_seconds=3,
            upload_hold_seconds=20,
            deletion_budget_seconds=30,
        )
        self.pods = [Pod(self, host, root / host.name) for host in self.plan.hosts]
        for pod in self.pods:
            pod.make()

    @property
    def pod(self) -> Pod:
        return self.pods[0]

    def set_credentials(self, access: str = ACCESS_KEY, secret: str = SECRET_KEY) -> None:
        replaced(self.credentials / "AWS_ACCESS_KEY_ID", access)
        replaced(self.credentials / "AWS_SECRET_ACCESS_KEY", secret)

    def change(self, **fields: Any) -> None:
        self.plan = self.plan.but(**fields)
        for pod in self.pods:
            pod.write_plan()

    def channel(self, prefix: str, *, bucket: str | None = None, distribution: Any = "FullyReplicated") -> None:
        self.change(
            channels=[
                ChannelPlan(name="train", s3_uri=f"s3://{bucket or self.bucket}/{prefix}", distribution=distribution)
            ]
        )

    def channels(self, *fields: dict[str, Any]) -> None:
        """Channels by the fields of their plans, `train` if they have no name."""
        self.change(channels=[ChannelPlan(**{"name": "train"} | each) for each in fields])

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def put(self, *keys: str, body: bytes | None = None) -> None:
        for key in keys:
            self.server.client.put_object(Bucket=self.bucket, Key=key, Body=key.encode() if body is None else body)

    def keep_checkpoints(self, prefix: str = "ck", *, interval: float = 0.4, path: str = "/opt/ml/checkpoints") -> None:
        plan = CheckpointPlan(s3_uri=f"s3://{self.bucket}/{prefix}", local_path=path, interval_seconds=interval)
        self.change(checkpoints=plan)

    def checkpoints(self, prefix: str = "ck") -> dict[str, bytes]:
        """What is in S3 below the prefix, by path; one that is deleted while this looks counts as gone."""
        found = {}
        for key in self.server.keys(self.bucket):
            if key.startswith(f"{prefix}/"):
                with suppress(self.server.client.exceptions.NoSuchKey):
                    found[key.removeprefix(f"{prefix}/")] = self.server.read(self.bucket, key)
        return found

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.server.read(self.bucket, "out/Job/trainyard-manifest.json"))
        return found

    def model(self) -> dict[str, bytes]:
        return self.server.archive(self.bucket, "out/Job/output/model.tar.gz")

    def artifact(self, place: str) -> dict[str, bytes]:
        """Files by path, of the archive of that name or below it: as the job is to leave them."""
        if self.plan.compression == "GZIP":
            return self.server.archive(self.bucket, f"{place}.tar.gz")
        keys = [key for key in self.server.keys(self.bucket) if key.startswith(f"{place}/")]
        return {key.removeprefix(f"{place}/"): self.server.read(self.bucket, key) for key in keys}

    def close(self) -> None:
        for pod in self.pods:
            pod.probing.clear()
            if pod.process and pod.process.poll() is None:
                pod.kill()


@contextmanager
def job(server: S3Server, root: Path, bucket: str, hosts: int = 1, url: str | None = None) -> Iterator[Job]:
    server.client.create_bucket(Bucket=bucket)
    made = Job(server, root, bucket, hosts, url)
    try:
        yield made
    finally:
        made.close()
