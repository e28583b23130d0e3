"""Tests of a trait, reduced and drawn: leads are the planted ones, lambda of chance is 1."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from associations import associations
from pixels import where
from tessera.figures import BLUE, ORANGE, SKY, VERMILION
from tessera.gwas_charts import Line, Track, manhattan
from tessera.wgr.charts import draw_trait, loco_chart
from tessera.wgr.summary import COLUMNS, HIT, lambda_gc, quantiles, summarise

PLANTED = {40_000: 30.0, 90_000: 12.0, 5_000: 9.0}  # row: -log10 p


@cache
def planted() -> pd.DataFrame:
    return associations(100_000, 1, PLANTED)


def test_lambda_of_chance_is_one() -> None:
    n = 200_000
    chisq = np.random.default_rng(0).normal(size=n) ** 2
    median = chi2.median(1)
    error = 1 / (2 * chi2.pdf(median, 1) * np.sqrt(n)) / median  # of the median of a sample
    assert lambda_gc(chisq) == pytest.approx(1, abs=4 * error)
    assert lambda_gc(1.3 * chisq) == pytest.approx(1.3 * lambda_gc(chisq))
    assert lambda_gc(np.array([0.4549364, 0.4549364])) == pytest.approx(1, rel=1e-6)
    assert np.isnan(lambda_gc(np.empty(0)))


def test_planted_variants_are_the_leads() -> None:
    assoc = planted()
    found = summarise(assoc)
    assert found.tests == len(assoc)
    assert found.failed == found.masks == 0
    assert found.hits == 3
    assert found.lambda_gc == pytest.approx(1, abs=0.03)
    ids = assoc["ID"].iloc[list(PLANTED)].tolist()
    assert found.leads["ID"].tolist()[:3] == ids
    assert (found.leads["LOG10P"] > 5).all()
    pd.testing.assert_frame_equal(
        found.leads.iloc[:3], assoc.iloc[list(PLANTED)].reset_index(drop=True)
    )


def test_leads_are_apart_as_by_brute_force() -> None:
    rng = np.random.default_rng(4)
    assoc = associations(3_000, 4, {})
    assoc["CHROM"] = np.sort(rng.integers(1, 4, len(assoc)))
    assoc["GENPOS"] = rng.integers(1, 20_000_000, len(assoc))
    assoc["LOG10P"] = rng.exponential(3, len(assoc))
    leads: list[Any] = []
    for row in assoc.sort_values("LOG10P", ascending=False).itertuples():
        near = (row.CHROM == a.CHROM and abs(row.GENPOS - a.GENPOS) <= 500_000 for a in leads)
        if row.LOG10P > 5 and not any(near):
            leads.append(row)
    assert len(leads) > 20
    assert summarise(assoc).leads["ID"].tolist() == [row.ID for row in leads[:20]]


def test_half_a_megabase_is_the_border() -> None:
    assoc = associations(3, 0, {0: 9.0, 1: 8.0, 2: 7.0}).assign(CHROM=23)
    assoc["GENPOS"] = [1_000_000, 1_500_000, 1_500_001]
    assert summarise(assoc).leads["ID"].tolist() == [assoc["ID"][0], assoc["ID"][2]]
    assert set(summarise(assoc).points["chromosome"]) == {"X"}


def test_failed_and_burden_tests_are_apart() -> None:
    assoc = planted().copy()
    assoc.loc[:9, ["CHISQ", "LOG10P"]] = np.nan
    masks = associations(30, 2, {3: 25.0, 7: 20.0})
    masks["ID"] = [f"GENE{k}.M1.0.01" for k in range(30)]
    found = summarise(pd.concat([assoc, masks.assign(MASK=True)]))
    assert (found.tests, found.failed, found.hits) == (len(assoc) - 10, 10, 3)
    assert found.lambda_gc == summarise(assoc).lambda_gc
    assert found.masks == 30
    assert found.burden["ID"].tolist()[:2] == ["GENE3.M1.0.01", "GENE7.M1.0.01"]
    assert len(found.burden) == 20
    assert not found.points["id"].str.startswith("GENE").any()


def test_order_of_rows_does_not_matter() -> None:
    whole, mixed = summarise(planted()), summarise(planted().sample(frac=1, random_state=0))
    assert draw_trait(whole) == draw_trait(mixed)
    pd.testing.assert_frame_equal(whole.leads, mixed.leads)


def test_only_the_named_columns_are_read() -> None:
    assert summarise(planted()[list(COLUMNS)]).hits == 3


def test_quantiles_are_those_of_all_p() -> None:
    log10p = np.random.default_rng(5).exponential(1, 30_000)
    expected, observed = quantiles(log10p)
    assert len(expected) < 3_000
    ranks = (10**-expected * 30_001).round().astype(int)
    assert ranks[:1000].tolist() == list(range(1, 1001))
    assert ranks[-1] == 30_000
    assert (np.diff(ranks) > 0).all()
    assert observed.tolist() == np.sort(log10p)[::-1][ranks - 1].tolist()
    few = quantiles(log10p[:7])
    assert few[1].tolist() == sorted(log10p[:7], reverse=True)
    assert 10 ** -few[0] == pytest.approx(np.arange(1, 8) / 8)
    assert [part.size for part in quantiles(np.empty(0))] == [0, 0]


def test_what_is_left_out_would_not_show() -> None:
    """The picture of a summary is that of all variants, but for the rim of some dots."""
    assoc = planted()
    found = summarise(assoc)
    assert len(found.points) < len(assoc) / 2
    pictures = []
    for chromosome, position, name, y in (
        found.points.to_numpy().T,
        assoc[["CHROM", "GENPOS", "ID", "LOG10P"]].replace({"CHROM": {23: "X"}}).to_numpy().T,
    ):
        track = Track(np.asarray(y, float), "", 3.0, [Line(HIT, "", threshold=True)])
        drawn = manhattan(chromosome.astype(str), position.astype(float), name, [track], "variants")
        pictures.append(mpl.image.imread(io.BytesIO(drawn))[..., :3])
    differ = np.abs(pictures[0] - pictures[1]).max(-1) > 0.2
    assert differ.mean() < 0.01


def test_pictures_show_hits_and_repeat() -> None:
    found = summarise(planted())
    first = draw_trait(found)
    assert set(first) == {"manhattan.png", "qq.png"}
    genome = first["manhattan.png"]
    assert len(where(genome, BLUE)) > 5_000
    assert len(where(genome, SKY)) > 5_000
    assert len(where(genome, VERMILION)) > 500
    assert np.ptp(where(genome, ORANGE)[:, 0]) > 0.3
    with mpl.rc_context({"font.size": 20, "savefig.dpi": 50}):
        assert draw_trait(found) == first


@pytest.mark.filterwarnings("error")
def test_a_trait_without_tests_is_drawn() -> None:
    nothing = summarise(planted()[:0])
    assert nothing.tests == nothing.hits == len(nothing.points) == len(nothing.leads) == 0
    assert np.isnan(nothing.lambda_gc)
    assert all(draw_trait(nothing).values())
    assert all(draw_trait(summarise(planted()[:1])).values())
    failed = planted()[:5].assign(LOG10P=np.nan, CHISQ=np.nan)
    assert summarise(failed).failed == 5
    assert all(draw_trait(summarise(failed)).values())


def curve(best: int, scale: float = 1.0, name: str = "MSE") -> dict[str, Any]:
    h2 = np.array([0.01, 0.25, 0.5, 0.75, 0.99])
    loss = scale * (1 + 0.1 * (h2 - h2[best]) ** 2)
    return {"h2": h2, "loss": loss, "loss_name": name, "rsq": 1 - loss, "best": best}


def test_the_best_is_marked_where_it_is() -> None:
    places = []
    for best in (0, 2, 4):
        mark = where(loco_chart({"a": curve(best)}), VERMILION)
        assert np.ptp(mark[:, 0]) < 0.02
        places.append(mark[:, 0].mean())
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.005)
    assert places[2] - places[0] > 0.3


def test_losses_are_relative() -> None:
    assert loco_chart({"a": {**curve(1), "rsq": np.ones(5)}}) == loco_chart(
        {"a": {**curve(1, 512.0), "rsq": np.ones(5)}}
    )


@pytest.mark.filterwarnings("error")
def test_each_trait_has_its_panel() -> None:
    names = [f"$trait_{k}^$" * (k % 4 + 1) for k in range(50)]
    many = loco_chart({name: curve(2, name="loss" * (k % 2)) for k, name in enumerate(names)})
    marks = where(many, VERMILION)
    assert len(np.unique(marks[:, 0].round(2) // 0.03)) >= 5
    rows = np.unique(marks[:, 1])
    assert np.count_nonzero(np.diff(rows) > 0.05) == 9
    flat = {**curve(0), "loss": np.ones(5), "rsq": np.full(5, np.nan)}
    assert loco_chart({"flat": flat})
    assert loco_chart({})
