import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from people import NOISE, SECTION, pairs, people_of, table_of, text_of, told
from tessera.genotypes import find_fileset, read_samples
from tessera.wgr.people import independent, join_people


def test_in_the_order_of_the_first_genotype_file_with_a_reason_for_everyone(write):
    who, more = pairs(24), range(20, 24)
    noise = NOISE[:, :24].astype(object)
    noise[0, 3], noise[0, 4], noise[1, 4], noise[2, 5] = None, None, None, None
    in_p, in_c = [*range(16), *more], [*range(15), 19, *more]
    write(
        p=table_of([who[k] for k in in_p], *noise[:2, in_p]) + "x y 1 2\n",
        c=table_of([who[k] for k in in_c], *noise[2:3, in_c], names=["C"]),
        keep="\n".join(" ".join(w) for w in who if w != who[6]),
        remove=" ".join(who[7]),
    )
    first = people_of([who[18], *who[2:17], *who[20:]])
    second = people_of([*who[::-1], ("z", "z")])
    section = {"covariates": "c.txt", "keep": "keep.txt", "remove": "remove.txt"}
    people = join_people({**SECTION, **section}, [("1.fam", first), ("2.fam", second)])
    samples = people.samples
    assert list(samples) == ["fid", "iid", "status"]
    found = {(s.fid, s.iid): s.status for s in samples.itertuples()}
    assert len(found) == len(samples)
    assert list(found)[:20] == list(first.itertuples(index=False, name=None))
    at = [2, 3, *range(8, 15), *more]
    used = [who[k] for k in at]
    absent = [who[0], who[1], who[17], who[19], ("z", "z"), ("x", "y")]
    assert found == {
        **dict.fromkeys(used, "used"),
        who[4]: "no value of any trait",
        who[5]: "covariate missing",
        who[6]: "not in keep",
        who[7]: "in remove",
        who[15]: "no covariates",
        who[16]: "no phenotypes",
        who[18]: "no phenotypes",
        **dict.fromkeys(absent, "not in 1.fam"),
    }
    assert people.ids == ["_".join(w) for w in used]
    for frame, rows in zip((first, second), people.rows, strict=True):
        assert rows.dtype == np.int64
        assert list(frame.iloc[rows].itertuples(index=False, name=None)) == used
    np.testing.assert_array_equal(people.values, noise[:2, at].astype(float))
    np.testing.assert_array_equal(people.covariates, noise[2:3, at].astype(float).T)
    assert people.covariate_names == ("C",)
    assert people.aside == {}


@how(max_examples=60, deadline=None)
@given(st.data())
def test_all_are_accounted_for_as_by_plain_loops(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("t")
    who = pairs(40, fid="{}")
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))

    def some(share):
        return [who[k] for k in rng.permutation(40)[: int(40 * share)]]

    genotypes = [some(data.draw(st.sampled_from([0.7, 0.9, 1]))) for _ in range(2)]
    lists = {"keep": some(0.9), "remove": some(0.1)}
    tables = {}
    for name, columns in (("p", 2), ("c", 2)):
        cells = rng.normal(size=(40, columns)).round(3).astype(object)
        cells[rng.random((40, columns)) < 0.15] = None
        tables[name] = {w: tuple(row) for w, row in zip(some(0.95), cells, strict=False)}
        text = text_of([f"{name}1", f"{name}2"], [(*w, *row) for w, row in tables[name].items()])
        (folder / f"{name}.txt").write_text(text)
    section = {**SECTION, "phenotypes": str(folder / "p.txt"), "covariates": str(folder / "c.txt")}
    for key, ids in lists.items():
        if data.draw(st.booleans()):
            (folder / f"{key}.txt").write_text("FID IID\n" + "\n".join(map(" ".join, ids)))
            section[key] = str(folder / f"{key}.txt")

    def status_of(w):
        for number, ids in enumerate(genotypes):
            if w not in ids:
                return f"not in {number}"
        if w not in tables["p"]:
            return "no phenotypes"
        if w not in tables["c"]:
            return "no covariates"
        if None in tables["c"][w]:
            return "covariate missing"
        if section["remove"] and w in lists["remove"]:
            return "in remove"
        if section["keep"] and w not in lists["keep"]:
            return "not in keep"
        return "used"

    everyone = list(dict.fromkeys([*genotypes[0], *genotypes[1], *tables["p"], *tables["c"]]))
    expected = {w: status_of(w) for w in everyone}
    base = [w for w, status in expected.items() if status == "used"]
    columns = [[tables["p"][w][t] for w in base] for t in range(2)]
    counts = [sum(cell is not None for cell in column) for column in columns]
    files = [(str(n), people_of(ids)) for n, ids in enumerate(genotypes)]
    if max(counts) < 10:
        assert told(section, files)
        return
    people = join_people(section, files)
    ok = [t for t in range(2) if counts[t] >= 10]
    for n, w in enumerate(base):
        if all(columns[t][n] is None for t in ok):
            expected[w] = "no value of any trait"
    samples = people.samples
    assert dict(zip(zip(samples.fid, samples.iid, strict=True), samples.status, strict=True)) == (
        expected
    )
    assert list(zip(samples.fid, samples.iid, strict=True)) == everyone
    used = [w for w in everyone if expected[w] == "used"]
    assert people.ids == ["_".join(w) for w in used]
    assert (samples.status == "used").sum() == len(used)
    assert people.traits["n"].tolist() == counts
    assert people.traits["status"].tolist() == [
        "ok" if count >= 10 else "set aside" for count in counts
    ]
    values = [[tables["p"][w][t] for w in used] for t in ok]
    np.testing.assert_array_equal(people.values, np.array(values, dtype=float))
    covariates = np.array([tables["c"][w] for w in used], dtype=float)
    np.testing.assert_array_equal(people.covariates, covariates)
    for ids, rows in zip(genotypes, people.rows, strict=True):
        assert [ids[row] for row in rows] == used


def test_the_order_of_the_tables_rows_makes_no_difference(write):
    who, order = pairs(40), np.random.default_rng(1).permutation(40)
    kept = who[5:]

    def join(at):
        ids = [who[k] for k in at]
        write(
            p=table_of(ids, *NOISE[:2, at]),
            c=table_of(ids[::-1], *NOISE[2:, at[::-1]]),
            k="\n".join(" ".join(who[k]) for k in at if who[k] in kept),
        )
        section = {**SECTION, "covariates": "c.txt", "keep": "k.txt"}
        return join_people(section, [("g", people_of(who)), ("h", people_of(who[::-1]))])

    one, two = join(np.arange(40)), join(order)
    assert one.ids == two.ids == ["_".join(w) for w in kept]
    for a, b in ((one.values, two.values), (one.covariates, two.covariates), (one.rows, two.rows)):
        np.testing.assert_array_equal(a, b)
    pd.testing.assert_frame_equal(one.samples, two.samples)
    pd.testing.assert_frame_equal(one.traits, two.traits)


def test_which_traits_run_together_changes_nothing_for_any(write):
    who = pairs(40)
    cells = NOISE.astype(object)
    cells[0, ::3], cells[1, 1::4], cells[0, 4], cells[1, 4] = None, None, None, 7
    cells[2] = ["x", *cells[2, 1:]]
    write(p=table_of(who, *cells[:3]), c=table_of(who, cells[3]))
    files = [("g", people_of(who))]
    section = {**SECTION, "covariates": "c.txt"}
    both = join_people(section, files)
    assert list(both.aside) == ["Y3"]
    for t, name in enumerate(("Y1", "Y2")):
        alone = join_people({**section, "traits": [name]}, files)
        own = np.isfinite(both.values[t])
        assert [who for who, has in zip(both.ids, own, strict=True) if has] == alone.ids
        np.testing.assert_array_equal(alone.values[0], both.values[t, own])
        np.testing.assert_array_equal(alone.covariates, both.covariates[own])
        pd.testing.assert_series_equal(alone.traits.iloc[0], both.traits.iloc[t], check_names=False)


def test_traits_that_do_not_exist_are_told_with_all_else(write):
    who = pairs(20)
    write(p=table_of(who, NOISE[0, :20], names=["height"]), c="FID,IID,C\n", k="FID IID\n")
    twice = people_of([*who, who[3], who[3]])
    section = {"traits": ["heights"], "covariates": "c.txt", "keep": "k.txt", "remove": "no.txt"}
    assert told(section, [("g.fam", twice), ("h.fam", people_of(who)), ("g.fam", twice)]) == [
        "g.fam: individual 21: FID f3, IID i3 is individual 4 already; "
        "give each individual ids of its own.",
        "g.fam: individual 22: FID f3, IID i3 is individual 4 already; "
        "give each individual ids of its own.",
        "p.txt: header: has no column heights, which wgr.traits names; "
        "expected one of height (did you mean height?).",
        "c.txt: row 1: the cells are separated by commas; separate them by tabs or blanks.",
        "no.txt: the file does not exist; correct the path or provide the file.",
        "k.txt: names nobody; list individuals in it, or take it out of the config.",
    ]


def test_covariates_that_are_no_numbers_are_errors(write):
    who = pairs(20)
    write(p=table_of(who, NOISE[0, :20]), c=table_of(who, ["m", "f"] * 10, ["inf"] + [1] * 19))
    lines = told({"covariates": "c.txt"}, [("g", people_of(who))])
    assert len(lines) == 11
    assert lines[:2] == [
        "c.txt: row 2, column Y1: found 'm'; expected a number, or NA where there is none.",
        "c.txt: row 3, column Y1: found 'f'; expected a number, or NA where there is none.",
    ]
    assert lines[10] == "c.txt: 11 more of this kind; correct them in the same way."


def test_constant_and_collinear_covariates_are_named_and_dropped(write):
    who = pairs(40)
    age, sex = 1e6 + NOISE[0], (NOISE[1] > 0).astype(int)
    columns = {
        "one": [0.1] * 40,
        "age": age,
        "sex": sex,
        "mix": 3 * age - 2 * sex + 5,
        "near": age + 1e-3 * NOISE[2],
    }
    rows = [f"{value:.17g}" for column in columns.values() for value in column]
    write(
        p=table_of(who, NOISE[3]),
        c=table_of(who, *np.reshape(rows, (5, 40)), names=list(columns)),
    )
    people = join_people({**SECTION, "covariates": "c.txt"}, [("g", people_of(who))])
    assert people.covariate_names == ("age", "sex", "near")
    assert people.covariates_dropped == {
        "one": "constant",
        "mix": "a combination of the covariates before it",
    }
    np.testing.assert_array_equal(people.covariates[:, 0], age)
    none = join_people(SECTION, [("g", people_of(who))])
    assert none.covariates.shape == (40, 0)
    assert none.covariate_names == ()


@how(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(10, 60))
def test_covariates_kept_have_the_rank_of_all(seed, rank, n):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(rank, n))
    columns = np.vstack([truth, rng.normal(size=(4, rank)) @ truth + rng.normal(size=(4, 1))])
    columns = columns[rng.permutation(len(columns))] * 10.0 ** rng.integers(-5, 5, (rank + 4, 1))
    names = [f"c{k}" for k in range(len(columns))]
    kept, dropped = independent(names, columns)
    assert len(kept) == rank
    assert kept == list(range(rank))  # any so many of them are independent
    assert list(dropped) == names[rank:]


def test_tables_and_lists_without_fid_are_joined_by_iid(write):
    who = [*pairs(20), ("other", "i3")]
    rows = [(f"i{k}", *NOISE[:2, k]) for k in [*range(20), 30]]
    text = "IID Y\n" + "".join(f"{iid} {y}\n" for iid, y, _ in rows)
    covar = "#IID C\n" + "".join(f"{iid} {c}\n" for iid, _, c in rows)
    write(p=text, c=covar, k="\n".join(f"i{k}" for k in range(20) if k != 5), r="i6\n")
    section = {"covariates": "c.txt", "keep": "k.txt", "remove": "r.txt"}
    people = join_people({**SECTION, **section}, [("g", people_of(who))])
    found = dict(
        zip(
            zip(people.samples.fid, people.samples.iid, strict=True),
            people.samples.status,
            strict=True,
        )
    )
    assert found == {
        **dict.fromkeys(who, "used"),
        who[3]: "no phenotypes",
        who[20]: "no phenotypes",
        who[5]: "not in keep",
        who[6]: "in remove",
        ("0", "i30"): "not in g",
    }
    assert people.ids == [f"f{k}_i{k}" for k in range(20) if k not in (3, 5, 6)]
    np.testing.assert_array_equal(
        people.values[0], [NOISE[0, k] for k in range(20) if k not in (3, 5, 6)]
    )
    several = "so individuals are joined by IID, but for 1 that are not unique among the genotyped"
    assert people.notes == [
        f"p.txt: has no FID, {several}.",
        f"c.txt: has no FID, {several}.",
        "r.txt: has no FID, so everyone with a listed IID is meant.",
        "k.txt: has no FID, so everyone with a listed IID is meant.",
    ]


def test_ids_that_are_one_when_joined_are_an_error(write):
    who = [*pairs(20), ("a_b", "c"), ("a", "b_c")]
    write(p=table_of(who, NOISE[0, :22]))
    assert told({}, [("g.fam", people_of(who))]) == [
        "g.fam: a_b_c is FID_IID of more than one individual; "
        "rename one of them, since output files name individuals so."
    ]


def test_examples_of_regenie(reference_data):
    inputs = reference_data / "wgr" / "inputs"
    for prefix, phenotypes, covariates, n, traits, c in (
        ("example", "phenotype.txt", "covariates.txt", 500, ["Y1", "Y2"], 3),
        ("toy", "toy.pheno", "toy.covar", 600, ["Q1", "Q2", "Q3"], 10),
    ):
        section = {
            **SECTION,
            "phenotypes": str(inputs / phenotypes),
            "covariates": str(inputs / covariates),
        }
        samples = read_samples(find_fileset(str(inputs / prefix) + ".bed"))
        people = join_people(section, [(f"{prefix}.fam", samples)] * 2)
        assert people.ids == (samples["fid"] + "_" + samples["iid"]).tolist()
        assert people.values.shape == (len(traits), n)
        assert people.covariates.shape == (n, c)
        assert people.traits["trait"].tolist() == traits
        assert (people.traits["status"] == "ok").all()
        assert people.covariates_dropped == {}
        assert people.notes == []
        for rows in people.rows:
            np.testing.assert_array_equal(rows, np.arange(n))
