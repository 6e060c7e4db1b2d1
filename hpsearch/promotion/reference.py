"""Names of registered models, and references to their versions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import PromotionError

CHAMPION, PREVIOUS = "champion", "previous"
MAX_LENGTH = 250  # characters
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_RESERVED = re.compile(r"latest|v?\d+", re.IGNORECASE)  # reserved by MLflow for versions


@dataclass(frozen=True, slots=True)
class Reference:
    """A registered model's name and the alias of one of its versions."""

    name: str
    alias: str = CHAMPION

    def __str__(self) -> str:
        return f"{self.name}@{self.alias}"

    @property
    def uri(self) -> str:
        """The URI of the version in MLflow."""
        return f"models:/{self.name}@{self.alias}"


def parse_reference(text: str) -> Reference:
    """Parse `NAME@ALIAS`, or `NAME` for its champion; also as MLflow's URI.

    Raises:
        PromotionError: If a name is not allowed.

    Examples:
        >>> parse_reference("cancer@champion")
        Reference(name='cancer', alias='champion')
        >>> parse_reference("models:/cancer@next")
        Reference(name='cancer', alias='next')
    """
    name, at, alias = text.removeprefix("models:/").partition("@")
    reference = Reference(name, alias if at else CHAMPION)
    _check_name("model's name", reference.name)
    _check_name("alias", reference.alias)
    if _RESERVED.fullmatch(reference.alias):
        raise PromotionError(
            f"alias {reference.alias!r} is reserved by MLflow for versions. "
            f"Take a word, as in {reference.name}@{CHAMPION}."
        )
    return reference


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name) or ".." in name or len(name) > MAX_LENGTH:
        shown = name if len(name) <= 60 else f"{name[:60]}…"
        raise PromotionError(
            f"{what} {shown!r}: 1 to {MAX_LENGTH} of the characters A-Z a-z 0-9 . _ - are allowed, "
            "with no dot first and no two dots in a row."
        )
