"""Manhattan and QQ plots: the genome in order, peaks by their best, nothing of use thinned away."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from pixels import where
from tessera import gwas_charts
from tessera.figures import BLUE, ORANGE, VERMILION
from tessera.gwas_charts import BAND, Line, Track, lay_out, leading, manhattan, qq, thin


def test_chromosomes_are_in_their_natural_order() -> None:
    names = ["NW_1", "MT", "chrX", "10", "chr2", "Y", "0", "1", "22"]
    expected = ["1", "chr2", "10", "22", "chrX", "Y", "MT", "0", "NW_1"]
    assert sorted(names, key=gwas_charts._natural) == expected
    chromosome = np.array(["10", "2", "10", "X"], object)
    x, code, spans = lay_out(chromosome, np.array([5e6, 90e6, 6e6, 1e6]))
    assert [name for name, *_ in spans] == ["2", "10", "X"]
    assert code.tolist() == [1, 0, 1, 2]
    assert x[1] < x[0] < x[2] < x[3]
    assert x[2] - x[0] == pytest.approx(1.0)


def test_chromosomes_may_be_numbers() -> None:
    position = [5, 90, 6, 1]
    x, code, spans = lay_out([10, 2, 10, 23], position)
    other = lay_out(["10", "2", "10", "23"], position)
    assert x == pytest.approx(other[0])
    assert code.tolist() == other[1].tolist()
    assert spans == other[2]


def test_a_single_chromosome_keeps_its_positions() -> None:
    x, *_ = lay_out(np.array(["19", "19"], object), np.array([44.9e6, 45.4e6]))
    assert x == pytest.approx([44.9, 45.4])


def test_peaks_are_named_by_their_leading_variant() -> None:
    x = np.array([1.0, 1.2, 5.0, 5.1, 1.1])
    y = np.array([8.0, 9.0, 7.0, 3.0, 9.5])
    code = np.array([0, 0, 0, 0, 1])
    assert leading(x, y, code, -np.inf, 1.0, 12) == [4, 1, 2]
    assert leading(x, y, code, -np.inf, 1.0, 2) == [4, 1]
    assert leading(x, y, code, -np.inf, 0.15, 12) == [4, 1, 0, 2]
    assert leading(x, y, code, 8.5, 1.0, 12) == [4, 1]
    assert leading(x, y, code, 10.0, 1.0, 12) == []
    assert leading(x, np.full(5, np.nan), code, -np.inf, 1.0, 12) == []


def test_thinning_keeps_the_highest_of_each_cell() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 200_000)) * [[50], [8]]
    across, up = (0.0, 50.0), (0.0, 8.0)
    kept = thin(x, y, across, up)
    cell = [(x * 1000 / 50).astype(int), (y * 300 / 8).astype(int)]
    best: dict[tuple[int, int], int] = {}
    for k, place in enumerate(zip(*cell, strict=True)):
        best[place] = k if place not in best or y[k] > y[best[place]] else best[place]
    assert sorted(kept) == sorted(best.values())
    order = rng.permutation(x.size)
    assert set(order[thin(x[order], y[order], across, up)]) == set(kept)


def test_thinning_takes_points_on_the_border() -> None:
    corners = np.array([0.0, 0.0, 1.0, 1.0])
    assert sorted(thin(corners, corners[::-1] * 1.0, (0, 1), (0, 1))) == [0, 2]
    assert thin(np.empty(0), np.empty(0), (0, 1), (0, 1)).size == 0


def picture(y: np.ndarray, lines: list[Line]) -> bytes:
    n = y.size
    place = np.arange(n) * 1_000_000
    chromosome = np.arange(n) * 3 // max(n, 1) + 1
    return manhattan(
        chromosome, place, [f"rs{k}" for k in range(n)], [Track(y, "y", 2, lines)], "V"
    )


def test_only_a_threshold_sets_variants_off() -> None:
    y = np.full(90, 2.0)
    y[45] = 9.0
    threshold = picture(y, [Line(7.0, "a", threshold=True)])
    dots = where(threshold, ORANGE)
    assert dots[dots[:, 1] > 0.2].mean(0)[0] == pytest.approx(0.53, abs=0.03)
    assert len(where(threshold, VERMILION)) > 500
    plain = picture(y, [Line(7.0, "a")])
    assert len(where(plain, ORANGE)) == len(where(plain, VERMILION)) == 0
    assert picture(np.empty(0), [Line(7.0, "a", threshold=True)])


def test_the_band_holds_95_percent_of_studies() -> None:
    """The picture's band at the smallest p, read off its pixels, is the Beta's."""
    n = 1000
    ranks = np.arange(1, n + 1)
    expected = -np.log10(ranks / (n + 1))
    picture = qq(expected, expected, n, 1.0)
    band = where(picture, BAND)
    edge = band[band[:, 0] > band[:, 0].max() - 0.002][:, 1]
    line = where(picture, BLUE)
    line = line[line[:, 1] > 0.3]  # below the legend
    # Down the page: from the place of observed = 0 to that of the largest.
    unit = (line[:, 1].max() - line[:, 1].min()) / expected[0]
    high, low = -np.log10(beta.ppf([0.025, 0.975], 1, n))
    assert np.ptp(edge) / unit == pytest.approx(high - low, rel=0.05)
