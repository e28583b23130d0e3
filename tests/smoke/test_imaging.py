"""Images on their toy data: truth recovered, equal to scikit-image on whole images."""

from __future__ import annotations

import json
import re
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from skimage import io

from measured import assert_same, foreground, labels, table
from tools import ROOT, columns_told, of_here_and_now

POINTS = {
    f"gaussian-1_{threshold}_{op if op == 'none' else f'{op}-1'}": {
        "filter": {"name": "gaussian", "sigma": 1},
        "threshold": {"name": threshold},
        "morphology": {"op": op, "radius": 1},
    }
    for threshold in ("otsu", "li")
    for op in ("none", "open")
}
BALLS = ("control-1", "control-2", "treated-1", "treated-2")
MEASURED = (*BALLS, "winding", "chains", "coins", "cell")


@pytest.fixture(scope="module")
def results(finished: Path) -> Path:
    return finished / "results/imaging"


@pytest.fixture(scope="module")
def objects(results: Path) -> pd.DataFrame:
    return pd.read_parquet(results / "tables/objects.parquet")


@pytest.fixture(scope="module")
def truth(finished: Path) -> dict:
    return json.loads((finished / "toy/imaging/data/truth.json").read_text())


def read(finished: Path, image: str) -> np.ndarray:
    data = finished / "toy/imaging/data"
    if image == "treated-2":
        return np.stack([io.imread(path) for path in sorted((data / image).glob("*.png"))])
    if image == "chains":
        return np.asarray(zarr.open_group(data / "chains.ome.zarr", mode="r")["0"])
    return (
        io.imread(data / "coins.png")
        if image == "coins"
        else tifffile.imread(data / f"{image}.tif")
    )


@pytest.mark.parametrize("image", MEASURED)
@pytest.mark.parametrize("params", POINTS)
def test_objects_are_those_of_scikit_image_on_the_whole_image(
    finished: Path, objects: pd.DataFrame, image: str, params: str
) -> None:
    values = read(finished, image)
    expected = table(values, labels(foreground(values, POINTS[params])))
    rows = objects[(objects["image"] == image) & (objects["params"] == params)]
    # Of floats, Li's threshold is made of bins: it tells where a value lies between the two.
    if "_li_" not in params or len(rows) == len(expected):
        assert_same(rows, expected)
    else:
        assert abs(len(rows) - len(expected)) <= 2


@pytest.mark.parametrize("image", BALLS)
def test_balls_are_found_where_they_are(objects: pd.DataFrame, truth: dict, image: str) -> None:
    rows = objects[(objects["image"] == image) & (objects["params"] == "gaussian-1_otsu_none")]
    known = pd.DataFrame(truth[image]["objects"])
    assert len(rows) == len(known) == truth[image]["n_objects"]
    centroids = ["centroid_z", "centroid_y", "centroid_x"]
    apart = np.linalg.norm(
        rows[centroids].to_numpy()[:, None] - known[centroids].to_numpy()[None], axis=2
    )
    assert (apart.min(axis=1) < 0.25).all()
    assert len(set(apart.argmin(axis=1))) == len(known)
    ratio = rows["n_voxels"].to_numpy() / known["n_voxels"].to_numpy()[apart.argmin(axis=1)]
    assert abs(np.median(ratio) - 1) < 0.15


def test_a_serpentine_through_every_tile_is_one_object(objects: pd.DataFrame) -> None:
    rows = objects[(objects["image"] == "winding") & (objects["params"] == "gaussian-1_li_none")]
    assert len(rows) == 1
    assert rows["border"].all()


def test_volumes_are_in_units_of_the_voxel_size(objects: pd.DataFrame) -> None:
    rows = objects[objects["image"] == "treated-2"]
    np.testing.assert_allclose(rows["volume"], rows["n_voxels"] * 2 * 0.5 * 0.5, rtol=1e-15)
    rows = objects[objects["image"] == "cell"]
    np.testing.assert_allclose(rows["volume"], rows["n_voxels"] * 0.107**2, rtol=1e-15)


def test_the_lectures_questions_are_answered(results: Path, objects: pd.DataFrame) -> None:
    page = (results / "imaging.html").read_text("utf-8")
    with duckdb.connect(str(results / "results.duckdb"), read_only=True) as base:
        for name in ("samples", "parameters", "objects", "neighbours"):
            file = results / "tables" / f"{'images' if name == 'samples' else name}.parquet"
            ours = base.sql(f"SELECT count(*) FROM {name}").fetchall()
            assert ours == duckdb.sql(f"SELECT count(*) FROM '{file}'").fetchall()
        total = base.sql("SELECT image, sum(volume) FROM objects GROUP BY image").fetchall()
        expected = objects.groupby("image")["volume"].sum()
        assert dict(total) == pytest.approx(expected.to_dict(), rel=1e-12)
        groups = base.sql(
            """SELECT "group", avg(volume) FROM objects JOIN samples USING (image)
            WHERE params = 'gaussian-1_otsu_none' AND "group" IS NOT NULL
            GROUP BY "group" ORDER BY "group" """
        ).fetchall()
        assert [name for name, _ in groups] == ["control", "treated"]
        assert groups[1][1] > 1.5 * groups[0][1]
        ((count, least),) = base.sql(
            """SELECT count(*), min(distance) FROM neighbours
            WHERE image = 'coins' AND params = 'gaussian-1_otsu_none'"""
        ).fetchall()
        assert count > 2 * 24
        assert least > 0
    assert "SELECT image, count(*) AS objects" in page


def test_what_was_set_aside_is_told(results: Path) -> None:
    aside = pd.read_csv(results / "quarantine.tsv", sep="\t")
    assert aside["image"].tolist() == ["spoiled"]
    assert aside["what"].tolist() == ["is cut short, or its header is damaged"]
    ledger = json.loads((results / "ledger.json").read_text())
    assert ledger["images"] == {"read": 9, "used": 8, "dropped": {"set aside": 1}}
    images = pd.read_csv(results / "images.tsv", sep="\t")
    assert dict(zip(images["image"], images["status"], strict=True))["spoiled"] == "set aside"


def test_nothing_of_here_and_now_in_results(finished: Path, results: Path) -> None:
    for path in results.rglob("*"):
        if path.is_file():
            assert not of_here_and_now(path, path.read_bytes(), finished), path


def test_the_docs_tell_the_output_tree(results: Path) -> None:
    text = (ROOT / "docs/imaging.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    told = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    for path in results.rglob("*"):
        name = path.relative_to(results).as_posix()
        if path.is_file() and path.name not in (".snakemake_timestamp", "quarantined.json"):
            name = re.sub(r"^pictures/[^/]+/", "pictures/IMAGE/", name)
            assert {name, name.removeprefix("compare/")} & told, name
    for name in ("images", "parameters", "objects", "neighbours"):
        row = next(row for row in rows if f"`tables/{name}.parquet`" in row)
        found = pd.read_parquet(results / f"tables/{name}.parquet").columns.tolist()
        samples = ["sample", "group"] if name == "images" else []
        assert columns_told(row.split("|")[2]) + samples == found
    for name in ("counts.tsv", "agreement.tsv", "sizes.parquet"):
        row = next(row for row in rows if f"`compare/{name}`" in row)
        file = results / "compare" / name
        table = pd.read_parquet(file) if name.endswith("t") else pd.read_csv(file, sep="\t")
        assert columns_told(row.split("|")[2].split(" of ")[0].split(":")[0]) == list(table)
