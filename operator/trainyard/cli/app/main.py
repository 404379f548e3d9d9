"""The command line: options, what is read and written, exit codes (0 done, 1 failed, 2 misused, 130 interrupted)."""

from __future__ import annotations

import sys
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainyard.cli.app import console, jobs
from trainyard.cli.core import documents, translate, validate
from trainyard.cli.core.naming import LONGEST, is_legal, kubernetes_name
from trainyard.cli.core.recognise import items
from trainyard.cli.core.translate import Target
from trainyard.cli.errors import Failed, Misused

if TYPE_CHECKING:
    from trainyard.cli.adapters.cluster import Cluster

STDIN = "-"

app = typer.Typer(
    name="trainyard",
    help="SageMaker training jobs on a Kubernetes cluster. Also as `kubectl trainyard`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

doctor = typer.Typer(help="Check what jobs will need.", no_args_is_help=True)
app.add_typer(doctor, name="doctor")


class Style(StrEnum):
    PATH = "path"
    VIRTUAL = "virtual"


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


Name = Annotated[str, typer.Argument(help="Name of the TrainingJob.", metavar="NAME", show_default=False)]
Namespace = Annotated[
    str | None, typer.Option("-n", "--namespace", help="Its namespace. Default: the context's.", show_default=False)
]
Context = Annotated[
    str | None,
    typer.Option("--context", help="Context of the kubeconfig. Default: the current one.", show_default=False),
]
Kubeconfig = Annotated[
    str | None,
    typer.Option(
        "--kubeconfig", help="Path of the kubeconfig. Default: KUBECONFIG, ~/.kube/config.", show_default=False
    ),
]


def run(arguments: list[str] | None = None, program: str = "trainyard") -> int:
    """The exit code of a command line."""
    try:
        app(args=arguments, prog_name=program)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Failed as failed:
        console.error(str(failed))
        return 2 if isinstance(failed, Misused) else 1
    except RecursionError:
        console.error("the document is nested too deeply")
        return 1
    return 0


def _version(wanted: bool) -> None:
    if wanted:
        console.write(f"trainyard {version('trainyard')}\n")
        raise typer.Exit


@app.callback()
def _common(
    _version_wanted: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def convert(
    file: Annotated[str, typer.Argument(help="What to read; - is standard input.", metavar="[FILE|-]")] = STDIN,
    to: Annotated[
        Target, typer.Option("--to", help="What to write: manifest, request (JSON) or ack.")
    ] = Target.MANIFEST,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Where to write. Default: standard output.", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="metadata.name. Default: made of TrainingJobName.", show_default=False)
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("-n", "--namespace", help="metadata.namespace to write.", show_default=False)
    ] = None,
) -> None:
    """Convert a training job into a TrainingJob manifest, or back.

    Reads CreateTrainingJob JSON, DescribeTrainingJob JSON, manifests of the AWS controller for SageMaker (ACK) and of trainyard.
    What has no place in the result is named on standard error.
    """
    if to is Target.REQUEST and (name or namespace):
        raise Misused("--name and --namespace are a manifest's, and a request has neither")
    if name and not is_legal(name):
        raise Misused(f"--name: lower case letters, digits, '-' and '.', at most {LONGEST}; {name!r} is not")
    done = translate.translate(_read(file), _shown(file), to, name, namespace)
    if output is None:
        console.write(done.text)
    else:
        try:
            output.write_bytes(done.text.encode())
        except OSError as error:
            raise Failed(f"{output}: {error.strerror}") from None
    for note in done.notes:
        console.say(note, "yellow")


@app.command("validate")
def validate_(
    files: Annotated[list[str], typer.Argument(help="Manifests; - is standard input.", metavar="FILE...")],
) -> None:
    """Check manifests without a cluster: unknown fields, types, limits.

    Prints a line for each finding, with file and path. What only a cluster knows (instance types, roles) is not checked.
    """
    checked = findings = 0
    for file in files:
        try:
            found = [item for document in documents.read(_read(file), _shown(file)) for item in items(document)]
            if not found:
                raise Failed(f"{_shown(file)}: holds no manifest")
        except Failed as failed:
            findings += 1
            console.line((str(failed), ""))
            continue
        for index, item in enumerate(found):
            place = _shown(file) + (f": document {index + 1}" if len(found) > 1 else "")
            if not validate.is_ours(item):
                console.say(f"{place}: not of trainyard, not checked")
                continue
            checked += 1
            for finding in validate.findings(item):
                findings += 1
                path = [(f"{finding.path}: ", "bold")] if finding.path else []
                console.line((f"{place}: ", ""), *path, (finding.message, ""))
    console.say(f"{checked} manifest{'s' * (checked != 1)} checked, {findings or 'no'} finding{'s' * (findings != 1)}")
    raise typer.Exit(1 if findings else 0)


@app.command()
def stop(
    name: Name,
    namespace: Namespace = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended; prints its status.")] = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Stop a job and keep its model. It cannot be taken back.

    The program gets SIGTERM within about 30 s, SIGKILL 120 s later, and then what it wrote is uploaded. With --wait the exit code
    is 1 if the job ended as Failed.
    """
    cluster = _cluster(name, kubeconfig, context)
    try:
        code = jobs.stop(cluster, namespace or cluster.namespace, name, wait=wait)
    except KeyboardInterrupt:
        console.say("No longer waiting. What the job was told stays so.")
        code = 130
    raise typer.Exit(code)


@app.command()
def suspend(name: Name, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """Take a job's pods away and stop its clock until it is resumed."""
    cluster = _cluster(name, kubeconfig, context)
    raise typer.Exit(jobs.suspend(cluster, namespace or cluster.namespace, name))


@app.command()
def resume(name: Name, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """Let a suspended job go on, as a new attempt."""
    cluster = _cluster(name, kubeconfig, context)
    raise typer.Exit(jobs.resume(cluster, namespace or cluster.namespace, name))


@doctor.command("s3")
def doctor_s3(
    *,
    bucket: Annotated[str, typer.Option("--bucket", help="A bucket to write to.", show_default=False)],
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="URL of the server. Default: AWS.", show_default=False)
    ] = None,
    region: Annotated[str, typer.Option("--region", help="Region to sign requests for.")] = "us-east-1",
    style: Annotated[
        Style | None,
        typer.Option("--style", help="path or virtual. Default: path for other servers than AWS.", show_default=False),
    ] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", help="Below this it writes, and takes away what it wrote.")
    ] = "trainyard-doctor",
    ca_bundle: Annotated[
        Path | None,
        typer.Option(
            "--ca-bundle", help="File of the authorities that the server's certificate is of.", show_default=False
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Profile of the AWS configuration.", show_default=False)
    ] = None,
    output: Annotated[Output, typer.Option("-o", "--output", help="table or json.")] = Output.TABLE,
) -> None:
    """Check whether jobs can use an S3 server, and what its differences from S3 mean for them.

    Credentials are those of AWS's tools: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile. The exit code is 1 if jobs do not run.
    """
    # Half a second of imports that other commands do without.
    from trainyard.cli.adapters.s3checks import Checks, Server  # noqa: PLC0415
    from trainyard.cli.app import doctor as examination  # noqa: PLC0415

    virtual = style is Style.VIRTUAL if style else endpoint is None
    server = Server(endpoint, bucket, region, virtual, str(ca_bundle) if ca_bundle else None, profile)
    findings, left = examination.examine(Checks(server, examination.new_prefix(prefix)))
    raise typer.Exit(examination.show(findings, left, as_json=output is Output.JSON))


def _cluster(name: str, kubeconfig: str | None, context: str | None) -> Cluster:
    if not is_legal(name):
        meant = kubernetes_name(name)
        raise Failed(f"{name} is no name of a TrainingJob" + (f"; is it {meant}?" if meant else ""))
    # Half a second of imports that convert and validate do without.
    from trainyard.cli.adapters.cluster import Cluster  # noqa: PLC0415

    return Cluster(kubeconfig, context)


def _shown(file: str) -> str:
    return "standard input" if file == STDIN else file


def _read(file: str) -> str:
    try:
        return (sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()).decode()
    except OSError as error:
        raise Failed(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failed(f"{_shown(file)}: is not text in UTF-8") from None
