"""The commands of docs/cluster.md and mlflow_server.md.

What can run on one machine runs, the rest is parsed. Each command of the pages stands in one of the
tables below, so that a new one is not forgotten.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow_server import free_port, until_served
from ruamel.yaml import YAML
from server_parts import S3_KEYS, postgresql, postgresql_programs, s3_server

from hpsearch.cli import main

ROOT = Path(__file__).parents[1]
PAGE = "\n".join(
    (ROOT / "docs" / name).read_text(encoding="utf-8")
    for name in ("cluster.md", "mlflow_server.md")
)
# Its first words -> how a command is tried.
RUN = {
    "createuser": "test_the_commands_of_a_shared_server_run_as_printed",
    "mlflow server": "test_the_commands_of_a_shared_server_run_as_printed",
    "hpsearch tune study.yaml --tracking-uri http": "the same",
    "python -c": "test_the_token_is_made_as_printed",
    "chmod": "test_the_token_is_made_as_printed",
    "export RAY_AUTH_MODE": "test_the_token_is_made_as_printed",
    "sbatch": "tests/execution/test_slurm.py, on a Slurm of its own",
    "ray job submit": "tests/execution/test_ray_jobs.py, on a cluster of its own",
    "kubectl create secret": "test_the_secret_is_made_as_printed, by kubectl alone",
}
PARSED = {
    "hpsearch": "needs a cluster; tests/execution runs studies on one of Ray's own",
    "ray start": "takes the ports of this machine; parsed by Ray's own command line",
    "ray stop": "ends every Ray process of this machine; parsed by Ray's own command line",
    "pip install": "changes the environment; its names are compared with pyproject.toml",
    "export": "values for a person to fill in; each is a variable that MLflow or boto3 reads",
}
NOT_TRIED = {
    "helm": "needs helm and a Kubernetes cluster",
    "kubectl apply": "needs a Kubernetes cluster; the file is read by a test",
    "kubectl port-forward": "needs a Kubernetes cluster",
}
SPEC = """\
study: shared
data: {source: "sklearn:wine"}
cross_validation: {folds: 2}
training: {epochs: 1, early_stopping: null}
search_space: {units: [4, 8]}
budget: {trials: 1}
selection: {finalists: 1}
"""


# The fields of a RayCluster that the page uses, with the types and the limits of KubeRay's own
# definition (its CRD of 1.7.0, which no package of Python has). Other fields are taken as misspelt.
QUANTITY = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|[KMGT]i?)?$"}


def closed(required: str, **properties: object) -> dict[str, object]:
    """The schema of a mapping that has no other keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


COUNT = {"type": "integer", "minimum": 0}
RAY_START = {"type": "object", "additionalProperties": {"type": "string"}}
CONTAINER = closed(
    "name image",
    name={"type": "string"},
    image={"type": "string"},
    resources=closed("limits", limits=closed("cpu memory", cpu=QUANTITY, memory=QUANTITY)),
)
POD = closed(
    "spec",
    spec=closed("containers", containers={"type": "array", "minItems": 1, "items": CONTAINER}),
)
WORKERS = closed(
    "groupName minReplicas maxReplicas template",
    groupName={"type": "string"},
    minReplicas=COUNT,
    maxReplicas=COUNT,
    rayStartParams=RAY_START,
    template=POD,
)
RAY_CLUSTER = closed(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayCluster"},
    metadata=closed("name", name={"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}),
    spec=closed(
        "headGroupSpec",
        rayVersion={"type": "string"},
        authOptions=closed(
            "mode", mode={"enum": ["disabled", "token"]}, secretName={"type": "string"}
        ),
        enableInTreeAutoscaling={"type": "boolean"},
        headGroupSpec=closed("template", rayStartParams=RAY_START, template=POD),
        workerGroupSpecs={"type": "array", "items": WORKERS},
    ),
)


def commands() -> list[str]:
    """Every command of the pages' indented blocks, continued lines joined."""
    joined = re.sub(r"\\\n\s+", "", re.sub(r"```.*?```", "", PAGE, flags=re.S))
    lines = re.findall(r"^ {4}(\S.*)$", joined, re.M)
    return [re.sub(r"\s+#.*$", "", line) for line in lines]


def starting(*first: str) -> list[str]:
    return [line for line in commands() if line.startswith(first)]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)


def test_each_command_of_the_page_is_tried_or_says_why_not() -> None:
    known = (*RUN, *PARSED, *NOT_TRIED)
    assert [] == [line for line in commands() if not line.startswith(known)]
    assert [] == [first for first in known if not starting(first)]
    assert len(commands()) > 20


@pytest.mark.parametrize("line", starting("hpsearch"))
def test_hpsearch_takes_the_options_that_are_printed(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    name, *arguments = shlex.split(line)[1:]
    with main.commands[name].make_context(name, arguments):
        pass


@pytest.mark.parametrize("line", starting("pip install"))
def test_pip_is_given_packages_of_the_project_or_of_the_table_of_stores(line: str) -> None:
    from hpsearch.tracking.artifact_store import LIBRARIES

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {f"hpsearch[{extra}]" for extra in project["optional-dependencies"]}
    stores = {package for _, package in LIBRARIES.values()}
    allowed = extras | stores
    assert set(shlex.split(line)[2:]) <= allowed


def test_the_scheduler_script_is_the_one_that_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = starting("hpsearch cluster slurm")
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(SPEC.replace("shared", "churn"), encoding="utf-8")
    done = CliRunner().invoke(main, shlex.split(line.partition(">")[0])[1:])
    assert blocks("bash") == [done.output]


def test_the_cluster_of_kubernetes_is_one_document_with_a_token() -> None:
    (text,) = blocks("yaml")
    cluster = YAML(typ="safe").load(text)
    assert ("ray.io/v1", "RayCluster") == (cluster["apiVersion"], cluster["kind"])
    assert "token" == cluster["spec"]["authOptions"]["mode"]
    (secret,) = starting("kubectl create secret")
    assert cluster["spec"]["authOptions"]["secretName"] in secret.split()
    assert "search-head-svc" == f"{cluster['metadata']['name']}-head-svc"
    head = cluster["spec"]["headGroupSpec"]["template"]
    assert head == cluster["spec"]["workerGroupSpecs"][0]["template"]


def test_the_cluster_of_kubernetes_has_the_fields_of_kuberay() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    cluster = YAML(typ="safe").load(blocks("yaml")[0])
    jsonschema.validate(cluster, RAY_CLUSTER)
    cluster["spec"]["workerGroupSpecs"][0]["maxReplica"] = 8
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(cluster, RAY_CLUSTER)


def make_token(folder: Path) -> str:
    """Run the token's commands in `folder`; what they leave in the environment."""
    script = "\n".join([*starting("python -c", "chmod", "export RAY_AUTH"), "env | grep RAY_AUTH"])
    python = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder, env=python, capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def test_the_token_is_made_as_printed(tmp_path: Path) -> None:
    environment = make_token(tmp_path)
    token = tmp_path / "cluster.token"
    assert re.fullmatch(r"[0-9a-f]{64}\n", token.read_text())
    assert 0o600 == token.stat().st_mode & 0o777
    assert f"RAY_AUTH_TOKEN_PATH={token}" in environment


def test_the_secret_is_made_as_printed(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not here")
    make_token(tmp_path)
    (line,) = starting("kubectl create secret")
    dry = ["bash", "-ec", f"{line} --dry-run=client -o yaml"]  # asks no cluster
    done = subprocess.run(dry, cwd=tmp_path, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    assert {"auth_token"} == set(YAML(typ="safe").load(done.stdout)["data"])


@pytest.mark.long
def test_ray_takes_the_options_that_are_printed() -> None:
    scripts = pytest.importorskip("ray.scripts.scripts", reason="Ray is not installed")
    (script,) = blocks("bash")
    joined = script.replace("\\\n", "")
    lines = starting("ray ") + re.findall(r"ray (?:start|status) [^>;&\n]*", joined)
    assert len(lines) >= 6
    for line in lines:
        line = line.replace("$port", "6379").replace("$head", "10.0.0.1").rstrip("& ")
        name, *arguments = shlex.split(line)[1:]
        with scripts.cli.commands[name].make_context(name, arguments):
            pass


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a shell that reaches a PostgreSQL server and an S3 server."""
    with postgresql() as store, s3_server("search-artifacts") as s3:
        host, port = re.search(r"@([\d.]+):(\d+)/", store).groups()
        programs = f"{Path(sys.executable).parent}:{postgresql_programs()}:/usr/bin:/bin"
        yield {
            "PATH": programs,
            "HOME": str(tmp_path),
            "PGHOST": host,
            "PGPORT": port,
            "PGUSER": "mlflow",  # who may make others
            "PGPASSWORD": "of-this-test",
            "MLFLOW_S3_ENDPOINT_URL": s3,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **S3_KEYS,
        }


@pytest.mark.long
def test_the_commands_of_a_shared_server_run_as_printed(
    parts: dict[str, str], tmp_path: Path
) -> None:
    """But for the host of the database, the port, and names that are taken."""
    port, password = free_port(), "secret-of-mlflow"
    (create,) = starting("createuser")
    # The server of this test belongs to a user of the name that is printed.
    create = re.sub(r"\bmlflow\b", "tracking", create)
    done = subprocess.run(
        ["bash", "-ec", create],
        env=parts,
        input=f"{password}\n{password}\n",
        text=True,
        capture_output=True,
        start_new_session=True,  # without a terminal it reads the password from here
        timeout=120,
    )
    assert 0 == done.returncode, done.stderr
    (serve,) = starting("mlflow server")
    serve = serve.replace("mlflow:$PASSWORD@db.example/mlflow", "tracking:$PASSWORD@{}/tracking")
    serve = serve.format(f"{parts['PGHOST']}:{parts['PGPORT']}").replace("5000", str(port))
    with until_served(["bash", "-ec", f"exec {serve}"], port, {**parts, "PASSWORD": password}):
        (tmp_path / "study.yaml").write_text(SPEC)
        (tune,) = starting("hpsearch tune study.yaml --tracking-uri http")
        keyless = {k: v for k, v in parts.items() if not k.startswith(("AWS", "PG"))}
        done = subprocess.run(
            ["bash", "-ec", tune.replace("5000", str(port))],
            cwd=tmp_path,
            env=keyless,
            capture_output=True,
            text=True,
            timeout=500,
        )
    assert 0 == done.returncode, done.stderr
    assert f"hpsearch ui shared --tracking-uri http://127.0.0.1:{port}" in done.stderr + done.stdout
