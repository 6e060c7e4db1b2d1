"""`training.precision`: rounding of the factors of products only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from training.trainer_contract import first_fold, run, same, separable, spec

from hpsearch.errors import SpecError, TrainingError
from hpsearch.study.tune import read_spec
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.vectorized import VectorizedTrainer, session
from hpsearch.training.vectorized.program_cache import ProgramCache


def test_on_a_processor_the_bits_are_those_of_float32_whatever_is_declared() -> None:
    """Those without the key were computed before there was one."""
    results = []
    for precision in (None, "float32", "tensorfloat32", "bfloat16"):
        problem = replace(first_fold(separable()), precision=precision)
        trainer = VectorizedTrainer(problem, placement="threads")
        trainer._programs._precision = precision and trainer._programs._precision
        results.append(run(trainer, [spec(epochs=3, dropout=0.2)])[1][0])
    assert all(same(results[0], other) for other in results[1:])


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (None, "tensorfloat32"),
        ("float32", "float32"),
        ("tensorfloat32", "tensorfloat32"),
        ("bfloat16", "BF16_BF16_F32"),
    ],
)
def test_programs_of_an_accelerator_are_traced_with_the_declared_precision(
    declared: Any, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jax

    with monkeypatch.context() as patch:
        patch.setattr(session, "is_on_cpu", lambda: False)
        programs = ProgramCache(threads=True, precision=declared)
    seen = []

    def product(a: Any) -> Any:
        seen.append(jax.config.jax_default_matmul_precision)
        return a @ a

    answer = programs._compile(lambda: product, (np.ones((2, 2), np.float32),))(
        np.ones((2, 2), "f")
    )
    assert [expected] == seen
    assert np.float32 == answer.dtype


def test_keras_fit_has_no_bfloat16() -> None:
    with pytest.raises(TrainingError, match="bfloat16 is computed by the trainer vectorized"):
        KerasFitTrainer(replace(separable(), precision="bfloat16"))
    training = {"precision": "bfloat16", "trainer": "keras_fit"}
    declared = {"data": {}, "search_space": {"units": [4, 8]}, "training": training}
    with pytest.raises(SpecError, match=r"training\.precision: bfloat16 is computed by"):
        read_spec(declared)
