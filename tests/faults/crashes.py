"""A whole study, killed, without power or on a full disk.

python tests/faults/crashes.py [POINTS] [CUTS] [SEED] [KINDS]

A study of three trials begins in a fresh folder and is broken off at points spread over all its
operations (`disk.py`), the first and the last included. Each time the same command is run again,
then `hpsearch sync --verify`, and the folder and the database are compared with those of a study
that nothing befell. Prints one JSON object; what went wrong at which point stands in it.
"""

import errno
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("OMP_NUM_THREADS", "1")


from hpsearch.history import load_history
from hpsearch.platforms.files import DRAFT
from hpsearch.study.file_integrity import find_damaged_files
from hpsearch.tracking.store import journal_path
from tests import synthetic
from tests.faults.disk import Disk
from tests.faults.forked_study import NAME, TRIALS, fork, import_everything, prepare, run

TUNE = ("tune", f"{NAME}.yaml", "--quiet")
SYNCED = f"before fdatasync mlruns/studies/{NAME}/journal.jsonl"  # of its second line
REMEDY = "hpsearch doctor --repair"  # of a database that is half made; it is printed
STARTED = f"{NAME}.yaml"
MLFLOWS_DRAFT = ".artifact.uploading."  # which MLflow leaves behind when it is broken off
NEEDS_ROOM = ("open", "mkdir", "fsync", "fdatasync", "rename", "replace", "link", "commit")
ENDS = (0, 2, 4)  # of `tune` where it goes on, is told why not, or MLflow lacks some of it
SENT = ("final/model.keras", "final/model/MLmodel", "final/predictions.npz", "plots/00_history.png")


def spread(total: int, n: int) -> list[int]:
    """`n` points from the first to the last of `total`."""
    if n == 0:
        return []
    n = min(n, total)
    return sorted({round(1 + (total - 1) * i / max(1, n - 1)) for i in range(n)})


def watched(root: Path, at_point: Any) -> None:
    """The study, whose every operation `at_point` hears of."""
    disk = Disk(root, at_point)
    disk.install()
    run(root, *TUNE)


def record(root: Path, log: Path) -> list[str]:
    """What a study that nothing befalls does, point by point."""
    with log.open("w", encoding="utf-8") as file:
        status, told = fork(lambda: watched(root, lambda n, what: print(what, file=file)))
    assert status == 0, told
    return log.read_text(encoding="utf-8").splitlines()


def killed(root: Path, point: int) -> str:
    """Run the study and kill it at a point; "" where it ended before it came there."""
    note = root.with_name(f"{root.name}.point")

    def at_point(number: int, what: str) -> None:
        if number == point:
            note.write_text(what)
            os.kill(os.getpid(), signal.SIGKILL)

    status, told = fork(lambda: watched(root, at_point))
    if os.WIFSIGNALED(status):
        return note.read_text()
    assert status == 0, told
    return ""


def kinds_of_writes(points: list[str]) -> list[int]:
    """The first point before each kind of operation that needs room: names but for their digits."""
    found: dict[str, int] = {}
    for number, what in enumerate(points, start=1):
        if what.startswith(tuple(f"before {name} " for name in NEEDS_ROOM)):
            found.setdefault(re.sub(r"-[0-9a-f]{8}\b|[0-9a-f]{32}|\d+", "#", what), number)
    return sorted(found.values())


def filled(root: Path, point: int, *, lasting: bool) -> tuple[str, int, str]:
    """Run the study on a disk that is full at a point, and from then on if it is `lasting`.

    Returns:
        What was refused first, the exit code, and what was printed.
    """
    note = root.with_name(f"{root.name}.point")

    def at_point(number: int, what: str) -> None:
        name = what.split()[1]
        if number < point or (number > point and not lasting) or name not in NEEDS_ROOM:
            return
        if number == point:
            note.write_text(what)
        if what.startswith("before "):
            if name == "commit":
                raise sqlite3.OperationalError("database or disk is full")
            path = os.path.join(root, what.split(" ", 2)[2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    status, told = fork(lambda: watched(root, at_point))
    return note.read_text() if note.exists() else "", os.waitstatus_to_exitcode(status), told


def cut_off(root: Path, images: Path, seeds: dict[int, int | None]) -> None:
    """Run the study; at each point write down what a disk would hold after a power cut."""
    disk = None

    def at_point(number: int, what: str) -> None:
        if number in seeds:
            image = images / f"{number:05d}"
            disk.write_down(image, seeds[number])
            (images / f"{number:05d}.point").write_text(what)

    def work() -> None:
        nonlocal disk
        disk = Disk(root, at_point)
        disk.install()
        run(root, *TUNE)

    status, told = fork(work)
    assert status == 0, told


def outcome(root: Path) -> dict[str, Any]:
    """What must be the same, whatever befell the study."""
    records = synthetic.read_records(journal_path(root, NAME))
    asked = {r["trial"]: r["params"] for r in records if r["event"] == "asked"}
    results = [r for r in records if r["event"] == "result" and r["state"] == "COMPLETE"]
    [winner] = [r for r in records if r["event"] == "winner"][-1:]
    final = load_history(journal_path(root, NAME)).final
    return {
        "trials": {r["trial"]: (asked[r["trial"]], r["fold_scores"]) for r in results},
        "results": dict(Counter(r["trial"] for r in results)),
        "winner": (winner["trial"], winner["members"]),
        "test": final.test,
        "final": find_damaged_files(root / "mlruns/studies" / NAME / "final", final.digests),
    }


def trial_of(run: str) -> str:
    """A run's trial: one that was broken off is trained again as its next attempt."""
    return run.partition("-retry-")[0]


def stored(root: Path) -> dict[str, Any]:
    """What MLflow has: runs by name, their states and points, and the files of the study's run."""
    study = root / "mlruns" / "studies" / NAME
    with closing(sqlite3.connect(root / "mlruns" / "mlflow.db")) as database:
        assert [("ok",)] == database.execute("pragma integrity_check").fetchall()
        runs = database.execute(
            "select run_uuid, name, status from runs where lifecycle_stage = 'active'"
        ).fetchall()
        points = database.execute(
            "select r.name, m.key, m.step, count(*) from metrics m join runs r using (run_uuid) "
            "where m.key not like 'system/%' and m.key not like '%seconds%' "
            "and m.key not like '%duration%' group by r.name, m.key, m.step"
        ).fetchall()
    [parent] = [run for run, name, _ in runs if name == NAME]
    files = root / "mlruns" / "artifacts" / parent / "artifacts"
    held = [p for p in files.rglob("*") if p.is_file() and not p.name.startswith(MLFLOWS_DRAFT)]
    return {
        "runs": sorted((trial_of(name), status) for _, name, status in runs),
        "points": sorted((trial_of(name), *point) for name, *point in points),
        "files": sorted(str(p.relative_to(files)) for p in held),
        "empty": [str(p) for p in held if p.stat().st_size == 0],
        "others": [name for name in SENT if _bytes(files / name) != _bytes(study / name)],
    }


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def resume(root: Path, whole: dict[str, Any]) -> Iterator[str]:
    """Run the same command again, and name what is not as it would have been."""
    status, told = fork(lambda: run(root, *TUNE))
    if status != 0 and REMEDY in told:
        status, mended = fork(lambda: run(root, *REMEDY.split()[1:]))
        assert status == 0, mended
        status, told = fork(lambda: run(root, *TUNE))
    if status != 0:
        yield f"the same command does not go on: {told.strip()[-1500:]}"
        return
    if "Traceback" in told:
        yield f"traceback: {told[-1500:]}"
    status, told = fork(lambda: run(root, "sync", NAME, "--verify"))
    if status != 0 or "has all of" not in told or "missing" in told:
        yield f"sync --verify: {told.strip()[-500:]}"
    found, database = outcome(root), stored(root)
    if lost := TRIALS - len(found["trials"]):
        yield f"lost {lost} trials"
    if doubled := sum(found["results"].values()) - len(found["results"]):
        yield f"doubled {doubled} results"
    if found["final"]:
        yield f"half made: {found['final']}"
    for key in ("trials", "winner", "test"):
        if found[key] != whole["outcome"][key]:
            yield f"{key}: {found[key]}, not {whole['outcome'][key]}"
    finished = [run for run in database["runs"] if run[1] == "FINISHED"]
    if finished != whole["stored"]["runs"]:
        yield f"runs: {database['runs']}"
    if running := [name for name, state in database["runs"] if state == "RUNNING"]:
        yield f"left RUNNING: {running}"
    expected, points = set(whole["stored"]["points"]), set(database["points"])
    if expected - points:
        yield f"points lost: {sorted(expected - points)[:5]}"
    if doubled := [p for p in points if p[3] > 1]:
        yield f"points doubled: {doubled[:5]}"
    for key in ("files", "empty", "others"):
        if database[key] != whole["stored"][key]:
            yield f"{key}: {sorted(set(database[key]) ^ set(whole['stored'][key]))}"
    files = [p for p in (root / "mlruns").rglob("*") if p.is_file()]
    # A draft of the database is kept for ten minutes: another process may be at it.
    if drafts := [
        str(p.relative_to(root)) for p in files if DRAFT in str(p) and p.parent.name != "mlruns"
    ]:
        yield f"drafts left: {drafts}"


def whole_study(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The study that nothing befalls: what it comes to, and its points."""
    root = prepare(folder / "whole")
    points = record(root, folder / "points.txt")
    return {"outcome": outcome(root), "stored": stored(root)}, points


def crash(folder: Path, whole: dict[str, Any], point: int) -> dict[str, Any]:
    """Kill a study at one point and go on with it."""
    root = prepare(folder / f"kill-{point}")
    what = killed(root, point)
    problems = list(resume(root, whole)) if what else []
    shutil.rmtree(root)
    return {"point": point, "what": what, "problems": problems}


def fill(folder: Path, whole: dict[str, Any], point: int) -> dict[str, Any]:
    """Run a study whose disk is full at one point, make room and go on with it."""
    problems = []
    for lasting in (False, True):
        root = prepare(folder / f"full-{point}-{lasting}")
        what, code, told = filled(root, point, lasting=lasting)
        if code not in ENDS or "Traceback" in told:
            problems.append(f"ends with {code}: {told.strip()[-1500:]}")
        if what:
            problems += resume(root, whole)
        shutil.rmtree(root)
    return {"point": point, "what": what, "problems": problems}


def cut(image: Path, root: Path, whole: dict[str, Any], begun: int) -> dict[str, Any]:
    """Go on with a study after a power cut, in the folder `root` in which it began."""
    number, what = int(image.name), image.with_name(f"{image.name}.point").read_text()
    shutil.rmtree(root, ignore_errors=True)
    image.rename(root)
    if not (root / STARTED).exists():  # it was there before, and on the disk
        shutil.copy(image.parent / STARTED, root)
    problems = []
    if number > begun and not journal_path(root, NAME).exists():
        problems.append("the journal is lost, though a line of it was synced")
    problems += resume(root, whole)
    return {"point": number, "what": what, "problems": problems}


def power_cuts(folder: Path, whole: dict[str, Any], points: list[str], n: int, seed: int) -> Any:
    """Cut the power at `n` points: every second time all that was not synced is gone."""
    if n == 0:
        return
    begun = 5 + next(i for i, p in enumerate(points) if p.startswith(SYNCED))
    chosen = spread(len(points), n)
    seeds = {p: None if i % 2 else seed + i for i, p in enumerate(chosen)}
    root, images = prepare(folder / "cut"), folder / "images"
    images.mkdir()
    shutil.copy(root / STARTED, images)
    cut_off(root, images, seeds)
    for image in sorted(p for p in images.iterdir() if p.is_dir()):
        number = int(image.name)
        yield cut(image, root, whole, begun) | {"seed": seeds[number]}


def main() -> None:
    """Print the figures, and each point where something went wrong as it is found."""
    given = [*map(int, sys.argv[1:]), *(100, 50, 0, 0)[len(sys.argv) - 1 :]]
    n_points, n_cuts, seed, n_kinds = given
    began = time.monotonic()
    import_everything()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, points = whole_study(folder)
        figures: dict[str, Any] = {"points in all": len(points), "seed": seed}
        print(json.dumps(figures), flush=True)
        kinds = kinds_of_writes(points)
        tried = {
            "full disks": (fill(folder, whole, kinds[i - 1]) for i in spread(len(kinds), n_kinds)),
            "cuts": power_cuts(folder, whole, points, n_cuts, seed),
            "kills": (crash(folder, whole, p) for p in spread(len(points), n_points)),
        }
        for kind, results in tried.items():
            done: list[dict[str, Any]] = []
            for result in results:
                done.append(result)
                if result["problems"]:
                    print(kind, json.dumps(result, indent=1), flush=True)
                print(
                    f"{kind} {len(done)} {result['what']} {time.monotonic() - began:.0f} s",
                    flush=True,
                )
            figures[kind] = sum(bool(r["what"]) for r in done)
            figures[f"{kind} with a problem"] = sum(bool(r["problems"]) for r in done)
    figures["seconds"] = round(time.monotonic() - began)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
