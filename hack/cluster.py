"""`python -m hack.cluster up|down|status|kubeconfig`: the local cluster."""

import argparse
import time

from hack import providers, shell
from hack.console import guarded, say


def main() -> None:
    parser = argparse.ArgumentParser(description="The local cluster; CLUSTER=kind|native|existing chooses which.")
    parser.add_argument("action", choices=("up", "down", "status", "kubeconfig"))
    action = parser.parse_args().action
    provider = providers.choose()
    match action:
        case "kubeconfig":
            print(provider.kubeconfig)
        case "status":
            print(provider.status())
        case "up" | "down":
            began = time.monotonic()
            say(f"cluster {action}: {provider.name}")
            with shell.locked("cluster"):
                provider.up() if action == "up" else provider.down()
            say(f"cluster {action}: done in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    guarded(main)
