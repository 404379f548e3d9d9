"""A load of staging: what is in S3, how it is reached, and whether a copy of it is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.transfer.loads import Body, blocks
from tests.bench.transfer.servers import HERE, Known, Server, Way


@dataclass(frozen=True)
class Load:
    """`count`: the rate that tells is that of objects, not of bytes. `checksum`: S3 has a CRC32 of each object. `without`: peers that
    are left out. `limited`: who copies has one CPU, 256 MiB, and a disk to copy to."""

    title: str
    prefix: str
    objects: Mapping[str, Body]
    count: bool
    checksum: bool = True
    way: Way = HERE
    without: frozenset[str] = frozenset()
    limited: bool = False

    @property
    def size(self) -> int:
        return sum(map(len, self.objects.values()))

    def fill(self, server: Server, bucket: str) -> None:
        known: dict[int, Known] = {}
        for body in self.objects.values():
            known.setdefault(id(body), Known.of(body, checksum=self.checksum))
        server.client.create_bucket(Bucket=bucket)
        server.fill(bucket, {key: known[id(body)] for key, body in self.objects.items()})


def check(load: Load) -> Callable[[Path], None]:
    """Raises AssertionError for a directory that has not exactly the load's bytes."""
    wanted = {key.removeprefix(f"{load.prefix}/"): body for key, body in load.objects.items()}

    def of(directory: Path) -> None:
        found = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
        assert found.keys() == wanted.keys(), f"{len(found)} files instead of {len(wanted)}"
        for name, path in found.items():
            assert _same(path, wanted[name]), f"{name} is not what was put"

    return of


def _same(path: Path, body: Body) -> bool:
    with path.open("rb") as file:
        return all(file.read(len(block)) == block for block in blocks(body)) and not file.read(1)
