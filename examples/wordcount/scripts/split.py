"""Cut a text into parts, at borders between words."""
# ruff: noqa: F821 -- Snakemake puts `snakemake` into the namespace of a script

from pathlib import Path

from words import read, split, task, written

with task(snakemake.log[0]), written(*snakemake.output.parts) as parts:
    files = [Path(name) for name in snakemake.input.texts]
    size = sum(file.stat().st_size for file in files) + len(files) - 1
    for number, text in split(read(files), size, len(parts)):
        parts[number].write(text.encode())
