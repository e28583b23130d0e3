"""Tables of results: REGENIE's text, to the letter, and parquet, in the same bytes however made."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from associations import associations
from tessera.wgr.assoc import Code, Field
from tessera.wgr.tables_out import COLUMNS, Writer, chunks_of, count_codes, rows_of, write_loco

NAN = np.nan
CODES = [Code.PLAIN, Code.RARE, Code.CORRECTED, Code.FAILED, Code.ODD, Code.PLAIN]


def variants():
    return pd.DataFrame(
        {
            "CHROM": np.full(6, 23, np.int8),
            "GENPOS": np.arange(6) + 3_000_000_000,
            "ID": [f"rs{k}" for k in range(6)],
            "ALLELE0": ["G", "GT", "C", "A", "A", "T"],
            "ALLELE1": ["A", "G", "<DEL>", "C", "C", "A"],
            "MASK": [False] * 5 + [True],
            "TEST": ["ADD"] * 5 + ["ADD-SUM"],
        }
    )


def fields():
    out = np.full((len(Field), 6), NAN)
    out[Field.A1FREQ] = [0.25, 0.001, 1 / 3, 0.5, NAN, 1e-7]
    out[Field.N] = [100, 99, 98, 97, 0, 100_000_000]
    out[Field.INFO] = [1, 1, 0.987654321, 0.5, NAN, 1]
    out[Field.BETA] = [0.1, NAN, -1234.5678912, 1e-20, NAN, 0]
    out[Field.SE] = [0.02, NAN, 2, 1e-21, NAN, 3]
    out[Field.CHISQ] = [25, NAN, 4.5e5, NAN, NAN, 0]
    out[Field.LOG10P] = [6.24, NAN, 97_000.123456, NAN, NAN, 0]
    out[Field.CODE] = CODES
    return out


def write(folder, *tables):
    folder.mkdir(exist_ok=True)
    parquet, text = folder / "t.parquet", folder / "t.regenie.gz"
    with Writer(parquet, text) as writer:
        for table in tables:
            writer.write(table)
    return parquet, text


def test_loco_in_regenies_order_and_digits(tmp_path):
    """People sorted as text; those without the trait have NA."""
    ids = ["2_2", "10_10", "1_1", "A_b", "a_B", "1_10"]
    values = np.zeros((23, 4))
    values[0] = [0.123456789, -1e-9, 1234567.89, 0]
    values[22] = [1, 2.5, -3, 1e5]
    rounded = write_loco(tmp_path / "t.loco", ids, values, np.array([0, 2, 3, 5]))
    lines = (tmp_path / "t.loco").read_text().splitlines()
    assert lines[0] == "FID_IID 10_10 1_1 1_10 2_2 A_b a_B"
    assert lines[1] == "1 NA -1e-09 0 0.123457 1.23457e+06 NA"
    assert lines[2] == "2 NA 0 0 0 0 NA"
    assert lines[23] == "23 NA 2.5 100000 1 -3 NA"
    assert len(lines) == 24
    assert (tmp_path / "t.loco").read_bytes().endswith(b"NA\n")
    np.testing.assert_array_equal(rounded[0], [0.123457, -1e-09, 1.23457e06, 0])
    np.testing.assert_array_equal(rounded[22], values[22])


def test_loco_returned_is_loco_read(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"{k}_{k}" for k in range(300)]
    there = np.sort(rng.permutation(300)[:200])
    values = rng.normal(size=(23, 200)) * 10 ** rng.uniform(-8, 4, (23, 200))
    rounded = write_loco(tmp_path / "t.loco", ids, values, there)
    table = pd.read_csv(tmp_path / "t.loco", sep=" ", index_col="FID_IID")
    assert table.index.tolist() == list(range(1, 24))
    read = table[[ids[k] for k in there]].to_numpy()
    np.testing.assert_array_equal(read, rounded)
    np.testing.assert_allclose(rounded, values, rtol=5e-6)
    absent = np.setdiff1d(np.arange(300), there)
    assert table[[ids[k] for k in absent]].isna().all(axis=None)


def test_loco_of_a_trait_that_was_set_aside(tmp_path):
    rounded = write_loco(tmp_path / "t.loco", ["b", "a"], np.empty((23, 0)), [])
    assert rounded.shape == (23, 0)
    lines = (tmp_path / "t.loco").read_text().splitlines()
    assert lines == ["FID_IID a b", *(f"{k} NA NA" for k in range(1, 24))]


def test_rows_are_what_was_tested():
    table = rows_of(variants(), fields())
    assert list(table) == [*COLUMNS, "INFO", "MASK"]
    assert table["ID"].tolist() == ["rs0", "rs2", "rs3", "rs5"]
    assert table["EXTRA"].tolist() == ["NA", "NA", "TEST_FAIL", "NA"]
    assert table["N"].tolist() == [100, 98, 97, 100_000_000]
    assert table["N"].dtype == np.int64
    np.testing.assert_array_equal(table["CHISQ"], [25, 4.5e5, NAN, 0])
    np.testing.assert_array_equal(table["BETA"], [0.1, -1234.5678912, 1e-20, 0])
    none = fields()
    none[Field.CODE] = Code.RARE
    assert len(rows_of(variants(), none)) == 0


def test_every_variant_is_counted_once():
    counts = count_codes(fields())
    assert counts == {
        "tested": 2,
        "corrected": 1,
        "failed": 1,
        "minor allele count below min_mac": 1,
        "more than two alleles": 1,
    }
    everything = np.zeros((len(Field), len(Code)))
    everything[Field.CODE] = list(Code)
    assert list(count_codes(everything).values()) == [1] * len(Code)


def test_text_as_regenie_writes_it(tmp_path):
    _, text = write(tmp_path, rows_of(variants(), fields()))
    assert gzip.decompress(text.read_bytes()).decode().splitlines() == [
        "CHROM GENPOS ID ALLELE0 ALLELE1 A1FREQ N TEST BETA SE CHISQ LOG10P EXTRA",
        "23 3000000000 rs0 G A 0.25 100 ADD 0.1 0.02 25 6.24 NA",
        "23 3000000002 rs2 C <DEL> 0.333333333 98 ADD -1234.56789 2 450000 97000.1235 NA",
        "23 3000000003 rs3 A C 0.5 97 ADD 1e-20 1e-21 NA NA TEST_FAIL",
        "23 3000000005 rs5 T A 1e-07 100000000 ADD-SUM 0 3 0 0 NA",
    ]


def test_parquet_holds_all_digits_and_the_promised_types(tmp_path):
    rows = rows_of(variants(), fields())
    parquet, _ = write(tmp_path, rows)
    table = pd.read_parquet(parquet)
    for name in ("A1FREQ", "BETA", "SE", "CHISQ", "LOG10P", "INFO"):
        np.testing.assert_array_equal(table[name], rows[name])
    schema = pq.read_schema(parquet)
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "CHROM": "int8",
        "GENPOS": "int64",
        **dict.fromkeys(["ID", "ALLELE0", "ALLELE1", "TEST", "EXTRA"], "string"),
        **dict.fromkeys(["A1FREQ", "BETA", "SE", "CHISQ", "LOG10P", "INFO"], "double"),
        "N": "int64",
        "MASK": "bool",
    }
    assert schema.names == [*COLUMNS, "INFO", "MASK"]
    # A failed test is null for those who read it without pandas.
    assert pq.read_table(parquet)["CHISQ"].null_count == 1


def test_same_results_are_same_bytes_wherever(tmp_path):
    one, other = (write(tmp_path / name, rows_of(variants(), fields())) for name in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]
    # Flags and time of a gzip header: no file name, no clock.
    assert one[1].read_bytes()[3:8] == bytes(5)


def test_pieces_of_any_size_give_the_same_bytes(tmp_path):
    table = associations(70_000, 1, {5: 300.0}).assign(INFO=1.0)
    whole = write(tmp_path / "whole", table)
    for size in (69_000, 9_999):
        pieces = [table.iloc[a : a + size].reset_index(drop=True) for a in range(0, 70_000, size)]
        found = write(tmp_path / str(size), *pieces, table.iloc[:0])
        assert [path.read_bytes() for path in found] == [path.read_bytes() for path in whole]
    read = pd.read_parquet(whole[0])
    pd.testing.assert_frame_equal(read[list(table.columns)], table, check_dtype=False)
    with gzip.open(whole[1], "rt") as stream:
        text = pd.read_csv(stream, sep=" ", keep_default_na=False)
    assert tuple(text.columns) == COLUMNS
    pd.testing.assert_frame_equal(text, table[list(COLUMNS)], check_dtype=False, rtol=1e-8)


def test_no_rows_are_a_table_too(tmp_path):
    for name, tables in (("none", []), ("empty", [associations(0, 1, {}).assign(INFO=1.0)])):
        parquet, text = write(tmp_path / name, *tables)
        table = pd.read_parquet(parquet)
        assert list(table) == [*COLUMNS, "INFO", "MASK"]
        assert table.empty
        assert gzip.decompress(text.read_bytes()).decode() == " ".join(COLUMNS) + "\n"


def test_results_of_one_trait_from_all_jobs(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps({"traits": ["one", "two"]}))
    parts = []
    for number in range(3):
        part = tmp_path / str(number)
        part.mkdir()
        tests = np.stack([fields(), fields()])
        tests[1, Field.BETA] = 7 + number
        np.save(part / "tests.npy", tests)
        variants().to_parquet(part / "variants.parquet")
        parts.append(str(part))
    found = list(chunks_of(parts, "two", str(tmp_path / "study.json")))
    assert [set(rows["BETA"]) for rows, _ in found] == [{7}, {8}, {9}]
    assert all(counts == count_codes(fields()) for _, counts in found)
    assert list(chunks_of(parts, "set aside", str(tmp_path / "study.json"))) == []
