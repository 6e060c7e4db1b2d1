"""Whether a tracking server is there and new enough, asked before MLflow is imported."""

from __future__ import annotations

import os
import re
import ssl
from base64 import b64encode
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from ..errors import TrackingError, redacted

OLDEST = (2, 22)  # of MLflow's servers; older ones answer some questions with empty lists
SECONDS = 4  # for the answer


def check_server(uri: str) -> None:
    """Refuse a server that does not answer, or is too old, within `SECONDS`.

    Whether it lets the user in is left to MLflow's client, which knows more kinds of logins.

    Raises:
        TrackingError: With the remedy.
    """
    if not uri.startswith(("http://", "https://")):
        return
    version = _version(uri)
    if version is not None and tuple(map(int, version.split(".")[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise TrackingError(
            f"{redacted(uri)}: the server is MLflow {version}, and {oldest} is the oldest that is "
            "supported. Ask its administrator for a newer one, or leave --tracking-uri out for a "
            "store in this folder."
        )


def unusable(uri: str, reason: str) -> TrackingError:
    """What is told of a store that does not answer."""
    return TrackingError(
        f"{redacted(uri)}: the tracking store cannot be used: {reason} Start the server, correct "
        "--tracking-uri, or train now with --offline and send the study later with "
        "`hpsearch sync STUDY`."
    )


def _version(uri: str) -> str | None:
    """The server's version; None where something else answers, as a page that asks for a login."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    address = f"{parts.scheme}://{host}{parts.path.rstrip('/')}/version"
    request = Request(address, headers=_login(parts.username, parts.password))
    try:
        with urlopen(request, timeout=SECONDS, context=_trust(address)) as answer:
            text = answer.read(40).decode("ascii", "replace").strip()
    except HTTPError:
        return None
    except ValueError as error:
        raise unusable(uri, f"{error}.") from None
    except OSError as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, ssl.SSLError):
            return None  # MLflow's client may trust others
        told = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        raise unusable(uri, f"{told}.") from None
    except HTTPException:  # no HTTP, or no address: MLflow's client tells what it makes of it
        return None
    return text if re.fullmatch(r"\d+\.\d+[\w.]*", text) else None


def _login(name: str | None, password: str | None) -> dict[str, str]:
    """The header of a login, where MLflow's client takes it from."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    name = unquote(name or "") or os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = unquote(password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if not name:
        return {}
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


def _trust(address: str) -> ssl.SSLContext | None:
    if not address.startswith("https:"):
        return None
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        return ssl._create_unverified_context()
    file = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or os.environ.get(
        "REQUESTS_CA_BUNDLE"
    )
    return ssl.create_default_context(cafile=file) if file and os.path.isfile(file) else None
