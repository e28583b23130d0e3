"""Files are the same however their rows came, and the database answers what the lecture asks."""

from __future__ import annotations

import itertools

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tessera.imaging import tables
from tessera.imaging.database import QUERIES, TABLES, examples, write_database
from tessera.imaging.grid import points
from tessera.imaging.neighbours import neighbours
from tessera.imaging.objects import GROUPS, object_table
from tessera.imaging.pieces import PIECE
from tessera.imaging.tables import (
    IMAGES,
    NEIGHBOURS,
    PARAMETERS,
    TableWriter,
    gather,
    image_table,
    neighbour_table,
    object_schema,
    of_point,
    parameter_table,
    write_small,
)

SETTINGS = {
    "filter": [{"name": "none"}, {"name": "gaussian", "sigma": [1, 2.5]}],
    "threshold": [{"name": "otsu"}, {"name": "hysteresis", "low": 3, "high": 7}],
    "morphology": [{"op": "none"}, {"op": "open", "radius": 1}],
    "polarity": "dark", "connectivity": 26, "min_size": 4, "border": "flag",
}  # fmt: skip
ALL = object_schema(tuple(GROUPS))


class Grid:
    shape, ndim, voxel_size = (50, 50, 50), 3, (1.0, 1.0, 2.0)


def measured(seed, count=40):
    random = np.random.default_rng(seed)
    pieces = np.zeros(count, PIECE)
    pieces["n"], pieces["first"] = random.integers(1, 100, count), np.arange(count)
    pieces["lo"] = random.integers(0, 40, (count, 3))
    pieces["hi"] = pieces["lo"] + 4
    return object_table(pieces, 1.0, Grid())


def write(path, parts, fields):
    with TableWriter(path, fields) as writer:
        for part in parts:
            writer.add(part)
    return path.read_bytes()


def test_bytes_do_not_hang_on_how_rows_were_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROW_GROUP", 70)
    table = pa.concat_tables(
        of_point(measured(k).table, image, params)
        for k, (image, params) in enumerate(itertools.product("ab", "pqr"))
    )
    path = tmp_path / "objects.parquet"
    whole = write(path, [table], ALL)
    assert pq.read_metadata(path).num_row_groups == 4
    assert pq.read_table(path).equals(table.cast(ALL))
    for size in (1, 69, 70, 71, 1000):
        cut = [table.slice(k, size) for k in range(0, len(table), size)]
        assert write(path, cut, ALL) == whole
    for name, part in (("one", table.slice(0, 133)), ("two", table.slice(133))):
        write(tmp_path / f"{name}.parquet", [part], ALL)
    write(tmp_path / "none.parquet", [], ALL)
    parts = [tmp_path / f"{name}.parquet" for name in ("one", "none", "two")]
    assert gather(parts, path, ALL) == 240
    assert path.read_bytes() == whole
    assert b"pandas" not in whole


def test_no_rows_make_a_file_with_all_columns(tmp_path):
    for fields in (ALL, NEIGHBOURS, IMAGES):
        write(tmp_path / "x.parquet", [], fields)
        table = pq.read_table(tmp_path / "x.parquet")
        assert (len(table), table.schema) == (0, fields)
    assert gather([], tmp_path / "y.parquet", ALL) == 0
    assert pq.read_schema(tmp_path / "y.parquet") == ALL


def test_a_file_that_fails_is_closed_and_its_error_goes_on(tmp_path):
    with pytest.raises(KeyError), TableWriter(tmp_path / "x.parquet", ALL) as writer:
        writer.add(pa.table({"image": ["a"]}))


def test_columns_of_the_sheet_are_numbers_only_if_nothing_is_lost():
    rows = [
        {
            "image": "a",
            "group": "A",
            "age": "31",
            "dose": "0.5",
            "code": "007",
            "gone": "",
            "n": "1",
        },
        {"image": "b", "group": "1", "age": "", "dose": "2", "code": "12", "gone": "", "n": "1_0"},
    ]
    columns = ["group", "age", "dose", "code", "gone", "n"]
    table = image_table(rows, columns)
    assert table.column_names == [*IMAGES.names, *columns]
    assert table["age"].to_pylist() == [31, None]
    assert table["dose"].to_pylist() == [0.5, 2.0]
    for name in ("group", "code", "gone", "n"):
        assert table[name].type == pa.string()
    assert table["code"].to_pylist() == ["007", "12"]
    assert table["depth"].to_pylist() == [None, None]
    huge = image_table([{"image": "a", "id": "123456789012345678901"}], ["id"])
    assert huge["id"].to_pylist() == ["123456789012345678901"]


def test_the_table_of_the_grid_has_a_row_per_point_and_null_for_what_does_not_apply():
    table = parameter_table(points(SETTINGS), SETTINGS)
    assert table.schema == PARAMETERS
    assert len(table) == 12
    first, last = table.slice(0, 1).to_pylist()[0], table.slice(11).to_pylist()[0]
    assert first["params"] == "none_otsu_none"
    assert [first[k] for k in ("sigma", "value", "low", "radius")] == [None] * 4
    assert last["filter"] == "gaussian, sigma 2.5"
    assert last["threshold"] == "hysteresis, low 3, high 7"
    assert (last["sigma"], last["low"], last["high"], last["radius"]) == (2.5, 3, 7, 1)
    assert (last["polarity"], last["connectivity"], last["border"]) == ("dark", 26, "flag")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Two images at two points, with names that SQL must not trip over."""
    folder = tmp_path_factory.mktemp("tables")
    names, at = ["it's", "b {image}"], ["p", "q"]
    found, edges = [], []
    for k, (image, params) in enumerate(itertools.product(names, at)):
        objects = measured(k)
        found.append(of_point(objects.table, image, params))
        near = neighbours(objects.pieces["lo"] * [1.0, 1.0, 2.0])
        edges.append(of_point(neighbour_table(*near), image, params))
    write(folder / "objects.parquet", found, ALL)
    write(folder / "neighbours.parquet", edges, NEIGHBOURS)
    rows = [{"image": name, 'a "group"': "AB"[k]} for k, name in enumerate(names)]
    write_small(folder / "images.parquet", image_table(rows, ['a "group"']))
    write_small(folder / "parameters.parquet", parameter_table(points(SETTINGS), SETTINGS))
    write_database(folder / "results.duckdb", folder)
    assert not list(folder.glob("*.wal"))
    return folder, pa.concat_tables(found).to_pandas(), pa.concat_tables(edges).to_pandas()


def ask(folder, name, columns=ALL.names):
    asked = examples("it's", "q", 7, columns, 'a "group"')
    assert list(asked) == list(QUERIES)
    with duckdb.connect(str(folder / "results.duckdb"), read_only=True) as connection:
        return connection.execute(asked[name][1]).df()


def test_tables_of_the_database_are_those_of_the_files(loaded):
    folder, _, _ = loaded
    with duckdb.connect(str(folder / "results.duckdb"), read_only=True) as connection:
        for table, name in TABLES.items():
            stored = connection.table(table).to_arrow_table()
            assert stored.to_pylist() == pq.read_table(folder / f"{name}.parquet").to_pylist()
            assert stored.column_names == pq.read_schema(folder / f"{name}.parquet").names


def test_volumes_per_image_and_per_group(loaded):
    folder, objects, _ = loaded
    at = objects[objects["params"] == "q"]
    told = ask(folder, "volumes").set_index("image")
    for image, rows in at.groupby("image"):
        assert told.loc[image, "objects"] == len(rows)
        assert told.loc[image, "total"] == pytest.approx(rows["volume"].sum())
    told = ask(folder, "by sample")
    means = at.groupby("image")["volume"].mean()
    assert told['a "group"'].tolist() == ["A", "B"]
    np.testing.assert_allclose(told["mean"], [means["it's"], means["b {image}"]])
    voxels = ask(folder, "volumes", ["label", "n_voxels"]).set_index("image")
    assert voxels["total"].sum() == at["n_voxels"].sum()


def test_samples_beside_their_objects(loaded):
    folder, objects, _ = loaded
    told = ask(folder, "join")
    at = objects[objects["params"] == "q"].sort_values(
        ["volume", "image", "label"], ascending=[False, True, True]
    )
    assert told["label"].tolist() == at["label"].head(10).tolist()
    assert dict(zip(told["image"], told['a "group"'], strict=True)) == {
        "it's": "A",
        "b {image}": "B",
    }


def test_objects_within_two_connections(loaded):
    folder, _, edges = loaded
    told = ask(folder, "two connections")
    at = edges[(edges["params"] == "q") & (edges["image"] == "it's")]
    first = set(at.loc[at["label"] == 7, "neighbour"])
    second = set(at.loc[at["label"].isin(first), "neighbour"])
    assert first
    assert dict(zip(told["label"], told["steps"], strict=True)) == (
        dict.fromkeys(second, 2) | dict.fromkeys(first, 1) | {7: 0}
    )


def test_without_a_column_of_the_sheet_that_question_is_left_out():
    assert set(QUERIES) - set(examples("a", "p", 1, ALL.names, None)) == {"by sample"}
