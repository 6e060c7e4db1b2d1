"""Divide the features of a row among the named inputs of a network.

Runs without hpsearch: a served model with custom code holds a copy of this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# The largest primes whose product of remainders fits int32, in which Keras's backends agree.
FIRST_PRIME, SECOND_PRIME = 65521, 32749


@dataclass(frozen=True)
class NamedInput:
    """An input of a network, and the features that it takes."""

    name: str
    features: tuple[int, ...]  # indices of the features
    shape: tuple[int, ...]  # of one row
    text: Mapping[str, int] | None = None  # arguments of `hash_ngrams`; None: not a text


def read_layout(recipe: Mapping[str, Any]) -> tuple[NamedInput, ...]:
    """Read the inputs from the recipe of a saved network; empty: it takes all features at once."""
    return tuple(
        NamedInput(e["name"], tuple(e["features"]), tuple(e["shape"]), e["text"])
        for e in recipe.get("layout", ())
    )


def split_features(features: Any, layout: Sequence[NamedInput]) -> dict[str, Any]:
    """Split features, (n, n_features), into the inputs by name, (n, *shape) each."""
    return {each.name: _take_input(features, each) for each in layout}


def _take_input(features: Any, each: NamedInput) -> Any:
    from keras import ops

    first, n = each.features[0], len(each.features)
    if each.features == tuple(range(first, first + n)):
        part = features[:, first : first + n]
    else:
        part = ops.take(features, each.features, axis=1)
    if each.text is not None:
        return hash_ngrams(part, **each.text)
    return ops.reshape(part, (-1, *each.shape)) if len(each.shape) > 1 else part


def pack_inputs(network: Any, parts: Mapping[str, Any]) -> Any:
    """Arrange the inputs for the call of a network: alone, by name, or in the order of its list."""
    inputs = getattr(network, "inputs", None)
    if not inputs:
        return dict(parts)
    if len(parts) == 1:
        [only] = parts.values()
        return only
    if isinstance(network.input, Mapping):
        return dict(parts)
    return [parts[given.name] for given in inputs]  # Keras would sort a dict by name


def count_numbers(n_read: int, *, ngrams: int, n_tokens: int, **_: int) -> int:
    """Count the numbers that `hash_ngrams` makes of `n_read` tokens."""
    n = min(n_read, n_tokens or n_read)
    return sum(n + 1 - length for length in range(1, min(max(ngrams, 1), n) + 1))


def hash_ngrams(tokens: Any, vocabulary: int, *, ngrams: int = 1, n_tokens: int = 0) -> Any:
    """Hash tokens and runs of neighbouring tokens to the numbers of a vocabulary.

    Args:
        tokens: Tensor of token numbers, (n, n_read), 0 for padding; see `data/text_tokens`.
        vocabulary: The results are below it; 0 stays the padding.
        ngrams: Longest run of tokens that is hashed.
        n_tokens: First tokens that are used; 0: all.

    Returns:
        (n, n_numbers) int32: the tokens, then the pairs, and so on.
    """
    from keras import ops

    single = ops.cast(tokens[:, :n_tokens] if n_tokens else tokens, "int32")
    runs, found = single, [single]
    for length in range(2, min(ngrams, single.shape[1]) + 1):
        before, last = runs[:, :-1], single[:, length - 1 :]
        mixed = ops.add(
            ops.multiply(ops.mod(before, FIRST_PRIME), SECOND_PRIME), ops.mod(last, SECOND_PRIME)
        )
        runs = ops.where(ops.equal(last, 0), 0, mixed)
        found.append(runs)
    numbers = ops.concatenate(found, axis=1) if len(found) > 1 else single
    reduced = ops.add(ops.mod(numbers, vocabulary - 1), 1)
    return ops.where(ops.equal(numbers, 0), 0, reduced)
