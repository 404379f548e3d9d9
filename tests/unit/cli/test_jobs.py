"""`trainyard stop`, `suspend` and `resume` against a server that answers like an apiserver: what is sent, said and returned."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiserver import Apiserver, serving, status
from tests.support.cli import Cli, Done
from trainyard.cli.app import jobs


@pytest.fixture
def server() -> Iterator[Apiserver]:
    with serving() as made:
        yield made


@pytest.fixture
def on(cli: Cli, server: Apiserver, tmp_path: Path) -> Cli:
    """The client, on the server's kubeconfig."""
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig", namespace="growth")

    def run(*arguments: object) -> Done:
        return cli(*arguments, "--kubeconfig", kubeconfig)

    return run


def job(secondary: str = "Training", primary: str = "InProgress", uid: str = "u1", **more: Any) -> dict[str, Any]:
    ended = primary in ("Completed", "Failed", "Stopped")
    said = {"trainingJobStatus": primary, "secondaryStatus": secondary}
    conditions = [{"type": "Finished", "status": "True" if ended else "False"}]
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "sample", "namespace": "growth", "uid": uid},
        "spec": {},
        "status": said | {"conditions": conditions} | more,
    }


# -- what is sent and said


def test_a_stop_sets_one_field_of_the_object_that_was_seen(on: Cli, server: Apiserver) -> None:
    server.jobs["growth", "sample"] = job()
    done = on("stop", "sample")
    assert (done.code, done.out) == (0, "")
    assert done.err == (
        "TrainingJob sample is told to stop. The program gets SIGTERM within about 30 s, and SIGKILL 120 s later if it still"
        " runs; then what it wrote is uploaded.\n"
    )
    (_, (method, path, content_type, body)) = server.requests
    assert (method, content_type) == ("PATCH", "application/merge-patch+json")
    assert path == "/apis/trainyard.dev/v1alpha1/namespaces/growth/trainingjobs/sample?fieldManager=trainyard-cli"
    assert body == {"metadata": {"uid": "u1"}, "spec": {"stop": True}}


@pytest.mark.parametrize(
    ("secondary", "words"),
    [
        ("Starting", "No program trains yet; what was begun is ended, and the job becomes Stopped."),
        ("Downloading", "No program trains yet"),
        ("Pending", "No program trains yet"),
        ("Interrupted", "No program trains yet"),
        ("Training", "SIGTERM within about 30 s"),
        ("Stopping", "SIGTERM within about 30 s"),
        ("Uploading", "Training has ended already; the upload is finished, and the job becomes Stopped."),
    ],
)
def test_a_stop_says_what_will_happen_from_where_the_job_is(
    on: Cli, server: Apiserver, secondary: str, words: str
) -> None:
    server.jobs["growth", "sample"] = job(secondary)
    assert words in on("stop", "sample").err


def test_a_job_that_nobody_has_seen_yet_can_be_stopped(on: Cli, server: Apiserver) -> None:
    server.jobs["growth", "sample"] = job() | {"status": {}}
    done = on("stop", "sample")
    assert done.code == 0
    assert "No program trains yet" in done.err
    assert server.jobs["growth", "sample"]["spec"] == {"stop": True}


def test_a_second_stop_sends_nothing(on: Cli, server: Apiserver) -> None:
    server.jobs["growth", "sample"] = job() | {"spec": {"stop": True}}
    done = on("stop", "sample")
    assert done.code == 0
    assert "was told to stop already" in done.err
    assert [request[0] for request in server.requests] == ["GET"]


def test_suspend_and_resume_set_and_take_back_one_field(on: Cli, server: Apiserver) -> None:
    server.jobs["growth", "sample"] = job()
    assert "its clock stands still; `trainyard resume sample` starts it again" in on("suspend", "sample").err
    assert server.jobs["growth", "sample"]["spec"] == {"suspend": True}
    assert "is suspended already" in on("suspend", "sample").err
    assert "starts as a new attempt" in on("resume", "sample").err
    assert server.jobs["growth", "sample"]["spec"] == {"suspend": False}
    done = on("resume", "sample")
    assert (done.code, "is not suspended" in done.err) == (0, True)
    assert [request[0] for request in server.requests].count("PATCH") == 2


def test_the_namespace_is_the_contexts_unless_one_is_given(on: Cli, server: Apiserver) -> None:
    server.jobs["other", "sample"] = job()
    assert on("stop", "sample").code == 1
    assert on("stop", "sample", "-n", "other").code == 0


# -- waiting


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.01)


def becomes(server: Apiserver, *later: Any) -> None:
    """The job trains, takes the stop, and is then each of `later` in turn, for one request each."""
    server.answers = [(200, job()), (200, job()), *[item if isinstance(item, tuple) else (200, item) for item in later]]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        (
            job("Stopped", "Stopped", modelArtifacts={"s3ModelArtifacts": "s3://b/model.tar.gz"}),
            0,
            "TrainingJob sample: Stopped\nModel: s3://b/model.tar.gz\n",
        ),
        (job("MaxRuntimeExceeded", "Stopped"), 0, "TrainingJob sample: MaxRuntimeExceeded\n"),
        (job("Completed", "Completed"), 0, "TrainingJob sample: Completed\n"),
        (
            job("Failed", "Failed", failureReason="ClientError: Artifact upload failed:\nno such bucket"),
            1,
            "TrainingJob sample: Failed\nClientError: Artifact upload failed:\\nno such bucket\n",
        ),
    ],
)
def test_wait_follows_to_the_end_and_prints_the_status(
    on: Cli, server: Apiserver, end: dict[str, Any], code: int, words: str
) -> None:
    becomes(server, job(), job("Stopping", "Stopping"), job("Stopping", "Stopping"), end)
    done = on("stop", "sample", "--wait")
    assert (done.code, done.out) == (code, f"{end['status']['trainingJobStatus']}\n")
    assert done.err.endswith(words)
    assert done.err.splitlines()[1] == "Stopping"
    assert done.err.count("Stopping\n") == 1


@pytest.mark.usefixtures("impatient")
def test_wait_outlives_a_server_that_cannot_answer(on: Cli, server: Apiserver) -> None:
    away = status(503, "ServiceUnavailable", "starting up")
    becomes(server, away, away, job("Stopped", "Stopped"))
    done = on("stop", "sample", "--wait")
    assert (done.code, done.out) == (0, "Stopped\n")
    assert done.err.count("cannot answer now (HTTP 503): starting up; still waiting") == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("later", "words"),
    [
        (status(404, "NotFound", "gone", "sample"), "TrainingJob sample was deleted; its pods still end and upload"),
        (job(uid="u2"), "TrainingJob sample was deleted, and this is another of its name"),
        (status(403, "Forbidden", "no more"), "no right to get TrainingJobs in namespace growth: no more"),
    ],
)
def test_wait_ends_with_a_line_when_there_is_nothing_to_wait_for(
    on: Cli, server: Apiserver, later: Any, words: str
) -> None:
    becomes(server, later)
    done = on("stop", "sample", "--wait")
    assert (done.code, done.out) == (1, "")
    assert f"error: {words}" in done.err.splitlines()[-1]


def test_an_interrupted_wait_is_exit_code_130(on: Cli, server: Apiserver, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "follow", interrupted)
    server.jobs["growth", "sample"] = job()
    done = on("stop", "sample", "--wait")
    assert (done.code, done.out) == (130, "")
    assert done.err.endswith("No longer waiting. What the job was told stays so.\n")


# -- what can be wrong: one line each


def one_line(done: Done, words: str) -> None:
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert words in done.err
    assert done.err.count("\n") == 1, done.err


@pytest.mark.parametrize("command", ["stop", "suspend", "resume"])
def test_a_job_that_does_not_exist_is_one_line(on: Cli, command: str) -> None:
    one_line(on(command, "none"), "there is no TrainingJob none in namespace growth")


@pytest.mark.parametrize("command", ["stop", "suspend", "resume"])
def test_a_job_that_has_ended_is_one_line_and_not_changed(on: Cli, server: Apiserver, command: str) -> None:
    server.jobs["growth", "sample"] = job("Completed", "Completed", trainingEndTime="2026-11-24T08:00:00Z")
    words = f"TrainingJob sample has ended already: Completed at 2026-11-24T08:00:00Z; there is nothing to {command}"
    one_line(on(command, "sample"), words)
    assert [request[0] for request in server.requests] == ["GET"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (status(401, "Unauthorized", "Unauthorized"), "does not accept the credentials of context here: Unauthorized"),
        (status(403, "Forbidden", "user me\ncannot get"), "no right to get TrainingJobs in namespace growth: user me"),
        ((404, "404 page not found\n"), "knows no TrainingJobs; is trainyard installed there?"),
        (status(404, "NotFound", "the server could not find the requested resource"), "knows no TrainingJobs"),
        (status(429, "TooManyRequests", "slow down"), "cannot answer now (HTTP 429): slow down"),
        ((502, "<html>Bad Gateway</html>"), "cannot answer now (HTTP 502)"),
        ((200, "welcome"), "answers, but not as Kubernetes does"),
        ((200, []), "answers, but not as Kubernetes does"),
        ((418, "teapot"), "refuses (HTTP 418)"),
    ],
)
def test_an_answer_that_is_no_job_is_one_line(on: Cli, server: Apiserver, answer: tuple[int, Any], words: str) -> None:
    server.answers = [answer]
    one_line(on("stop", "sample"), words)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (status(403, "Forbidden", "cannot patch"), "no right to patch TrainingJobs in namespace growth: cannot patch"),
        (status(409, "Conflict", "uid", "sample"), "TrainingJob sample was replaced by another of its name meanwhile"),
        (status(422, "Invalid", "spec.stop: no"), "refuses (HTTP 422): spec.stop: no"),
    ],
)
def test_a_change_that_is_refused_is_one_line(on: Cli, server: Apiserver, answer: tuple[int, Any], words: str) -> None:
    server.answers = [(200, job()), answer]
    one_line(on("stop", "sample"), words)


def test_a_cluster_that_is_not_there_is_one_line(cli: Cli, tmp_path: Path) -> None:
    with serving() as server:
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
    words = f"the cluster does not answer at {server.url} (context here): Connection refused"
    one_line(cli("stop", "sample", "--kubeconfig", kubeconfig), words)


def test_a_server_that_hangs_up_is_one_line(cli: Cli, server: Apiserver, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        done = cli("stop", "sample", "--kubeconfig", server.kubeconfig(tmp_path / "kubeconfig"))
        thread.join()
    one_line(done, "the cluster does not answer at http://127.0.0.1:")


def test_a_server_that_speaks_no_tls_is_one_line(cli: Cli, server: Apiserver, tmp_path: Path) -> None:
    server.url = server.url.replace("http:", "https:")
    done = cli("stop", "sample", "--kubeconfig", server.kubeconfig(tmp_path / "kubeconfig"))
    one_line(done, "the cluster does not answer at https://127.0.0.1:")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no cluster: "),
        ("", "no cluster: "),
        ("[", "no cluster: "),
        ("hello", "no cluster: "),
        ("apiVersion: v1\nkind: Config\ncontexts: []\n", "no cluster: "),
        ("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: y, context: {}}]\n", "no cluster: "),
    ],
)
def test_a_kubeconfig_that_is_none_is_one_line(cli: Cli, tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "kubeconfig").write_text(content)
    one_line(cli("stop", "sample", "--kubeconfig", tmp_path / "kubeconfig"), words)


def test_credentials_that_no_program_gives_are_one_line(cli: Cli, server: Apiserver, tmp_path: Path) -> None:
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
    plugin = "{apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin, interactiveMode: Never}"
    kubeconfig.write_text(kubeconfig.read_text().replace("token: t", f"exec: {plugin}"))
    one_line(
        cli("stop", "sample", "--kubeconfig", kubeconfig),
        "no cluster: [Errno 2] No such file or directory: 'no-such-plugin'",
    )
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "words"), [("Churn-X", "; is it churn-x?"), ("a/b", "; is it a-b?"), ("_", "_ is no name of a")]
)
def test_a_name_that_no_job_can_have_is_one_line(on: Cli, server: Apiserver, name: str, words: str) -> None:
    one_line(on("stop", name), words)
    assert server.requests == []


def test_a_context_that_is_none_is_one_line(on: Cli) -> None:
    one_line(on("stop", "sample", "--context", "nowhere"), "the kubeconfig has no context nowhere")
