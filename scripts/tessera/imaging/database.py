"""The results as one DuckDB file, and the questions that it answers at once."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import duckdb

TABLES = {
    "samples": "images",
    "parameters": "parameters",
    "objects": "objects",
    "neighbours": "neighbours",
}
"""Tables of the database, and the parquet file that each is loaded from."""

QUERIES: dict[str, tuple[str, str]] = {
    "volumes": (
        "The volume of all objects of each image",
        "SELECT image, count(*) AS objects, sum({size}) AS total, avg({size}) AS mean\n"
        "FROM objects WHERE params = {params} GROUP BY image ORDER BY image",
    ),
    "by sample": (
        "The mean volume of an object by {column} of the sample",
        "SELECT {column}, count(*) AS objects, avg({size}) AS mean\n"
        "FROM objects JOIN samples USING (image)\n"
        "WHERE params = {params} GROUP BY {column} ORDER BY {column}",
    ),
    "join": (
        "Samples beside their objects: the ten largest of all",
        "WITH largest AS (\n"
        "  SELECT image, label, {size} FROM objects WHERE params = {params}\n"
        "  ORDER BY {size} DESC, image, label LIMIT 10\n"
        ")\n"
        "SELECT samples.*, label, {size} FROM largest JOIN samples USING (image)\n"
        "ORDER BY {size} DESC, image, label",
    ),
    # Not by a recursive query, which takes three times as long.
    "two connections": (
        "Objects within two connections of one object",
        "WITH near AS (\n"
        "  SELECT label, neighbour FROM neighbours WHERE image = {image} AND params = {params}\n"
        "), first AS (\n"
        "  SELECT neighbour FROM near WHERE label = {label}\n"
        "), steps AS (\n"
        "  SELECT {label} AS label, 0 AS steps\n"
        "  UNION ALL SELECT neighbour, 1 FROM first\n"
        "  UNION ALL\n"
        "  SELECT neighbour, 2 FROM near WHERE label IN (SELECT neighbour FROM first)\n"
        ")\n"
        "SELECT label, min(steps) AS steps FROM steps GROUP BY label ORDER BY steps, label",
    ),
}
"""Questions by name: a sentence, and SQL with places for an image, a point (``params``), a label,
the column that tells sizes, and a column of the sheet. `examples` fills them."""


def write_database(
    path: str | Path, folder: str | Path, *, memory_mb: int = 500, threads: int = 1
) -> None:
    """Load the tables into a database.

    Parameters
    ----------
    path
        The file to write, which is not there yet.
    folder
        Folder of the parquet files, sorted by image, point and label: queries for some of them
        then read a small part of the database.
    memory_mb
        What DuckDB may take.
    threads
        That it may use.

    Notes
    -----
    DuckDB does not write the same bytes twice; what the tables hold is the same.
    """
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"SET memory_limit = '{int(memory_mb)}MB'")
        connection.execute(f"SET threads = {int(threads)}")
        connection.execute("SET preserve_insertion_order = true")
        for table, name in TABLES.items():
            source = str(Path(folder) / f"{name}.parquet")
            connection.execute(f"CREATE TABLE {table} AS SELECT * FROM read_parquet(?)", [source])
        connection.execute("CHECKPOINT")


def examples(
    image: str, params: str, label: int, columns: Collection[str], sample_column: str | None
) -> dict[str, tuple[str, str]]:
    """Return the `QUERIES` ready to be asked.

    Parameters
    ----------
    image, params, label
        What they ask for.
    columns
        Columns of the table of objects: without ``volume`` numbers of voxels are asked for.
    sample_column
        Column of the sheet to group by; without one that question is left out.

    Returns
    -------
    dict
        Name to sentence and SQL, names and texts quoted.
    """
    size = "volume" if "volume" in columns else "n_voxels"
    places = {"image": _text(image), "params": _text(params), "label": str(int(label))}
    places |= {"size": size, "column": "" if sample_column is None else _name(sample_column)}
    return {
        name: (sentence.replace("{column}", sample_column or ""), sql.format(**places))
        for name, (sentence, sql) in QUERIES.items()
        if sample_column is not None or "{column}" not in sql
    }


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
