"""`python -m trainyard.controller`: settings, logs, one event loop, an exit code."""

from __future__ import annotations

import asyncio
import os
import sys

from pydantic import ValidationError

from trainyard.controller.app import logs
from trainyard.controller.app.main import run
from trainyard.controller.settings import Settings


def main() -> int:
    try:
        settings = Settings()
    except ValidationError as error:
        for finding in error.errors(include_url=False):
            name = "_".join(str(part) for part in finding["loc"]).upper()
            sys.stderr.write(f"TRAINYARD_{name.removeprefix('TRAINYARD_')}: {finding['msg']}\n")
        return 2
    logs.configure(settings.log_level, settings.log_format)
    return asyncio.run(run(settings))


if __name__ == "__main__":
    code = main()
    # kopf's thread may still sit in a request; nothing of ours waits for it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
