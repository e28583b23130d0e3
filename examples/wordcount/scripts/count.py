"""Map: a part of a text to the counts of its words."""
# ruff: noqa: F821 -- Snakemake puts `snakemake` into the namespace of a script

import json
from collections import Counter
from pathlib import Path

from words import task, words, written

with task(snakemake.log[0]), written(snakemake.output.counts) as (file,):
    found = list(words(Path(snakemake.input.part).read_text("utf-8")))
    content = {"words": len(found), "counts": Counter(found)}
    file.write(json.dumps(content, ensure_ascii=False).encode())
