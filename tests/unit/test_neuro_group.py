"""The group: figures against known truth, tables that account for every subject, one picture."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.errors import Problem
from tessera.neuro.group import Quarantined, group_figure, group_tables
from tessera.neuro.summary import (
    COLUMNS,
    SubjectResult,
    VolumeStatistics,
    find_shells,
    format_value,
    outlier_volumes,
    summarise,
    volume_statistics,
)


@pytest.fixture
def result() -> SubjectResult:
    """Return eight voxels in a row: the first is outside, the last invalid."""
    shape = (1, 1, 8)

    def line(*values: float) -> np.ndarray:
        return np.array(values, np.float32).reshape(shape)

    mask = np.ones(shape, bool)
    mask[..., 0] = False
    invalid = np.zeros(shape, bool)
    invalid[..., 7] = True
    nan = float("nan")
    md = line(0, 1e-3, 1e-3, 1e-3, 2e-3, 3e-3, 3e-3, nan)
    directions = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], float)
    return SubjectResult(
        subject="01",
        session=None,
        affine=np.array([[-2, 0, 0, 0], [0, 2.5, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]]),
        bvals=np.array([0, 1000, 1000, 1000, 1000, 3000.0]),
        bvecs=np.vstack([np.zeros((1, 3)), directions]),
        fitted=np.array([True, True, True, True, True, False]),
        b0_max=50,
        mean_b0=line(9, 100, 200, 300, 400, 500, 600, nan),
        mask=mask,
        invalid=invalid,
        sigma=line(99, 10, 10, 10, 10, 10, 10, 10),
        maps={
            "fa": line(0, 0.6, 0.5, 0.4, 0.1, 0.05, 0.05, nan),
            "md": md,
            "ad": md * 2,
            "rd": md / 2,
            "s0": line(0, 1, 1, 1, 1, 1, 1, nan),
            "residual": line(0, 1, 2, 3, 4, 5, 6, nan),
            "v1": np.zeros((3, *shape), np.float32),
        },
        volumes=VolumeStatistics(
            np.array([350.0, 100, 100, 100, 100, 50]), np.arange(6), np.full(6, 2)
        ),
        n_nonpositive_definite=3,
        estimator="iwls",
        denoise="none",
    )


def test_summary_of_a_known_subject(result: SubjectResult) -> None:
    row = summarise(result)
    assert list(row) == list(COLUMNS)
    expected = {
        "subject": "01",
        "session": None,
        "n_volumes": 6,
        "n_b0": 1,
        "n_directions": 3,  # opposite vectors are one direction; b = 3000 was not fitted
        "bmax_fit": 1000.0,
        "voxel_mm": "2x2.5x3",
        "mask_ml": 7 * 15 / 1000,
        "sigma_median": 10.0,
        "snr_b0": 35.0,  # the NaN of the last voxel is left out
        "fa_mean": 1.7 / 6,
        "fa_median": 0.25,
        "md_mean": 11e-3 / 6,
        "md_median": 1.5e-3,
        "ad_mean": 22e-3 / 6,
        "rd_mean": 5.5e-3 / 6,
        "fa_wm_mean": 0.5,
        "md_wm_mean": 1e-3,
        "residual_median": 3.5,
        "n_invalid": 1,
        "n_nonpositive_definite": 3,
        "n_nonfinite_samples": 15,
        "n_nonpositive_samples": 12,
        "n_outlier_volumes": 0,
        "estimator": "iwls",
        "denoise": "none",
    }
    assert set(expected) == set(row)
    for name, value in expected.items():
        assert row[name] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_summary_without_white_matter(result: SubjectResult) -> None:
    row = summarise(replace(result, maps={**result.maps, "fa": result.maps["fa"] / 10}))
    assert row["fa_wm_mean"] is None
    assert row["md_wm_mean"] is None


def test_volume_statistics_against_brute_force() -> None:
    rng = np.random.Generator(np.random.Philox(1))
    dwi = rng.normal(2, 1, (5, 3, 4, 6)).astype(np.float32)
    dwi[rng.random(dwi.shape) < 0.1] = np.nan
    dwi[rng.random(dwi.shape) < 0.05] = np.inf
    dwi[3] = np.nan
    mask = rng.random(dwi.shape[1:]) < 0.6
    found = volume_statistics(dwi, mask)
    for i, volume in enumerate(dwi):
        samples = [float(value) for value in volume[mask]]
        finite = [value for value in samples if np.isfinite(value)]
        assert found.n_nonfinite[i] == len(samples) - len(finite)
        assert found.n_nonpositive[i] == sum(value <= 0 for value in finite)
        if i == 3:
            assert np.isnan(found.mean[i])
        else:
            assert found.mean[i] == pytest.approx(sum(finite) / len(finite), rel=1e-12)
    again = json.loads(json.dumps(found.as_dict()))
    for name, values in vars(found).items():
        np.testing.assert_array_equal(values, again[name])
    np.testing.assert_array_equal(volume_statistics(iter(dwi), mask).mean, found.mean)


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=60), st.integers(0, 100))
@settings(max_examples=100, deadline=None)
def test_shells_hold_every_volume_once_and_lie_apart(bvals: list[int], b0_max: int) -> None:
    b = np.array(bvals, float)
    none, *shells = find_shells(b, b0_max)
    assert sorted(np.concatenate([none, *shells])) == list(range(b.size))
    assert (b[none] <= b0_max).all()
    assert all((b[shell] > b0_max).all() for shell in shells)
    assert all(np.diff(np.sort(b[shell])).max(initial=0) <= 100 for shell in shells)
    for lower, upper in pairwise(shells):
        assert b[upper].min() - b[lower].max() > 100


def test_outlying_volumes_are_found_and_no_others() -> None:
    rng = np.random.Generator(np.random.Philox(2))
    bvals = np.r_[np.zeros(4), np.full(60, 1000.0), np.full(60, 2500.0)]
    mean = 1000 * np.exp(-7e-4 * bvals) * (1 + 0.02 * rng.normal(size=bvals.size))
    shells = find_shells(bvals, 50)
    assert not outlier_volumes(mean, shells).any()
    faulty = mean.copy()
    faulty[17] *= 0.7  # dropped slices
    faulty[99] *= 1.5  # a spike
    faulty[2] = np.nan
    assert list(np.flatnonzero(outlier_volumes(faulty, shells))) == [2, 17, 99]
    # The strong dependence on direction of a small block of white matter is no fault.
    cosine = np.linspace(0, 1, 60)
    block = np.exp(-1e-3 * (0.4 + 1.2 * cosine**2) * 1000)
    assert not outlier_volumes(block, [np.array([], int), np.arange(60)]).any()
    # A shell without any spread is held to 5 %.
    flat = np.full(20, 100.0)
    flat[[3, 4]] = 104, 106
    assert list(np.flatnonzero(outlier_volumes(flat, [np.arange(20)]))) == [4]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "n/a"),
        (float("nan"), "n/a"),
        ("", "n/a"),
        (0.000812345678, "0.000812346"),
        (1234567.0, "1.23457e+06"),
        (3000000, "3000000"),
        (np.float64(0.5), "0.5"),
        ("a\tb\nc", "a b c"),
    ],
)
def test_values_in_tables(value: float | str | None, text: str) -> None:
    assert format_value(value) == text


PROBLEM = Problem("sub-02.bvec", "column 13", "length 0.42", "normalise the vector").as_dict()


def _row(result: SubjectResult, subject: str, session: str | None = None) -> dict:
    return summarise(replace(result, subject=subject, session=session))


def test_tables_of_a_group(result: SubjectResult) -> None:
    read = [("03", None), ("02", "1"), ("01", None), ("02", "2")]
    rows = [_row(result, "01"), _row(result, "03"), _row(result, "02", "2")]
    aside = [Quarantined("02", "1", [PROBLEM, {**PROBLEM, "place": "", "what": "x\ty"}])]
    tables = group_tables(read, rows, aside)
    assert tables == group_tables(read, rows[::-1], aside)  # the order of the sheet, not of arrival

    lines = list(csv.reader(io.StringIO(tables.group_tsv), delimiter="\t"))
    assert lines[0] == list(COLUMNS)
    assert [line[:2] for line in lines[1:]] == [["03", "n/a"], ["01", "n/a"], ["02", "2"]]
    assert {len(line) for line in lines} == {len(COLUMNS)}
    assert lines[1][lines[0].index("md_median")] == "0.0015"

    assert list(json.loads(tables.group_json)) == list(COLUMNS)
    assert all(entry["Description"] for entry in json.loads(tables.group_json).values())
    assert json.loads(tables.group_json)["md_mean"]["Units"] == "mm^2/s"

    assert tables.quarantine_tsv == (
        "subject\tsession\tfile\tplace\twhat\tremedy\n"
        "02\t1\tsub-02.bvec\tcolumn 13\tlength 0.42\tnormalise the vector\n"
        "02\t1\tsub-02.bvec\tn/a\tx y\tnormalise the vector\n"
    )


def test_tables_when_all_are_set_aside() -> None:
    tables = group_tables([("02", None)], [], [Quarantined("02", None, [PROBLEM])])
    assert tables.group_tsv == "\t".join(COLUMNS) + "\n"
    assert tables.quarantine_tsv.count("\n") == 2


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_every_subject_is_accounted_for(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.text("abc0", min_size=1, max_size=3), min_size=1, unique=True))
    split = data.draw(st.integers(0, len(names)))
    read = [(name, None) for name in names]
    rows = [dict.fromkeys(COLUMNS) | {"subject": name} for name in names[:split]]
    aside = [Quarantined(name, None, [PROBLEM]) for name in names[split:]]
    tables = group_tables(read, rows, aside)
    listed = tables.group_tsv.splitlines()[1:] + tables.quarantine_tsv.splitlines()[1:]
    assert [line.split("\t")[0] for line in listed] == names

    odd = data.draw(st.sampled_from(names))
    with pytest.raises(ValueError, match=f"more than once: sub-{odd}$"):
        group_tables(
            read,
            [row for row in rows if row["subject"] != odd],
            [item for item in aside if item.subject != odd],
        )
    with pytest.raises(ValueError, match=f"more than once: sub-{odd}$"):
        group_tables(read, rows, [*aside, Quarantined(odd, None, [PROBLEM])])


def test_nobody_is_set_aside_without_a_reason() -> None:
    with pytest.raises(ValueError, match="set aside without a reason: sub-02_ses-1"):
        group_tables([("02", "1")], [], [Quarantined("02", "1", [])])


@pytest.mark.parametrize(("n", "n_aside"), [(0, 2), (1, 0), (3, 1), (41, 0), (1000, 30)])
def test_group_figure_for_any_size(n: int, n_aside: int) -> None:
    rng = np.random.Generator(np.random.Philox(n))
    rows = [
        {"subject": f"$x_{i}", "session": None, "fa_median": fa, "md_median": 8e-4, "snr_b0": None}
        for i, fa in enumerate(rng.standard_t(3, n) * 0.02 + 0.2)
    ]
    aside = [Quarantined("$b", None, [PROBLEM])] * n_aside
    picture = group_figure(rows, aside)
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(picture[16:20], "big") == 1500
    assert int.from_bytes(picture[20:24], "big") < 1800  # fits a screen, however many there are
