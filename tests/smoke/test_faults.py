"""Whatever dies, and however the work is cut, the answer is the same to the byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import ROOT, copy_house, exists, kill_and_resume, plan, snakemake, tree_digest

SHEET = "toy/neuro/subjects.tsv"


def fresh(finished: Path, folder: Path, keep: tuple[str, ...] = ()) -> Path:
    """A folder with the toy data and, if asked, a sheet of some subjects only."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(finished / "toy", folder / "toy", copy_function=shutil.copy2)
    if keep:
        lines = (folder / SHEET).read_text().splitlines(keepends=True)
        chosen = [line for line in lines[1:] if line.split("\t")[0] in keep]
        (folder / SHEET).write_text("".join([lines[0], *chosen]))
    return folder


@pytest.mark.parametrize(("slabs", "threads"), [(2, 1), (5, 2)])
def test_slabs_and_threads_do_not_change_a_byte(
    finished: Path, tmp_path: Path, slabs: int, threads: int
) -> None:
    keep = ("oblique", "badsamples", "stanford64")
    folder = fresh(finished, tmp_path / "run", keep)
    run = snakemake(folder, "neuro", "--config", f"neuro={{slabs: {slabs}}}", f"threads={threads}")
    assert run.returncode == 0, run.stderr
    for subject in keep:
        ours = tree_digest(folder / f"results/neuro/sub-{subject}")
        assert ours == tree_digest(finished / f"results/neuro/sub-{subject}")


def test_mppca_does_not_depend_on_slabs(finished: Path, tmp_path: Path) -> None:
    digests = []
    for slabs in (1, 3):
        folder = fresh(finished, tmp_path / f"run{slabs}", ("stanford64",))
        settings = f"neuro={{slabs: {slabs}, denoise: {{method: mppca}}, keep_denoised: true}}"
        run = snakemake(folder, "neuro", "--config", settings)
        assert run.returncode == 0, run.stderr
        digests.append(tree_digest(folder / "results/neuro"))
    assert digests[0] == digests[1]
    assert any("desc-denoised_dwi.bvec" in name for name in digests[0])


MOMENTS = {
    "early": exists("results/work/neuro/sub-*/import.json"),
    "in the map step": exists("results/logs/neuro/sub-*/fit-*.log"),
    "late": exists("results/neuro/sub-*/dwi"),
}


def test_killed_again_and_again_and_resumed(finished: Path, tmp_path: Path) -> None:
    """kill -9 of the whole run, three times; the resumed run ends with the same bytes."""
    house = fresh(finished, copy_house(tmp_path / "house"))

    def refused_while_at_work() -> None:
        resume = [sys.executable, "scripts/resume.py"]
        busy = subprocess.run(resume, cwd=house, capture_output=True, text=True, check=False)
        assert busy.returncode != 0
        assert "A run is at work in this folder" in busy.stderr

    kill_and_resume(house, ["neuro"], MOMENTS.values(), refused_while_at_work)
    assert tree_digest(house / "results/neuro") == tree_digest(finished / "results/neuro")


def test_a_changed_function_reruns_its_jobs_and_a_comment_none(
    finished: Path, tmp_path: Path
) -> None:
    house = fresh(finished, copy_house(tmp_path / "house"), ("stanford64",))
    snakefile = house / "Snakefile"
    run = snakemake(house, "neuro", snakefile=snakefile)
    assert run.returncode == 0, run.stderr

    def would_run(file: str, old: str, new: str) -> set[str]:
        from tessera import digest

        path = house / "scripts/tessera/neuro" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        digest._library_module.cache_clear()
        names = set(plan(house, ["neuro"], snakefile=snakefile).counts)
        path.write_text(text)
        return names

    after_maps = {"neuro_maps", "neuro_qc", "neuro_group", "neuro"}
    assert would_run("mask.py", "import numpy as np\n", "import numpy as np  # why\n") == set()
    assert would_run("qc.py", '"Quantity"', '"Number"') == {"neuro_qc", "neuro"}
    # temp() files are gone, so the import comes back with the step that needs it
    assert would_run("tensor.py", "CHUNK_VOXELS = 2000", "CHUNK_VOXELS = 64") == {
        *("neuro_import", "neuro_mask", "neuro_noise", "neuro_fit"),
        *after_maps,
    }
    assert would_run("group.py", "QUARANTINE_COLUMNS = (", "QUARANTINE_COLUMNS = ('x', ") == {
        "neuro_group",
        "neuro",
    }


def test_one_call_does_all_that_a_change_asks_for(finished: Path, tmp_path: Path) -> None:
    """Whatever else is due, the check among it, no later step may be left out."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    chain = {f"neuro_{step}" for step in ("import", "mask", "noise", "fit", "maps", "qc", "group")}

    def counts(config: dict | None = None) -> dict[str, int]:
        return plan(folder, ["neuro"], {"neuro": config or {}}).counts

    assert counts() == {}
    assert counts({"strict": True}) == {"neuro_check": 1, "neuro_group": 1, "neuro": 1}
    assert counts({"fit": {"reweightings": 1}}) == {}, "wls_fitted knows no reweightings"
    assert set(counts({"fit_bmax": 1200})) == {*chain, "neuro_check", "neuro"}
    sheet = (folder / SHEET).read_text()
    (folder / SHEET).write_text(sheet + sheet.splitlines()[1].replace("negative\t", "new\t", 1))
    added = counts()
    assert set(added) == {*chain, "neuro_check", "neuro"}
    assert {added[rule] for rule in chain} == {1}
    (folder / SHEET).write_text(sheet)
    bvec = folder / "toy/neuro/data/stanford64.bvec"
    bvec.write_text(bvec.read_text() + "\n")
    edited = counts()
    assert set(edited) == {*chain, "neuro_check", "neuro"}
    assert {edited[rule] for rule in chain} == {1}


def test_strict_fails_with_every_reason_and_writes_no_verdict(
    finished: Path, tmp_path: Path
) -> None:
    folder = fresh(finished, tmp_path / "run", ("stanford64", "badbvec"))
    run = snakemake(folder, "neuro", "--config", "neuro={strict: true}")
    assert run.returncode != 0
    assert "badbvec.bvec" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (folder / "results/neuro/group_dwi.tsv").exists()
    assert not list(folder.rglob(".tmp-*"))


def test_a_truncated_image_is_set_aside(finished: Path, tmp_path: Path) -> None:
    folder = fresh(finished, tmp_path / "run", ("stanford64", "dsi101"))
    image = folder / "toy/neuro/data/dsi101.nii.gz"
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    run = snakemake(folder, "neuro")
    assert run.returncode == 0, run.stderr
    quarantine = (folder / "results/neuro/quarantine.tsv").read_text()
    assert "dsi101.nii.gz" in quarantine
    assert (folder / "results/neuro/sub-stanford64/dwi").is_dir()
    assert "set aside: dsi101" in run.stdout + run.stderr


def test_a_bids_dataset_with_sessions(finished: Path, tmp_path: Path) -> None:
    data = finished / "toy/neuro/data"
    folder = tmp_path / "run"
    for session in ("1", "2"):
        raw = folder / f"raw/sub-01/ses-{session}/dwi"
        raw.mkdir(parents=True)
        shutil.copy(data / "negative.nii.gz", raw / f"sub-01_ses-{session}_dwi.nii.gz")
    for suffix in ("bval", "bvec"):  # by inheritance: one file for both sessions
        shutil.copy(data / f"negative.{suffix}", folder / f"raw/sub-01/sub-01_dwi.{suffix}")
    run = snakemake(folder, "neuro", "--config", "neuro={bids: raw, denoise: {method: none}}")
    assert run.returncode == 0, run.stderr
    name = "sub-01_ses-2_model-tensor_param-fa_dwimap.nii.gz"
    assert (folder / f"results/neuro/sub-01/ses-2/dwi/{name}").exists()


def test_as_a_module_fetched_by_git(finished: Path, tmp_path: Path) -> None:
    """Nothing of the checkout is on any path; a foreign package called scripts is."""
    house = copy_house(tmp_path / "house")
    git = ["git", "-C", str(house), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], check=True)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(house), str(clone)], check=True)
    shutil.rmtree(house)
    folder = fresh(finished, tmp_path / "run", ("stanford64",))
    (folder / "Snakefile").write_text(
        "module tessera:\n"
        f'    snakefile: gitfile("{clone}", path="Snakefile", ref="main")\n'
        '    config: {"neuro": {"subjects": "toy/neuro/subjects.tsv"}}\n\n'
        "use rule * from tessera as tessera_*\n\n"
        "rule mine:\n    default_target: True\n    input: rules.tessera_neuro.input\n"
    )
    shadow = tmp_path / "site/scripts"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise ImportError('the wrong scripts')\n")
    environment = os.environ | {"PYTHONPATH": str(shadow.parent)}
    run = snakemake(folder, snakefile=folder / "Snakefile", env=environment)
    assert run.returncode == 0, run.stderr
    ours = tree_digest(folder / "results/neuro/sub-stanford64")
    assert ours == tree_digest(finished / "results/neuro/sub-stanford64")
    assert ROOT.name not in (folder / "results/neuro/group_dwi.json").read_text()
