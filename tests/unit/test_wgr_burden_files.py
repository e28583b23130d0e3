"""The three files of burden tests: what is read, planned, told and refused."""

import numpy as np
import pytest

from tessera.errors import InputError
from tessera.wgr.burden import NOT_ANALYSED, NOT_GENOTYPED, NOT_MASKED, plan_sets
from tessera.wgr.burden_files import Mask, VariantSet, read_annotations, read_masks, read_sets

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
