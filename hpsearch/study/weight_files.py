"""Find the files of weights and the presets that user code loads.

A path is found if it is a text of the code, or a hyperparameter's value in the study file, and
exists relative to the working folder, the study's or that of the code. Paths that the code computes
are not found.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from ..models.backbone import compute_file_digest
from ..platforms.paths import relative_to
from ..spec.function_reference import read_file
from ..spec.search_space import Categorical
from ..spec.study_file import StudyFile
from .user_code import compute_digests, find_references, list_code_paths

SUFFIXES = (".keras", ".h5", ".hdf5", ".npz", ".npy", ".pt", ".pth", ".safetensors")
PRESET = "config.json"  # in the folder of a preset of KerasHub


def compute_user_digests(file: StudyFile) -> dict[str, str]:
    """Compute the SHA-256 of the files of user code, and of the weights that they load.

    Returns:
        Digests by path relative to the folder of the study file.
    """
    references = find_references(file)
    code = list_code_paths(references, file.folder)
    weights = _find_weights(code, list(_list_texts(file)), file.folder)
    return {
        **compute_digests(references, file.folder),
        **{relative_to(p, file.folder.resolve()): _compute_digest(p) for p in weights},
    }


def is_weight_file(name: str) -> bool:
    """Whether a file of `compute_user_digests` is no code."""
    return not name.endswith((".py", *EXTENSION_SUFFIXES))


def _list_texts(file: StudyFile) -> Iterator[str]:
    """List the texts among the values of hyperparameters."""
    spec = file.spec
    choices = [v for p in spec.space if isinstance(p, Categorical) for v in p.choices]
    yield from (v for v in (*spec.fixed_params.values(), *choices) if isinstance(v, str))


def _find_weights(code: Sequence[Path], texts: Iterable[str], folder: Path) -> list[Path]:
    found: dict[Path, None] = {}
    for text in texts:
        found |= dict.fromkeys(_locate(text, [folder]))
    for path in code:
        for text in _list_constants(path):
            found |= dict.fromkeys(_locate(text, [folder, path.parent]))
    return list(found)


def _list_constants(path: Path) -> set[str]:
    tree = read_file(path).tree
    nodes = () if tree is None else ast.walk(tree)
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def _locate(text: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Locate the file of weights, or the folder of a preset, that a text names."""
    if not text or len(text) > 500 or "\n" in text or "\0" in text:
        return
    is_file = text.endswith(SUFFIXES)
    for base in (Path.cwd(), *folders):
        path = base / Path(text).expanduser()
        if path.is_file() if is_file else (path / PRESET).is_file():
            yield path.resolve()
            return


def _compute_digest(path: Path) -> str:
    if path.is_file():
        return compute_file_digest(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        name = file.relative_to(path).as_posix()
        digest.update(f"{name} {compute_file_digest(file)}\n".encode())
    return digest.hexdigest()
