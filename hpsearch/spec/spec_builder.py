"""Build a study's declaration in Python: the same keys as in YAML, and printed as YAML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Any

from ..errors import SpecError
from ..trial import Value
from .conditions import NumberRange
from .plain_values import to_plain
from .search_space import Categorical, Parameter


class Spec(Mapping[str, Any]):
    """A study's declaration, accepted wherever a YAML file or a dict is.

    Args:
        search_space: The hyperparameters that vary; several with one name are its ranges, each with
            its own `when`.
        fixed: Fixed hyperparameters.
        sections: The other keys of a study file.

    Raises:
        SpecError: If a name is declared twice.

    Examples:
        >>> from hpsearch import Choice, Float, Spec
        >>> rate = Float("learning_rate", 1e-4, 1e-1, log=True)
        >>> momentum = Float("momentum", 0, 0.9, when={"optimizer": "sgd"})
        >>> space = [Choice("optimizer", ["sgd", "adam"]), rate, momentum]
        >>> spec = Spec(space, fixed={"units": 32}, study="wine", budget={"trials": 20})
        >>> print(spec.to_yaml())
        study: wine
        budget: {trials: 20}
        search_space:
          optimizer: [sgd, adam]
          learning_rate: {type: float, low: 0.0001, high: 0.1, log: true}
          momentum:
            type: float
            low: 0
            high: 0.9
            when: {optimizer: sgd}
          units: 32
        <BLANKLINE>
    """

    def __init__(
        self,
        search_space: Iterable[Parameter] = (),
        *,
        fixed: Mapping[str, Value] | None = None,
        **sections: Any,
    ) -> None:
        declared: dict[str, Any] = {}
        for parameter in search_space:
            declared.setdefault(parameter.name, []).append(_declare(parameter))
        space = {name: d[0] if len(d) == 1 else d for name, d in declared.items()}
        if twice := space.keys() & (fixed or {}).keys():
            raise SpecError(f"search_space: {', '.join(sorted(twice))}: fixed, and varied as well")
        self._sections = to_plain({**sections, "search_space": {**space, **(fixed or {})}})

    def to_yaml(self) -> str:
        """Format the declaration as a study file."""
        from ruamel.yaml import YAML

        yaml: Any = YAML(typ="safe", pure=True)
        yaml.default_flow_style = None  # inner mappings and lists on one line
        yaml.sort_base_mapping_type_on_output = False
        yaml.allow_unicode = True
        yaml.width = 100
        written = StringIO()
        yaml.dump(self._sections, written)
        return written.getvalue()

    def __getitem__(self, key: str) -> Any:
        return self._sections[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sections)

    def __len__(self) -> int:
        return len(self._sections)

    def __repr__(self) -> str:
        return self.to_yaml()


def _declare(parameter: Parameter) -> Any:
    """Return the declaration of a parameter, in short form if possible."""
    when = {parent: _declare_allowed(allowed) for parent, allowed in parameter.when.items()}
    if isinstance(parameter, Categorical):
        if not when and parameter.prior is None:
            return list(parameter.choices)
        return {
            "type": "categorical",
            "choices": list(parameter.choices),
            **({} if parameter.prior is None else {"prior": parameter.prior}),
            **({"when": when} if when else {}),
        }
    kind = type(parameter).__name__.lower()
    declared: dict[str, Any] = {"type": kind, "low": parameter.low, "high": parameter.high}
    if parameter.log:
        declared["log"] = True
    if parameter.step not in (None, 1) or (kind == "float" and parameter.step == 1):
        declared["step"] = parameter.step
    if parameter.prior is not None:
        declared["prior"] = parameter.prior
    return {**declared, "when": when} if when else declared


def _declare_allowed(allowed: Any) -> Any:
    """Convert the allowed values of a condition to the form of a study file."""
    if isinstance(allowed, NumberRange):
        ends = {"min": allowed.low, "max": allowed.high}
        return {key: end for key, end in ends.items() if abs(end) != float("inf")}
    return list(allowed) if isinstance(allowed, tuple) else allowed
