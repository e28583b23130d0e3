"""VCF and BCF files: looked through once, and converted to a PLINK 2 fileset.

A VCF is read from its beginning only, so it is converted before its variants are read range by
range. The format is described at https://samtools.github.io/hts-specs/VCFv4.3.pdf. Places in
messages count variants from 1.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain, groupby
from pathlib import Path
from typing import Any, BinaryIO

import cyvcf2
import numba as nb
import numpy as np
import numpy.typing as npt
from pgenlib import PgenWriter

from tessera.errors import InputError, Problem
from tessera.filesets import COPY_AGAIN, check_names
from tessera.plink_tables import unreadable

_GZIP = b"\x1f\x8b"
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_MISSING = -9  # in what pgenlib takes
_EXPORT = "name one that bcftools view or plink2 --export vcf wrote"
_FORMATS = {"GT", "DS", "GP"}


def scan_vcf(path: str) -> dict[str, Any]:
    """Count the variants of a VCF in one pass, in which no genotype is parsed.

    Parameters
    ----------
    path
        A ``.vcf``, ``.vcf.gz`` or ``.bcf``; the content tells which.

    Returns
    -------
    dict
        ``n_variants``; ``samples``: the names of the individuals; ``chromosomes``: ``[name,
        count]`` of each run of variants, in the order of the file. All of it fits into JSON.

    Raises
    ------
    InputError
        The file is missing, unreadable, no VCF, or ends early; it has no individuals, some of
        the same name, no variants, or neither GT nor DS nor GP in its first variant.
    """
    with _bytes_of(path) as stream:
        binary = stream.read(4) == b"BCF\x02"
    if binary:
        samples, formats, chromosomes = _scan_bcf(path)
    else:
        with _bytes_of(path) as stream:
            samples, formats, chromosomes = _scan_text(path, stream)
    if not chromosomes:
        raise InputError(Problem(path, "", "holds no variants", "export it again"))
    if not _FORMATS & set(formats):
        raise _no_genotypes(path, 1)
    n_variants = sum(count for _, count in chromosomes)
    return {"n_variants": n_variants, "samples": samples, "chromosomes": chromosomes}


def convert_vcf(path: str, prefix: str, n_variants: int) -> None:
    """Write the genotypes of a VCF as ``.pgen``, ``.pvar`` and ``.psam``.

    Each variant becomes one, in the order of the file; what has no id is called
    ``CHROM:POS:REF:ALT``. The count of ALT is, for each individual, the first of these that is
    not missing: DS, what is expected from GP, GT. A half call is missing, as is everybody in
    variants of several ALT (which the comma in the ``.pvar`` marks) and any genotype of more than
    two copies. A haploid genotype counts as two alike, and so does its dosage, which a VCF gives
    from 0 to 1. Dosages keep 1/16384, as in any ``.pgen``. FID and IID are both the name.

    Parameters
    ----------
    path
        What `scan_vcf` looked through.
    prefix
        Path of the three files without suffix; a call that fails leaves files that are no
        fileset.
    n_variants
        What `scan_vcf` counted.

    Raises
    ------
    InputError
        A variant cannot be read, or has neither GT nor DS nor GP, or dosages that are none; or
        the file has changed.
    """
    vcf = _open(path)
    samples, number = vcf.samples, 0
    with Path(f"{prefix}.psam").open("w", encoding="utf-8", newline="\n") as psam:
        psam.write("#FID\tIID\n")
        psam.writelines(f"{name}\t{name}\n" for name in samples)
    writer = PgenWriter(
        os.fsencode(f"{prefix}.pgen"),
        len(samples),
        variant_ct=n_variants,
        nonref_flags=False,
        dosage_present=True,
    )
    with Path(f"{prefix}.pvar").open("w", encoding="utf-8", newline="\n") as pvar:
        pvar.write("#CHROM\tPOS\tID\tREF\tALT\n")
        for number, record in enumerate(_records(path, vcf), start=1):
            if number > n_variants:
                raise _changed(path, n_variants)
            where, alts = f"{record.CHROM}\t{record.POS}", ",".join(record.ALT) or "."
            name = record.ID or f"{record.CHROM}:{record.POS}:{record.REF}:{alts}"
            pvar.write(f"{where}\t{name}\t{record.REF}\t{alts}\n")
            if len(record.ALT) > 1:
                writer.append_biallelic(np.full(len(samples), _MISSING, dtype=np.int8))
            else:
                _append(writer, path, number, record)
    if number < n_variants:
        raise _changed(path, n_variants)
    writer.close()


def _append(writer: PgenWriter, path: str, number: int, record: Any) -> None:
    """Write the genotypes of a variant of one ALT, or of none."""
    formats = set(record.FORMAT)
    if not _FORMATS & formats:
        raise _no_genotypes(path, number)
    calls = haploid = None
    if "GT" in formats:
        alleles = record.genotype.array()
        calls, haploid = np.empty(len(alleles), np.int8), np.empty(len(alleles), np.bool_)
        if not _count(alleles, len(record.ALT), calls, haploid):
            what, remedy = "a genotype names an allele that is not in ALT", "correct the genotype"
            raise InputError(Problem(path, f"variant {number}", what, remedy))
        if not {"DS", "GP"} & formats:
            writer.append_biallelic(calls)
            return
    for field in sorted({"DS", "GP"} & formats):
        if record.format(field).dtype.kind != "f":
            what, remedy = f"the header declares {field} as no Float", "correct the header"
            raise InputError(Problem(path, "", what, remedy))
    dosages = _dosages(record, haploid)
    if ((dosages < 0) | (dosages > 2)).any():
        worst = dosages[(dosages < 0) | (dosages > 2)][0]
        what = f"an individual has {worst:g} copies of ALT by its dosage"
        remedy = "expected DS from 0 to 2 (to 1 if haploid), GP that add up to 1"
        raise InputError(Problem(path, f"variant {number}", what, remedy))
    other = _MISSING if calls is None else calls
    writer.append_dosages(np.where(np.isnan(dosages), other, dosages).astype(np.float32))


@nb.njit(nogil=True, cache=True)
def _count(alleles: Any, highest: Any, calls: Any, haploid: Any) -> Any:
    """Count ALT, -9 where missing, and tell who is haploid; return whether alleles are in order.

    `alleles` has a column per copy, -1 where missing and -2 where there is none, and one more
    that tells phase.
    """
    sound = True
    for person in range(calls.size):
        known = there = count = 0
        for copy in range(alleles.shape[1] - 1):
            allele = alleles[person, copy]
            there += allele != -2
            known += allele >= 0
            count += max(allele, 0)
            sound = sound and allele <= highest
        haploid[person] = there == 1 and known == 1
        if known < there or there > 2:
            calls[person] = _MISSING
        else:
            calls[person] = 2 * count if haploid[person] else count
    return sound


def _dosages(record: Any, haploid: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float64]:
    """Expect copies of ALT from DS, and from GP where DS is missing; NaN where both are."""
    dosages = np.full(1, np.nan)
    if "DS" in record.FORMAT:
        dosages = record.format("DS")[:, 0].astype(np.float64)
        if haploid is not None:
            dosages[haploid] *= 2
    if "GP" in record.FORMAT:
        chances = record.format("GP").astype(np.float64)
        chances = np.pad(chances, ((0, 0), (0, 3)), constant_values=np.nan)
        one, two = chances[:, 1], chances[:, 2]
        expected = np.where(np.isnan(two), 2 * one, one + 2 * two)  # two chances are of a haploid
        expected[~np.isnan(chances[:, 3])] = np.nan
        dosages = np.where(np.isnan(dosages), expected, dosages)
    return dosages


@contextmanager
def _bytes_of(path: str) -> Iterator[BinaryIO]:
    """Open a file that may be compressed; tell of what goes wrong while it is read."""
    early = InputError(
        Problem(path, "", "is truncated, for its compression ends early", COPY_AGAIN)
    )
    try:
        with Path(path).open("rb") as stream:
            start = stream.read(18)
            if start[12:14] == b"BC" and start[:2] == _GZIP:  # blocks, of which the last is empty
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - len(_BGZF_END)))
                if stream.read() != _BGZF_END:
                    raise early
            stream.seek(0)
            with gzip.open(stream) if start[:2] == _GZIP else nullcontext(stream) as content:
                yield content  # type: ignore[misc]
    except EOFError:
        raise early from None
    except (gzip.BadGzipFile, zlib.error) as error:
        what = f"cannot be decompressed ({error})"
        raise InputError(Problem(path, "", what, COPY_AGAIN)) from None
    except OSError as error:
        raise unreadable(path, error) from None


def _scan_text(path: str, stream: BinaryIO) -> tuple[list[str], list[str], list[list[Any]]]:
    line = stream.readline()
    if not line.startswith(b"##fileformat=VCF"):
        found = f"it starts with {line[:3].hex(' ')}" if line else "it is empty"
        raise InputError(Problem(path, "", f"is no VCF ({found})", _EXPORT))
    while line.startswith(b"##"):
        line = stream.readline()
    if not line.startswith(b"#CHROM\t"):
        what = "the line of column names is missing, #CHROM POS ID REF ALT ..."
        raise InputError(Problem(path, "", what, "export it again"))
    samples = line.decode("utf-8", "replace").rstrip("\r\n").split("\t")[9:]
    _check_samples(path, samples)
    first = stream.readline()
    lines = chain([first], stream) if first else ()
    formats = b"".join(first.split(b"\t", 9)[8:9]).decode("utf-8", "replace").split(":")
    runs = _runs(line[: line.find(b"\t")] for line in lines)
    return samples, formats, [[name.decode("utf-8", "replace"), count] for name, count in runs]


def _scan_bcf(path: str) -> tuple[list[str], list[str], list[list[Any]]]:
    vcf = _open(path)
    _check_samples(path, vcf.samples)
    records = _records(path, vcf)
    first = next(records, None)
    if first is None:
        return vcf.samples, [], []
    formats = list(first.FORMAT)
    return vcf.samples, formats, _runs(record.CHROM for record in chain([first], records))


def _runs(names: Iterable[Any]) -> list[list[Any]]:
    return [[name, sum(1 for _ in run)] for name, run in groupby(names)]


def _check_samples(path: str, samples: list[str]) -> None:
    if not samples:
        what, remedy = "holds no individuals", "name a VCF with genotypes"
        raise InputError(Problem(path, "", what, remedy))
    check_names(path, samples)


def _open(path: str) -> cyvcf2.VCF:
    try:
        return cyvcf2.VCF(path)
    except Exception as error:  # the package raises nothing narrower
        what = f"cannot be opened ({error})"
        raise InputError(Problem(path, "", what, _EXPORT)) from None


def _records(path: str, vcf: cyvcf2.VCF) -> Iterator[Any]:
    number = 1
    while True:
        try:
            record = next(vcf)
        except StopIteration:
            return
        except Exception:  # the package raises nothing narrower
            what = "cannot be read, for it is damaged or the file ends early"
            raise InputError(Problem(path, f"variant {number}", what, COPY_AGAIN)) from None
        yield record
        number += 1


def _no_genotypes(path: str, number: int) -> InputError:
    what = "has neither GT nor DS nor GP of its individuals"
    return InputError(Problem(path, f"variant {number}", what, "name a VCF with genotypes"))


def _changed(path: str, n_variants: int) -> InputError:
    what, remedy = f"had {n_variants} variants before", "leave the file alone while it is used"
    return InputError(Problem(path, "", what, remedy))
