"""A study continues after a kill or a power cut at any of its file operations."""

import json
import os
import subprocess
import sys

import pytest

from tests.faults.disk import Disk
from tests.faults.table import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")
SOAK = (pytest.mark.soak, pytest.mark.timeout(7200))


def crashes(kills: int, cuts: int, seed: int, kinds: int = 0) -> dict:
    """What `crashes.py` found, in a process that has started no thread of JAX."""
    done = subprocess.run(
        [sys.executable, "tests/faults/crashes.py", *map(str, (kills, cuts, seed, kinds))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=7200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"log": done.stdout}


@pytest.mark.parametrize(
    "points", [pytest.param(3, marks=pytest.mark.long), pytest.param(100, marks=SOAK)]
)
def test_killed_at_any_operation_a_whole_study_goes_on(points, figure):
    found = crashes(points, 0, 0)
    assert 0 == found["kills with a problem"], found["log"]
    assert points - 3 <= found["kills"] or points == found["kills"]
    if points == 100:  # the catalogue's figure is that of the whole spread
        figure(points=found["kills"], problems=found["kills with a problem"])


@pytest.mark.parametrize("cuts", [pytest.param(50, marks=SOAK)])
def test_without_power_at_any_operation_a_whole_study_goes_on(cuts, figure):
    found = crashes(0, cuts, 11)
    assert 0 == found["cuts with a problem"], found["log"]
    assert cuts == found["cuts"]
    figure(points=found["cuts"], problems=found["cuts with a problem"])


@pytest.mark.parametrize("kinds", [pytest.param(100, marks=SOAK)])
def test_on_a_disk_that_is_full_at_any_kind_of_write_a_whole_study_goes_on(kinds, figure):
    found = crashes(0, 0, 0, kinds)
    assert 0 == found["full disks with a problem"], found["log"]
    assert kinds == found["full disks"]
    figure(kinds=found["full disks"], problems=found["full disks with a problem"])


def watch(root, work):
    """The points of `work`, and what is certain to be on the disk after it."""
    code = f"""
import os, sys
from pathlib import Path
from tests.faults.disk import Disk
points = []
disk = Disk(Path({str(root)!r}), lambda number, what: points.append(what))
disk.install()
{work}
print(points)
disk.write_down(Path({str(root)!r} + "-after"), None)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    after = root.with_name(f"{root.name}-after")
    held = {p.relative_to(after).as_posix(): p for p in after.rglob("*")}
    return done.stdout, {n: p.read_text() for n, p in held.items() if p.is_file()}


def test_the_disk_of_these_tests_forgets_what_was_not_synced(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "old").write_text("old")
    points, held = watch(
        root,
        "open('ROOT/new', 'w').write('new'); os.replace('ROOT/new', 'ROOT/old')".replace(
            "ROOT", str(root)
        ),
    )
    assert {"old": "old"} == held
    assert "before replace new" in points
    assert "after open new" in points


def test_what_is_written_atomically_is_on_the_disk(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    work = (
        "from hpsearch.platforms.files import make_folder, write_text; "
        f"made = Path({str(root)!r}) / 'a' / 'b'; make_folder(made); write_text(made / 'c', 'new')"
    )
    _, held = watch(root, work)
    assert {"a/b/c": "new"} == held


def test_a_disk_without_luck_is_another_each_time(tmp_path):
    (tmp_path / "root").mkdir()
    disk = Disk(tmp_path / "root", lambda number, what: None)
    (tmp_path / "root" / "file").write_text("not synced")
    disk.write_down(tmp_path / "certain", None)
    assert [] == list((tmp_path / "certain").iterdir())
    held = set()
    for seed in range(40):
        disk.write_down(tmp_path / str(seed), seed)
        held.update(p.read_bytes()[:3] for p in (tmp_path / str(seed)).iterdir())
    assert {b"", b"not", b"\0\0\0"} <= held
