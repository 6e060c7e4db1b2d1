"""Check a tracking server's availability, version and login before importing MLflow.

Uses plain requests: importing MLflow takes seconds, and a refusal should be reported at once. What
these requests cannot decide is left to MLflow's client.
"""

from __future__ import annotations

import json
import os
import re
import ssl
from base64 import b64encode
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from importlib import metadata
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

from ..errors import TrackingError, redact_text
from .refusals import LOGIN_REFUSED, NOT_TRUSTED, permission_denied

MIN_VERSION = (2, 22)  # of MLflow's servers; older ones answer some questions with empty lists
TIMEOUT_SECONDS = 4  # for one answer
API = "/api/2.0/mlflow/experiments/"
# Another way to log in, which only MLflow's client knows.
OTHER_LOGINS = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")


def check_server(uri: str, *, experiment: str = "") -> bool:
    """Refuse a server that does not answer, is too old or refuses the login.

    Args:
        uri: URI of the store; nothing is done if it is not a server.
        experiment: Name of the experiment to write to; empty: none.

    Returns:
        Whether MLflow's server answered with this login; False if that is unknown.

    Raises:
        TrackingError: With the remedy.
    """
    if not uri.startswith(("http://", "https://")):
        return False
    _check_version(uri)
    if experiment:
        name = quote(experiment, safe="")
        answer = _call(uri, f"{API}get-by-name?experiment_name={name}")
    else:
        answer = _call(uri, f"{API}search", {"max_results": 1})
    if answer is None:
        return False
    status, text = answer
    if status == 401 and _is_known_login(uri):
        raise TrackingError(f"{redact_text(uri)}: {LOGIN_REFUSED}")
    found = _parse_object(text)
    if experiment and status == 200 and found is not None:
        id = str(found.get("experiment", {}).get("experiment_id"))
        if not may_edit(uri, id):
            needs = f"EDIT on the experiment {experiment!r}"
            raise TrackingError(f"{redact_text(uri)}: {permission_denied(needs)}")
    is_unknown = found is not None and found.get("error_code") == "RESOURCE_DOES_NOT_EXIST"
    return found is not None and (status == 200 or is_unknown)


def may_edit(uri: str, experiment_id: str) -> bool:
    """Whether the user may write to an experiment; True if the server does not say.

    Sends a rename request without a name: the server refuses it in any case, with 403 if the
    permission is missing.
    """
    if not uri.startswith(("http://", "https://")):
        return True
    answer = _call(uri, f"{API}update", {"experiment_id": experiment_id})
    return answer is None or answer[0] != 403


def read_retry_after(uri: str) -> float | None:
    """Ask a server that limits requests how long to wait, in seconds; None if it does not say.

    MLflow's client does not keep the header `Retry-After` of the answer that it refused.
    """
    if not uri.startswith(("http://", "https://")):
        return None
    request = _make_request(uri, f"{API}search", {"max_results": 1})
    try:
        urlopen(request, timeout=TIMEOUT_SECONDS, context=_ssl_context(request.full_url)).close()
    except HTTPError as error:
        with error:
            return parse_retry_after(error.headers.get("Retry-After", ""))
    except (OSError, ValueError, HTTPException):
        return None
    return None


def parse_retry_after(text: str) -> float | None:
    """Parse the header `Retry-After`: seconds, or a date; returns seconds from now.

    Examples:
        >>> parse_retry_after("120")
        120.0
        >>> parse_retry_after("Fri, 31 Dec 1999 23:59:59 GMT")
        0.0
    """
    if re.fullmatch(r"\d{1,9}", text.strip()):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:  # `-0000`: UTC of an unknown zone
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def unusable_error(uri: str, reason: str) -> TrackingError:
    """Build the error for a store that does not answer."""
    return TrackingError(
        f"{redact_text(uri)}: the tracking store cannot be used: {reason} Start the server, "
        "correct "
        "--tracking-uri, or train now with --offline and send the study later with "
        "`hpsearch sync STUDY`."
    )


def _check_version(uri: str) -> None:
    answer = _call(uri, "/version")
    text = answer[1].strip() if answer and answer[0] == 200 else ""
    if not re.fullmatch(r"\d+\.\d+[\w.]*", text):  # as of a page that asks for a login
        return
    if tuple(map(int, text.split(".")[:2])) < MIN_VERSION:
        oldest = ".".join(map(str, MIN_VERSION))
        raise TrackingError(
            f"{redact_text(uri)}: the server is MLflow {text}, and {oldest} is the oldest that is "
            "supported. Ask its administrator for a newer one, or leave --tracking-uri out for a "
            "store in this folder."
        )


def _call(uri: str, path: str, fields: dict[str, Any] | None = None) -> tuple[int, str] | None:
    """Send a request; returns status and text, or None if the answer is not HTTP.

    Raises:
        TrackingError: If nothing answers, or its certificate is not trusted.
    """
    try:
        request = _make_request(uri, path, fields)
        context = _ssl_context(request.full_url)
        with urlopen(request, timeout=TIMEOUT_SECONDS, context=context) as answer:
            return answer.status, answer.read(100_000).decode("utf-8", "replace")
    except HTTPError as error:
        with error:
            return error.code, error.read(100_000).decode("utf-8", "replace")
    except ValueError as error:
        raise unusable_error(uri, f"{error}.") from None
    except OSError as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = NOT_TRUSTED.format(cause.verify_message)
            raise TrackingError(f"{redact_text(uri)}: {reason}") from None
        if isinstance(cause, ssl.SSLError):
            return None  # MLflow's client may know more
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        raise unusable_error(uri, f"{reason}.") from None
    except HTTPException:  # no HTTP, or no address: MLflow's client tells what it makes of it
        return None


def _make_request(uri: str, path: str, fields: dict[str, Any] | None) -> Request:
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    address = f"{parts.scheme}://{host}{parts.path.rstrip('/')}{path}"
    data = None if fields is None else json.dumps(fields).encode()
    return Request(address, data, {"Content-Type": "application/json", **login_header(uri)})


def _parse_object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def login_header(uri: str) -> dict[str, str]:
    """Return the login that MLflow's client would send, as far as known."""
    for name, password in _logins(uri):
        if name and password:
            coded = b64encode(f"{name}:{password}".encode()).decode()
            return {"Authorization": f"Basic {coded}"}
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    return {}


def _logins(uri: str) -> Iterator[tuple[str | None, str | None]]:
    """Iterate over name and password from each source, by precedence."""
    parts = urlsplit(uri)
    yield unquote(parts.username or ""), unquote(parts.password or "")
    with suppress(OSError, NetrcParseError):
        if entry := netrc(os.environ.get("NETRC")).authenticators(parts.hostname or ""):
            yield entry[0] or entry[1], entry[2]
    file = ConfigParser(interpolation=None)
    with suppress(ConfigError, OSError, UnicodeDecodeError, RuntimeError):
        file.read(Path("~/.mlflow/credentials").expanduser(), encoding="utf-8")
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    name, password = (
        os.environ.get(n) or file.get("mlflow", n.lower(), fallback=None) for n in names
    )
    yield name, password


def _is_known_login(uri: str) -> bool:
    """Whether `login_header` covers all logins of MLflow's client."""
    if any(os.environ.get(name, "").lower() not in ("", "false", "0") for name in OTHER_LOGINS):
        return False
    plugins = metadata.entry_points(group="mlflow.request_header_provider")
    return all(point.value.startswith("mlflow.") for point in plugins)


def _ssl_context(address: str) -> ssl.SSLContext | None:
    if not address.startswith("https:"):
        return None
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context = ssl._create_unverified_context()
    else:
        context = ssl.create_default_context()
        for authorities in _authorities():
            if authorities.is_dir():
                context.load_verify_locations(capath=authorities)
            elif authorities.is_file():
                context.load_verify_locations(authorities)
    if client := os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        context.load_cert_chain(client)
    return context


def _authorities() -> Iterator[Path]:
    """Return the certificate authorities that MLflow's client trusts."""
    from certifi import where

    yield Path(where())
    for name in ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if named := os.environ.get(name):
            yield Path(named)
