"""Tessera: scientific image and genome analysis at scale.

`snakemake toy` makes the demonstration data, `snakemake` runs every pipeline that config.yaml
lists, `snakemake WORD` one of them. See README.md.
"""

from snakemake.utils import min_version

min_version("9.27")


# Where a local clone is the git source, Snakemake takes paths beside a Snakefile at the root for
# absolute ones.
source = workflow.included_stack[-1]
if getattr(source, "path", None) == "Snakefile":
    source.path = "./Snakefile"

# One's own config.yaml in the working directory comes first, the shipped one otherwise.
shipped = workflow.source_path("config.yaml")


configfile: "config.yaml" if os.path.exists("config.yaml") else shipped


pathvars:
    work="<results>/work",
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",
    toy="toy",


wildcard_constraints:
    unit=r"sub-[A-Za-z0-9]+(/ses-[A-Za-z0-9]+)?",
    slab=r"\d+of\d+",
    visit=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    ccd=r"[A-Za-z0-9-]+",
    patch=r"x-?\d+y-?\d+",
    tile=r"s\d+p\d+(to\d+)?",
    node=r"\d+-\d+",
    block=r"c\d+b\d+",
    chunk=r"c\d+[km]\d+",
    trait=r"[^/]+",
    vcf=r"\d+",
    dataset=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    part=r"\d+of\d+",
    grouping=r"[^/]+",
    image=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    filter=r"[A-Za-z0-9.+-]+",
    params=r"[A-Za-z0-9.+-]+_[A-Za-z0-9.+-]+_[A-Za-z0-9.+-]+",


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/toy.smk"
include: "rules/neuro.smk"
include: "rules/astro.smk"
include: "rules/astro_quality.smk"
include: "rules/vgwas.smk"
include: "rules/wgr.smk"
include: "rules/cells.smk"
include: "rules/imaging.smk"
include: "rules/imaging_study.smk"


rule all:
    """Every pipeline that the config lists under `pipelines`."""
    default_target: True
    input:
        *[getattr(rules, word).input for word in config["pipelines"]],


onsuccess:
    print(closing_words("Done."))


onerror:
    print(
        closing_words(
            "Not everything could be made: the log above says which job failed, and why."
        )
    )
