"""Step 2 from files: which allele is tested, ranges of variants, models of traits, masks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from bgens import HARD, put_bgen, variant
from filesets import needs_plink2, people, plink2, snps
from ridges import genotypes, rules
from tessera.filesets import Fileset
from tessera.genotypes import ALL_KINDS, GenotypeReader, find_fileset, write_bed
from tessera.wgr.assoc import ROWS, Code, Field, Linear, Logistic
from tessera.wgr.burden import plan_burden
from tessera.wgr.prepare import variant_table
from tessera.wgr.step2 import (
    associate,
    load_predictions,
    make_model,
    mask_panels,
    masks_of_sets,
    output_rows,
    panel_edges,
    read_variant_rows,
    turned_variants,
    variant_panels,
)
from tessera.wgr.study import Study

N = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same 150 variants as .bed and as .bgen: copies of A, -1 where missing; G is the other."""
    where = tmp_path_factory.mktemp("g")
    truth = np.random.default_rng(0).integers(-1, 3, (150, N)).astype(np.int8)
    write_bed(where / "bed", [truth], people(N), snps(150))
    codes = np.array([3, 2, 1, 0])[truth + 1]
    rows = [variant(HARD[row], f"rs{k}", "1", k + 1) for k, row in enumerate(codes)]
    put_bgen(where / "bgen", rows)
    np.save(where / "truth.npy", np.where(truth < 0, np.nan, truth))
    return where


def copies(folder, kinds, ref_first, start=0, stop=None):
    """Read all panels: copies of the tested allele, and what the output says of it."""
    filesets = [find_fileset(str(folder / f"{kind}.{kind}"), ALL_KINDS) for kind in kinds]
    stop = 150 * len(kinds) if stop is None else stop
    turned = turned_variants(filesets, start, stop, ref_first)
    table = output_rows(variant_table(filesets).iloc[start:stop], turned)
    odd = np.zeros(stop - start, bool)
    with GenotypeReader(filesets, [np.arange(N)] * len(kinds)) as reader:
        panels = list(variant_panels(reader, panel_edges(start, stop), start, turned, odd))
    assert all(len(part) == len(panel[0]) for panel in panels for part in panel)
    assert all((panel[3] == 1).all() for panel in panels)
    return np.concatenate([panel[0] for panel in panels]), table


def assert_tested(found, table, allele, truth):
    """Copies are of the allele that the output calls ALLELE1."""
    assert set(table["ALLELE1"]) == {allele}
    assert set(table["ALLELE0"]) == {"AG".replace(allele, "")}
    np.testing.assert_array_equal(found, truth if allele == "A" else 2 - truth)


@pytest.mark.parametrize("kind", ["bed", "bgen"])
@pytest.mark.parametrize(("ref_first", "allele"), [(False, "A"), (True, "G")])
def test_the_first_allele_is_tested_unless_it_is_the_reference(folder, kind, ref_first, allele):
    found, table = copies(folder, [kind], ref_first)
    assert_tested(found, table, allele, np.load(folder / "truth.npy"))
    assert table["ID"].tolist() == [f"rs{k}" for k in range(150)]
    assert (table["GENPOS"] == np.arange(1, 151)).all()
    assert set(table["TEST"]) == {"ADD"}
    assert not table["MASK"].any()


@needs_plink2
@pytest.mark.parametrize("ref_first", [False, True])
def test_the_alternative_of_a_pgen_is_tested_whatever_is_said(folder, ref_first, tmp_path):
    """In a .pvar it is known which allele is the reference: here the second of the .bim."""
    plink2("--bfile", folder / "bed", "--make-pgen", "--out", tmp_path / "pgen")
    found, table = copies(tmp_path, ["pgen"], ref_first)
    assert_tested(found, table, "A", np.load(folder / "truth.npy"))


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 300), (140, 160), (10, 11), (150, 300), (149, 151)]
)
def test_any_range_over_filesets(folder, start, stop):
    found, table = copies(folder, ["bed", "bgen"], True, start, stop)
    truth = np.tile(np.load(folder / "truth.npy"), (2, 1))
    assert_tested(found, table, "G", truth[start:stop])


def test_only_filesets_that_do_not_say_are_turned():
    filesets = [
        Fileset("a", "bed", 9, 3), Fileset("b", "pgen", 9, 2), Fileset("c", "bgen", 9, 4),
    ]  # fmt: skip
    expected = np.array([1, 1, 1, 0, 0, 1, 1, 1, 1], bool)
    for start in range(9):
        for stop in range(start + 1, 10):
            found = turned_variants(filesets, start, stop, True)
            np.testing.assert_array_equal(found, expected[start:stop])
            assert not turned_variants(filesets, start, stop, False).any()


def test_panels_cover_a_range_in_order():
    assert panel_edges(7, 7) == []
    edges = panel_edges(5, 5 + 2 * ROWS + 1)
    assert edges == [(5, 5 + ROWS), (5 + ROWS, 5 + 2 * ROWS), (5 + 2 * ROWS, 6 + 2 * ROWS)]


@how(max_examples=80, deadline=None)
@given(st.integers(1, 60), st.integers(1, 25), st.data())
def test_rows_of_variants_over_row_groups(tmp_path_factory, many, group, data):
    start = data.draw(st.integers(0, many - 1))
    stop = data.draw(st.integers(start + 1, many))
    path = tmp_path_factory.mktemp("v") / "t.parquet"
    table = pd.DataFrame({"id": [f"rs{k}" for k in range(many)], "pos": np.arange(many)})
    table.to_parquet(path, row_group_size=group)
    expected = table.iloc[start:stop].reset_index(drop=True)
    pd.testing.assert_frame_equal(read_variant_rows(path, start, stop), expected)


def study_of(values, binary, covariates=None):
    n = values.shape[1]
    covariates = np.random.default_rng(1).normal(size=(n, 2)) if covariates is None else covariates
    names = tuple(f"T{k}" for k in range(len(values)))
    ids = tuple(f"{k}_{k}" for k in range(n))
    return Study(ids, names, binary, values, covariates, (np.arange(n),), {})


def simulated(binary=False, n=150):
    rng = np.random.default_rng(2)
    values = rng.normal(size=(3, n))
    values = (values > 0.5).astype(np.float64) if binary else values
    values[1, ::7] = np.nan
    study = study_of(values, binary)
    loco = {
        name: 0.3 * rng.normal(size=int((~np.isnan(row)).sum()))
        for name, row in zip(study.traits, values, strict=True)
    }
    return study, loco, genotypes(rng, 2 * ROWS + 9, n, 0.02)


def panels_of(g):
    for a, b in panel_edges(0, len(g)):
        yield g[a:b].copy(), np.ones(b - a), np.zeros(b - a, bool), np.ones(b - a)


@pytest.mark.parametrize("binary", [False, True])
def test_traits_of_different_people_as_if_alone(binary):
    study, loco, g = simulated(binary)
    chosen = rules()
    found = associate(panels_of(g), study, loco, chosen, len(g))
    assert found.shape == (3, len(Field), len(g))
    for place, trait in enumerate(study.traits):
        there = ~np.isnan(study.values[place])
        alone = study_of(study.values[place : place + 1, there], binary, study.covariates[there])
        own = associate(panels_of(g[:, there]), alone, {"T0": loco[trait]}, chosen, len(g))
        assert found[place].tobytes() == own[0].tobytes()


def test_a_trait_without_a_prediction_fails_alone():
    study, loco, g = simulated()
    whole = associate(panels_of(g), study, loco, rules(), len(g))
    del loco["T0"]
    found = associate(panels_of(g), study, loco, rules(), len(g))
    assert (found[0, Field.CODE] == Code.FAILED).all()
    assert found[1:].tobytes() == whole[1:].tobytes()


def test_a_null_model_that_does_not_converge_fails_and_says_so(capsys):
    study, loco, g = simulated(binary=True)
    loco["T2"] = np.full_like(loco["T2"], np.nan)
    found = associate(panels_of(g), study, loco, rules(), len(g))
    assert (found[2, Field.CODE] == Code.FAILED).all()
    assert (found[0, Field.CODE] == Code.PLAIN).any()
    assert capsys.readouterr().out.startswith("T2: ")


@pytest.mark.parametrize(
    ("binary", "test", "kind"),
    [(False, "score", Linear), (True, "score", Logistic), (True, "firth", Logistic)],
)
def test_models(binary, test, kind):
    study, loco, _ = simulated(binary)
    (cohort, _) = study.cohort_of("T0", 5)
    model = make_model(study, 0, cohort, loco["T0"], rules(test=test))
    assert isinstance(model, kind)
    if binary:
        assert (model.null.firth_offset is None) == (test == "score")
    assert make_model(study, 0, cohort, None, rules()) is None


def test_predictions_of_a_chromosome(tmp_path):
    values = np.arange(23 * 4.0).reshape(23, 4)
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "b.npy", np.empty((23, 0)))  # of a trait that was set aside
    paths = [str(tmp_path / f"{name}.npy") for name in "ab"]
    for chromosome in (1, 2, 23):
        found = load_predictions(paths, ["A", "B"], chromosome)
        assert list(found) == ["A"]
        np.testing.assert_array_equal(found["A"], values[chromosome - 1])


def test_masks_go_in_panels():
    rng = np.random.default_rng(0)
    masks = rng.normal(size=(2 * ROWS + 3, 5)).astype(np.float32)
    summed = rng.integers(1, 9, 2 * ROWS + 3).astype(np.float64)
    people = np.array([0, 3, 4])
    panels = list(mask_panels(masks, summed, people))
    assert [len(panel[0]) for panel in panels] == [ROWS, ROWS, 3]
    np.testing.assert_array_equal(np.concatenate([p[0] for p in panels]), masks[:, people])
    np.testing.assert_array_equal(np.concatenate([p[3] for p in panels]), summed)
    assert not any(p[2].any() for p in panels)


@pytest.mark.parametrize("ref_first", [False, True])
def test_masks_of_sets_count_the_tested_allele(tmp_path, ref_first):
    """Three variants of a set; one of another chromosome's sets; a set of unknown variants."""
    g = np.zeros((4, 30), np.int8)
    g[0, :3], g[1, 2:4], g[2, 5], g[3, 9] = 1, 2, 1, 1
    counts = (2 - g) if ref_first else g
    table = snps(4).assign(chr=["3", "3", "3", "5"])
    write_bed(tmp_path / "g", [counts], people(30), table)
    (tmp_path / "a").write_text("rs0 S1 lof\nrs1 S1 lof\nrs2 S1 missense\nrs3 S2 lof\nrs9 S0 lof\n")
    (tmp_path / "s").write_text("S1 3 100 rs0,rs1,rs2\nS2 5 200 rs3\nS0 3 50 rs9\n")
    (tmp_path / "m").write_text("M lof\nall lof,missense\n")
    burden = {
        **{key: str(tmp_path / key[0]) for key in ("annotations", "sets", "masks")},
        "tests": ["max", "sum"],
        "aaf_bins": [0.5],
        "singletons": False,
    }
    fileset = find_fileset(str(tmp_path / "g"))
    with GenotypeReader([fileset], [np.arange(30)]) as reader:
        plan, _ = plan_burden(burden, variant_table([fileset]))
        masks, summed, rows = masks_of_sets(plan, burden, [3, 0, 2], reader, [fileset], ref_first)
    assert set(rows["ID"]) == {"S1.M.0.5", "S1.all.0.5"}
    assert rows["MASK"].all()
    assert (rows["CHROM"] == 3).all()
    assert list(plan.dropped) == ["S0"]
    largest, added = g[:2].max(axis=0), g[:2].sum(axis=0)
    for row, mask, many in zip(rows.itertuples(), masks, summed, strict=True):
        third = g[2] if row.ID == "S1.all.0.5" else 0
        expected = np.maximum(largest, third) if row.TEST == "ADD" else added + third
        np.testing.assert_array_equal(mask, expected)
        parts = 3 if row.ID == "S1.all.0.5" else 2
        assert many == (1 if row.TEST == "ADD" else parts)
    assert sorted(rows["TEST"]) == ["ADD", "ADD", "ADD-SUM", "ADD-SUM"]
