"""`trainyard`, and as `kubectl-trainyard` on the PATH also `kubectl trainyard`."""

from __future__ import annotations

import sys
from pathlib import Path

LIBRARIES = ("typer", "rich", "yaml", "kubernetes")


def main() -> int:
    program = "kubectl trainyard" if Path(sys.argv[0]).name.startswith("kubectl-") else "trainyard"
    try:
        from trainyard.cli.app.main import run  # noqa: PLC0415 - so that what is missing can be named
    except ModuleNotFoundError as error:
        if error.name not in LIBRARIES:
            raise
        sys.stderr.write(
            f"error: {program} needs {error.name}, which is not installed; install trainyard with its extra `cli`\n"
        )
        return 1
    return run(program=program)


if __name__ == "__main__":
    sys.exit(main())
