import numpy as np
import pytest

from people import NOISE, SECTION, pairs, people_of, table_of, told
from tessera.wgr.people import join_people


def test_traits_are_described(write):
    who = pairs(30)
    binary = [1] * 12 + [0] * 16 + [None] * 2
    write(p=table_of(who, NOISE[0, :30], binary, names=["a", "A"]))
    files = [("g", people_of(who))]
    people = join_people(SECTION, files)
    assert people.traits.columns.tolist() == [
        *("trait", "type", "status", "reason", "note"),
        *("n", "cases", "controls", "mean", "sd"),
    ]
    assert people.traits["trait"].tolist() == ["a", "A"]
    assert people.traits["n"].tolist() == [30, 28]
    np.testing.assert_allclose(people.traits["mean"], [NOISE[0, :30].mean(), 12 / 28])
    np.testing.assert_allclose(people.traits["sd"][0], NOISE[0, :30].std(ddof=1))
    assert people.traits["cases"].isna().all()
    note = "has two values and looks binary; set wgr.trait_type to bt if it is"
    assert people.traits["note"].tolist() == ["", note]
    assert people.notes == [f"p.txt: column A: {note}."]
    people = join_people({**SECTION, "trait_type": "bt"}, files)
    assert people.traits.loc[1, ["status", "cases", "controls"]].tolist() == ["ok", 12, 16]
    assert str(people.traits["cases"].dtype) == "Int64"
    assert people.traits["status"].tolist() == ["set aside", "ok"]


def test_cases_coded_1_and_2_are_recognised(write):
    who = pairs(30)
    coded = [2] * 11 + [1] * 17 + [None] * 2
    write(p=table_of(who, coded, [2] * 20 + [1] * 10))
    section = {**SECTION, "trait_type": "bt"}
    people = join_people(section, [("g", people_of(who[:29]))])
    np.testing.assert_array_equal(people.values, [[1] * 11 + [0] * 17])
    note = "coded 1 and 2, which is read as 1 for controls and 2 for cases"
    assert people.traits["note"].tolist() == [note, note]
    assert people.notes[0] == f"p.txt: column Y1: {note}."
    assert people.traits["cases"].tolist() == [11, 20]
    assert people.traits["controls"].tolist() == [17, 9]
    assert people.traits["reason"].tolist() == ["", "fewer than 10 controls"]
    assert str(people.aside["Y2"]) == (
        "p.txt: column Y2: 20 cases and 9 controls, fewer than 10 controls; "
        "leave the trait out of wgr.traits."
    )


ASIDE = {
    "constant": ([3.5] * 40, "qt", "column Y: constant: all 40 values are 3.5"),
    "too few values": (
        [1, 2, 3] * 3 + [None] * 31,
        "qt",
        "column Y: 9 individuals have a value, fewer than 10",
    ),
    "text or infinite values": (
        [1, "abc", *range(30), "inf", None, *range(6)],
        "qt",
        "row 3, column Y: found 'abc' and 1 more cells that are no finite numbers (rows 34)",
    ),
    "fewer than 10 cases": (
        [1] * 9 + [0] * 31,
        "bt",
        "column Y: 9 cases and 31 controls, fewer than 10 cases",
    ),
    "fewer than 10 controls": (
        [1] * 35 + [0] * 5,
        "bt",
        "column Y: 35 cases and 5 controls, fewer than 10 controls",
    ),
    "not binary": (
        [0, 1, 2, 2] * 10,
        "bt",
        "column Y: not binary: found the values 0, 1 and 2; code controls 0, cases 1 and missing "
        "NA, or set wgr.trait_type to qt.",
    ),
}


@pytest.mark.parametrize("reason", ASIDE)
def test_a_bad_trait_is_set_aside_and_stops_no_other(write, reason):
    who = pairs(40)
    cells, kind, message = ASIDE[reason]
    good = [0, 1] * 20
    write(p=table_of(who, good, cells, good, names=["A", "Y", "B"]))
    files = [("g", people_of(who))]
    people = join_people({**SECTION, "trait_type": kind}, files)
    assert people.traits["status"].tolist() == ["ok", "set aside", "ok"]
    assert people.traits["reason"].tolist() == ["", reason, ""]
    np.testing.assert_array_equal(people.values, [good, good])
    assert list(people.aside) == ["Y"]
    assert str(people.aside["Y"]).startswith(f"p.txt: {message}")
    assert told({"trait_type": kind, "traits": ["Y"]}, files) == [str(people.aside["Y"])]


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ([-9, 1, 2, 1] * 10, "found the values -9, 1 and 2"),
        ([0.5, 1.5, 2, 3.25, 4, 6, 7, 8] * 5, "found 8 values, such as 0.5, 1.5, 2, 3.25, 4"),
        ([7] * 40, "found no value but 7"),
        ([0, 2] * 20, "found the values 0 and 2"),
    ],
)
def test_what_is_not_binary_is_told(write, cells, found):
    who = pairs(40)
    write(p=table_of(who, cells))
    (message,) = told({"trait_type": "bt"}, [("g", people_of(who))])
    assert message.startswith(f"p.txt: column Y1: not binary: {found}; code controls 0, cases 1")


def test_no_case_at_all_is_constant(write):
    who = pairs(40)
    write(p=table_of(who, [0] * 40, [1] * 40))
    assert told({"trait_type": "bt"}, [("g", people_of(who))]) == [
        "p.txt: column Y1: constant: all 40 values are 0; leave the trait out of wgr.traits.",
        "p.txt: column Y2: constant: all 40 values are 1; leave the trait out of wgr.traits.",
    ]


def test_a_trait_needs_more_values_than_covariates(write):
    who = pairs(40)
    rng = np.random.default_rng(3)
    column = [float(x) if n < 14 else None for n, x in enumerate(rng.normal(size=40))]
    write(p=table_of(who, column, NOISE[0]), c=table_of(who, *rng.normal(size=(12, 40))))
    files = [("g", people_of(who))]
    people = join_people({**SECTION, "covariates": "c.txt"}, files)
    assert str(people.aside["Y1"]).startswith(
        "p.txt: column Y1: 14 individuals have a value, fewer than 15;"
    )
    assert not join_people(SECTION, files).aside


def test_names_that_are_no_file_names_are_set_aside(write):
    who = pairs(20)
    names = ["a/b", ".c", "d\u200be", "{f}", "g" * 201, "Y.1-%", "y.1-%"]
    write(p=table_of(who, *[NOISE[0, :20]] * 7, names=names))
    people = join_people(SECTION, [("g", people_of(who))])
    assert people.traits["status"].tolist() == ["set aside"] * 5 + ["ok"] * 2
    assert str(people.aside["a/b"]) == (
        "p.txt: column 'a/b': the trait's name 'a/b' cannot be the name of a file; "
        "rename the column, shortly, without / { } < > or a dot in front."
    )
    assert str(people.aside["d\u200be"]).startswith(r"p.txt: column 'd\u200be': ")
    assert people.values.shape == (2, 20)


def test_a_combination_of_the_covariates_is_set_aside(write):
    """Among its own people, be it none of all of them."""
    who = pairs(40)
    c = np.random.default_rng(4).normal(size=(2, 40))
    made = 7e3 + 2 * c[0] - 1e-3 * c[1]
    partly = [float(y) if n < 30 else None for n, y in enumerate(made)]
    off = made + np.eye(40)[0] * 1e-3
    write(p=table_of(who, made, partly, off, NOISE[0]), c=table_of(who, *c))
    people = join_people({**SECTION, "covariates": "c.txt"}, [("g", people_of(who))])
    assert people.traits["status"].tolist() == ["set aside"] * 2 + ["ok"] * 2
    assert set(people.traits["reason"]) == {"a combination of the covariates", ""}
    assert str(people.aside["Y2"]) == (
        "p.txt: column Y2: a combination of the covariates, which leave nothing to be explained; "
        "leave out the trait, or the covariates that it is made of."
    )
    assert not join_people(SECTION, [("g", people_of(who))]).aside


def test_a_trait_that_covariates_separate_is_marked(write):
    who = pairs(40)
    cases = [int(n >= 20) for n in range(40)]
    write(p=table_of(who, cases, (NOISE[1] > 0).astype(int)), c=table_of(who, range(40)))
    section = {**SECTION, "trait_type": "bt", "covariates": "c.txt"}
    people = join_people(section, [("g", people_of(who))])
    assert people.traits["status"].tolist() == ["ok", "ok"]
    note = "covariates separate cases from controls, so the null model has no finite fit and is "
    assert people.traits["note"].tolist() == [f"{note}penalised", ""]
    assert people.notes == [f"p.txt: column Y1: {note}penalised."]
