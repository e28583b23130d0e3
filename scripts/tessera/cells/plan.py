"""The plan of a run: datasets, parts of the genes, batches, memory and time.

All of it follows from the sheet, the configuration and the headers of matrices, before any value
is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tessera.cells import memory
from tessera.config import load_schema
from tessera.errors import InputError, Problem
from tessera.headers import cached_headers
from tessera.sheets import Row, read_sheet

_MOST_PARTS = 400
_INGESTED, _WORKED = 3e6, 2e6  # values per second of one thread, with reserve (benchmarks/cells)


def header(matrix: str) -> dict[str, Any]:
    """Return what the header of a matrix tells, for `cached_headers`."""
    from tessera.cells.sources import look  # slow to import, and only needed if a file changed

    return look(matrix, None)


def read_datasets(section: Mapping[str, Any], schemas: Path) -> dict[str, Any]:
    """Read the sheet, and what the headers of its matrices tell.

    Parameters
    ----------
    section
        The validated section ``cells``.
    schemas
        The folder of the schemas.

    Returns
    -------
    dict
        ``rows``: dataset to its row of the sheet; ``files``: to the files it consists of;
        ``headers``: to what `look` returns.

    Raises
    ------
    InputError
        If the sheet is at fault, a percentile would have the name of another, or two groupings
        have one name.
    """
    from tessera.cells.sources import files_of

    problems = _clashes(section)
    if section["datasets"] is None:
        remedy = "name the sheet with the columns dataset, matrix and metadata"
        problems.append(Problem("config", "cells.datasets", "no sheet is named", remedy))
    if problems:
        raise InputError(problems)
    rows = read_sheet(section["datasets"], load_schema(schemas, "cells_datasets"), key=["dataset"])
    named = {str(row["dataset"]): row for row in rows}
    files = {
        name: files_of(str(row["matrix"])) + ([str(row["metadata"])] if row["metadata"] else [])
        for name, row in named.items()
    }
    known = cached_headers([str(files[name][0]) for name in named], header)
    return {
        "rows": named,
        "files": files,
        "headers": {name: known[files[name][0]] for name in named},
    }


def _clashes(section: Mapping[str, Any]) -> list[Problem]:
    """Find lists of columns that make one name."""
    from tessera.cells.layout import grouping_name

    names: dict[str, list[str]] = {}
    problems = []
    for columns in section["groupings"]:
        name = grouping_name(columns)
        if name in names:
            what = f"{names[name]} and {columns} both make the name {name}"
            remedy = "rename a column of the metadata"
            problems.append(Problem("config", "cells.groupings", what, remedy))
        names[name] = columns
    return problems


class Plan:
    """What the rules ask of the plan; methods taking ``wildcards`` are input functions.

    Parameters
    ----------
    section
        The validated section ``cells``.
    memory_mb
        Memory that one job may use, in megabytes.
    datasets
        Returns what `read_datasets` does; called when it is first needed.
    """

    def __init__(
        self, section: Mapping[str, Any], memory_mb: int, datasets: Callable[[], dict[str, Any]]
    ) -> None:
        self._section = section
        self._memory_mb = memory_mb
        self._datasets = datasets

    @cached_property
    def _groupings(self) -> dict[str, list[str]]:
        from tessera.cells.layout import grouping_name  # slow to import

        return {grouping_name(columns): columns for columns in self._section["groupings"]}

    def strays(self, root: Path) -> list[str]:
        """Return folders of earlier runs that belong to no dataset of this one."""
        found = sorted(path.parent.name for path in root.glob("*/published.json"))
        return [name for name in found if name not in self.datasets()]

    def datasets(self, wildcards: object = None) -> list[str]:
        """Return the names of the datasets."""
        return list(self._datasets()["rows"])

    def rows(self, wildcards: object = None) -> list[Row]:
        """Return the rows of the sheet."""
        return list(self._datasets()["rows"].values())

    def row(self, wildcards: Any) -> Row:
        """Return the row of one dataset."""
        row: Row = self._datasets()["rows"][wildcards.dataset]
        return row

    def files(self, wildcards: Any) -> list[str]:
        """Return the files of one dataset."""
        return list(self._datasets()["files"][wildcards.dataset])

    def all_files(self, wildcards: object = None) -> list[str]:
        """Return the files of all datasets."""
        return [path for files in self._datasets()["files"].values() for path in files]

    def grouping(self, wildcards: Any) -> list[str]:
        """Return the columns of a grouping."""
        return list(self._groupings[wildcards.grouping])

    def batch_nnz(self, wildcards: object = None) -> int:
        """Return how many non-zero values a job holds at a time."""
        asked = self._section["batch_nnz"]
        return memory.batch_for(self._memory_mb) if asked == "auto" else int(asked)

    def _names(self, dataset: str) -> list[str]:
        bound = self._datasets()["headers"][dataset]["nnz_bound"]
        count = max(1, min(_MOST_PARTS, -(-bound // self.batch_nnz())))
        return [f"{k + 1}of{count}" for k in range(count)]

    def parts(self, template: str) -> Callable[..., list[str]]:
        """Return an input function: one file for each part of a dataset's genes."""
        return lambda wildcards: [
            template.replace("{part}", part).replace("{dataset}", wildcards.dataset)
            for part in self._names(wildcards.dataset)
        ]

    def stats(self, template: str) -> Callable[..., list[str]]:
        """Return an input function: files of all groupings, each with all parts in order."""

        def files(wildcards: Any) -> list[str]:
            each = self.parts(template)(wildcards)
            return [path.replace("{grouping}", name) for name in self._groupings for path in each]

        return files

    # The formulas are in docs/cells.md.

    def _known(self, wildcards: Any) -> Mapping[str, Any]:
        header: Mapping[str, Any] = self._datasets()["headers"][wildcards.dataset]
        return header

    def _sizes(self, wildcards: Any) -> tuple[int, int | None, int]:
        known = self._known(wildcards)
        return self.batch_nnz(), known["cells"], known["genes"]

    def check_mb(self, wildcards: Any, attempt: int) -> int:
        """Memory of a job that reads names and tables only."""
        most = max((h["cells"] or 0) for h in self._datasets()["headers"].values())
        return int(memory.names_mb(most) * attempt)

    def ingest_mb(self, wildcards: Any, attempt: int) -> int:
        """Memory of reading a matrix."""
        return int(memory.ingest_mb(*self._sizes(wildcards)) * attempt)

    def part_mb(self, wildcards: Any, attempt: int) -> int:
        """Memory of a job that works on a part of the genes."""
        return int(memory.part_mb(*self._sizes(wildcards)) * attempt)

    def assemble_mb(self, wildcards: Any, attempt: int) -> int:
        """Memory of putting a version together, and of looking at it."""
        return int(memory.assemble_mb(*self._sizes(wildcards)) * attempt)

    def _minutes(self, wildcards: Any, attempt: int, rate: float, parts: int = 1) -> int:
        bound = self._known(wildcards)["nnz_bound"]
        return int((10 + bound / parts / rate / 60) * attempt)

    def ingest_minutes(self, wildcards: Any, attempt: int) -> int:
        """Time of reading a matrix."""
        return self._minutes(wildcards, attempt, _INGESTED)

    def part_minutes(self, wildcards: Any, attempt: int) -> int:
        """Time of working on a part of the genes."""
        return self._minutes(wildcards, attempt, _WORKED, len(self._names(wildcards.dataset)))

    def assemble_minutes(self, wildcards: Any, attempt: int) -> int:
        """Time of going through all values once or twice."""
        return self._minutes(wildcards, attempt, _WORKED)
