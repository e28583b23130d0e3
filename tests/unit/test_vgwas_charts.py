"""Pictures and page of an association study: bytes repeat, marks lie right, names are escaped."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from pixels import where
from tessera.figures import BLUE, ORANGE, SKY, VERMILION
from tessera.vgwas.brains import glass_brain, slices
from tessera.vgwas.charts import manhattan, null_distributions, qq
from tessera.vgwas.gwas_page import gwas_page

AFFINE = np.array([[-6.0, 0, 0, 84], [0, 6, 0, -114], [0, 0, 6, -66], [0, 0, 0, 1]])
HOSTILE = "<script>alert(1)</script> $a_b^$"


def genome(n: int = 400) -> pd.DataFrame:
    """Make SNPs on chromosomes 2, 10 and X, one of each leading; every tenth was not tested."""
    rng = np.random.default_rng(0)
    snps = pd.DataFrame({"id": [f"rs{k}" for k in range(n)], "status": "tested"})
    snps["chr"] = np.array(["10", "X", "2"])[np.arange(n) % 3]
    snps["pos"] = rng.integers(1, 100_000_000, n)
    snps["max_log10p"] = rng.uniform(2, 5, n)
    snps["max_cluster"] = rng.integers(0, 40, n)
    snps.loc[:2, "max_log10p"], snps.loc[:2, "max_cluster"] = 10.0, 90
    snps.loc[9::10, ["status", "max_log10p"]] = ["maf", np.nan]
    return snps


def study() -> bytes:
    return manhattan(genome(), 7.5, 4.0, 60)


def quantiles(scale: float = 1.0) -> bytes:
    edges = np.linspace(0, 12, 241)
    log10p = -scale * np.log10(np.random.default_rng(1).random(50_000))
    return qq(np.histogram(log10p, edges)[0].astype(float), edges, 1.0)


def null(observed_t: float = 9.0, observed_cluster: int = 70) -> bytes:
    rng = np.random.default_rng(2)
    sizes = rng.integers(10, 60, 100)
    return null_distributions(rng.normal(5, 0.3, 100), sizes, 5.5, 55, observed_t, observed_cluster)


def t_map() -> np.ndarray:
    """Make noise within a ball, with a peak at the right and a valley at the left."""
    z, y, x = np.indices((25, 33, 28))
    t = np.random.default_rng(3).normal(0, 1, z.shape)
    t[11:14, 15:18, 5:8] = 8  # x falls with the index: the right is at low ones
    t[11:14, 15:18, 20:23] = -6
    ball = (z - 12) ** 2 / 100 + (y - 16) ** 2 / 196 + (x - 14) ** 2 / 121 < 1
    return np.where(ball, t, np.nan).astype(np.float32)


def glass() -> bytes:
    return glass_brain(t_map(), AFFINE, HOSTILE, 3.5)


def axial() -> bytes:
    return slices(t_map(), AFFINE, 3.5)


@cache
def once(draw: Callable[[], bytes]) -> bytes:
    return draw()


@pytest.mark.parametrize("draw", [study, quantiles, null, glass, axial])
def test_bytes_repeat_whatever_the_users_style(draw: Callable[[], bytes]) -> None:
    first = once(draw)
    assert b"Software" not in first[:500]
    assert mpl.image.imread(io.BytesIO(first))[..., :3].std() > 0.05
    with mpl.rc_context({"font.size": 20, "image.origin": "upper", "savefig.dpi": 50}):
        assert draw() == first


def test_diamonds_are_the_snps_beyond_the_threshold() -> None:
    snps = genome()
    png = once(study)
    assert len(where(png, BLUE)) > 500
    assert len(where(png, SKY)) > 500
    high = where(png, ORANGE)
    high = high[(high[:, 1] > 0.05) & (high[:, 1] < 0.5)]  # below the legend, upper panel
    assert np.ptp(high[:, 0]) > 0.3
    none = manhattan(snps, None, 4.0, None)
    assert len(where(none, ORANGE)) == len(where(none, VERMILION)) == 0


def test_order_of_rows_does_not_matter() -> None:
    snps = genome()
    shuffled = snps.sample(frac=1, random_state=1)
    assert manhattan(shuffled, 7.5, 4.0, 60) == once(study)


def test_thinning_keeps_the_highest() -> None:
    snps = genome()
    many = pd.concat([snps] * 50, ignore_index=True)
    assert manhattan(many, None, 4.0) == manhattan(snps, None, 4.0)


def test_odd_tables_are_drawn() -> None:
    snps = genome()
    manhattan(snps[:0], 7.5, 4.0, 60)
    manhattan(snps[:1], None, 4.0)
    odd = snps.assign(id=HOSTILE, chr=HOSTILE)
    manhattan(pd.concat([odd, snps]), 7.5, 4.0, 60)


def test_quantiles_of_chance_lie_on_the_line() -> None:
    edges = np.linspace(0, 12, 241)
    assert qq(np.zeros(240), edges, float("nan"))
    assert qq(np.eye(1, 240)[0], edges, 1.0)

    def rise(png: bytes) -> float:
        """Return the height of the observed dots in the right half of the panel."""
        dots = where(png, BLUE)
        dots = dots[(dots[:, 0] > 0.5) & (dots[:, 0] < 0.7)]
        return float(np.median(dots[:, 1]))

    assert rise(quantiles(1.5)) < rise(once(quantiles)) - 0.02


def test_observed_far_out_does_not_flatten_the_null() -> None:
    bars = [where(null(9.0, n), "#c5cbd3") for n in (5000, 50_000)]
    right = [places[places[:, 0] > 0.5] for places in bars]
    assert len(right[1]) == pytest.approx(len(right[0]), rel=0.1)
    null_distributions(np.full(3, 5.0), np.zeros(3, np.int64), None, None, 4.0, 0)


def test_sides_of_the_brain() -> None:
    pixels = mpl.image.imread(io.BytesIO(once(glass)))[..., :3]
    view = pixels[:, int(0.7 * pixels.shape[1]) : int(0.905 * pixels.shape[1])]  # from above
    red = view[..., 0] - view[..., 2] > 0.2
    blue = view[..., 2] - view[..., 0] > 0.2
    assert np.nonzero(red)[1].mean() > np.nonzero(blue)[1].mean() + 50


@pytest.mark.filterwarnings("error")
def test_maps_of_nothing_are_drawn() -> None:
    nothing = np.zeros((25, 33, 28), np.float32)
    assert glass_brain(nothing * np.nan, AFFINE, "", 3.5)
    assert slices(nothing, AFFINE, 3.5)


def inference(**changed: Any) -> dict[str, Any]:
    given = {
        "n_subjects": 290,
        "n_snps": 1990,
        "n_voxels": 2498,
        "n_tests": 4971020,
        "df": 281,
        "covariates": ["age", HOSTILE],
        "dropped_covariates": [{"name": "age_months", "reason": "a combination of others"}],
        "coding": "additive",
        "missing": "mean",
        "threshold_p": 1e-5,
        "threshold_t": 4.5,
        "cluster_t": 3.3,
        "cluster_p": 0.001,
        "connectivity": 26,
        "scheme": "smith",
        "permutations": 200,
        "seed": 1,
        "lambda": 1.01,
        "n_hits": 480,
        "fwer": {"alpha": 0.05, "max_t": 5.75, "max_t_log10p": 7.9, "max_cluster": 60},
        "n_significant_snps": {"voxel": 4, "cluster": 5},
        "observed": {"max_t": 9.0, "max_cluster": 1350},
    }
    return {**given, **changed}


CLUSTERS = pd.DataFrame(
    {"snp": ["rs1", HOSTILE], "size": [20, 1350], "p_fwer": [np.nan, 0.005], "peak_t": [4.0, -9.0]}
).assign(peak_x=-12.0, peak_y=34.0, peak_z=8.0, label=["", HOSTILE], chr=HOSTILE, pos=1_234_567)
HITS = pd.DataFrame({"snp": ["rs1", HOSTILE], "x": 1.0, "y": 2.0, "z": -3.0, "label": np.nan})
HITS = HITS.assign(beta=-0.0123, se=0.0021, t=-5.9, log10p=8.1, chr="1", pos=100)
LEDGER = {
    "subjects": {"read": 325, "tested": 290, "dropped": {"no genotypes": 2, HOSTILE: 33}},
    "snps": {"read": 2300, "tested": 1990, "dropped": {"rare": 310, "none of this": 0}},
    "voxels": {"read": 2498, "tested": 2498, "dropped": {}},
}
ASIDE = [{"subject": HOSTILE, "file": "a.nii", "place": "", "what": "is cut short", "remedy": "-"}]


def page(
    found: dict[str, Any],
    clusters: pd.DataFrame = CLUSTERS,
    hits: pd.DataFrame = HITS,
    ledger: dict[str, Any] = LEDGER,
    aside: list[dict[str, str]] = ASIDE,
    **pictures: Any,
) -> str:
    given = {"manhattan": b"m", "qq": b"q", "null": b"n", "brains": [(HOSTILE, b"b")]}
    return gwas_page(found, clusters, hits, ledger, aside, **{**given, **pictures})


def test_page_tells_all_and_escapes_names() -> None:
    text = page(inference())
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    for told in (
        "5 SNPs have a cluster, 4 a voxel, beyond what chance gives in 1 of 20 studies",
        "290 of 325 used",
        "35 of 325 people are not in the analysis",
        "no genotypes: 2",
        "4,971,020",
        "p = 1e\N{MINUS SIGN}5",
        "1,350",
        "\N{MINUS SIGN}12, 34, 8",
        "\N{MINUS SIGN}0.0123",
        "age_months",
        "a combination of others",
        "MNI152",
        "is cut short",
        "rs1 (1:100)",
    ):
        assert told in text, told
    assert "none of this" not in text
    assert text.count("<img") == 4
    assert text.index("1,350") < text.index("rs1 (1:100)")  # larger clusters come first
    assert page(inference()) == text


def test_page_without_permutations_claims_nothing() -> None:
    alone = inference(fwer=None, permutations=0, n_significant_snps=None)
    text = page(alone, null=None, brains=[])
    assert "480 pairs of SNP and voxel beyond p = 1e\N{MINUS SIGN}5, not corrected" in text
    assert "give 49.7 of them on average" in text
    assert "beyond what chance gives in 1 of" not in text
    assert "What permutations gave" not in text
    assert text.count("<img") == 2


def test_page_of_nothing() -> None:
    whole = {key: {"read": 5, "tested": 5, "dropped": {}} for key in LEDGER}
    none = inference(
        n_significant_snps={"voxel": 0, "cluster": 0}, covariates=[], **{"lambda": None}
    )
    text = page(none, CLUSTERS[:0], HITS[:0], whole, [], brains=[], slices=[("rs1", b"s")])
    assert "No SNP has a cluster or a voxel beyond" in text
    assert "There is no cluster" in text
    assert text.count("Nothing was set aside") == 2
    assert "Slices of rs1" in text
    one = inference(n_significant_snps={"voxel": 0, "cluster": 1})
    assert "1 SNP has a cluster, 0 a voxel" in page(one)


def test_an_account_that_does_not_add_up_is_marked() -> None:
    assert '<tr class="look">' not in page(inference())
    short = {**LEDGER, "voxels": {"read": 9, "tested": 5, "dropped": {"empty": 1}}}
    assert '<tr class="look">' in page(inference(), ledger=short)
