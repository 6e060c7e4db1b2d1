"""Find custom code in a saved model without loading the model."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..models.user_network import LAYER

NOT_PACKED = "not_packed.txt"  # beside a model that was not packaged: the reason


def find_own_code(model: Path) -> Mapping[str, Any] | None:
    """Read how user code builds the network of a `.keras` file; None if it contains none.

    Returns the recipe of `models.user_network`; of several networks, the first one's.
    """
    with zipfile.ZipFile(model) as archive:
        config = json.loads(archive.read("config.json"))
    recipe = next(_find_recipes(config), None)
    return None if recipe is None else json.loads(recipe)


def _find_recipes(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for child in node:
            yield from _find_recipes(child)
    elif isinstance(node, Mapping):
        if node.get("class_name") == LAYER:
            yield node["config"]["recipe"]
        for child in node.values():
            yield from _find_recipes(child)


def explain_untrusted(recipe: Mapping[str, Any]) -> str:
    """Format the error for a model whose code is not trusted."""
    source = recipe["reference"].rpartition(":")[0]
    return (
        f"the winner contains your own code ({recipe['why']}), so a served model would run "
        f"{source}. To allow this, add `serve: {{trust_code: true}}` to the study file and run "
        "hpsearch tune again, which packages the code with its digest and trains nothing; or build "
        "the model from Keras's own layers"
    )
