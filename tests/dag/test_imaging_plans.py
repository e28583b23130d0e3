"""What the plan of `imaging` makes of sheets, headers and settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tools import plan


def imaging_of(folder: Path, **section: object) -> dict[str, int]:
    return plan(folder, ["imaging"], {"imaging": section}).counts


def study(folder: Path, *shapes: tuple[int, ...], **written: object) -> str:
    rows = ["image\tpath"]
    for k, shape in enumerate(shapes):
        tifffile.imwrite(folder / f"i{k}.tif", shape=shape, dtype="uint8", **written)
        rows.append(f"i{k}\ti{k}.tif")
    (folder / "own.tsv").write_text("\n".join(rows) + "\n")
    return "own.tsv"


def test_a_job_for_each_image_and_filter(toy: Path) -> None:
    filters = [{"name": "gaussian", "sigma": [1, 2]}, {"name": "none"}]
    counts = imaging_of(toy, filter=filters)
    assert counts["imaging_convert"] == counts["imaging_objects"] == 9
    assert counts["imaging_segment"] == counts["imaging_merge"] == 3 * 9
    assert "imaging_labels" not in counts


def test_the_grid_costs_no_jobs_but_for_its_filters(toy: Path) -> None:
    one = imaging_of(toy)
    values = [{"name": "fixed", "value": list(range(10, 100, 10))}]
    many = imaging_of(toy, threshold=values)
    assert many["imaging_segment"] == one["imaging_segment"]
    assert "imaging_histogram" not in many, "fixed thresholds need none"


def test_labels_and_hysteresis_have_jobs_of_their_own(toy: Path) -> None:
    threshold = [{"name": "hysteresis", "low": 20, "high": [40, 60]}]
    counts = imaging_of(toy, threshold=threshold, write_labels=True)
    assert counts["imaging_seeds"] == counts["imaging_grow"] == 9
    assert counts["imaging_labels"] == 9 * 2 * 2


def test_parts_follow_from_headers(tmp_path: Path) -> None:
    images = study(tmp_path, (2000, 600, 600), (40, 40))
    counts = imaging_of(tmp_path, images=images, filter=[{"name": "gaussian", "sigma": 1}])
    assert counts["imaging_segment"] == 3 + 1
    assert counts["imaging_extent"] == 3, "a job that has the whole image looks for itself"


def test_more_memory_makes_larger_tiles_and_declares_them(tmp_path: Path) -> None:
    images = study(tmp_path, (600, 600, 600))
    edges, declared = [], []
    for memory in (500, 1100):
        config = {"memory_mb": memory, "imaging": {"images": images}}
        (job,) = [
            job
            for job in plan(tmp_path, ["imaging"], config).jobs
            if job.rule.name == "imaging_segment"
        ]
        edges.append(job.params.tiling["edge"])
        declared.append(job.resources["mem_mb"])
    assert edges[0] < edges[1] == 256
    assert declared[0] <= 500
    assert declared[1] <= 1100


def test_a_plane_is_all_that_is_converted(tmp_path: Path) -> None:
    images = study(tmp_path, (60, 70, 80))
    grid = {"filter": [{"name": "gaussian", "sigma": 1}], "slice": {"axis": "z", "index": 30}}
    fixed = [{"name": "fixed", "value": 9}]
    config = {"imaging": {"images": images, "threshold": fixed, **grid}}
    (job,) = [
        j for j in plan(tmp_path, ["imaging"], config).jobs if j.rule.name == "imaging_convert"
    ]
    assert job.params.held == {"lo": (24, 0, 0), "hi": (37, 70, 80)}
    config = {"imaging": {"images": images, **grid}}
    (job,) = [
        j for j in plan(tmp_path, ["imaging"], config).jobs if j.rule.name == "imaging_convert"
    ]
    assert job.params.held is None, "Otsu's threshold is of the whole image"


def test_settings_touch_their_own_steps_and_no_others(toy: Path) -> None:
    names = {"imaging_segment": "settings", "imaging_objects": "settings"}
    first, second = (
        {
            (job.rule.name, str(job.wildcards)): str(getattr(job.params, names[job.rule.name]))
            for job in plan(toy, ["imaging"], {"imaging": {"min_size": size}}).jobs
            if job.rule.name in names
        }
        for size in (0, 10)
    )
    changed = {rule for rule, of in first if first[rule, of] != second[rule, of]}
    assert changed == {"imaging_objects"}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"images": None}, ["imaging.images", "no images are named"]),
        ({"filter": [{"name": "gaussian"}]}, ["imaging.filter, entry 1.sigma: missing key"]),
        (
            {"threshold": [{"name": "otsu", "value": 3}]},
            ["imaging.threshold, entry 1.value: does not belong here; otsu has no numbers."],
        ),
        (
            {"threshold": [{"name": "hysteresis", "low": 9, "high": 3}]},
            ["low is 9, above high, 3"],
        ),
        (
            {"tile": 8, "filter": [{"name": "gaussian", "sigma": 3}]},
            ["imaging.tile: is 8, less than the 14 voxels", "make it 14 or more, or auto"],
        ),
        ({"connectivity": 12}, ["imaging.connectivity", "expected one of 4, 6, 8, 18, 26"]),
        ({"filter": [{"name": "gaussan", "sigma": 1}]}, ["did you mean gaussian?"]),
        ({"morphology": [{"op": "open", "radius": 0}]}, ["imaging.morphology, entry 1.radius"]),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_runs(toy: Path, section: dict, words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        imaging_of(toy, **section)
    for word in words:
        assert word in str(caught.value)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    (tmp_path / "own.tsv").write_text("image\tpath\na\tnone.tif\n")
    grid = {"filter": [{"name": "median"}], "threshold": [{"name": "fixed"}]}
    with pytest.raises(SystemExit) as caught:
        imaging_of(tmp_path, images="own.tsv", **grid)
    said = str(caught.value)
    for word in ("row 2, column path", "entry 1.size: missing key", "entry 1.value: missing key"):
        assert word in said


def test_a_bad_image_does_not_stop_the_plan(tmp_path: Path) -> None:
    images = study(tmp_path, (20, 20))
    (tmp_path / "i0.tif").write_bytes(b"II*\0damaged")
    assert imaging_of(tmp_path, images=images)["imaging_segment"] == 1


def test_a_folder_is_a_study(tmp_path: Path) -> None:
    study(tmp_path, (20, 20), (5, 20, 20))
    (tmp_path / "images").mkdir()
    for path in tmp_path.glob("*.tif"):
        path.rename(tmp_path / "images" / path.name)
    planned = plan(tmp_path, ["imaging"], {"imaging": {"images": "images"}})
    found = {job.wildcards.image for job in planned.jobs if job.rule.name == "imaging_convert"}
    assert found == {"i0", "i1"}
    assert np.all([job.rule.name != "toy_imaging" for job in planned.jobs])
