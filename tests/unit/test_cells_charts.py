"""Charts of views: the same bytes each time, for one group or 200, whatever the names."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tessera.cells.charts import dot_plot, heat_map, plane_by_gene, plane_by_group

HOSTILE = "<script>alert(1)</script> $a_b^$ \\frac{1}"
SHAPES = [(1, 1), (24, 8), (60, 200)]  # genes and groups


def size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return image.size


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def table(genes: int, groups: int) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    names = [f"{HOSTILE if k % 3 == 0 else ''}G{k}" for k in range(genes)]
    labels = [f"{HOSTILE if k % 3 == 0 else ''}group {k}" for k in range(groups)]
    return names, labels, random.random((genes, groups)), random.gamma(1, 1, (genes, groups))


@pytest.mark.parametrize(("genes", "groups"), SHAPES)
def test_dot_plot_of_any_size(genes: int, groups: int) -> None:
    names, labels, share, mean = table(genes, groups)
    width, height = size(dot_plot(names, labels, share, mean, "log2_cpm"))
    assert width == 1500
    assert height / groups > 10  # pixels of a group
    assert height < 4000


@pytest.mark.parametrize(("genes", "groups"), SHAPES)
def test_heat_map_of_any_size(genes: int, groups: int) -> None:
    names, labels, _, mean = table(genes, groups)
    width, height = size(heat_map(names, labels, mean, "cpm"))
    assert width == 1500
    assert 10 < height / groups < 1000


def test_the_same_numbers_make_the_same_bytes() -> None:
    names, labels, share, mean = table(5, 4)
    one, two = (dot_plot(names, labels, share, mean, "cpm") for _ in range(2))
    assert one == two
    one, two = (heat_map(names, labels, mean, "cpm") for _ in range(2))
    assert one == two


def test_genes_that_are_the_same_everywhere_are_blank() -> None:
    mean = np.array([[0.0, 0.0], [3.0, 3.0]])
    constant = heat_map(["a", "b"], ["x", "y"], mean, "none")
    mean[1, 0] = 5
    lively = heat_map(["a", "b"], ["x", "y"], mean, "none")
    yellow = np.array([253, 231, 37])  # the upper end of the colours

    def yellows(png: bytes) -> int:
        return int((np.abs(pixels(png) - yellow).sum(-1) < 12).sum())

    assert yellows(lively) > 5 * yellows(constant)


def test_scaling_gene_by_gene_makes_strong_and_weak_genes_alike() -> None:
    mean = np.array([[0.0, 1.0, 0.5], [0.0, 1000.0, 500.0]])
    same = np.array([[0.0, 1.0, 0.5], [0.0, 1.0, 0.5]])
    args = (["a", "b"], ["x", "y", "z"])
    assert heat_map(*args, mean, "cpm") == heat_map(*args, same, "cpm")


@pytest.mark.parametrize("draw", ["dots", "heat"])
def test_nothing_to_show_is_said(draw: str) -> None:
    none = np.empty((0, 2))
    if draw == "dots":
        png = dot_plot([], ["x", "y"], none, none, "cpm")
    else:
        png = heat_map([], ["x", "y"], none, "cpm")
    assert size(png)[0] == 1500


@pytest.mark.parametrize("mean", [np.zeros((2, 2)), np.array([[-3.0, -1.0], [-2.0, -2.0]])])
def test_means_of_nothing_and_below_zero(mean: np.ndarray) -> None:
    assert dot_plot(["a", "b"], ["x", "y"], np.abs(mean) / 3, mean, "none")


def test_a_cell_more_is_a_larger_dot() -> None:
    def dark(share: float) -> int:
        png = dot_plot(["a"], ["x"], np.array([[share]]), np.array([[2.0]]), "none")
        yellow = np.array([253, 231, 37])
        return int((np.abs(pixels(png) - yellow).sum(-1) < 12).sum())

    bar, *areas = (dark(share) for share in (0.0, 0.25, 0.5, 1.0))
    ratios = [(area - bar) / (areas[-1] - bar) for area in areas]
    assert ratios == pytest.approx([0.25, 0.5, 1], abs=0.05)


def plane(cells: int, groups: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    random = np.random.default_rng(2)
    code = random.integers(-1, groups, cells)
    umap = random.normal(size=(cells, 2)) + code[:, None]
    return umap, code, [f"{HOSTILE} {k}" for k in range(groups)]


@pytest.mark.parametrize(("cells", "groups"), [(1, 1), (500, 8), (3000, 200)])
def test_plane_by_group(cells: int, groups: int) -> None:
    umap, code, names = plane(cells, groups)
    assert size(plane_by_group(umap, code, names)) == (1500, 840)


def test_groups_without_cells_and_no_cells_at_all() -> None:
    umap, code, names = plane(50, 3)
    assert plane_by_group(umap, np.full(50, -1), names)
    assert plane_by_group(umap, np.ones_like(code), names)
    assert plane_by_group(np.empty((0, 2)), np.empty(0, int), names)


@pytest.mark.parametrize("genes", [1, 5])
def test_plane_by_gene(genes: int) -> None:
    umap, _, _ = plane(300, 2)
    random = np.random.default_rng(3)
    values = {f"{HOSTILE} {k}": random.poisson(k, 300).astype(float) for k in range(genes)}
    assert size(plane_by_gene(umap, values, "log1p_cpm"))[0] == 1500


def test_plane_of_values_below_zero_and_of_one_value() -> None:
    umap, _, _ = plane(30, 2)
    values = {"below": np.full(30, -2.0), "same": np.full(30, 2.0), "none": np.zeros(30)}
    assert plane_by_gene(umap, values, "none")
