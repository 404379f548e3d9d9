"""Hypothesis strategies for specs, drawn from the CRD's own schema: mostly what it allows, here and there what it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from trainyard.api.crd import Schema, model_schema
from trainyard.api.trainingjob import TrainingJobSpec

Draw = Callable[[st.SearchStrategy[Any]], Any]

# Text that engines and languages tell apart: line breaks, digits that are not ASCII, what counts as one character, paths.
ODD_TEXT = (
    "",
    " ",
    "x\n",
    "\n",
    "٣",
    "é",
    "\U0001d518",
    "a\u0000b",
    ".",
    "..",
    "-a",
    "a-",
    "$",
    "/",
    "//",
    "'",
    '"',
    "\\",
    "None",
)
# For each pattern what it allows, at its edges where it has some.
MATCHING: dict[str, tuple[str, ...]] = {
    "trainingJobName": ("a", "A--b", "9", "a" * 63),
    "roleARN": ("arn:aws:iam::123456789012:role/x", "arn:aws-cn:iam::123456789012:rolex"),
    "trainingImage": ("image:1", "!", "~" * 255),
    "algorithmName": ("a", "arn:aws:sagemaker:eu:123456789012:algorithm/a-b"),
    "s3URI": ("s3://b", "s3://b/", "s3://b/k//x", "s3://b b/é"),
    "s3OutputPath": ("s3://b", "s3://b/out/", "s3://b/$"),
    "channelName": ("train", "a.b-c_d", "...", "x" * 64),
    "key": ("team", "é", "a b", "_.:/=+-@"),
    "value": ("", "x y", "²"),
    "kmsKeyID": ("", "alias/models"),
    "volumeKMSKeyID": ("", "alias/volumes"),
    "fileSystemID": ("fs-01234567", "fs-0123456789abcdef0", "fs-" + "0" * 8),
    "directoryPath": ("/", "/data", "/fsx/a", "//", "/a/../b", "/..", "/a..b"),
    "instanceType": ("ml.m5.xlarge", "a", "a-.b"),
    "trainingPlanARN": ("arn:aws:sagemaker:eu-central-1:123456789012:training-plan/p",),
    "experimentName": ("a", "A-1"),
    "localPath": ("/opt/ml/checkpoints", "/a", "/a/", "a", "/opt/ml", "/opt/ml/model/x", "/a/../b", "/a//b", "/tmp", "/opt/ml/models"),
    "trainingRepositoryCredentialsProviderARN": ("arn:aws:lambda:eu:123456789012:function:f",),
    "environment": ("LOG_LEVEL", "_", "a1"),
}  # fmt: skip
# Refused in any case, so a spec that has one says little about the rest: rare.
RARE = {
    "algorithmName", "attributeNames", "instanceGroupNames", "fileSystemDataSource", "datasetSource", "instanceGroups",
    "instancePreferences", "selectedInstanceType", "selectedInstanceCount", "serverlessJobConfig",
    "tensorBoardOutputConfig", "mlflowConfig", "modelPackageConfig", "maxWaitTimeInSeconds", "enableNetworkIsolation",
    "enableInterContainerTrafficEncryption",
}  # fmt: skip
USUAL = {"trainingImage", "instanceType", "s3DataSource", "inputDataConfig", "stoppingCondition"}
SCHEMA = model_schema(TrainingJobSpec)


@dataclass(frozen=True)
class Dice:
    """What a spec is drawn with. A careful one has few faults, so that accepted specs are frequent."""

    draw: Draw
    careful: bool

    def __call__(self, strategy: st.SearchStrategy[Any]) -> Any:
        return self.draw(strategy)

    def one_in(self, number: int) -> bool:
        """Rarely true; shrinks to false."""
        return bool(self.draw(st.integers(0, number - 1)) == number - 1)

    def fault(self, number: int) -> bool:
        return self.one_in(number * 20 if self.careful else number)


def _wrong_type(draw: Dice) -> Any:
    return draw(st.sampled_from([None, True, 0, -1, 1.5, "x", [], {}, ["x"], {"x": "y"}]))


def _text(draw: Dice, name: str, node: Schema) -> str:
    if "enum" in node:
        values = node["enum"]
        usual = [value for value in ("File", "None", "GZIP", "S3Prefix") if value in values] or values
        return str(draw(st.sampled_from(values if draw.fault(8) else usual)))
    if draw.fault(40):
        return str(draw(st.sampled_from(ODD_TEXT)))
    if draw.fault(60):
        return "a" * (node["maxLength"] + draw(st.integers(0, 1)))
    if known := MATCHING.get(name):
        found = str(draw(st.sampled_from(known)))
        return found + "\n" if draw.fault(60) else found
    return "a" * max(node.get("minLength", 0), 1) if "pattern" not in node else "sg-1"


def _number(draw: Dice, node: Schema) -> int:
    low, high = node.get("minimum", 0), node.get("maximum", 100)
    near = [low, low + 1, high] if not draw.fault(40) else [low - 1, high + 1]
    if node.get("format") == "int64":
        near = [-(2**63), 0, 2**63 - 1] if not draw.fault(8) else [-(2**63) - 1, 2**63, 2**64]
    return int(draw(st.sampled_from(near)))


def _items(draw: Dice, name: str, node: Schema) -> list[Any]:
    most = node["maxItems"] + 1 if draw.fault(80) else min(3, node["maxItems"])
    least = most if most > 3 else min(node.get("minItems", 0), most)
    names = {"trainingPlanARNs": "trainingPlanARN"}
    return [_value(draw, names.get(name, name), node["items"]) for _ in range(draw(st.integers(least, most)))]


def _map(draw: Dice, name: str, node: Schema) -> dict[str, Any]:
    if "additionalProperties" not in node:
        return {"any": "thing"}
    known = MATCHING.get(name, ("a", "b c", "k" * 256))
    keys = st.sampled_from((*ODD_TEXT, "k" * 257, "k" * 513)) if draw.fault(30) else st.sampled_from(known)
    if draw.fault(60):
        return {draw(keys): None}
    return {draw(keys): _value(draw, "", node["additionalProperties"]) for _ in range(draw(st.integers(0, 2)))}


def _object(draw: Dice, node: Schema) -> dict[str, Any]:
    required = node.get("required", [])
    made = {}
    for name, child in node["properties"].items():
        usual = name in required or name in USUAL
        if not draw.fault(40) if usual else draw.fault(40) if name in RARE else draw.one_in(4):
            made[name] = _value(draw, name, child)
    return made


def _value(draw: Dice, name: str, node: Schema) -> Any:
    if draw.fault(150):
        return _wrong_type(draw)
    kind = node["type"]
    if kind == "string":
        names = {
            "trialName": "experimentName",
            "runName": "experimentName",
            "trialComponentDisplayName": "experimentName",
        }
        return _text(draw, names.get(name, name), node)
    if kind == "integer":
        return _number(draw, node)
    if kind == "boolean":
        return draw(st.booleans()) if name not in RARE else draw.fault(8)
    if kind == "array":
        return _items(draw, name, node)
    return _object(draw, node) if "properties" in node else _map(draw, name, node)


@st.composite
def any_spec(draw: Draw) -> dict[str, Any]:
    """Most are valid or have one thing wrong; channels and tags are named apart as a rule."""
    dice = Dice(draw, draw(st.booleans()))
    made = _object(dice, SCHEMA)
    for field, key in (("inputDataConfig", "channelName"), ("tags", "key")):
        items = made.get(field)
        if isinstance(items, list) and not dice.fault(20):
            for number, item in enumerate(items):
                if isinstance(item, dict) and isinstance(item.get(key), str):
                    item[key] = f"{item[key][:60]}{number}"
    return made
