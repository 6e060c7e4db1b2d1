"""Explain a server's refusal and the remedy in one line.

MLflow, `requests` and artifact libraries raise different exceptions; they are classified by their
HTTP status.
"""

from __future__ import annotations

import re

from ..errors import redact_text

# HTTP statuses for which sending a file again cannot help.
FINAL_FOR_FILES = (400, 405, 411, 413, 414, 415, 422)
TOO_LARGE = 413
THROTTLED = (429, 503)  # statuses whose answer may say when to ask again
LOGIN_EXPIRED = (401, 403)
TOO_LARGE_FOR_PROXY = (
    "larger than its proxy lets through (413). Ask its administrator for a higher limit (nginx: "
    "client_max_body_size), then run `hpsearch sync STUDY`."
)
LOGIN_REFUSED = (
    "the login is refused. Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
    "MLFLOW_TRACKING_TOKEN."
)
RATE_LIMITED = "the server limits the rate of requests (429)."
# MLflow's codes of what other servers than MLflow's answer with a status alone.
STATUS_OF_CODE = {
    "UNAUTHENTICATED": 401,
    "CUSTOMER_UNAUTHORIZED": 401,
    "PERMISSION_DENIED": 403,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "RESOURCE_EXHAUSTED": 429,
    "TEMPORARILY_UNAVAILABLE": 503,
}
NOT_TRUSTED = (
    "its certificate is not trusted ({}). Set MLFLOW_TRACKING_SERVER_CERT_PATH to the certificate "
    "of its authority (a PEM file)."
)


def error_code(error: BaseException) -> str | None:
    """Return the code that MLflow gives its exceptions; None if it has none."""
    code = getattr(error, "error_code", None)
    return code if isinstance(code, str) else None


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status of an exception; None if it has none."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # of botocore, for S3
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(answer, "status_code", None)
    said = re.search(r"failed with error code (\d{3})|too many (\d{3}) error responses", str(error))
    if status is None and said:
        status = said[1] or said[2]
    if status is None:
        status = STATUS_OF_CODE.get(error_code(error) or "")
    return None if status is None else int(status)


def is_inserted_twice(error: BaseException) -> bool:
    """Whether a store refuses to insert what another client has inserted at the same time."""
    return re.search(r"IntegrityError|UniqueViolation", str(error)) is not None


def describe_reason(error: BaseException) -> str:
    """Describe an error in one sentence."""
    text = redact_text(str(error).strip()) or type(error).__name__
    if untrusted := re.search(r"certificate verify failed: ([^(]+)", text):
        return NOT_TRUSTED.format(untrusted[1].strip())
    if answered := re.search(r"too many (\d{3}) error responses", text):
        return f"the server answers {answered[1]}."
    known = re.search(r"\[Errno -?\d+\] ([\w ]+)|((?:Read|Connect)\w* timed out)", text)
    line = (known[1] or known[2]) if known else _first_line(text)
    return line if line.endswith(".") else f"{line}."


def _first_line(text: str) -> str:
    """The first line, without the query of an address, which may hold a signature."""
    return re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]*", r"\1", text.splitlines()[0])[:300]


def describe_refusal(error: BaseException, *, needs: str = "") -> str:
    """Describe an error and its remedy in one line.

    Args:
        error: What a client has raised.
        needs: The permission without which it cannot work, as an administrator knows it.
    """
    status = http_status(error)
    if status == 401:
        return LOGIN_REFUSED
    if status == 429:
        return RATE_LIMITED
    if status == TOO_LARGE:
        return f"the request is {TOO_LARGE_FOR_PROXY}"
    return permission_denied(needs) if status == 403 else describe_reason(error)


def permission_denied(needs: str) -> str:
    """Format the message for HTTP 403; `needs` may be empty."""
    asked = f"ask the server's administrator for {needs}" if needs else "ask its administrator"
    return f"permission denied: {asked}."
