from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.wgr.burden import (
    RULES,
    SetPlan,
    build_masks,
)

NAN = np.nan


def plan_of(members):
    members = np.atleast_2d(np.array(members, bool))
    v = members.shape[1]
    return SetPlan("GENE1", 7, 4321, np.arange(v), members, v, 0, 0)


def build(dosages, members, cutoffs=(0.01,), singletons=True, rule="max", masks=None):
    plan = plan_of(members)
    names = masks or [f"M{k + 1}" for k in range(len(plan.members))]
    return build_masks(np.array(dosages, np.float32), plan, names, cutoffs, singletons, rule)


def by_hand(genotypes, members, cutoffs, singletons, rule):
    """The masks from lists of 0, 1, 2 and None, person by person, in exact fractions."""
    bins = []
    for counts in genotypes:
        seen = [c for c in counts if c is not None]
        alleles, chromosomes = sum(seen), 2 * len(seen)
        inside = []
        if alleles not in (0, chromosomes):
            inside = ["singleton"] if alleles == 1 else []
            for cutoff in cutoffs:
                if alleles == 1 or Fraction(alleles, chromosomes) <= Fraction(str(cutoff)):
                    inside.append(cutoff)
        bins.append(inside)
    masks, empty = {}, []
    for k, of_mask in enumerate(members):
        for name in ["singleton"] * singletons + sorted(set(cutoffs)):
            label = f"GENE1.M{k + 1}.{'all' if name == 1 else name}"
            rows = [g for g, m, b in zip(genotypes, of_mask, bins, strict=True) if m and name in b]
            if not rows:
                empty.append(label)
                continue
            values = []
            for person in range(len(genotypes[0])):
                counts = [row[person] for row in rows if row[person] is not None]
                if not counts:
                    values.append(None)
                elif rule == "max":
                    values.append(max(counts))
                else:
                    values.append(min(sum(counts), 2) if rule == "comphet" else sum(counts))
            there = [v for v in values if v is not None]
            aaf = Fraction(sum(there), 2 * len(there)) / (len(rows) if rule == "sum" else 1)
            masks[label] = values, float(aaf), len(rows)
    return masks, empty


@st.composite
def cases(draw):
    v, n, k = draw(st.integers(1, 6)), draw(st.integers(1, 14)), draw(st.integers(1, 3))
    # Rare alleles and rows with all missing among them.
    allele = st.sampled_from([0, 0, 0, 0, 1, 2, None])
    genotypes = draw(
        st.lists(
            st.one_of(st.lists(allele, min_size=n, max_size=n), st.just([None] * n)),
            min_size=v,
            max_size=v,
        )
    )
    flags = st.lists(st.booleans(), min_size=v, max_size=v)
    members = draw(st.lists(flags, min_size=k, max_size=k))
    cutoffs = draw(
        st.lists(st.sampled_from([0.01, 0.05, 0.1, 0.125, 0.25, 0.5, 0.75, 1]), max_size=4)
    )
    return genotypes, members, cutoffs, draw(st.booleans())


@pytest.mark.parametrize("rule", RULES)
@given(case=cases())
def test_masks_are_those_made_person_by_person(rule, case):
    genotypes, members, cutoffs, singletons = case
    expected, empty = by_hand(genotypes, members, cutoffs, singletons, rule)
    dosages = [[NAN if c is None else c for c in counts] for counts in genotypes]
    built = build(dosages, members, cutoffs, singletons, rule)
    assert built.table["id"].tolist() == list(expected)
    assert built.empty == tuple(empty)
    assert built.values.dtype == np.float32
    assert built.values.shape == (len(expected), len(genotypes[0]))
    for values, row in zip(built.values, built.table.itertuples(), strict=True):
        made, aaf, count = expected[row.id]
        assert [None if np.isnan(v) else v for v in values.tolist()] == made
        assert row.aaf == pytest.approx(aaf, rel=1e-12)
        assert row.n_variants == count


@pytest.mark.parametrize("rule", RULES)
def test_dosages_are_combined_without_rounding(rule):
    rng = np.random.default_rng(5)
    dosages = rng.choice([0, 0.1, 0.7, 1, 1.93], (9, 300), p=[0.9, 0.04, 0.03, 0.02, 0.01])
    dosages[rng.random((9, 300)) < 0.3] = NAN
    dosages = dosages.astype(np.float32)
    built = build(dosages, np.ones(9), [1], rule=rule)
    assert built.table["id"].tolist() == ["GENE1.M1.all"]
    for person, value in enumerate(built.values[0]):
        counts = [float(d) for d in dosages[:, person] if not np.isnan(d)]
        if not counts:
            assert np.isnan(value)
        elif rule == "max":
            assert value == max(counts)
        else:
            total = sum(counts) if rule == "sum" else min(sum(counts), 2)
            assert value == pytest.approx(total, rel=1e-7)
    total, called = np.nansum(dosages.astype(float)), (~np.isnan(dosages)).sum()
    assert np.isnan(built.values).sum() == np.isnan(dosages).all(axis=0).sum()
    if rule == "sum":
        people = np.isfinite(built.values).sum()
        assert called > people > 0
        assert built.table["aaf"][0] == pytest.approx(total / people / 2 / 9)


@pytest.mark.parametrize(
    ("genotypes", "single"),
    [
        ([1, 0, 0, NAN], True),
        ([2, 0, 0, 0], False),  # one carrier, but two alleles
        ([0.6, 0, 0, 0], True),
        ([0.5, 0, 0, 0], True),
        ([0.7, 0.7, 0, 0], True),
        ([0.75, 0.75, 0, 0], False),
        ([2, 2, 2, 1], False),  # of the other allele
    ],
)
def test_a_singleton_has_one_alternative_allele_after_rounding(genotypes, single):
    built = build([genotypes], [[True]], [1])
    assert ("GENE1.M1.singleton" in built.table["id"].tolist()) == single
    assert "GENE1.M1.all" in built.table["id"].tolist()


@pytest.mark.parametrize("genotypes", [[0, 0, 0], [2, 2, NAN], [NAN] * 3, [0.4, 0, 0]])
def test_variants_that_do_not_vary_leave_no_trace(genotypes):
    """Neither in the values, where a count of two would show, nor in the number of variants."""
    built = build([genotypes, [0, 1, 0]], [[True, True]], [0.5, 1], rule="sum")
    assert built.values.tolist() == [[0, 1, 0]] * 3
    assert built.table["n_variants"].tolist() == [1, 1, 1]
    alone = build([genotypes], [[True]], [0.5, 1])
    assert alone.values.shape == (0, 3)
    assert alone.empty == ("GENE1.M1.singleton", "GENE1.M1.0.5", "GENE1.M1.all")
    assert alone.table.dtypes.tolist() == built.table.dtypes.tolist()


def test_singletons_are_in_every_bin_once():
    """Among few people one allele is more than a cutoff; a bin is an upper bound all the same."""
    dosages = np.zeros((3, 40))
    dosages[0, 0] = 1  # 0.0125
    dosages[1, :2] = 1  # 0.025
    dosages[2, :8] = 1  # 0.1
    built = build(dosages, [[True] * 3], [0.1, 0.001, 0.03], rule="sum")
    assert built.table["bin"].tolist() == ["singleton", "0.001", "0.03", "0.1"]
    assert built.table["n_variants"].tolist() == [1, 1, 2, 3]
    assert built.values[:, 0].tolist() == [1, 1, 2, 3]
    assert built.values[:, 1].tolist() == [0, 0, 1, 2]
    without = build(dosages, [[True] * 3], [0.001, 0.03, 0.1], False, "sum")
    np.testing.assert_array_equal(without.values, built.values[1:])


def test_a_cutoff_is_met_to_the_last_digit():
    """An allele frequency that is the cutoff as a decimal number belongs to the bin."""
    for n, alleles, cutoff in [(100, 2, 0.01), (500, 3, 0.003), (1500, 3, 0.001), (50, 5, 0.05)]:
        dosages = np.zeros((1, n))
        dosages[0, :alleles] = 1
        built = build(dosages, [[True]], [cutoff])
        assert built.table["id"].tolist() == [f"GENE1.M1.{cutoff:g}"]
        dosages[0, alleles] = 1
        assert not len(build(dosages, [[True]], [cutoff]).table)


def test_names_and_places_are_those_of_regenie():
    dosages = np.zeros((2, 400))
    dosages[0, 3] = dosages[1, :3] = 1
    built = build(
        dosages,
        [[True, True], [True, True], [False, True]],
        [0.01, 1, 0.00001, 0.01],
        masks=["LoF", "LoF_missense", "M3"],
    )
    assert built.table["id"].tolist() == [
        "GENE1.LoF.singleton",
        "GENE1.LoF.1e-05",
        "GENE1.LoF.0.01",
        "GENE1.LoF.all",
        "GENE1.LoF_missense.singleton",
        "GENE1.LoF_missense.1e-05",
        "GENE1.LoF_missense.0.01",
        "GENE1.LoF_missense.all",
        "GENE1.M3.0.01",
        "GENE1.M3.all",
    ]
    assert built.empty == ("GENE1.M3.singleton", "GENE1.M3.1e-05")
    first = built.table.iloc[2].to_dict()
    assert first == {
        "id": "GENE1.LoF.0.01",
        "chrom": 7,
        "pos": 4321,
        "allele0": "ref",
        "allele1": "LoF.0.01",
        "set": "GENE1",
        "mask": "LoF",
        "bin": "0.01",
        "rule": "max",
        "aaf": 4 / 800,
        "n_variants": 2,
    }
    np.testing.assert_array_equal(built.values[:4], built.values[4:8])


@pytest.mark.parametrize("rule", RULES)
def test_no_mask_depends_on_others_or_on_the_order_of_people(rule):
    rng = np.random.default_rng(6)
    dosages = (2 * rng.random((7, 90)) ** 9).astype(np.float32)
    dosages[rng.random((7, 90)) < 0.2] = NAN
    members = rng.random((3, 7)) < 0.7
    cutoffs = [0.09, 0.1, 0.12]
    together = build(dosages, members, cutoffs, rule=rule)
    assert len(together.table) == 9
    for row, values in zip(together.table.itertuples(), together.values, strict=True):
        alone = build(dosages, members[int(row.mask[1]) - 1], [float(row.bin)], False, rule)
        assert alone.values.tobytes() == values.tobytes()
        assert alone.table["aaf"][0] == row.aaf
    order = rng.permutation(90)
    turned = build(dosages[:, order], members, cutoffs, rule=rule)
    assert turned.values.tobytes() == np.ascontiguousarray(together.values[:, order]).tobytes()


def test_a_rule_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no rule min"):
        build([[0, 1]], [[True]], [1], rule="min")
