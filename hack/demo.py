"""`make demo`: three TrainingJobs on the local cluster, as a user would run them, and what came of them.

Everything goes through what a user has: helm, kubectl and an S3 client. Safe to run again; ends with 1 if a job did not
end as it should.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hack import demo_data, demo_jobs, demo_score, install, providers, s3server
from hack.console import Problem, guarded, say, step
from hack.demo_jobs import EXAMPLES, Kubectl, Run
from hack.demo_score import Score

NAMESPACE = "trainyard-demo"
BUCKET = "trainyard-demo"
DATA, MODELS = "diamonds/", "models/"
ONE, TWO, FAILS = "one-host.yaml", "two-hosts.yaml", "fails.yaml"
FAILING_CODE = 3


@dataclass
class Results:
    """What came of the jobs, by manifest."""

    runs: dict[str, Run] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    shares: dict[str, list[str]] = field(default_factory=dict)


def main() -> None:
    began = time.monotonic()
    provider = providers.choose()
    kubeconfig = Path(os.environ.get("TRAINYARD_KUBECONFIG") or provider.kubeconfig)
    images = _images()
    kubectl = Kubectl(provider.kubectl, kubeconfig, NAMESPACE)
    say(f"demo: cluster {provider.name}, kubeconfig {kubeconfig}")

    with ExitStack() as stack:
        with step("starting the S3 server in the cluster"):
            server = stack.enter_context(s3server.opened(provider.kubectl, kubeconfig, images["s3"]))
            client = server.client()
        with step("installing the operator with its Helm chart"):
            install.operator(kubeconfig, images)
        with step(f"preparing namespace {NAMESPACE}: an ExecutionRole and its Secret"):
            _prepare(kubectl, server)
        with step("reading 53,940 diamonds and their prices"):
            split = demo_data.split()
        with step(f"uploading 5 training and 2 validation objects to s3://{BUCKET}/{DATA}"):
            _upload(client, split)
        results = _train(kubectl, client, images["demo-train"], split)
    print("\n".join(_report(kubectl, images["demo-train"], results)), flush=True)
    say(f"\ndemo: done in {time.monotonic() - began:.0f} s")
    problems = [*_wrong_ends(results.runs), *_wrong_models(results)]
    if problems:
        raise Problem("the demo did not end as it should: " + "; ".join(problems))


def _train(kubectl: Kubectl, client: Any, image: str, split: demo_data.Split) -> Results:
    results = Results()
    say("\nThree jobs, one after the other")
    for file in (ONE, TWO, FAILS):
        say(f"\n  kubectl apply -f examples/xgboost/{file}")
        results.runs[file] = demo_jobs.follow(kubectl, demo_jobs.submit(kubectl, file, image))
    say("")
    for file in (ONE, TWO):
        run = results.runs[file]
        if run.outcome == "Completed":
            with step(f"fetching and scoring the model of {run.name}"):
                results.scores[file] = demo_score.score(client, run.model_uri, split)
    if TWO in results.scores:
        results.shares = demo_score.shares(client, results.runs[TWO].output_uri)
    return results


def _images() -> dict[str, str]:
    path = os.environ.get("TRAINYARD_IMAGES")
    if not path or not Path(path).exists():
        raise Problem("the images are missing: run `make demo`, which builds them first")
    images: dict[str, str] = json.loads(Path(path).read_text())
    missing = [name for name in ("operator", "agent", "s3", "demo-train") if name not in images]
    if missing:
        raise Problem(f"{path} names no image {', '.join(missing)}: run `make images`")
    return images


def _prepare(kubectl: Kubectl, server: s3server.S3Server) -> None:
    """What an administrator gives a team, and an end to what an earlier demo left."""
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    kubectl("delete", "trainingjobs", "--all", "--wait=true", "--timeout=300s")
    keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3-credentials"}, "stringData": keys})
    kubectl("apply", "-f", str(EXAMPLES / "role.yaml"))


def _upload(client: Any, split: demo_data.Split) -> None:
    if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=BUCKET)
    for prefix in (DATA, MODELS):  # what an earlier demo wrote must not pass for the work of this one
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
            for item in page.get("Contents", []):
                client.delete_object(Bucket=BUCKET, Key=item["Key"])
    for key, content in split.objects().items():
        client.put_object(Bucket=BUCKET, Key=DATA + key, Body=content, ContentType="text/csv")


def _wrong_ends(runs: dict[str, Run]) -> Iterator[str]:
    for file, expected in ((ONE, "Completed"), (TWO, "Completed"), (FAILS, "Failed")):
        run = runs[file]
        if run.outcome != expected:
            yield f"{run.name} is {run.outcome} and not {expected}: {run.failure_reason}"
    reason = runs[FAILS].failure_reason
    if not (reason.startswith("AlgorithmError: told to fail") and reason.endswith(f"exit code: {FAILING_CODE}")):
        yield f"the reason of the failing job is {reason!r}"


def _wrong_models(results: Results) -> Iterator[str]:
    for file, score in results.scores.items():
        if score.rmse >= score.baseline:
            yield f"the model of {results.runs[file].name} is no better than the mean price (RMSE {score.rmse:.0f})"
    shares = results.shares
    seen = sorted(name for names in shares.values() for name in names)
    complete = seen == [f"part-{number}.csv" for number in range(demo_data.TRAIN_OBJECTS)]
    if TWO in results.scores and not (complete and sorted(map(len, shares.values())) == [2, 3]):
        yield f"the two hosts did not share the training objects 3 and 2: {shares}"


def _span(phase: str, seconds: float) -> str:
    """The pods' clocks tell whole seconds."""
    return f"{phase} {seconds:.0f} s" if seconds >= 1 else f"{phase} under 1 s"


def _report(kubectl: Kubectl, image: str, results: Results) -> Iterator[str]:
    """What the user reads at the end, line by line."""
    # The one that came with the cluster, where the machine has none of its own.
    program = "kubectl" if shutil.which("kubectl") else kubectl.program
    command = f"{program} --kubeconfig {kubectl.kubeconfig} -n {NAMESPACE}"
    failed = results.runs[FAILS]
    yield "\nWhere the time went\n"
    for run in results.runs.values():
        yield f"  {run.name:18} {run.outcome:10} " + " · ".join(_span(*phase) for phase in run.phases())
    yield "\nWhat came of it\n"
    for file, score in results.scores.items():
        run = results.runs[file]
        yield f"  {run.name}: the price of {score.rows:,} diamonds that it has not seen"
        yield f"    RMSE ${score.rmse:,.0f}, R² {score.r2:.3f}; always saying the mean price: RMSE ${score.baseline:,.0f}"
        yield f"    it looks most at {', '.join(score.leading[:3])}"
        for host, names in sorted(results.shares.items() if file == TWO else ()):
            yield f"    {host} trained on {', '.join(names)}"
        yield f"    {run.model_uri}"
        yield f"    {run.output_uri}"
    yield f"  {failed.name}, on purpose: {failed.failure_reason}"
    yield f"    {command} describe tj {failed.name}"
    yield "\nWhat to try next\n"
    yield f"  {command} get tj"
    yield f"  {command} describe tj {results.runs[TWO].name}"
    yield f"  {command} explain tj.spec.inputDataConfig"
    yield "  In examples/xgboost/one-host.yaml change max_depth, the job's name, and trainingImage to the one that was built:"
    yield f"    {image}"
    yield f"    {command} apply -f examples/xgboost/one-host.yaml"
    yield "  docs/how-to/run-your-image.md says how to run an image of yours; `make cluster-down` takes the cluster away."


if __name__ == "__main__":
    guarded(main)
