"""The models and the apiserver say yes to the same specs and no to the same."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kubernetes import client, config
from pydantic import ValidationError

from tests.e2e.jobs import Kubectl
from tests.support import specs
from tests.support.generated import any_spec
from trainyard.api.trainingjob import TrainingJobSpec

CASES = 5_000 if os.environ.get("TRAINYARD_LONG") == "1" else 300
PATH = "/apis/trainyard.dev/v1alpha1/namespaces/default/trainingjobs?dryRun=All"


class Apiserver:
    """Dry-run creates over one connection: a kubectl process per spec would take a hundred times as long."""

    def __init__(self, kubeconfig: Path) -> None:
        self._configuration = client.Configuration()
        config.load_kube_config(config_file=str(kubeconfig), client_configuration=self._configuration)
        self._api = client.ApiClient(self._configuration)

    def refusal(self, spec: dict[str, Any]) -> str:
        """Empty: accepted."""
        headers = {"Content-Type": "application/json"}
        self._api.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
        job = {
            "apiVersion": "trainyard.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": "generated"},
            "spec": spec,
        }
        pool = self._api.rest_client.pool_manager
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a cluster under test may have a certificate that nobody vouches for
            answer = pool.request(
                "POST", self._configuration.host + PATH, body=json.dumps(job).encode(), headers=headers
            )
        if answer.status == 201:
            return ""
        said = json.loads(answer.data)
        assert answer.status == 422, said
        return str(said["message"])


@pytest.fixture(scope="module")
def apiserver(crds: Kubectl, kubeconfig: Path) -> Apiserver:
    return Apiserver(kubeconfig)


def model_refusal(spec: dict[str, Any]) -> str:
    try:
        TrainingJobSpec.model_validate(spec)
    except ValidationError as error:
        return str(error)
    return ""


def test_models_and_apiserver_agree_on_generated_specs(apiserver: Apiserver) -> None:
    verdicts: Counter[bool] = Counter()

    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(any_spec())
    @example(specs.MINIMAL)
    @example(specs.patched(specs.MINIMAL, specs.ECHO))
    def agree(spec: dict[str, Any]) -> None:
        theirs, ours = apiserver.refusal(spec), model_refusal(spec)
        verdicts[not theirs] += 1
        assert bool(theirs) == bool(ours), f"apiserver: {theirs or 'accepted'}\nmodel: {ours or 'accepted'}"

    agree()
    print(f"{verdicts[True]} accepted, {verdicts[False]} refused")
    # Both must be frequent, or little was compared.
    assert min(verdicts[True], verdicts[False]) > CASES / 10


@settings(max_examples=50 if CASES < 1_000 else 2_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    where=st.sampled_from(["job", "tag", "metric", "env", "hyper", "path"]),
    # What a letter is depends on the version of Unicode, which need not be the same in both: none but old alphabets.
    text=st.text(st.characters(max_codepoint=0x7FF), max_size=12),
)
@example(where="hyper", text="\U00013460")
@example(where="job", text="a\n")
def test_models_and_apiserver_agree_on_any_text(apiserver: Apiserver, where: str, text: str) -> None:
    patch: dict[str, specs.Spec] = {
        "job": {"trainingJobName": text},
        "tag": {"tags": [{"key": "k", "value": text}]},
        "metric": {"algorithmSpecification": {"metricDefinitions": [{"name": text, "regex": text}]}},
        "env": {"environment": {text: text}},
        "hyper": {"hyperParameters": {text: text}},
        "path": {"outputDataConfig": {"s3OutputPath": f"s3://{text}"}},
    }
    spec = specs.patched(specs.MINIMAL, patch[where])
    theirs, ours = apiserver.refusal(spec), model_refusal(spec)
    assert bool(theirs) == bool(ours), f"apiserver: {theirs or 'accepted'}\nmodel: {ours or 'accepted'}"


@settings(max_examples=50 if CASES < 1_000 else 1_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(["train", "Train", "train.", "train-1", "test", "x"]), min_size=1, max_size=6))
@example(["train", "Train", "train."])
@example(["test", "train", "x", "train"])
def test_channels_are_refused_exactly_if_one_has_the_name_of_an_earlier_one(
    apiserver: Apiserver, named: list[str]
) -> None:
    spec = specs.patched(specs.MINIMAL, {"inputDataConfig": [specs.channel(name) for name in named]})
    # The apiserver names the second of a name, and not the third.
    again = [index for index, name in enumerate(named) if named[:index].count(name) == 1]
    theirs, ours = apiserver.refusal(spec), model_refusal(spec)
    assert (bool(theirs), bool(ours)) == (bool(again), bool(again)), f"{theirs or 'accepted'}\n{ours or 'accepted'}"
    assert all(f"spec.inputDataConfig[{index}]: Duplicate value" in theirs for index in again), theirs
    assert not again or "channelName must not repeat" in ours
