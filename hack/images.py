"""`python -m hack.images`: build what changed, load it into the cluster, write down the names."""

import argparse
import json
from pathlib import Path

from hack import builder, imaging, providers, shell
from hack.console import guarded, say, step
from hack.paths import cache
from hack.providers import Provider


def images_file(provider: Provider) -> Path:
    return cache() / f"images-{provider.name}.json"


def build_and_load(provider: Provider, only: list[str]) -> None:
    chosen = builder.choose()
    images = [image for image in imaging.table() if not only or image.name in only]
    loaded = provider.images()
    refs = {}
    for image in images:
        refs[image.name] = ref = image.ensure(chosen)
        if loaded is not None and ref not in loaded:
            with step(f"loading {ref}"):
                provider.load(ref, chosen)
    if loaded is None:
        say("  this cluster is not ours: push these images to a registry that it reads from")
    path = images_file(provider)
    known = json.loads(path.read_text()) if only and path.exists() else {}
    shell.write(path, json.dumps(known | refs, indent=2) + "\n")
    say(f"  images: {len(refs)} ready, names in {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the images and load them into the cluster.")
    parser.add_argument("--file", action="store_true", help="only print where the names are written")
    parser.add_argument("only", nargs="*", help="names of images (default: all)")
    arguments = parser.parse_args()
    if arguments.file:
        print(images_file(providers.choose()))
        return
    with shell.locked("images"):
        build_and_load(providers.choose(), arguments.only)


if __name__ == "__main__":
    guarded(main)
