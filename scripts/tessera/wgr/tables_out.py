"""Tables of results: LOCO predictions and association tests as REGENIE writes them; parquet."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tessera.wgr.assoc import DROPPED, Code, Field

Floats = npt.NDArray[np.float64]

COLUMNS = (
    "CHROM", "GENPOS", "ID", "ALLELE0", "ALLELE1", "A1FREQ", "N", "TEST", "BETA", "SE", "CHISQ",
    "LOG10P", "EXTRA",
)  # fmt: skip
_DIGITS = "%.9g"  # more than REGENIE's six, so that nothing is lost by reading the text
_GROUP = 1 << 16  # rows of a row group, however many pieces they come in: the same bytes
_SCHEMA = pa.schema(
    [
        ("CHROM", pa.int8()), ("GENPOS", pa.int64()), ("ID", pa.string()),
        ("ALLELE0", pa.string()), ("ALLELE1", pa.string()), ("A1FREQ", pa.float64()),
        ("N", pa.int64()), ("TEST", pa.string()), ("BETA", pa.float64()), ("SE", pa.float64()),
        ("CHISQ", pa.float64()), ("LOG10P", pa.float64()), ("EXTRA", pa.string()),
        ("INFO", pa.float64()), ("MASK", pa.bool_()),
    ]
)  # fmt: skip


def write_loco(
    place: Path, ids: Sequence[str], predictions: Floats, there: Iterable[int]
) -> Floats:
    """Write predictions as a ``.loco`` file, and return them as they are written.

    Parameters
    ----------
    place
        The file.
    ids
        ``FID_IID`` of all n people of the study.
    predictions
        ``(23, m)`` of the trait's people; m may be 0, for a trait that was set aside.
    there
        The m places of the trait's people among all.

    Returns
    -------
    ndarray
        ``(23, m)``, rounded to the six digits of the file. REGENIE's step 2 reads them from there,
        and a small effect shows it.

    Notes
    -----
    People are sorted as text, as in REGENIE; those without a value have NA.
    """
    column = {person: number for number, person in enumerate(there)}
    order = sorted(range(len(ids)), key=lambda person: ids[person])
    rounded = np.empty_like(predictions)
    with place.open("w", encoding="utf-8") as stream:
        stream.write(" ".join(["FID_IID", *(ids[person] for person in order)]) + "\n")
        for chromosome, row in enumerate(predictions):
            texts = [f"{value:.6g}" for value in row.tolist()]
            rounded[chromosome] = [float(text) for text in texts]
            values = (texts[column[person]] if person in column else "NA" for person in order)
            stream.write(" ".join([str(chromosome + 1), *values]) + "\n")
    return rounded


def rows_of(variants: pd.DataFrame, fields: Floats) -> pd.DataFrame:
    """Return the tests of one trait as a table.

    Parameters
    ----------
    variants
        V rows: CHROM, GENPOS, ID, ALLELE0, ALLELE1, MASK, TEST.
    fields
        ``(8, V)``, see `tessera.wgr.assoc.Field`. Variants that were dropped are left out.
    """
    code = fields[Field.CODE]
    kept = code < min(DROPPED)
    table = variants.loc[kept].reset_index(drop=True)
    table["A1FREQ"] = fields[Field.A1FREQ, kept]
    table["N"] = fields[Field.N, kept].astype(np.int64)
    for name in ("BETA", "SE", "CHISQ", "LOG10P"):
        table[name] = fields[Field[name], kept]
    table["EXTRA"] = np.where(code[kept] == Code.FAILED, "TEST_FAIL", "NA")
    table["INFO"] = fields[Field.INFO, kept]
    return table[[*COLUMNS, "INFO", "MASK"]]


def count_codes(fields: Floats) -> dict[str, int]:
    """Count how the tests of one trait came out, by what is told of each kind."""
    names = {Code.PLAIN: "tested", Code.CORRECTED: "corrected", Code.FAILED: "failed", **DROPPED}
    codes, counts = np.unique(fields[Field.CODE].astype(int), return_counts=True)
    return {names[Code(code)]: int(count) for code, count in zip(codes, counts, strict=True)}


def chunks_of(
    parts: Iterable[str], trait: str, facts: str
) -> Iterator[tuple[pd.DataFrame, dict[str, int]]]:
    """Go through the results of step 2 of one trait.

    Parameters
    ----------
    parts
        Folders of the jobs of step 2, in order.
    trait
        Its name; one that was set aside has no rows.
    facts
        The JSON file of the study.

    Yields
    ------
    rows, counts
        As from `rows_of` and `count_codes`.
    """
    traits = json.loads(Path(facts).read_text(encoding="utf-8"))["traits"]
    if trait in traits:
        for part in parts:
            fields = np.load(Path(part, "tests.npy"), mmap_mode="r")[traits.index(trait)]
            variants = pd.read_parquet(Path(part, "variants.parquet"))
            yield rows_of(variants, fields), count_codes(fields)


class Writer:
    """Writes the tests of one trait chunk by chunk, as parquet and as text, as a context."""

    def __init__(self, parquet: Path, text: Path) -> None:
        self._parquet = pq.ParquetWriter(parquet, _SCHEMA, compression="zstd")
        self._rest = _SCHEMA.empty_table()
        # Neither name nor time in the header, so that the same results are the same bytes.
        self._raw = text.open("wb")
        self._text = gzip.GzipFile(
            filename="", mode="wb", fileobj=self._raw, mtime=0, compresslevel=6
        )
        self._text.write((" ".join(COLUMNS) + "\n").encode())

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._write_rows(len(self._rest))
        self._parquet.close()
        self._text.close()
        self._raw.close()

    def write(self, table: pd.DataFrame) -> None:
        """Append rows as from `rows_of`."""
        more = pa.Table.from_pandas(table, schema=_SCHEMA, preserve_index=False)
        self._rest = pa.concat_tables([self._rest, more]).combine_chunks()
        self._write_rows(len(self._rest) // _GROUP * _GROUP)
        columns = [_texts(table[name]) for name in COLUMNS]
        lines = "".join(" ".join(row) + "\n" for row in zip(*columns, strict=True))
        self._text.write(lines.encode())

    def _write_rows(self, many: int) -> None:
        if many:
            self._parquet.write_table(self._rest.slice(0, many), row_group_size=_GROUP)
            self._rest = self._rest.slice(many).combine_chunks()


def _texts(column: pd.Series) -> list[str]:
    if column.dtype.kind == "f":
        return ["NA" if value != value else _DIGITS % value for value in column.tolist()]
    return [str(value) for value in column.tolist()]
