"""What a transition says of the stretch that a job is in: the texts that SageMaker was seen to show, which tools look for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import objects as o
from tests.unit.controller.test_transitions import live
from trainyard.api.status import SecondaryStatus
from trainyard.controller.core.observed import Pod
from trainyard.controller.core.transitions import MESSAGES, RANKS, TERMINAL_RANK

DOING: dict[str, tuple[list[list[Pod]], dict[str, Any], str, str]] = {
    "nothing is made yet": ([[]], {}, "Pending", "Launching requested ML instances"),
    "pods are made": ([[o.starting()]], {}, "Starting", "Preparing the instances for training"),
    "the image is pulled": ([[o.pulling()]], {}, "Downloading", "Downloading the training image"),
    "data is fetched": ([[o.staging()]], {}, "Downloading", "Downloading input data"),
    "it trains": ([[o.training()]], {}, "Training", "Training image download completed. Training in progress."),
    "it uploads": ([[o.uploading()]], {}, "Uploading", "Uploading generated training model"),
    "all is uploaded": ([[o.over()]], {}, "Completed", "Training job completed"),
    "the program failed": ([[o.over(code=1)]], {}, "Failed", "Training job failed"),
    "a stop was asked for": ([[o.training()]], {"stop": True}, "Stopping", "Stopping the training job"),
    "it was stopped": ([[o.training()], [o.stopped()]], {"stop": True}, "Stopped", "Training job stopped"),
}
# What stands in the list of a job that was seen at its end alone.
PASSED = {
    "Starting": "Starting the training job.",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
}


@pytest.mark.parametrize("doing", DOING)
def test_a_job_says_what_it_does_in_the_words_of_sagemaker(doing: str) -> None:
    looks, spec, state, message = DOING[doing]
    last = live(o.job(**spec), looks).secondary_status_transitions[-1]
    assert (last.status, last.status_message) == (state, message)


def test_a_stretch_that_nobody_watched_has_its_words_as_well() -> None:
    found = live(o.job(), [[o.over()]]).secondary_status_transitions
    assert {entry.status: entry.status_message for entry in found} == PASSED


def test_a_stop_that_nobody_watched_has_its_words_as_well() -> None:
    found = live(o.job(stop=True), [[o.stopped()]]).secondary_status_transitions
    assert [(entry.status, entry.status_message) for entry in found[-2:]] == [
        ("Stopping", "Stopping the training job"),
        ("Stopped", "Training job stopped"),
    ]


def test_a_stretch_whose_words_are_not_its_own_has_them_from_what_the_job_does() -> None:
    told = {SecondaryStatus.PENDING, SecondaryStatus.INTERRUPTED}
    limits = {SecondaryStatus.MAX_RUNTIME_EXCEEDED, SecondaryStatus.MAX_WAIT_TIME_EXCEEDED}
    assert set(RANKS) - set(MESSAGES) == told | limits
    assert all(RANKS[status] == TERMINAL_RANK for status in limits)
