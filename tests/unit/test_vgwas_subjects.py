import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from tessera.errors import InputError, Problem
from tessera.vgwas.subjects import (
    NO_COVARIATES,
    NO_GENOTYPES,
    NO_MAP,
    bare,
    join,
    read_covariates,
    take_covariates,
)

FILES = ("maps.tsv", ["a.fam", "b.fam"], "covariates.tsv")
SECTION = {"covariate_columns": "all", "categorical": [], "exchangeability": None}


def message(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)


def test_joined_in_the_order_of_the_first_fileset():
    joined = join(list("abcdx"), [list("dcbay"), list("abcdz")], list("cabdv"), FILES, 0.5)
    assert joined.used == list("dcba")
    assert joined.dropped == {
        "x": NO_GENOTYPES,
        "y": NO_MAP,
        "z": NO_MAP,
        "v": NO_MAP,
    }
    assert joined.aside == {}
    joined = join(list("abc"), [list("abc"), list("abc")], list("ab"), FILES, 0.5)
    assert (joined.used, joined.dropped) == (["a", "b"], {"c": NO_COVARIATES})


@how(max_examples=80, deadline=None)
@given(*[st.sets(st.integers(0, 12).map(str)) for _ in range(3)], st.none() | st.just("covariates"))
def test_everyone_is_used_or_dropped_for_a_reason(maps, first, second, covariates):
    table = {str(i) for i in range(3, 13)} if covariates else None
    groups = [maps, first, second, *([table] if table else [])]
    common = set.intersection(*groups)
    arguments = (sorted(maps), [sorted(first), sorted(second)], sorted(table) if table else None)
    if not common:
        assert "0 subjects are in all of them" in message(join, *arguments, FILES, 0)
        return
    joined = join(*arguments, FILES, 0)
    assert joined.used == sorted(common)
    assert set(joined.used) | set(joined.dropped) == set.union(*groups)
    assert not set(joined.used) & set(joined.dropped)
    lacking = {NO_MAP: [maps], NO_GENOTYPES: [first, second], NO_COVARIATES: [table]}
    for subject, reason in joined.dropped.items():
        assert any(subject not in group for group in lacking[reason])


def test_overlap_is_a_share_of_the_smallest_input():
    maps, ids = [f"s{i}" for i in range(10)], [f"s{i}" for i in range(1, 100)]
    arguments = (maps, [ids, ids], None, ("maps.tsv", ["a.fam", "b.fam"], None))
    assert len(join(*arguments, 0.9).used) == 9
    told = message(join, *arguments, 0.91)
    assert told.count("\n") == 2
    assert "maps.tsv: 1 of 10 subjects are not in all inputs, such as s0; 9 subjects are in" in told
    assert "a.fam: 90 of 99 subjects are not in all inputs, such as s10, s11, s12; 9" in told
    assert "90.0% of maps.tsv: make the ids alike, or lower vgwas.min_overlap from 0.91." in told


def test_ids_that_differ_in_style_are_shown_side_by_side():
    told = message(join, ["1", "2"], [["S1", "S2"]], ["1", "2"], ("m", ["f"], "c"), 0.9)
    assert "m: 2 of 2 subjects are not in all inputs, such as 1, 2;" in told
    assert "f: 2 of 2 subjects are not in all inputs, such as S1, S2;" in told
    assert "0 subjects are in all of them, 0.0% of m" in told
    assert (bare("sub-7"), bare("7"), bare("sub-sub-7")) == ("7", "7", "sub-7")


def table(tmp_path, text):
    path = tmp_path / "covariates.tsv"
    path.write_text(text)
    return str(path)


def test_covariates_are_read_as_text_by_subject(tmp_path):
    path = table(tmp_path, "# a note\nage\tsubject\tsite\nn/a\tsub-2\tb\n31.5\t1\t03\n")
    covariates, columns = read_covariates(path, SECTION)
    assert covariates == {"2": {"age": None, "site": "b"}, "1": {"age": "31.5", "site": "03"}}
    assert columns == ["age", "site"]
    blocks = {**SECTION, "exchangeability": "site"}
    assert read_covariates(path, blocks)[1] == ["age"]
    one = {**SECTION, "covariate_columns": ["age"]}
    assert read_covariates(path, one) == ({"2": {"age": None}, "1": {"age": "31.5"}}, ["age"])
    none = {**SECTION, "covariate_columns": []}
    assert read_covariates(path, none) == ({"2": {}, "1": {}}, [])


def test_columns_that_are_not_there_are_all_told(tmp_path):
    path = table(tmp_path, "subject\tage\tsite\n1\t3\t4\n")
    section = {"covariate_columns": ["agee"], "categorical": ["sex"], "exchangeability": "fam"}
    told = message(read_covariates, path, section)
    assert told.count("\n") == 2
    assert (
        "header: has no column agee, which vgwas.covariate_columns names; expected one of" in told
    )
    assert "age, site" in told
    assert "did you mean" in told.splitlines()[0]
    assert "no column sex, which vgwas.categorical names" in told
    assert "no column fam, which vgwas.exchangeability names" in told


def test_a_subject_twice_is_an_error(tmp_path):
    path = table(tmp_path, "subject\tage\n1\t3\nsub-1\t4\n")
    assert "row 3" in message(read_covariates, path, SECTION)
    assert "absent.tsv" in message(read_covariates, str(tmp_path / "absent.tsv"), SECTION)


def joined_of(cells):
    covariates = {s: dict(zip(("age", "site"), row, strict=True)) for s, row in cells.items()}
    return join(list(cells), [list(cells)], list(cells), ("m", ["f"], "c"), 0), covariates


def test_values_are_taken_and_those_without_one_set_aside():
    joined, cells = joined_of(
        {
            "1": ("3", "x"),
            "2": (None, "y"),
            "3": ("nan", None),
            "4": ("-1e3", "x"),
            "5": ("inf", "y"),
        }
    )
    values = take_covariates(joined, cells, ["age", "site"], ["site"], "c.tsv")
    assert values == {"1": {"age": 3.0, "site": "x"}, "4": {"age": -1000.0, "site": "x"}}
    assert joined.used == ["1", "4"]
    assert joined.dropped == dict.fromkeys("235", "covariate missing")
    told = {subject: str(problem) for subject, problem in joined.aside.items()}
    assert told["2"].startswith("c.tsv: subject 2, column age: no value;")
    assert told["3"].startswith("c.tsv: subject 3, column age, site: no value;")
    assert set(told) == {"2", "3", "5"}


def test_blocks_need_no_numbers_but_a_value():
    joined, cells = joined_of({"1": ("3", "x"), "2": ("4", None), "3": ("5", "y")})
    values = take_covariates(joined, cells, ["age"], [], "c.tsv")
    assert values == {"1": {"age": 3.0, "site": "x"}, "3": {"age": 5.0, "site": "y"}}
    assert joined.dropped == {"2": "covariate missing"}


def test_text_in_a_column_of_numbers_is_an_error_with_examples():
    cells = {str(i): (("old", "m") if i > 1 else ("3", "f")) for i in range(7)}
    joined, covariates = joined_of(cells)
    told = message(take_covariates, joined, covariates, ["age", "site"], [], "c.tsv")
    first, second = sorted(told.splitlines())
    assert first == (
        "c.tsv: column age: 5 cells hold text ('old' of 2, 'old' of 3, 'old' of 4); "
        "correct it, or list the column in vgwas.categorical."
    )
    assert second.startswith("c.tsv: column site: 7 cells hold text ('f' of 0, 'f' of 1, 'm' of 2)")


def test_set_aside_is_told_with_its_problem():
    joined = join(["1", "2"], [["2", "1"]], None, ("m", ["f"], None), 1)
    problem = Problem("m", "", "what", "remedy")
    joined.set_aside("1", "map unusable", problem)
    assert joined.used == ["2"]
    assert joined.dropped == {"1": "map unusable"}
    assert joined.aside == {"1": problem}
