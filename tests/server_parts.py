"""Components around an MLflow server (databases, proxies), started for tests on loopback."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow_server import free_port, served

PASSWORD = "of-this-test-{}"  # of each user of a server with logins
S3_KEYS = {"AWS_ACCESS_KEY_ID": "of-this-test", "AWS_SECRET_ACCESS_KEY": "of-this-test"}
AUTH = """\
[mlflow]
default_permission = READ
database_uri = {database}
admin_username = admin
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""
NGINX = """\
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port}{tls};
    location /mlflow/ {{ proxy_pass {upstream}/; {more} }}
  }}
}}
"""


@contextmanager
def postgresql() -> Iterator[str]:
    """The URI of an empty database of a PostgreSQL server, which runs until the block ends."""
    folder = postgresql_programs()
    if folder is None:
        pytest.skip("PostgreSQL is not here: apt-get install postgresql")
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    home = Path(tempfile.mkdtemp(prefix="hpsearch-pg-"))  # root's own folders are closed to it
    if user:
        shutil.chown(home, user)

    def run(program: str, *arguments: object) -> None:
        command = [str(folder / program), *map(str, arguments)]
        done = subprocess.run(command, user=user, cwd=home, capture_output=True, timeout=120)
        assert 0 == done.returncode, done.stderr.decode()

    password, data, port = home / "password", home / "data", free_port()
    password.write_text("of-this-test")
    password.chmod(0o644)
    run("initdb", "-D", data, "-U", "mlflow", "--auth=scram-sha-256", f"--pwfile={password}")
    options = f"-h 127.0.0.1 -p {port} -k {home} -c fsync=off"
    run("pg_ctl", "-D", data, "-l", home / "log", "-w", "-o", options, "start")
    try:
        yield f"postgresql+psycopg2://mlflow:of-this-test@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(home)


def postgresql_programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are; Debian keeps them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    on_path = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


@contextmanager
def s3_server(bucket: str) -> Iterator[str]:
    """The address of an S3 server (moto) with an empty bucket; `S3_KEYS` are its login."""
    moto = pytest.importorskip("moto.moto_server.threaded_moto_server", reason="no moto[s3] here")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    uri = "http://{}:{}".format(*server.get_host_and_port())
    keys = {name.lower(): value for name, value in S3_KEYS.items()}
    boto3.client("s3", endpoint_url=uri, region_name="us-east-1", **keys).create_bucket(
        Bucket=bucket
    )
    try:
        yield uri
    finally:
        server.stop()


@contextmanager
def nginx(
    folder: Path, upstream: str, port: int, more: str = "", *, certificate: Path | None = None
) -> Iterator[str]:
    """The address of a proxy with nginx's defaults before `upstream`, below the prefix /mlflow.

    `more` are further directives; with `certificate`, a PEM file that holds its key too, it speaks
    HTTPS.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not here: apt-get install nginx-light")
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    tls = ""
    if certificate is not None:
        tls = f" ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate}"
    config = folder / "nginx.conf"
    user = "user root; " if os.geteuid() == 0 else ""  # its workers write below the test's folder
    fields = {"folder": folder, "port": port, "upstream": upstream, "more": more, "tls": tls}
    config.write_text(user + NGINX.format(**fields))
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)])
    try:
        _wait_for_listener(port)
        yield f"http{'s' if tls else ''}://127.0.0.1:{port}/mlflow"
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(30)


def _wait_for_listener(port: int) -> None:
    import socket

    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)


class LoginServer:
    """A server with MLflow's own logins (basic-auth)."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def ask(self, what: str, **fields: str) -> None:
        """A request of the administrator's."""
        login = b64encode(f"admin:{PASSWORD.format('admin')}".encode()).decode()
        request = urllib.request.Request(
            f"{self.uri}/api/{what}",
            json.dumps(fields).encode(),
            {"Content-Type": "application/json", "Authorization": f"Basic {login}"},
        )
        urllib.request.urlopen(request, timeout=30).close()

    def grant(self, user: str, kind: str, which: str, permission: str) -> None:
        """Give a user a permission."""
        given = {"resource_type": kind, "resource_id": which, "permission": permission}
        self.ask("3.0/mlflow/users/permissions/grant", username=user, **given)


@contextmanager
def login_server(
    folder: Path,
    users: tuple[str, ...],
    *,
    store: str = "",
    logins: str = "",
    artifacts: str = "",
    env: Mapping[str, str] | None = None,
) -> Iterator[LoginServer]:
    """A server with logins for `admin` and `users`, whose passwords are `PASSWORD`'s.

    Args:
        folder: Holds what is given no URI of its own.
        users: May read everything, and write what is theirs.
        store: URI of the database for runs.
        logins: URI of the database for logins.
        artifacts: Where the server keeps files.
        env: Further variables of its environment.
    """
    pytest.importorskip("flask_wtf", reason="Flask-WTF is not installed: no server with logins")
    config = folder / "auth.ini"
    database = logins or f"sqlite:///{folder}/auth.db"
    config.write_text(AUTH.format(database=database, password=PASSWORD.format("admin")))
    where = ("--app-name", "basic-auth", "--workers", "1")
    where += ("--backend-store-uri", store or f"sqlite:///{folder}/mlflow.db")
    where += ("--artifacts-destination", artifacts or str(folder / "artifacts"))
    secret = {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-a-test"}
    with served("server", *where, path="/health", env={**secret, **(env or {})}) as uri:
        server = LoginServer(uri)
        for user in users:
            server.ask("2.0/mlflow/users/create", username=user, password=PASSWORD.format(user))
        yield server
