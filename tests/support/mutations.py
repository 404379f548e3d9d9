"""Manifests that are damaged as people and programs damage them: valid jobs of all shapes, a seed, and what was done to each."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

from tests.support import specs
from tests.support.unscheduled import NOWHERE
from trainyard.api import names
from trainyard.api.casing import to_manifest

ROOT = Path(__file__).resolve().parents[2]
ROLE = "arn:aws:iam::123456789012:role/present"
Manifest = dict[str, Any]
Path_ = tuple[Any, ...]


@dataclass(frozen=True)
class Mutant:
    """`text` is the manifest as it is sent; `did` says what is wrong with it. `strict`: sent as kubectl does."""

    number: int
    text: str
    did: tuple[str, ...]
    strict: bool


def bases() -> list[Manifest]:
    """Valid manifests, whose references are there and whose pods no node takes."""
    said = [
        specs.MINIMAL,
        specs.patched(specs.MINIMAL, specs.ECHO | specs.REST),
        specs.patched(specs.MINIMAL, {"resourceConfig": {"instanceCount": 3}, "suspend": True}),
        specs.patched(specs.MINIMAL, specs.CASES["3 a wait is at least the default runtime"].valid),
        _sagemaker("ack-training-job.yaml")["spec"],
        to_manifest(_sagemaker("create-training-job.json")),
        *(_example(name)["spec"] for name in ("one-host", "two-hosts", "fails")),
    ]
    made = []
    for each in said:
        # The name must be unique.
        here = {"resourceConfig": {"instanceType": NOWHERE}, "roleARN": ROLE, "trainingJobName": None}
        spec = specs.patched(each, here)
        metadata = {"labels": {"team": "growth"}, "annotations": {"note": "a job"}}
        made.append({"apiVersion": names.API_VERSION, "kind": "TrainingJob", "metadata": metadata, "spec": spec})
    return made


def _sagemaker(name: str) -> Manifest:
    found: Manifest = yaml.safe_load((ROOT / "tests/data/sagemaker" / name).read_text())
    return found


def _example(name: str) -> Manifest:
    found: Manifest = yaml.safe_load((ROOT / f"examples/xgboost/{name}.yaml").read_text())
    return found


def mutants(seed: int, first: int, count: int) -> Iterator[Mutant]:
    """Those from number `first` on: the same for the same seed. Each has one to three things wrong, now and then none."""
    valid = bases()
    for number in range(first, first + count):
        dice = Random(f"{seed}/{number}")
        made = copy.deepcopy(valid[number % len(valid)])
        made["metadata"]["name"] = f"mutant-{number}"
        did = []
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            mutation = dice.choice(MUTATIONS)
            did.append(f"{mutation.__name__.strip('_')} {mutation(dice, made)}".strip())
        text = json.dumps(made)
        if dice.randrange(20) == 0:
            text = text.replace('"spec": {', '"spec": {"roleARN": "twice", ', 1)
            did.append("duplicate key spec.roleARN")
        yield Mutant(number, text, tuple(did), strict=number % 2 == 0)


def _paths(node: Any, path: Path_ = ()) -> Iterator[Path_]:
    if path:
        yield path
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield from _paths(node[key], (*path, key))


def _pick(dice: Random, made: Manifest, fits: Callable[[Any], bool] = lambda _: True) -> tuple[Any, Any, str]:
    """(what holds it, its key, its path) of a value below metadata or spec, mostly of the spec."""
    root = "spec" if isinstance(made.get("spec"), dict) and made["spec"] and dice.randrange(8) else "metadata"
    if not isinstance(made.get(root), dict):
        made[root] = {}
    found = [path for path in _paths(made[root]) if fits(_at(made[root], path)) and path != ("name",)]
    if not found:
        made[root]["filler"] = "x"
        found = [("filler",)]
    path = dice.choice(found)
    return _at(made[root], path[:-1]), path[-1], ".".join(map(str, (root, *path)))


def _at(node: Any, path: Path_) -> Any:
    for key in path:
        node = node[key]
    return node


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def wrong_type(dice: Random, made: Manifest) -> str:
    holder, key, path = _pick(dice, made)
    holder[key] = dice.choice([None, True, 0, 1.5, "text", [], {}, ["x"], {"x": "y"}, [[]], [None]])
    return f"{path} = {holder[key]!r}"


def null(dice: Random, made: Manifest) -> str:
    holder, key, path = _pick(dice, made)
    holder[key] = None
    return path


def empty(dice: Random, made: Manifest) -> str:
    holder, key, path = _pick(dice, made)
    holder[key] = {str: "", list: [], dict: {}}.get(type(holder[key]), "")
    return path


def huge(dice: Random, made: Manifest) -> str:
    holder, key, path = _pick(dice, made)
    value = holder[key]
    if isinstance(value, bool | int):
        holder[key] = dice.choice([2**31, 2**63 - 1, 2**63, 2**64, 10**30, 1e300])
    elif isinstance(value, list):
        holder[key] = (value or ["x"]) * dice.choice([50, 2000])
    elif isinstance(value, dict):
        holder[key] = value | {f"key-{number}": "x" for number in range(dice.choice([101, 3000]))}
    else:
        holder[key] = (str(value) or "x") * dice.choice([40, 20_000])
    return path


def negative(dice: Random, made: Manifest) -> str:
    holder, key, path = _pick(dice, made, lambda value: isinstance(value, int))
    holder[key] = dice.choice([-1, -(2**31), -(2**63), 0])
    return f"{path} = {holder[key]}"


def unknown_field(dice: Random, made: Manifest) -> str:
    holder, key, path = _pick(dice, made, lambda value: isinstance(value, dict))
    if not isinstance(holder[key], dict):
        holder[key] = {}
    holder[key]["noSuchField"] = dice.choice(["x", 1, {"a": {"b": None}}])
    return f"{path}.noSuchField"


def wrong_case(dice: Random, made: Manifest) -> str:
    holder, key, path = _pick(dice, made)
    if isinstance(holder, dict) and isinstance(key, str):
        other = dice.choice([key.upper(), key.lower(), key[:1].upper() + key[1:], key.replace("URI", "Uri"), f"{key}s"])
        holder[other] = holder.pop(key)
        return f"{path} -> {other}"
    return path


def deleted(dice: Random, made: Manifest) -> str:
    holder, key, path = _pick(dice, made)
    del holder[key]
    return path


def swapped(dice: Random, made: Manifest) -> str:
    one, here, path = _pick(dice, made)
    other, there, where = _pick(dice, made)
    values = copy.deepcopy((other[there], one[here]))
    one[here], other[there] = values
    return f"{path} <-> {where}"


def odd_text(dice: Random, made: Manifest) -> str:
    holder, key, path = _pick(dice, made, _is_text)
    old = str(holder[key])
    odd = [
        "a\x00b",
        "\x1b[31m",
        "\u202e",
        "\ud800",
        "\U0001d518",
        "é" * 9,
        f"{old}\n",
        f" {old}",
        "²",
        "$(HOME)",
        "'; --",
        "{{ x }}",
    ]
    holder[key] = dice.choice(odd)
    return f"{path} = {holder[key]!r}"


def repeated(dice: Random, made: Manifest) -> str:
    holder, key, path = _pick(dice, made, lambda value: isinstance(value, list) and bool(value))
    if isinstance(holder[key], list):
        holder[key] = holder[key] * 2
    return path


def nonsense(dice: Random, made: Manifest) -> str:
    """What has the right shape at a glance."""
    patch = dice.choice(NONSENSE)
    spec = made.get("spec")
    made["spec"] = specs.patched(spec if isinstance(spec, dict) else {}, patch)
    return json.dumps(patch)


NONSENSE: tuple[Manifest, ...] = (
    {"roleARN": "arn:aws:iam::123456789012:role/nobody-has-this-one"},
    {"roleARN": "arn:aws:s3:::bucket"},
    {"roleARN": f"arn:aws:iam::123456789012:role/{'r' * 2000}"},
    {"resourceConfig": {"instanceType": "ml.none.such"}},
    {"resourceConfig": {"instanceType": "../../configmaps/x"}},
    {"resourceConfig": {"instanceType": "ml.m5.xlarge?watch=true"}},
    {"resourceConfig": {"volumeSizeInGB": 2**40}},
    {"algorithmSpecification": {"trainingImage": "http://registry/image"}},
    {"algorithmSpecification": {"trainingImage": "!"}},
    {"algorithmSpecification": {"trainingImage": "UPPER/Case:@sha256:zz"}},
    {"algorithmSpecification": {"containerEntrypoint": ["", "\n", "$(X)"]}},
    {
        "algorithmSpecification": {
            "metricDefinitions": [{"name": "m", "regex": "(((("}, {"name": "n", "regex": "(a+)+$"}]
        }
    },
    {"outputDataConfig": {"s3OutputPath": "s3:///nothing"}},
    {"outputDataConfig": {"s3OutputPath": "s3://a b/../..//é?x#y"}},
    {"trainingJobName": "-"},
    {"trainingJobName": "mutant"},
    {"trainingJobName": "A" * 63},
    {"hyperParameters": {"": "", "a b\n": "\x00", "sagemaker_program": "../../x"}},
    {"environment": {"PATH": "", "LD_PRELOAD": "/x", "AWS_REGION": "x", "TRAINING_JOB_NAME": "other"}},
    {"inputDataConfig": [specs.channel("."), specs.channel("..")]},
    {"inputDataConfig": [specs.channel(f"c{number}") for number in range(21)]},
    {"stop": True, "suspend": True},
    {"stop": "yes"},
    {"ttlSecondsAfterFinished": 0, "stop": True},
)


def damaged_metadata(dice: Random, made: Manifest) -> str:
    """Ours on a job, where it has no meaning, and what the apiserver and others read."""
    metadata = made.get("metadata")
    if not isinstance(metadata, dict):
        metadata = made["metadata"] = {}
    what = dice.choice(METADATA)
    metadata |= copy.deepcopy(what)
    return ", ".join(what)


_OURS = (names.LABEL_JOB_UID, names.LABEL_JOB_NAME, names.LABEL_ATTEMPT, names.LABEL_HOST, names.LABEL_MANAGED_BY)
_OWNER = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "name": "mutant-1-plan",
    "uid": "00000000-0000-0000-0000-000000000000",
}
METADATA: tuple[Manifest, ...] = (
    {"labels": dict.fromkeys(_OURS, "x")},
    {"labels": dict.fromkeys(_OURS, names.FIELD_MANAGER)},
    {"labels": {"trainyard.dev/attempt": "²"}},
    {"labels": {"trainyard.dev/": "x"}},
    {"labels": {"a": "v" * 64}},
    {"labels": ["x"]},
    {"annotations": {names.ANNOTATION_STOP: "{", names.ANNOTATION_TRAINING_ENDED: "[]", names.ANNOTATION_DELETE_AFTER_TTL: "True"}},
    {"annotations": {names.ANNOTATION_DELETE_AFTER_TTL: "\x00"}},
    {"annotations": {"big": "x" * 300_000}},
    {"annotations": {"bad key": "x"}},
    {"finalizers": ["example.com/never"]},
    {"finalizers": ["no-domain"]},
    {"ownerReferences": [_OWNER]},
    {"ownerReferences": [_OWNER | {"controller": True}, _OWNER | {"name": "b", "controller": True}]},
    {"ownerReferences": [{"kind": "Pod"}]},
    {"name": "n" * 63},
    {"name": "n" * 64},
    {"name": "n" * 253},
    {"name": "n" * 254},
    {"name": "Upper_Case"},
    {"name": "1.2.3"},
    {"name": ""},
    {"name": 7},
    {"generateName": "generated-", "name": None},
    {"uid": "mine", "resourceVersion": "", "generation": -3, "creationTimestamp": "1970-01-01T00:00:00Z"},
    {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": -1},
    {"managedFields": [{"manager": "x", "operation": "Apply"}]},
)  # fmt: skip

MUTATIONS: tuple[Callable[[Random, Manifest], str], ...] = (
    wrong_type,
    null,
    empty,
    huge,
    negative,
    unknown_field,
    wrong_case,
    deleted,
    swapped,
    odd_text,
    repeated,
    nonsense,
    nonsense,
    damaged_metadata,
    damaged_metadata,
)
