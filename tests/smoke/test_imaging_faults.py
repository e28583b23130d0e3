"""Whatever dies, however the work is cut: the same objects. Bad images: the others go on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import zarr

from measured import assert_same, foreground, labels, table
from tools import copy_house, exists, kill_and_resume, plan, snakemake, tree_digest

TILED = ["--config", "threads=1", "imaging={tile: 16}"]
MOMENTS = (
    "results/work/imaging/*/histogram",
    "results/work/imaging/*/pieces/*/1of1",
    "results/work/imaging/*/tables/summary.json",
)
GRID = {
    "filter": [{"name": "none"}, {"name": "median", "size": 3}],
    "threshold": [
        {"name": "fixed", "value": 110},
        {"name": "hysteresis", "low": 90, "high": 150},
    ],
    "morphology": [{"op": "close", "radius": 2}],
}


def names_of(grid: dict) -> dict[str, dict]:
    """Name the points of a grid as the pipeline does."""
    named = {}
    for one in grid["filter"]:
        for two in grid["threshold"]:
            for three in grid["morphology"]:
                steps = [list(step.values()) for step in (one, two, three)]
                name = "_".join("-".join(map(str, step)) for step in steps)
                named[name] = {"filter": one, "threshold": two, "morphology": three}
    return named


def write_study(folder: Path, images: dict[str, np.ndarray | bytes], **section: object) -> None:
    """Write images, their sheet and a config into a folder."""
    import yaml

    rows = ["image\tpath"]
    for name, content in images.items():
        path = folder / f"{name}.tif"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            grey = "rgb" if content.shape[-1] == 3 else "minisblack"
            tifffile.imwrite(path, content, photometric=grey)
        rows.append(f"{name}\t{path.name}")
    (folder / "images.tsv").write_text("\n".join(rows) + "\n")
    config = {"pipelines": ["imaging"], "imaging": {"images": "images.tsv"} | section}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def volume(seed: int, shape: tuple[int, ...] = (30, 41, 52)) -> np.ndarray:
    """Make clouds with values from 0 to 255."""
    from scipy.ndimage import gaussian_filter

    values = gaussian_filter(np.random.Generator(np.random.Philox(seed)).normal(size=shape), 1.5)
    low, high = values.min(), values.max()
    return ((values - low) / (high - low) * 255).astype(np.uint8)


def test_killed_and_resumed_in_small_tiles(finished: Path, tmp_path: Path) -> None:
    """Tiles of 16 voxels, one thread, kill -9 three times: the same bytes."""
    house = copy_house(tmp_path / "house")
    shutil.copytree(finished / "toy/imaging", house / "toy/imaging")
    kill_and_resume(house, ["imaging", *TILED], map(exists, MOMENTS))
    for part in ("tables", "compare", "pictures"):
        found, expected = (
            tree_digest(root / "results/imaging" / part) for root in (house, finished)
        )
        assert found == expected
    for name in ("images.tsv", "quarantine.tsv", "ledger.json", "imaging.html"):
        found, expected = (root / "results/imaging" / name for root in (house, finished))
        assert found.read_bytes() == expected.read_bytes(), name


def test_a_grid_with_labels_is_that_of_scikit_image(tmp_path: Path) -> None:
    """Small tiles, hysteresis, a closing across cuts, small and border objects dropped."""
    image = volume(3)
    write_study(
        tmp_path, {"clouds": image}, **GRID, tile=16, connectivity=6, min_size=5, border="drop",
        write_labels=True, polarity="dark",
    )  # fmt: skip
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.stderr
    results = tmp_path / "results/imaging"
    objects = pd.read_parquet(results / "tables/objects.parquet")
    for name, point in names_of(GRID).items():
        labelled = labels(foreground(image, point, dark=True), 6)
        sizes = np.bincount(labelled.ravel())
        edge = np.ones(image.shape, bool)
        edge[1:-1, 1:-1, 1:-1] = False
        kept = np.setdiff1d(np.flatnonzero(sizes >= 5), [0, *np.unique(labelled[edge])])
        assert len(kept) > 3
        number = np.zeros(len(sizes), int)
        number[kept] = np.arange(1, len(kept) + 1)
        assert_same(objects[objects["params"] == name], table(image, number[labelled]))
        painted = zarr.open_array(results / f"labels/clouds__{name}.zarr", mode="r")
        np.testing.assert_array_equal(painted[:], number[labelled])


def test_one_plane_is_that_of_the_volume(tmp_path: Path) -> None:
    """And no object is an answer."""
    image = volume(4)
    point = {
        "filter": {"name": "gaussian", "sigma": 1},
        "threshold": {"name": "fixed", "value": 120},
        "morphology": {"op": "open", "radius": 1},
    }
    grid = {key: [step] for key, step in point.items()}
    images = {"clouds": image, "empty": image // 3}
    write_study(tmp_path, images, **grid, tile=16, slice={"axis": "y", "index": 20})
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.stderr
    mask = foreground(image, point)[:, 20]
    rows = pd.read_parquet(tmp_path / "results/imaging/tables/objects.parquet")
    expected = table(image[:, 20], labels(mask))
    expected = expected.rename(columns=lambda name: name.replace("_y", "_z"))
    assert set(rows["image"]) == {"clouds"}
    assert (rows["bbox_y0"] == 20).all()
    assert_same(rows, expected)


def test_bad_images_are_set_aside_and_others_may_come_later(tmp_path: Path) -> None:
    """One that arrives later is the only one that is computed."""
    good = volume(5, (12, 40, 40))
    ramp = np.full((4, 9, 9), 7, np.uint8)
    holes = good.astype(np.float32)
    holes[3, 2, 1] = np.nan
    colours = np.zeros((20, 20, 3), np.uint8)
    write_study(
        tmp_path,
        {"good": good, "flat": ramp, "holes": holes, "colours": colours, "text": b"no image"},
    )
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.stderr
    results = tmp_path / "results/imaging"
    assert set(pd.read_parquet(results / "tables/objects.parquet")["image"]) == {"good"}
    aside = pd.read_csv(results / "quarantine.tsv", sep="\t", keep_default_na=False)
    told = dict(zip(aside["image"], aside["what"], strict=True))
    assert told["flat"] == "every value is 7, so that Otsu's threshold is not defined"
    assert told["holes"] == "is nan"
    assert aside.set_index("image")["place"]["holes"] == "voxel z 3, y 2, x 1"
    assert "grey" in told["colours"] + aside.set_index("image")["remedy"]["colours"]
    assert told["text"] == "is no TIFF and no PNG"
    assert "Traceback" not in run.stdout + run.stderr
    before = {
        path: path.stat().st_mtime_ns for path in tmp_path.glob("results/work/imaging/*/tables/*")
    }
    tifffile.imwrite(tmp_path / "late.tif", good[:, ::-1])
    with (tmp_path / "images.tsv").open("a") as sheet:
        sheet.write("late\tlate.tif\n")
    planned = plan(tmp_path, ["imaging"], {"imaging": {"images": "images.tsv"}})
    new = {job.wildcards.image for job in planned.jobs if hasattr(job.wildcards, "image")}
    assert new == {"late"}
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    rows = pd.read_parquet(results / "tables/objects.parquet")
    assert rows["image"].unique().tolist() == ["good", "late"]
    strict = snakemake(tmp_path, "--config", "imaging={strict: true}")
    assert strict.returncode != 0
    assert "every value is 7" in strict.stdout + strict.stderr
