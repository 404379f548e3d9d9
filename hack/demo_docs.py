"""`python -m hack.demo_docs [DEMO-OUTPUT]`: after `make demo`, write what it showed into the tutorial, between its marks."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from hack import providers
from hack.console import guarded, say
from hack.demo import NAMESPACE
from hack.demo_jobs import Kubectl
from hack.paths import REPO

TUTORIAL = REPO / "docs/tutorial/first-job.md"
MARKED = re.compile(r"(<!-- (demo-output|describe:([\w-]+)) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    provider = providers.choose()
    kubectl = Kubectl(provider.kubectl, provider.kubeconfig, NAMESPACE)
    printed = Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else None

    def shown(mark: re.Match[str]) -> str:
        text = kubectl("describe", "trainingjob", mark[3]) if mark[3] else printed
        if text is None:
            return mark[0]
        return f"{mark[1]}```\n{_neutral(text, provider.kubeconfig)}\n```\n{mark[4]}"

    TUTORIAL.write_text(MARKED.sub(shown, TUTORIAL.read_text()))
    say(f"wrote {TUTORIAL.relative_to(REPO)}")


def _neutral(text: str, kubeconfig: Path) -> str:
    """Without this machine's paths and trailing spaces; from the demo's own first line on."""
    start = text.find("demo: cluster")
    lines = text[max(start, 0) :].replace(str(kubeconfig), "$KUBECONFIG").splitlines()
    ours = [line for line in lines if not line.startswith("make")]
    return "\n".join(line.rstrip() for line in ours).strip()


if __name__ == "__main__":
    guarded(main)
