"""boto3 with its defaults, as a program: get PREFIX into DIRECTORY, put a file or directory, pack a directory and send that."""

import os
import sys
import tarfile
from pathlib import Path

import boto3
from boto3.s3.transfer import S3Transfer, TransferConfig, create_transfer_manager

CLASSIC = TransferConfig(preferred_transfer_client="classic")


def get(client, bucket: str, prefix: str, directory: Path) -> None:
    with create_transfer_manager(client, CLASSIC) as manager:
        futures = []
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page["Contents"]:
                path = directory / item["Key"].removeprefix(prefix)
                path.parent.mkdir(parents=True, exist_ok=True)
                futures.append(manager.download(bucket, item["Key"], str(path)))
        for each in futures:
            each.result()


def put(client, bucket: str, prefix: str, source: Path) -> None:
    files = [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]
    base = source if source.is_dir() else source.parent
    with create_transfer_manager(client, CLASSIC) as manager:
        futures = [manager.upload(str(path), bucket, prefix + str(path.relative_to(base))) for path in files]
        for each in futures:
            each.result()


def pack(client, bucket: str, key: str, directory: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz", compresslevel=6) as tar:
        tar.add(directory, arcname=".")
    S3Transfer(client, CLASSIC).upload_file(str(archive), bucket, key)
    os.unlink(archive)  # noqa: PTH108 - as short as it gets


if __name__ == "__main__":
    what, url, place, name, *paths = sys.argv[1:]
    {"get": get, "put": put, "pack": pack}[what](boto3.client("s3", endpoint_url=url), place, name, *map(Path, paths))
