"""How other programs are told to do the same, with their defaults but for what a table's note says."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from hack import tools
from tests.integration.agent_rig import ACCESS_KEY, SECRET_KEY

Command = list[str | Path]
BOTO3 = Path(__file__).with_name("boto3_peer.py")
RCLONE_S3 = ":s3,provider=Other,env_auth=true,force_path_style=true,list_version=2,use_multipart_etag=false"
RCLONE = (
    *("--transfers", "32", "--multi-thread-streams", "16", "--multi-thread-chunk-size", "8Mi"),
    *("--s3-chunk-size", "8Mi", "--s3-upload-concurrency", "16", "--fast-list", "--s3-no-head", "--s3-no-check-bucket"),
    *("--no-check-dest", "--config", os.devnull, "--quiet"),
)


def environment() -> Mapping[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PYTHONPATH": str(tools.built(tools.AWSCLI)),
    }


def aws(url: str, *arguments: str | Path) -> Command:
    return [sys.executable, tools.built(tools.AWSCLI) / "bin" / "aws", "--endpoint-url", url, "s3", *arguments]


def s5cmd(url: str, *arguments: str | Path) -> Command:
    return [tools.S5CMD.binary, "--endpoint-url", url, "--log", "error", *arguments]


def rclone(url: str, *arguments: str | Path) -> Command:
    return [tools.RCLONE.binary, *RCLONE, "--s3-endpoint", url, *arguments]


def downloads(url: str, bucket: str, prefix: str, directory: Path) -> dict[str, Command]:
    """All objects below `prefix/` into `directory`, which is there and empty, by program."""
    where = f"s3://{bucket}/{prefix}/"
    return {
        "s5cmd": s5cmd(url, "cp", f"{where}*", f"{directory}/"),
        "rclone": rclone(url, "copy", f"{RCLONE_S3}:{bucket}/{prefix}", directory),
        "aws s3 cp": aws(url, "cp", "--recursive", "--only-show-errors", where, directory),
        "boto3": [sys.executable, BOTO3, "get", url, bucket, f"{prefix}/", directory],
    }


def uploads(url: str, bucket: str, prefix: str, source: Path) -> dict[str, Command]:
    """A file to `prefix/NAME`, or what is in a directory to below `prefix/`, by program."""
    where = f"s3://{bucket}/{prefix}/"
    recursive = ["--recursive"] if source.is_dir() else []
    return {
        "s5cmd": s5cmd(url, "cp", f"{source}/" if source.is_dir() else source, where),
        "rclone": rclone(url, "copy", source, f"{RCLONE_S3}:{bucket}/{prefix}"),
        "aws s3 cp": aws(url, "cp", *recursive, "--only-show-errors", source, where),
        "boto3": [sys.executable, BOTO3, "put", url, bucket, f"{prefix}/", source],
    }


def archives(url: str, bucket: str, key: str, directory: Path, scratch: Path) -> dict[str, Command]:
    """What is in a directory as a .tar.gz, by what one would write by hand."""
    where = f"s3://{bucket}/{key}"

    def piped(pack: str, *send: str | Path) -> Command:
        return ["bash", "-c", f'set -o pipefail; {pack} | "$@"', "bash", *map(str, send)]

    return {
        "tarfile (gzip -6), then boto3": [
            sys.executable,
            BOTO3,
            "pack",
            url,
            bucket,
            key,
            directory,
            scratch / "x.tar.gz",
        ],
        "tar | gzip | s5cmd pipe": piped(f"tar -C {directory} -c . | gzip", *s5cmd(url, "pipe", where)),
        "tar | pigz | aws s3 cp -": piped(
            f"tar -C {directory} -c . | pigz", *aws(url, "cp", "--only-show-errors", "-", where)
        ),
    }
