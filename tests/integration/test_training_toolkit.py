"""AWS's training toolkit, which its own images run scripts with, unmodified: it finds its script in S3 with the credentials that training gets."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from uuid import uuid4

import pytest

from hack import tools
from tests.integration.agent_rig import S3Server, job
from tests.integration.test_training_credentials import environment
from trainyard.api.report import Result

SCRIPT = b"""
import argparse, json, os, pathlib
arguments = argparse.ArgumentParser()
arguments.add_argument("--eta", type=float)
eta = arguments.parse_args().eta
rows = sorted(path.read_text() for path in pathlib.Path(os.environ["SM_CHANNEL_TRAIN"]).iterdir())
hosts = json.loads(os.environ["SM_HOSTS"])
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.json").write_text(json.dumps([eta, rows, hosts, os.environ["SM_CURRENT_HOST"]]))
"""


def source() -> bytes:
    """As the SageMaker SDK packs a script."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("train.py")
        member.size = len(SCRIPT)
        archive.addfile(member, io.BytesIO(SCRIPT))
    return packed.getvalue()


@pytest.mark.skipif(
    os.environ.get("TRAINYARD_LONG") != "1", reason="28 packages, one of them compiled: make test-long has it"
)
def test_a_script_that_lies_in_s3_is_run_by_awss_toolkit_and_its_model_is_kept(
    server: S3Server, tmp_path: Path
) -> None:
    tools.ensure(tools.TOOLKIT)
    with job(server, tmp_path, f"b-{uuid4().hex}") as one:
        one.put("d/a", "d/b")
        one.put("code/sourcedir.tar.gz", body=source())
        one.channel("d/")
        code = one.uri("code/sourcedir.tar.gz")
        # As the SDK gives them: each value is JSON.
        one.change(
            training_credentials=True,
            hyper_parameters={
                "eta": "0.3",
                "sagemaker_program": '"train.py"',
                "sagemaker_submit_directory": f'"{code}"',
                "sagemaker_job_name": '"Job"',
                "sagemaker_region": '"us-east-1"',
            },
        )
        one.pod.start()
        one.pod.stage()
        one.pod.probe()
        packages = tools.TOOLKIT.directory
        # The toolkit waits until its host's name resolves, as it does in a pod.
        (hosts := tmp_path / "hosts").write_text("127.0.0.1 localhost algo-1\n")
        named = [
            "unshare",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            'mount --bind "$0" /etc/hosts && exec "$@"',
            hosts,
        ]
        done = subprocess.run(
            [*named, sys.executable, packages / "bin" / "train"],
            env=environment(one)
            | {
                "PYTHONPATH": str(packages),
                "SAGEMAKER_BASE_DIR": str(one.pod.ml),
                "S3_ENDPOINT_URL": server.url,
                "TRAINING_JOB_NAME": "Job",
                "AWS_REGION": "us-east-1",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        one.pod.training_ends()
        assert one.pod.end().result is Result.COMMITTED
        assert one.model() == {"model.json": b'[0.3, ["d/a", "d/b"], ["algo-1"], "algo-1"]'}
