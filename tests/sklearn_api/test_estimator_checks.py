"""scikit-learn's own checks of estimators, over tiny searches."""

import pytest
from _pytest.mark.structures import ParameterSet
from sklearn.utils.estimator_checks import estimator_checks_generator

from hpsearch.sklearn import KerasSearchClassifier, KerasSearchRegressor

# One trial of one epoch: what is checked is the estimator, not what it learns.
TINY = {
    "search_space": {"units": 8},
    "fixed": {"layers": 1, "learning_rate": 0.03, "batch_size": 8},
    "n_trials": 1,
    "epochs": 1,
    "cv": 2,
    "settings": {"selection.finalists": 0, "training.early_stopping": None},
    "random_state": 0,
}
ESTIMATORS = [KerasSearchClassifier(**TINY), KerasSearchRegressor(**TINY)]
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a row twice is not a row of twice the weight: folds, batches and their order go by rows"
    ),
    "check_methods_subset_invariance": (
        "networks compute in float32, whose last digit depends on the rows that are computed "
        "together; the check allows 1e-7"
    ),
}
# Those that train nothing: `make test` runs them, `make test-long` the others.
QUICK = {
    "check_estimator_cloneable",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_fit1d",
    "check_complex_data",
    "check_requires_y_none",
    "check_estimators_unfitted",
    "check_fit2d_1sample",
    "check_estimators_empty_data_messages",
    "check_do_not_raise_errors_in_init_or_set_param",
}


def list_checks():
    for estimator in ESTIMATORS:
        made = estimator_checks_generator(
            estimator, mark="xfail", expected_failed_checks=EXPECTED, legacy=True
        )
        for given in made:
            given = given if isinstance(given, ParameterSet) else pytest.param(*given)
            name = given.values[1].func.__name__
            marks = [*given.marks, *([] if name in QUICK else [pytest.mark.long])]
            yield pytest.param(*given.values, marks=marks, id=f"{type(estimator).__name__}-{name}")


@pytest.mark.usefixtures("inline_workers")
@pytest.mark.filterwarnings("default")  # of the checks themselves
@pytest.mark.parametrize(("estimator", "check"), list(list_checks()))
def test_the_checks_of_scikit_learn_hold(estimator, check):
    check(estimator)
