"""What must not change a result: units, order, company, and how the work is cut up."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import settings as how
from hypothesis import strategies as st

from regressions import regress
from ridges import Trial, genotypes
from tessera.genotypes import write_bed
from tessera.wgr.assoc import ROWS, Code, Field

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("test", ["qt", "score", "firth", "spa"])
@how(max_examples=12, deadline=None)
@example(cuts=[5, 140])
@given(cuts=st.lists(st.integers(1, 2 * ROWS + 20), max_size=5, unique=True))
def test_any_split_of_the_variants_gives_the_same_bytes(test, cuts):
    known = Trial(seed=7, n=203, n_variants=2 * ROWS + 21, covariates=40)
    tester = known.tester() if test == "qt" else known.tester(True, test=test, firth_p=0.2)
    whole = tester.test(known.g)
    edges = [0, *sorted(cuts), len(known.g)]
    parts = [tester.test(known.g[a:b]) for a, b in itertools.pairwise(edges)]
    assert np.concatenate(parts, axis=2).tobytes() == whole.tobytes()


@pytest.mark.parametrize("binary", [False, True])
def test_bytes_of_a_variant_do_not_depend_on_its_neighbours(binary):
    known = Trial(seed=8, n=203, n_variants=200, covariates=40)
    tester = known.tester(binary)
    whole = tester.test(known.g)
    order = np.random.default_rng(0).permutation(200)
    assert tester.test(known.g[order]).tobytes() == whole[:, :, order].tobytes()
    for one in (0, 17, 150):
        assert tester.test(known.g[one : one + 1]).tobytes() == whole[:, :, [one]].tobytes()


@pytest.mark.parametrize("binary", [False, True])
def test_bytes_of_a_trait_do_not_depend_on_its_companions(binary):
    known = Trial(seed=9, n=203, n_variants=140, many=20, covariates=11)
    whole = known.tester(binary, range(20)).test(known.g)
    for traits in ([0], [5], [19], [3, 0], [7, 19, 5], range(17), range(19, 3, -1)):
        found = known.tester(binary, traits).test(known.g)
        assert found.tobytes() == whole[list(traits)].tobytes()
    extreme = known.y[1] * 1e12
    known.y[1], known.cases[1] = extreme, known.cases[0]
    again = known.tester(binary, range(20)).test(known.g)
    assert again[2:].tobytes() == whole[2:].tobytes()


@how(max_examples=25, deadline=None)
@example(876, 0.0, 0.0, False)
@given(st.integers(0, 10**6), st.floats(-1e3, 1e3), st.floats(-3, 3), st.booleans())
def test_units_of_a_trait_are_those_of_effect_and_error(seed, shift, size, minus):
    known = Trial(seed=seed, n=120, n_variants=9)
    one = known.tester().test(known.g)
    unit = (-1 if minus else 1) * 10**size
    known.y = shift + unit * known.y
    known.loco *= np.sign(unit)
    other = known.tester().test(known.g)
    np.testing.assert_array_equal(other[:, Field.CODE], one[:, Field.CODE])
    tested = one[0, Field.CODE] == Code.PLAIN  # by chance, nobody may carry a rare one
    one, other = one[:, :, tested], other[:, :, tested]
    se = one[:, Field.SE]
    np.testing.assert_allclose(other[:, Field.SE] / abs(unit), se, rtol=1e-9)
    assert (np.abs(other[:, Field.BETA] / unit - one[:, Field.BETA]) < 1e-9 * se).all()


def study(folder):
    """300 people and 6 chromosomes; traits of different people, with what they are made of."""
    rng = np.random.default_rng(12)
    n, per = 300, 15
    people = pd.DataFrame(
        {"fid": [f"F{i // 3}" for i in range(n)], "iid": [f"I{i}" for i in range(n)]}
    )
    g = genotypes(rng, 6 * per, n, 0.02)
    variants = pd.DataFrame(
        {
            "id": [f"rs{k}" for k in range(6 * per)],
            "chr": np.repeat(["1", "2", "5", "9", "22", "X"], per),
            "pos": np.tile(np.arange(1, per + 1), 6),
            "a1": "A",
            "a2": "G",
        }
    )
    write_bed(folder / "g", [np.where(np.isnan(g), -1, g).astype(np.int8)], people, variants)
    ids = people.rename(columns=str.upper)
    covariates = rng.normal(size=(n, 2)).round(4)
    ids.assign(age=covariates[:, 0], pc=covariates[:, 1]).to_csv(
        folder / "c.txt", sep=" ", index=False
    )
    signal = rng.normal(size=(6, 6 * per)) * (rng.random((6, 6 * per)) < 0.2)
    y = (signal @ np.nan_to_num(g) + 2 * rng.normal(size=(6, n))).round(5)
    table = ids.assign(**{f"T{k}": values for k, values in enumerate(y)})
    table.loc[rng.random(n) < 0.1, ["T1", "T4"]] = np.nan
    table.loc[rng.random(n) < 0.2, "T3"] = np.nan
    binary = table.copy()
    for trait in y_names(table):
        high = binary[trait] > binary[trait].quantile(0.7)
        binary[trait] = np.where(binary[trait].isna(), np.nan, high)
    for name, each in (("qt", table), ("bt", binary)):
        each.to_csv(folder / f"{name}.txt", sep=" ", index=False, na_rep="NA")
    return table


def y_names(table):
    return [name for name in table if name.startswith("T")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("study")
    study(where)
    return where


def go(folder, where, kind="qt", **more):
    named = {
        "genotypes": str(folder / "g"),
        "phenotypes": str(folder / f"{kind}.txt"),
        "trait_type": kind,
        "covariates": str(folder / "c.txt"),
        "block_size": 7,
        "test": "firth",
        "firth_p": 0.2,
    }
    return regress(where, **(named | more))


@pytest.fixture(scope="module", params=["qt", "bt"])
def whole(request, folder, tmp_path_factory):
    """All traits together, of either kind."""
    return request.param, go(folder, tmp_path_factory.mktemp("whole") / "run", request.param)


def test_traits_together_or_alone(folder, whole, tmp_path):
    kind, together = whole
    assert len(together.curves) == 6
    for number, traits in enumerate((["T0"], ["T3"], ["T4", "T1"], ["T5", "T2", "T3", "T0"])):
        apart = go(folder, tmp_path / str(number), kind, traits=traits)
        assert list(apart.curves) == traits
        for trait in traits:
            assert apart.bytes_of(trait) == together.bytes_of(trait)


@pytest.mark.parametrize("step", [1, 4, 11])
def test_however_the_variants_are_cut_into_jobs(folder, whole, step, tmp_path):
    kind, expected = whole
    found = go(folder, tmp_path / "run", kind, step=step)
    for trait in expected.curves:
        assert found.bytes_of(trait) == expected.bytes_of(trait)


def test_order_of_the_tables(folder, whole, tmp_path):
    """Rows of phenotypes and covariates, and columns of traits, in any order."""
    kind, expected = whole
    rng = np.random.default_rng(0)
    table = pd.read_csv(folder / f"{kind}.txt", sep=" ", dtype=str, keep_default_na=False)
    columns = ["FID", "IID", *rng.permutation(y_names(table))]
    table.sample(frac=1, random_state=1)[columns].to_csv(tmp_path / "p", sep=" ", index=False)
    table = pd.read_csv(folder / "c.txt", sep=" ", dtype=str)
    table.sample(frac=1, random_state=2).to_csv(tmp_path / "c", sep=" ", index=False)
    named = {"phenotypes": str(tmp_path / "p"), "covariates": str(tmp_path / "c")}
    found = go(folder, tmp_path / "run", kind, **named)
    for trait in expected.curves:
        assert found.bytes_of(trait) == expected.bytes_of(trait)


@pytest.mark.parametrize("folds", [4, "loocv"])
@pytest.mark.parametrize("convention", ["v1", "v4"])
def test_a_trait_in_other_units(folder, convention, folds, tmp_path):
    """Through both steps: predictions are the same digits, effect and error are scaled."""
    table = pd.read_csv(folder / "qt.txt", sep=" ")
    names = y_names(table)
    for trait, (shift, unit) in zip(
        names, [(0, 2), (7, 10), (-300, 1e-2), (1e4, 1e3)], strict=False
    ):
        table[trait] = shift + unit * table[trait]
    table.to_csv(tmp_path / "p", sep=" ", index=False, na_rep="NA")
    chosen = {"convention": convention, "folds": folds, "traits": names[:4]}
    one = go(folder, tmp_path / "one", **chosen)
    other = go(folder, tmp_path / "other", phenotypes=str(tmp_path / "p"), **chosen)
    for trait, unit in zip(names, [2, 10, 1e-2, 1e3], strict=False):
        assert other.curves[trait]["best"] == one.curves[trait]["best"]
        np.testing.assert_allclose(
            other.curves[trait]["loss"], one.curves[trait]["loss"], rtol=1e-9
        )
        # The sixth digit of a prediction may be rounded the other way.
        np.testing.assert_allclose(
            other.predictions[trait], one.predictions[trait], rtol=1.1e-5, atol=1e-12
        )
        same = (other.predictions[trait] == one.predictions[trait]).mean()
        assert same > 0.999
        beta, se = one.tests[trait][[Field.BETA, Field.SE]]
        found = other.tests[trait]
        scale = 1e-9 if same == 1 else 1e-5
        np.testing.assert_allclose(found[Field.SE] / unit, se, rtol=scale)
        assert (np.abs(found[Field.BETA] / unit - beta) < scale * se).all()


def test_truth_shows(folder, whole):
    """The study is no noise: some variants stand out, and predictions help."""
    _, found = whole
    assert max(tests[Field.LOG10P].max() for tests in found.tests.values()) > 4
    assert max(max(curve["rsq"]) for curve in found.curves.values()) > 0.1
    codes = np.concatenate([tests[Field.CODE] for tests in found.tests.values()])
    assert (codes < Code.MISSING).mean() > 0.95
