"""The catalogue: one row per source over overlapping patches, three files alike, bad references."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.astro.catalogue import (
    COLUMNS,
    MATCH_RADIUS,
    merge,
    read_reference,
    with_sky,
    write_catalogue,
)
from tessera.astro.skymap import make_skymap
from tessera.errors import InputError

# Four patches of 100 pixels that share 20, and a fifth cut off by the end of the grid.
WINDOWS = {
    "x0y0": (0, 100, 0, 100),
    "x1y0": (0, 100, 80, 180),
    "x2y0": (0, 100, 160, 190),
    "x0y1": (80, 180, 0, 100),
    "x1y1": (80, 180, 80, 180),
}


def detections(window, x, y, names=None):
    """Return what a perfect detector finds of sources at global places in a patch."""
    y0, y1, x0, x1 = window
    names = np.arange(len(x)) if names is None else names
    inside = (x >= x0 - 0.5) & (x < x1 - 0.5) & (y >= y0 - 0.5) & (y < y1 - 0.5)
    return pd.DataFrame({"x": x[inside] - x0, "y": y[inside] - y0, "truth": names[inside]})


def sky(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return n places at least 4 pixels apart, covered by the patches."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 189, 4 * n), rng.uniform(0, 179, 4 * n)
    keep = []
    for i in range(4 * n):
        if (x[i] < 179 or y[i] < 99) and all(np.hypot(x[keep] - x[i], y[keep] - y[i]) > 4):
            keep.append(i)
    return x[keep[:n]], y[keep[:n]]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_every_source_is_kept_once_from_where_it_lies_deepest(seed: int) -> None:
    x, y = sky(seed)
    rng = np.random.default_rng(seed + 1)
    tables = {}
    for name, window in WINDOWS.items():
        table = detections(window, x, y)
        for axis in "xy":  # each patch measures with its own small error
            table[axis] += rng.normal(0, 0.2, len(table))
        tables[name] = table
    merged = merge(tables, WINDOWS)
    assert sorted(merged["truth"]) == list(range(len(x)))
    assert merged["id"].tolist() == list(range(1, len(x) + 1))

    def depth(name: str, i: int) -> float:
        y0, y1, x0, x1 = WINDOWS[name]
        return min(y[i] - y0 + 0.5, y1 - 0.5 - y[i], x[i] - x0 + 0.5, x1 - 0.5 - x[i])

    for name, i in zip(merged["patch"], merged["truth"], strict=True):
        deepest = max(depth(other, i) for other in WINDOWS)
        assert depth(name, i) > deepest - 2  # within the errors of the places


def test_order_of_patches_and_of_rows_does_not_matter() -> None:
    x, y = sky(3)
    tables = {name: detections(window, x, y) for name, window in WINDOWS.items()}
    wanted = merge(tables, WINDOWS)
    for order in list(permutations(tables))[::17]:
        shuffled = {n: tables[n].sample(frac=1, random_state=5) for n in order}
        pd.testing.assert_frame_equal(merge(shuffled, WINDOWS), wanted)


def test_unconfirmed_detections_count_only_where_the_patch_is_the_owner() -> None:
    windows = {"a": (0, 100, 0, 100), "b": (0, 100, 80, 180)}
    a = pd.DataFrame({"x": [84.0, 95.0, 50.0], "y": [50.0, 50.0, 50.0]})  # b owns from 89.5 on
    b = pd.DataFrame({"x": [5.0, 15.0], "y": [30.0, 30.0]})
    merged = merge({"a": a, "b": b}, windows)
    assert merged[["patch", "x"]].values.tolist() == [["a", 50.0], ["a", 84.0], ["b", 15.0]]


def test_a_source_on_the_border_between_owners_is_not_lost() -> None:
    windows = {"a": (0, 100, 0, 100), "b": (0, 100, 80, 180)}
    a = pd.DataFrame({"x": [89.9], "y": [50.0]})  # each sees it on the other's side
    b = pd.DataFrame({"x": [9.1], "y": [50.0]})
    assert len(merge({"a": a, "b": b}, windows)) == 1


def test_two_sources_of_one_patch_are_never_one() -> None:
    windows = {"a": (0, 100, 0, 100), "b": (0, 100, 80, 180)}
    a = pd.DataFrame({"x": [85.0, 86.2], "y": [50.0, 50.0]})
    b = pd.DataFrame({"x": [5.6], "y": [50.0]})  # near both
    merged = merge({"a": a, "b": b}, windows)
    assert merged["x"].tolist() == [85.0, 86.2]
    far = b.assign(x=85.0 + MATCH_RADIUS + 0.1 - 80)
    assert len(merge({"a": a[:1], "b": far}, windows)) == 1  # a owns the place; b's is unconfirmed


def test_patches_without_sources() -> None:
    empty = pd.DataFrame({"x": np.zeros(0), "y": np.zeros(0), "extended": np.zeros(0, bool)})
    one = pd.DataFrame({"x": [3.0], "y": [4.0], "extended": [True]})
    merged = merge({"a": empty, "b": one}, {"a": (0, 9, 0, 9), "b": (0, 9, 9, 18)})
    assert merged["patch"].tolist() == ["b"]
    assert merged["extended"].dtype == bool
    assert len(merge({"a": empty, "b": empty}, {"a": (0, 9, 0, 9), "b": (0, 9, 9, 18)})) == 0


def test_places_on_the_sky() -> None:
    keys = {"header": None, "ra": 0.0, "dec": -5.0, "pixel_scale": 0.36}
    skymap = make_skymap({**keys, "patch_pixels": 101, "overlap_pixels": 10})
    windows = {name: skymap.window(name) for name in ("x0y0", "x1y0")}
    table = pd.DataFrame({"patch": ["x0y0", "x1y0", "x1y0"], "x": [50.0, -41.0, 59.0], "y": 50.0})
    placed = with_sky(table, windows, skymap)
    np.testing.assert_allclose(placed["dec"], -5.0, atol=1e-5)
    east = ((placed["ra"] + 180) % 360 - 180) * np.cos(np.radians(5))
    np.testing.assert_allclose(east, [0, 0, -0.01], atol=1e-8)
    assert len(with_sky(table[:0], windows, skymap)) == 0


def full_table(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    table = pd.DataFrame(index=range(n))
    for name, column in COLUMNS.items():
        if column.dtype == "str":
            table[name] = [f"x{i}y-{i % 13}" for i in range(n)]
        else:
            table[name] = (rng.normal(100, 20, n)).astype(column.dtype)
    table["extended"] = np.arange(n) % 2 == 0
    if n:
        table.loc[0, ["mag", "mag_err", "fwhm"]] = np.nan
    return table


@pytest.mark.parametrize("n", [0, 1, 57])
def test_three_files_hold_the_same_table(tmp_path: Path, n: int) -> None:
    table = full_table(n)[list(COLUMNS)[::-1]]
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        write_catalogue(
            table,
            parquet=tmp_path / run / "c.parquet",
            binary=tmp_path / run / "c.fits",
            ecsv=tmp_path / run / "c.ecsv",
        )
    for name in ("c.parquet", "c.fits", "c.ecsv"):
        content = (tmp_path / "first" / name).read_bytes()
        assert content == (tmp_path / "second" / name).read_bytes()
        assert str(tmp_path).encode() not in content

    arrow = pq.read_table(tmp_path / "first/c.parquet")
    binary = Table.read(tmp_path / "first/c.fits")
    ecsv = Table.read(tmp_path / "first/c.ecsv")
    header = fits.getheader(tmp_path / "first/c.fits", 1)
    assert "DATE" not in header
    assert arrow.column_names == binary.colnames == ecsv.colnames == list(COLUMNS)
    for number, (name, column) in enumerate(COLUMNS.items(), 1):
        wanted = table[name].to_numpy()
        for values in (arrow[name].to_numpy(), np.asarray(binary[name]), np.asarray(ecsv[name])):
            if column.dtype == "str":  # bytes in FITS
                np.testing.assert_array_equal(values.astype(str), wanted)
            else:
                np.testing.assert_array_equal(values, wanted)
                assert np.dtype(values.dtype).newbyteorder("=") == np.dtype(column.dtype)
        meta = arrow.schema.field(name).metadata
        assert meta == {b"unit": column.unit.encode(), b"description": column.description.encode()}
        for unit in (binary[name].unit, ecsv[name].unit):
            assert str(unit or "") == column.unit
        assert ecsv[name].description == header[f"TCOMM{number}"] == column.description


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    table = full_table(2).drop(columns="mag").assign(colour=1.0)
    places = {k: tmp_path / k for k in ("parquet", "binary", "ecsv")}
    with pytest.raises(ValueError, match="colour, mag"):
        write_catalogue(table, **places)
    assert not list(tmp_path.iterdir())


STARS = pd.DataFrame(
    {"ra": [359.99, 0.01, 10.5], "dec": [-5.0, 89.9, 0.0], "mag": [18.25, 20.5, 17.0]}
)


def write_reference(place: Path, table: pd.DataFrame) -> Path:
    if place.suffix == ".csv":
        place.write_text("# stars\n#\n" + table.to_csv(index=False), encoding="utf-8-sig")
    elif place.suffix == ".tsv":
        table.to_csv(place, sep="\t", index=False)
    elif place.suffix == ".parquet":
        table.to_parquet(place)
    else:
        Table.from_pandas(table).write(place, overwrite=True)
    return place


@pytest.mark.parametrize("suffix", ["csv", "tsv", "ecsv", "fits", "parquet"])
def test_every_kind_of_reference_is_read(tmp_path: Path, suffix: str) -> None:
    table = STARS.rename(columns={"ra": "RAJ2000", "dec": "DEJ2000", "mag": "Mag"})
    table.insert(0, "name", ["a #1", "b", "c"])
    read = read_reference(write_reference(tmp_path / f"stars.{suffix}", table))
    pd.testing.assert_frame_equal(read, STARS)
    gap = table.copy()
    gap.loc[1, "Mag"] = np.nan
    read = read_reference(write_reference(tmp_path / f"gap.{suffix}", gap))
    pd.testing.assert_frame_equal(read, STARS.drop(index=1).reset_index(drop=True))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "ecsv", "fits", "parquet"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ra": [1.0, 361.0, 365.0]}, "row 2, column ra: found '361.0' where 0 to 360 deg"),
        ({"dec": [1.0, -91.0, 0.0]}, "row 2, column dec: found '-91.0' where -90 to 90 deg"),
        ({"mag": [18.0, 19.0, 99.0]}, "row 3, column mag: found '99.0' where -30 to 50 mag"),
        ({"mag": ["18", "faint", "19"]}, "row 2, column mag: found 'faint' where a number"),
        ({"mag": [np.nan] * 3}, "no row has ra, dec and mag"),
    ],
)
def test_bad_values_are_told(tmp_path: Path, suffix: str, change, message: str) -> None:
    place = write_reference(tmp_path / f"stars.{suffix}", STARS.assign(**change))
    with pytest.raises(InputError) as caught:
        read_reference(place)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(place))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "ecsv", "fits", "parquet"])
def test_bad_files_are_told(tmp_path: Path, suffix: str) -> None:
    place = tmp_path / f"stars.{suffix}"

    def message() -> str:
        with pytest.raises(InputError) as caught:
            read_reference(place)
        return str(caught.value)

    assert "does not exist" in message()
    place.write_bytes(b"")
    assert "is empty" in message()
    write_reference(place, STARS.drop(columns="mag"))
    assert "there is no column mag (found ra, dec)" in message()
    write_reference(tmp_path / f"x.{suffix}", STARS[:0])
    write_reference(place, STARS[:0])
    assert "no row has ra, dec and mag" in message()
    rng = np.random.default_rng(1)
    sound = write_reference(place, STARS).read_bytes()
    for _ in range(60):  # noise, and sound files with a part of them broken or cut off
        broken = bytearray(sound)
        at = int(rng.integers(len(broken)))
        broken[at : at + 12] = rng.bytes(12)
        for content in (rng.bytes(500), bytes(broken), sound[:at]):
            place.write_bytes(content)
            try:
                read = read_reference(place)
            except InputError:
                continue
            assert set(read) == {"ra", "dec", "mag"}


@pytest.mark.parametrize(
    "values",
    [
        [[18.0, 19.0], [20.0, 21.0], [22.0, 23.0]],
        [b"18", b"x", b"19"],
        [1 + 2j, 2 + 0j, 3 + 0j],
        [True, False, True],
        [{"a": 1}, None, None],
        [np.datetime64("2020-01-01")] * 3,
    ],
)
def test_odd_types_are_no_numbers(tmp_path: Path, values: list[object]) -> None:
    table = Table({"ra": STARS["ra"].to_numpy(), "dec": STARS["dec"].to_numpy()})
    writers = {
        "parquet": lambda place: STARS.assign(mag=values).to_parquet(place),
        "fits": lambda place: Table({**table, "mag": np.array(values)}).write(place),
        "ecsv": lambda place: Table({**table, "mag": values}).write(place),
    }
    for suffix, write in writers.items():
        place = tmp_path / f"stars.{suffix}"
        try:
            write(place)
        except Exception:  # this kind of file does not know the type
            continue
        with pytest.raises(InputError):
            read_reference(place)


def test_empty_cells_of_any_type_are_left_out(tmp_path: Path) -> None:
    place = tmp_path / "stars.ecsv"
    table = Table.from_pandas(STARS)
    table["mag"] = MaskedColumn([18, 19, 20], mask=[False, True, False])
    table.write(place)
    assert read_reference(place)["mag"].tolist() == [18.0, 20.0]
    table["mag"] = MaskedColumn(["18", "", " 20 "], mask=[False, True, False])
    table.write(place, overwrite=True)
    assert read_reference(place)["mag"].tolist() == [18.0, 20.0]


def test_other_kinds_and_units_are_told(tmp_path: Path) -> None:
    (tmp_path / "stars.pickle").write_bytes(b"x")
    with pytest.raises(InputError, match="unknown kind"):
        read_reference(tmp_path / "stars.pickle")
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="holds no table HDU"):
        read_reference(tmp_path / "image.fits")
    table = Table.from_pandas(STARS)
    table["ra"].unit = "rad"
    for suffix in ("fits", "ecsv"):
        table.write(tmp_path / f"rad.{suffix}")
        with pytest.raises(InputError, match="column ra: is in rad; convert it to deg"):
            read_reference(tmp_path / f"rad.{suffix}")
