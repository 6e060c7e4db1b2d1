"""Hide secrets in text that leaves the process: messages, logs, journals, runs, diffs.

A secret is recognized by its context (`password: `, `?token=`, `Bearer `), by its format (a private
key, `ghp_…`), or because it is the value of an environment variable with a sensitive name.
Formats and most names are those of detect-secrets 1.5 (Apache 2.0), which finds secrets in files
but does not replace them. Each character is scanned once, so the time is linear in the text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

HIDDEN = "***"
MIN_SECRET_LENGTH = 6  # shorter values of environment variables are not searched for
MAX_ERROR_LENGTH = 2_000  # characters of a failed trial's error message
MAX_TRACEBACK_LENGTH = 16_000
LOOKBEHIND = 200  # characters of a value that decide whether it is a secret

# Names whose value is always a secret, with any prefix: PGPASSWORD, dbPassword.
_STRONG = (
    r"passw(?:or)?d|passwd|passphrase|passcode|contraseña|"
    r"(?:db|database|key|user|smtp|mail|ssh|admin|root)_?pass|(?<![a-z])pwd|"
    r"secret(?:[_-]?(?:access[_-]?)?key|[_-]?token)?|credentials?|"
    r"(?:api|access|auth|account|service|db|database|priv|private|client|encryption|signing|"
    r"master|storage|shared|subscription|session)[_-]?key"
)
# Names that are also ordinary words: the value must look like a secret, or be assigned.
_WEAK = r"(?:(?<![a-zA-Z])|(?<=[a-z])(?=[TK]))(?i:token|key)"
_HEADERS = r"(?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{0,30}(?:key|token)"
_NAME = re.compile(
    rf"(?:(?i:(?P<header>(?<![\w-])(?:{_HEADERS}))|(?P<strong>{_STRONG})\d{{0,3}})"
    rf"|(?P<weak>{_WEAK}))(?![_-]{{0,3}}[A-Za-z0-9])"  # not token_count, secretary, tokens
)
_HINTS = ("pass", "pwd", "secret", "credential", "key", "token", "auth", "cookie", "contrase")
_CLOSING = r"(?P<closing>\\{0,3}[\"'`]\]?)?"
_ASSIGNMENT = re.compile(
    rf"{_CLOSING}(?P<sign>[ \t]*(?:\[\d{{0,9}}\])?[ \t]*(?:===?|!==?|:=|=>|=|:(?!:|//))[ \t]*)"
)
_PAIR = re.compile(r"\\{0,3}[\"'][ \t]*,[ \t]*(?=\\{0,3}[\"'])")  # "DB_PASSWORD", "x"
_FLAG = re.compile(r"[ \t]+(?![-\s])")  # --password x
_OPENING = re.compile(
    r"(?:[ \t]*[(\[]?[ \t]*\n[-+ \t]{0,80})?(?:[rbuf]{0,2})(\"\"\"|'''|\\{0,3}[\"'`])"
)
_BLOCK = re.compile(r"[|>][-+0-9]{0,2}[ \t]*\n")
_WORD = re.compile(r"[^\s&;'\"<>]+")
_REST = re.compile(r"[^\n,]*(?:,(?![ \t]*[\"']?[\w-]{1,60}[\"']?[ \t]*[:=])[^\n,]*)*")
_PLAIN = re.compile(
    r"(?:none|null|true|false|~|\*\*\*|\$\{\w+\}|\$\(|os\.(?:environ|getenv)|getpass)\b.{0,80}$",
    re.I,
)
_CODE = re.compile(r"[A-Za-z_.]+(?:[(\[].*)?$")  # an expression, not a value
_NUMBER = re.compile(r"[-+]?\d{0,4}(?:\.\d*)?(?:e[-+]?\d+)?[,)\]}.;:]*$", re.I)
_RANDOM = re.compile(r"(?=[^\d\s]{0,40}\d)(?=[^A-Za-z\s]{0,40}[A-Za-z])[\w+/=.~-]{16,}$")

_SHAPES = re.compile(
    r"(?<![A-Za-z0-9_])(?:"
    r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255}"  # GitHub
    r"|gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-[\w-]{20,255}"  # GitLab
    r"|xox[a-z]-[A-Za-z0-9-]{8,255}|xapp-[A-Za-z0-9-]{8,255}"  # Slack
    r"|hf_[A-Za-z0-9]{16,255}"  # Hugging Face
    r"|dapi[0-9a-f]{16,255}(?:-\d)?"  # Databricks
    r"|sk-[A-Za-z0-9_-]{16,255}"  # OpenAI, Anthropic
    r"|[rs]k_(?:live|test)_[0-9a-zA-Z]{16,255}"  # Stripe
    r"|pypi-[\w-]{40,255}|npm_[A-Za-z0-9]{36}"
    r"|SG\.[\w-]{16,32}\.[\w-]{16,64}"  # SendGrid
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,255}"  # Google
    r"|sq0csp-[\w-]{43}|AKC[A-Za-z0-9]{40,255}"  # Square, Artifactory
    r"|(?<!-)eyJ[A-Za-z0-9_=-]{8,4096}\.[A-Za-z0-9_=-]{4,8192}(?:\.[\w.+/=-]*)?"  # JWT
    r")"
)
_PREFIXES = (
    *(
        "A3T",
        "ABIA",
        "ACCA",
        "AKIA",
        "ASIA",
        "gh",
        "gl",
        "xox",
        "xapp-",
        "hf_",
        "dapi",
        "sk",
        "rk_",
    ),
    *("pypi-", "npm_", "SG.", "AIza", "ya29", "sq0csp", "AKC", "eyJ"),
)
_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)[\s\S]*?"
    r"(?=-----END [A-Z0-9 ]{0,40}PRIVATE KEY|\Z)"
)
_URI = re.compile(r"://[^\s'\"<>]*")
_QUERY = re.compile(
    r"(?i)(?<=[?&;])((?:key|pass|sig|signature|code|sas|auth|x-amz-(?:signature|credential|security-token)"
    r"|x-goog-(?:signature|credential))=)[^&;\s'\"<>]+"
)
_SCHEME = re.compile(
    r"\b((?i:bearer)\s{1,4}|(?i:basic)\s{1,4}(?=[A-Za-z]{0,80}[0-9=]))"
    r"(?=[a-z]{0,80}[A-Z0-9._~+/=-])[A-Za-z0-9._~+/=-]{6,}"
)
_SENSITIVE_NAME = re.compile(
    r"(?i)(?:^|_)(?:password|passwd|pass|passphrase|pwd|token|secret|credentials?|(?:api|access)?key)(?:_|$)"
    r"|password"
)
_NO_NUMBER = re.compile(r"[^\d*.\s]")
_DIRECTORIES = ("PWD", "OLDPWD")
_addresses: dict[str, str] = {}  # address from an environment variable -> shown instead


def redact(text: str) -> str:
    """Replace every recognizable secret in `text`.

    The user info of a URI ends at its last `@`: a password may contain `/`, `?`, `:` and `@`.

    Examples:
        >>> redact("postgresql://ann:secret@db/runs?password=x")
        'postgresql://***@db/runs?password=***'
        >>> redact('token_count: 5, monkey=3, KEY = "wJalr"')
        'token_count: 5, monkey=3, KEY = "***"'
    """
    if not _NO_NUMBER.search(text):  # most table cells; never a secret
        return text
    return redact_patterns(_redact_environment(_replace_addresses(text)))


def has_secret(text: str) -> bool:
    """Whether a text holds a recognizable secret."""
    return redact_patterns(_redact_environment(text)) != text


def hide_address(address: str, shown: str) -> None:
    """Show an address, and what looks random in it, as `shown` from now on, in this process."""
    rest = address.partition("://")[2]
    for part in (address, rest, *re.split(r"[^\w+=.~-]+", rest)):
        is_distinctive = part in (address, rest) or _RANDOM.match(part)
        if is_distinctive and len(part) >= MIN_SECRET_LENGTH and part not in shown:
            _addresses[part] = shown


def _replace_addresses(text: str) -> str:
    if not _addresses:
        return text
    longest_first = sorted(_addresses, key=len, reverse=True)
    pattern = "|".join(map(re.escape, longest_first))
    return re.sub(pattern, lambda found: _addresses[found[0]], text)


def shorten(text: str, limit: int) -> str:
    """Shorten to about `limit` characters: beginning, number of omitted characters, and end.

    The end starts at a word if possible, so that no unrecognizable half of a secret remains.
    Call it before `redact`, which scans the whole text.
    """
    if len(text) <= limit:
        return text
    head, tail = text[: limit // 2], text[-(limit // 2) :]
    space = re.search(r"\s", tail[: limit // 4])
    tail = tail[space.start() :] if space else tail
    left_out = len(text) - len(head) - len(tail)
    return f"{head} … {left_out:,} characters left out … {tail}"


def redact_named(name: str, value: str) -> str:
    """Redact a value stored under a name; a sensitive name hides the whole value."""
    hidden, named = redact_patterns(value), f"{name}: {value}"
    return HIDDEN if hidden == value and redact_patterns(named) != named else hidden


def redact_patterns(text: str) -> str:
    """Redact by patterns alone, without the values of environment variables."""
    text = _PRIVATE_KEY.sub(rf"\1{HIDDEN}", text)
    text = _URI.sub(_redact_userinfo, text)
    text = _QUERY.sub(rf"\1{HIDDEN}", text)
    lower = text.lower()
    if any(hint in lower for hint in _HINTS):  # much cheaper than the expression
        text = "".join(_redact_assignments(text))
    if "bearer" in lower or "basic" in lower:
        text = _SCHEME.sub(rf"\1{HIDDEN}", text)
    if any(prefix in text for prefix in _PREFIXES):
        text = _SHAPES.sub(HIDDEN, text)
    return text


def _redact_userinfo(uri: re.Match[str]) -> str:
    _, at, rest = uri[0].rpartition("@")
    return f"://{HIDDEN}@{rest}" if at else uri[0]


# -- values with a name ------------------------------------------------------------------------


def _redact_assignments(text: str) -> Iterator[str]:
    """Iterate over the pieces of `text` with the values of sensitive names hidden."""
    done = 0
    for name in _NAME.finditer(text):
        if name.start() < done:
            continue
        found = _find_value(text, name)
        if found is not None:
            start, end = found
            yield text[done:start]
            yield HIDDEN
            done = end
    yield text[done:]


def _find_value(text: str, name: re.Match[str]) -> tuple[int, int] | None:
    """Find the start and end of the secret after a sensitive name."""
    end, whole = name.end(), len(text)
    assigned = _ASSIGNMENT.match(text, end)
    if name["header"] and assigned:
        return _find_line_end(text, assigned.end(), "\"'")
    flag = _follows_dashes(text, name.start())
    if assigned is None:
        pair = _PAIR.match(text, end)
        if pair and (flag or _is_constant(text, name)):
            return _find_quoted(text, pair.end(), whole)
        if flag and (spaced := _FLAG.match(text, end)):
            return _find_quoted(text, spaced.end(), whole) or _find_word(text, spaced.end(), whole)
        return None
    glance = _find_assigned_value(text, assigned, assigned.end() + LOOKBEHIND)
    if glance is None or _is_plain(text[slice(*glance)]):
        return None
    if _is_message(text, name, glance):
        return None
    if name["weak"] and not _is_secret(text, name, assigned, glance):
        return None
    return _find_assigned_value(text, assigned, whole)


def _find_assigned_value(text: str, assigned: re.Match[str], limit: int) -> tuple[int, int] | None:
    """Find the start and end of an assigned value, searching up to `limit`."""
    start = assigned.end()
    if found := _find_quoted(text, start, limit):
        return found
    if not assigned["closing"]:
        return _find_unquoted(text, start, assigned["sign"], limit)
    value = _find_word(text, start, limit)
    if value is None or text[value[1] : value[1] + 20].split("\n")[0].strip(" \t,}])"):
        return None  # prose about the name
    return value


def _is_secret(
    text: str, name: re.Match[str], assigned: re.Match[str], value: tuple[int, int]
) -> bool:
    """Whether the value of an ordinary word, such as `key` or `token`, is a secret."""
    start, end = value
    value_text = text[start : min(end, start + LOOKBEHIND)].strip()
    is_quoted = text[start - 1 : start] in ("'", '"', "`")
    if _BLOCK.match(text, assigned.end()):
        return True
    if _NUMBER.match(value_text):
        return False
    if _RANDOM.match(value_text):
        return True
    if _is_constant(text, name):
        return is_quoted or not _CODE.match(value_text) or assigned["sign"] == "="
    if name["weak"].lower() == "key":
        return False
    if is_quoted:
        return " " not in value_text
    if assigned["sign"] == "=":
        return True
    return not _CODE.match(value_text) and " " not in value_text


def _is_message(text: str, name: re.Match[str], value: tuple[int, int]) -> bool:
    """Whether the text is an error message about a key: `space.password: …`."""
    value_text = text[value[0] : min(value[1], value[0] + LOOKBEHIND)]
    is_bare = text[value[0] - 1 : value[0]] == " "
    return is_bare and text[name.start() - 1 : name.start()] == "." and value_text.count(" ") >= 3


def _is_constant(text: str, name: re.Match[str]) -> bool:
    """Whether the whole name is upper case, as constants and environment variables are."""
    start = name.start()
    before = text[max(0, start - 60) : start]
    return (re.split(r"[^\w]", before)[-1] + name[0]).isupper()


def _follows_dashes(text: str, start: int) -> bool:
    """Whether the name is a command-line option."""
    return bool(re.search(r"(?:^|[\s'\"\[])--?[\w-]{0,40}$", text[max(0, start - 45) : start]))


def _is_plain(value: str) -> bool:
    """Whether a value is harmless: empty, a truth value, or a reference to a secret's source."""
    return not value.strip() or bool(_PLAIN.match(value.strip()))


def _find_quoted(text: str, start: int, limit: int) -> tuple[int, int] | None:
    """Find a string literal; an unclosed one ends with its line, or with the text."""
    opening = _OPENING.match(text, start)
    if opening is None:
        return None
    mark, begin = opening[1], opening.end()
    if len(mark) == 3 and mark[0] == mark[1]:
        end = text.find(mark, begin, limit)
        return begin, min(limit, len(text)) if end < 0 else end
    escape = "" if mark[0] == "\\" else r"|\\."
    unclosed = re.compile(rf"(?:[^\\\n{mark[-1]}]{escape})*+")
    body = unclosed.match(text, begin, limit)
    assert body is not None
    return begin, body.end()


def _find_word(text: str, start: int, limit: int) -> tuple[int, int] | None:
    found = _WORD.match(text, start, limit)
    return None if found is None else found.span()


def _find_unquoted(text: str, start: int, sign: str, limit: int) -> tuple[int, int] | None:
    """Find an unquoted value: a word after `=`, the rest of the line or block after `: `."""
    block = _BLOCK.match(text, start)
    if block is not None and ":" in sign:
        return block.end(), _find_block_end(text, start, block.end(), limit)
    if "=" in sign and sign == sign.strip():
        return _find_word(text, start, limit)
    found = _REST.match(text, start, limit)
    assert found is not None
    return found.start(), found.start() + len(found[0].rstrip())


def _find_line_end(text: str, start: int, closing: str) -> tuple[int, int] | None:
    """Find a header's value: the rest of the line, or of the enclosing string literal."""
    while text[start : start + 1] in ("'", '"', "\\"):
        start += 1
    found = re.compile(rf"[^\n\\{closing}]+").match(text, start)
    return None if found is None else found.span()


def _find_block_end(text: str, key: int, start: int, limit: int) -> int:
    """Find the end of the block indented deeper than the line of `key`; works in diffs, too."""
    line = text[text.rfind("\n", max(0, key - LOOKBEHIND), key) + 1 : key]
    indent = len(line) - len(line.lstrip("+- \t"))
    deeper = re.compile(rf"[-+ \t]{{{indent + 1},}}[^\n]*\n?|[-+ ]?[ \t]*\n")
    end = start
    while end < min(limit, len(text)) and (found := deeper.match(text, end, limit)):
        end = found.end()
    return end - 1 if end > start and text[end - 1] == "\n" else end


# -- values of environment variables ------------------------------------------------------------


def _redact_environment(text: str) -> str:
    """Hide the values of variables such as DB_PASSWORD, and the passwords of URIs."""
    secrets = {s for s in environment_secrets(os.environ) if s in text}
    for secret in sorted(secrets, key=len, reverse=True):
        if secret.isascii() and secret.islower() and secret.isalpha():  # may be a word: `postgres`
            text = re.sub(rf"(?<![A-Za-z]){secret}(?![A-Za-z])", HIDDEN, text)
        else:
            text = text.replace(secret, HIDDEN)
    return text


def environment_secrets(variables: Mapping[str, str]) -> Iterator[str]:
    """Iterate over values whose variable has a sensitive name, and passwords in URIs."""
    for name, value in variables.items():
        if "://" in value and "@" in value:
            userinfo = value.partition("://")[2].rpartition("@")[0]
            password = userinfo.partition(":")[2]
            yield from (p for p in {password, unquote(password)} if _can_be_found(p))
        elif _SENSITIVE_NAME.search(name) and name not in _DIRECTORIES and _can_be_found(value):
            yield value


def _can_be_found(value: str) -> bool:
    """Whether a value is long and distinctive enough to be replaced everywhere."""
    is_path = value.startswith(("/", "~/", "./", "C:\\"))
    return (
        len(value) >= MIN_SECRET_LENGTH
        and not is_path
        and bool(_NO_NUMBER.search(value))
        and (value.lower() not in ("true", "false", "disabled", "enabled"))
    )
