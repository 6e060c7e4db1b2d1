"""Divide the features of a row among the named inputs of a network.

Runs without hpsearch: a served model with custom code holds a copy of this file.
"""

from __future__ import annotations

from typing import Any

# The largest primes whose product of remainders fits int32, in which Keras's backends agree.
FIRST_PRIME, SECOND_PRIME = 65521, 32749


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
