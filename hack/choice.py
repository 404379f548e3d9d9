"""What this machine offers, and what follows from it where the user did not choose."""

import functools
import os

from hack import shell


@functools.cache
def docker_answers() -> bool:
    """Whether an engine runs; the program alone builds and runs nothing."""
    return shell.succeeds("docker", "version", "--format", "{{.Server.Version}}", timeout=5)


def provider() -> str:
    return os.environ.get("CLUSTER") or ("kind" if docker_answers() else "native")
