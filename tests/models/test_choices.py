"""Networks can be built with every allowed choice of a family, at any width."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hpsearch.models import FAMILIES, make_outputs
from hpsearch.spec import parameter_domains as table
from hpsearch.training.weight_initialization import build_blueprint, draw_weights

SHAPES = {"mlp": (6,), "realmlp": (6,), "wide_and_deep": (6,), "cnn": (6, 6, 1), "conv1d": (6, 2)}
SHAPES |= {"recurrent": (6, 2), "tabm": (6,)}
NAMED = [
    (family, name, choice)
    for family, reads in table.FAMILY_DOMAINS.items()
    for name, domain in reads.items()
    for choice in domain.choices
    # All families hand activations and initializers to the same layers of Keras.
    if family in ("mlp", "conv1d") or domain.choices not in (table.ACTIVATIONS, table.INITIALIZERS)
]


@pytest.mark.parametrize(("family", "name", "choice"), NAMED)
def test_every_name_of_the_table_can_be_built(family: str, name: str, choice: str) -> None:
    odd = {"units": 3, "filters": 3, name: choice}
    params = {key: value for key, value in odd.items() if key in table.FAMILY_DOMAINS[family]}
    network = build_blueprint(
        lambda: FAMILIES[family].build(params, SHAPES[family], make_outputs("binary", 1))
    )
    assert (None, 1) == network.output_shape
    assert all(np.isfinite(weights).all() for weights in draw_weights(network, seed=0))


@pytest.mark.parametrize("name", table.ACTIVATIONS)
def test_every_activation_keeps_the_width_of_its_layer(name: str) -> None:
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    answers = np.asarray(keras.activations.get(name)(rows))
    assert rows.shape == answers.shape
    assert np.isfinite(answers).all()
