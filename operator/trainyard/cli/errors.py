# ruff: noqa: N818 - named for what happened, as a caller reads them: `except Missing`
"""What a command says when it cannot do what it was asked to.

Failed             the thing failed: one line, exit code 1
├── Misused        the command line asks for what does not go together: exit code 2
├── Unreachable    no answer from the cluster, or none in time
└── Missing        the cluster has no such job
"""

from __future__ import annotations


class Failed(Exception):
    """The message is for the user and complete: what, where, and what to do."""


class Misused(Failed):
    pass


class Unreachable(Failed):
    pass


class Missing(Failed):
    pass
