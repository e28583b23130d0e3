from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.errors import InputError
from tessera.wgr.burden import (
    NOT_ANALYSED,
    NOT_GENOTYPED,
    NOT_MASKED,
    RULES,
    SetPlan,
    build_masks,
    plan_sets,
)
from tessera.wgr.burden_files import Mask, VariantSet, read_annotations, read_masks, read_sets

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


SETS = """GENE1 1 100 v1,v2,v3,v4
GENE2\t7\t500\tv7,v6,v7 , v8,gone
GENE3 X 900 v9
"""
ANNOTATIONS = """v1\tGENE1\tpLof
v2\tGENE1\tmissense
v3\tGENE1\tsynonymous
v1\tGENE2\tmissense
v6 GENE2   pLof
v7\tGENE2\tmissense

v8\tGENE2\tpLof\tdomain\t0.5
v9\tGENE3\tpLof
"""
MASKS = "M1\tpLof\nM2 pLof,missense\nM3 missense, unknown\nM4 NULL\n"
IDS = ["v1", "v2", "v3", "v4", "other", "v8", "v7", "v6", "v9"]
ON = np.array([1, 1, 1, 1, 1, 7, 7, 7, 23])


@pytest.fixture
def files(tmp_path):
    """Write the three files and return their paths."""

    def write(sets=SETS, annotations=ANNOTATIONS, masks=MASKS):
        texts = {"sets": sets, "annotations": annotations, "masks": masks}
        for name, text in texts.items():
            data = text if isinstance(text, bytes) else text.encode()
            (tmp_path / name).write_bytes(data)
        return {name: str(tmp_path / name) for name in texts}

    return write


def plan(paths, ids=IDS, on=ON):
    sets, annotations = read_sets(paths["sets"]), read_annotations(paths["annotations"])
    return plan_sets(sets, annotations, read_masks(paths["masks"]), ids, on)


def refused(call, *arguments):
    with pytest.raises(InputError) as error:
        call(*arguments)
    return str(error.value).splitlines()


def test_files_are_read_in_their_formats(files):
    paths = files()
    assert read_annotations(paths["annotations"]) == {
        "GENE1": {"v1": "pLof", "v2": "missense", "v3": "synonymous"},
        "GENE2": {"v1": "missense", "v6": "pLof", "v7": "missense", "v8": "pLof"},
        "GENE3": {"v9": "pLof"},
    }
    sets, masks = paths["sets"], paths["masks"]
    assert read_sets(sets) == [
        VariantSet(sets, 1, "GENE1", "1", 100, ("v1", "v2", "v3", "v4")),
        VariantSet(sets, 2, "GENE2", "7", 500, ("v7", "v6", "v8", "gone")),
        VariantSet(sets, 3, "GENE3", "X", 900, ("v9",)),
    ]
    assert read_masks(masks) == [
        Mask(masks, 1, "M1", ("pLof",)),
        Mask(masks, 2, "M2", ("pLof", "missense")),
        Mask(masks, 3, "M3", ("missense", "unknown")),
        Mask(masks, 4, "M4", ("NULL",)),
    ]


def test_each_set_gets_its_variants_in_file_order_and_all_are_accounted_for(files):
    planned = plan(files())
    assert planned.masks == ("M1", "M2", "M3", "M4")
    assert [(s.name, s.chrom, s.pos) for s in planned.sets] == [
        ("GENE1", 1, 100),
        ("GENE2", 7, 500),
        ("GENE3", 23, 900),
    ]
    gene1, gene2, gene3 = planned.sets
    # v3 has an annotation that no mask names, v4 has none for this set.
    assert gene1.rows.tolist() == [0, 1, 3]
    assert gene1.members.tolist() == [
        [True, False, False],
        [True, True, False],
        [False, True, False],
        [False, False, True],
    ]
    assert [IDS[row] for row in gene2.rows] == ["v8", "v7", "v6"]
    assert gene2.members.tolist() == [
        [True, False, True],
        [True, True, True],
        [False, True, False],
        [False, False, False],
    ]
    assert [(s.listed, s.absent, s.unmasked) for s in planned.sets] == [
        (4, 0, 1),
        (4, 1, 0),
        (1, 0, 0),
    ]
    for each in planned.sets:
        assert each.listed == each.absent + each.unmasked + len(each.rows)
    assert gene3.rows.dtype == np.int64
    assert not planned.dropped


def test_an_annotation_that_no_variant_has_is_a_note(files):
    paths = files(masks=MASKS + "M5 plof,pLof\n")
    assert [str(note) for note in plan(paths).notes] == [
        f"{paths['masks']}: row 3: no variant has the annotation unknown of mask M3; "
        "check its name in the file of annotations.",
        f"{paths['masks']}: row 5: no variant has the annotation plof of mask M5; "
        "check its name in the file of annotations (did you mean pLof?).",
    ]


def test_sets_without_variants_are_dropped_with_the_reason(files):
    more = "LOST 2 5 a,b\nSILENT 1 7 v3,v2\nY1 Y 8 v1\n"
    told = ANNOTATIONS + "v3 SILENT synonymous\nv2 SILENT synonymous\n"
    planned = plan(files(SETS + more, told, MASKS))
    assert [s.name for s in planned.sets] == ["GENE1", "GENE2", "GENE3"]
    assert planned.dropped == {"LOST": NOT_GENOTYPED, "SILENT": NOT_MASKED, "Y1": NOT_ANALYSED}


def test_when_no_set_is_left_it_says_why(files):
    paths = files("A 1 5 1:7:A:C\nB 1 5 1:8:A:C\nC Y 5 v1\n")
    assert refused(plan, paths) == [
        f"{paths['sets']}: no set is left (2 of 3: none of its variants is in the genotype "
        "files); name variants by the ids that they have in the genotype files, such as v1.",
        f"{paths['masks']}: row 3: no variant has the annotation unknown of mask M3; check its "
        "name in the file of annotations.",
    ]
    paths = files(masks="M1 lof\n")
    assert refused(plan, paths) == [
        f"{paths['sets']}: no set is left (3 of 3: none of its variants has an annotation that a "
        "mask names); use the same names of variants, sets and annotations in all three files.",
        f"{paths['masks']}: row 1: no variant has the annotation lof of mask M1; check its name "
        "in the file of annotations (did you mean pLof?).",
    ]
    paths = files("A MT 5 v1\n")
    assert refused(plan, paths)[0] == (
        f"{paths['sets']}: no set is left (1 of 1: its chromosome is not analysed); "
        "name chromosomes 1 to 22 or X."
    )


def test_variants_elsewhere_or_with_an_id_twice_are_refused(files):
    paths = files(SETS.replace("GENE3 X", "GENE3 2").replace("GENE2\t7", "GENE2\tchr7"))
    assert refused(plan, paths, ["v1", *IDS[:-1], "v9"], np.array([0, *ON])) == [
        f"{paths['sets']}: variant v1 occurs 2 times in the genotype files; give each variant an "
        "id of its own.",
        f"{paths['sets']}: row 1: 1 of 4 variants of set GENE1 lie off its chromosome 1, such as "
        "v1 on one that is not analysed; correct the chromosome of the set, or take these variants "
        "out.",
        f"{paths['sets']}: row 3: 1 of 1 variants of set GENE3 lie off its chromosome 2, such as "
        "v9 on 23; correct the chromosome of the set, or take these variants out.",
    ]


def test_an_id_twice_that_no_set_names_is_nobodys_trouble(files):
    assert plan(files(), ["other", *IDS], np.array([5, *ON])).sets[0].rows.tolist() == [1, 2, 4]


def test_bad_rows_are_told_at_once(files):
    paths = files(
        "G1 1\nG2 1 x v1\nG3 1 -5 v1\nG4 1 7 ,\nG5 1 5 v1\nG6 1 5 v1\nG5 1 5 v2\n",
        "v1 G1\nv1 G1 dom pLof\nv1 G1 pLof\nv1 G1 missense\nv1 G1 pLof\nv1\n",
        "M1\nM2 ,\nM3 a,b\nM3 c\n",
    )
    four = "write set, chromosome, position and the variants, separated by commas."
    assert refused(read_sets, paths["sets"]) == [
        f"{paths['sets']}: row 1: found 2 columns where 4 are expected; {four}",
        f"{paths['sets']}: row 2: found x as the position of set G2; expected a whole number, in "
        "base pairs.",
        f"{paths['sets']}: row 3: found -5 as the position of set G3; expected a whole number, in "
        "base pairs.",
        f"{paths['sets']}: row 4: set G4 names no variant; list its variants, separated by commas.",
        f"{paths['sets']}: row 7: set G5 occurs in row 5 already; list all variants of a set in "
        "one row.",
    ]
    assert refused(read_annotations, paths["annotations"]) == [
        f"{paths['annotations']}: row 1: found 2 columns where 3 are expected; write variant, set "
        "and annotation.",
        f"{paths['annotations']}: row 2: found 4 columns, which would make the third a domain of "
        "the set; leave it out: variant, set and annotation are read.",
        f"{paths['annotations']}: row 4: variant v1 is missense for set G1, but pLof in an earlier "
        "row; keep one annotation for each variant and set.",
        f"{paths['annotations']}: row 6: found 1 column where 3 are expected; write variant, set "
        "and annotation.",
    ]
    assert refused(read_masks, paths["masks"]) == [
        f"{paths['masks']}: row 1: mask M1 names no annotation; write mask and annotations, "
        "separated by commas.",
        f"{paths['masks']}: row 2: mask M2 names no annotation; write mask and annotations, "
        "separated by commas.",
        f"{paths['masks']}: row 4: mask M3 occurs in row 3 already; give each mask a name of its "
        "own.",
    ]


def test_the_first_ten_problems_are_told_and_the_others_counted(files):
    paths = files(annotations="v1 G1 dom pLof\n" * 25)
    told = refused(read_annotations, paths["annotations"])
    assert len(told) == 11
    assert told[9].startswith(f"{paths['annotations']}: row 10: found 4 columns")
    assert told[10] == (
        f"{paths['annotations']}: 15 more such problems; correct them in the same way."
    )


@pytest.mark.parametrize("read", [read_annotations, read_sets, read_masks])
def test_files_that_cannot_be_read(read, files, tmp_path):
    (tmp_path / "empty").write_text("\n \n")
    (tmp_path / "gz").write_bytes(b"\x1f\x8b\x08\x00\xff\xfe")
    assert refused(read, str(tmp_path / "none")) == [
        f"{tmp_path}/none: the file does not exist; correct the path or provide the file."
    ]
    assert refused(read, str(tmp_path / "empty"))[0].startswith(
        f"{tmp_path}/empty: holds no rows; write rows of "
    )
    assert refused(read, str(tmp_path / "gz")) == [
        f"{tmp_path}/gz: is not text in UTF-8; save it as plain text, not compressed."
    ]
