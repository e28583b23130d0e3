"""The page of a whole-genome regression tells all that was done and escapes every name."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from associations import associations
from tessera.wgr.charts import draw_trait, loco_chart
from tessera.wgr.summary import Summary, summarise
from tessera.wgr.wgr_page import wgr_page

HOSTILE = "<script>alert(1)</script> $a_b^$"
LEDGER = {
    "people": {"read": 5100, "used": 5000, "dropped": {"no phenotype": 60, HOSTILE: 40}},
    "variants": {"read": 50_000, "used": 49_950, "dropped": {"low variance": 50, "unseen": 0}},
    "tests": {"read": 100_000, "used": 99_990, "dropped": {"minor allele count": 10}},
    "blocks": 61,
}
SETTINGS = {
    "convention": "v4",
    "trait_type": "bt",
    "test": "firth",
    "genotypes": ["a.bed", "b.bed"],
    "h2_grid": [0.01, 0.5],
    "burden": {"masks": "masks.txt", "sets": None},
    "strict": False,
}
ASIDE = [
    {
        "trait": "shoe_size",
        "file": "traits.tsv",
        "place": "column shoe_size",
        "what": "all 5,000 values are 42",
        "remedy": "leave the trait out",
    }
]


def traits(*names: str) -> pd.DataFrame:
    used = pd.DataFrame({"trait": names, "type": "bt", "status": "analysed", "reason": ""})
    used = used.assign(note="coded 1/2", n=4990, cases=310, controls=4680, mean=0.06, sd=0.24)
    used = used.assign(h2=0.25, rsq=0.1234, lambda_gc=1.0312, tested=9_990, dropped=10, hits=3)
    bad = {"trait": "shoe_size", "type": "bt", "status": "set aside", "reason": "constant", "n": 7}
    return pd.concat([used, pd.DataFrame([bad])], ignore_index=True)


@cache
def summary(planted: bool = True, masks: int = 0, failed: int = 0) -> Summary:
    assoc = associations(10_000, 1, {4_000: 30.0, 9_000: 12.0} if planted else {})
    assoc.loc[9_000, ["ID", "ALLELE0", "ALLELE1"]] = [HOSTILE, "T" * 500, HOSTILE]
    assoc.loc[: failed - 1, ["CHISQ", "LOG10P"]] = np.nan
    burden = associations(masks, 2, {3: 25.0} if masks else {})
    burden = burden.assign(
        ID=[f"GENE{k}.M1.0.01" for k in range(masks)], ALLELE1="M1.0.01", MASK=True
    )
    return summarise(pd.concat([assoc, burden], ignore_index=True))


def page(found: dict[str, Summary], **changed: Any) -> str:
    given: dict[str, Any] = {
        "ledger": LEDGER,
        "settings": SETTINGS,
        "traits": traits(*found),
        "summaries": found,
        "aside": ASIDE,
        "loco": b"l",
        "pictures": {name: {"manhattan.png": b"m", "qq.png": b"q"} for name in found},
        "notes": [f"c.txt: column {HOSTILE}: constant, so left out."],
    }
    return wgr_page(**{**given, **changed})


def test_page_tells_all_and_escapes_names() -> None:
    found = {HOSTILE: summary(failed=4), "height": summary(masks=40)}
    text = page(found)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    for told in (
        "5,000 of 5,100 used",
        "49,950 of 50,000 used",
        "61",
        "2 of 3 analysed",
        "2 of 3 traits were analysed",
        "1 trait was set aside: shoe_size",
        "all 5,000 values are 42",
        "leave the trait out",
        "100 of 5,100 people are not in the analysis",
        "no phenotype: 60",
        "low variance: 50",
        "minor allele count: 10",
        "v4",
        "binary",
        "firth",
        "0.01, 0.5",
        "masks: masks.txt; sets: not set",
        "4,990 (310 cases)",
        "analysed; coded 1/2",
        "set aside; constant",
        "0.1234",
        "1.031",
        "9,990",
        "rs4000",
        "30.00",
        "T" * 23 + "\N{HORIZONTAL ELLIPSIS}",
        "Tests that failed and have no p: 4",
        "40 burden tests, of which the strongest 20 are listed",
        "p below 0.00125 among them",
        "GENE3.M1.0.01",
        ">M1.0.01, max<",
        "25.00",
        "Good to know",
        "constant, so left out",
    ):
        assert told in text, told
    assert "unseen" not in text
    assert "T" * 24 not in text
    assert ">nan" not in text
    assert text.count("<img") == 5
    assert text.index("rs4000") < text.index("T" * 23)  # stronger ones come first
    assert page(found) == text


def test_page_without_hits_or_bad_traits() -> None:
    whole = {key: {"read": 5, "used": 5, "dropped": {}} for key in ("people", "variants", "tests")}
    quiet = summarise(associations(500, 2, {}))
    text = page(
        {"height": quiet},
        ledger={**whole, "blocks": 1},
        traits=traits("height")[:1],
        aside=[],
    )
    assert text.count("Nothing was set aside") == 2
    assert "No variant has a p below 1e\N{MINUS SIGN}5" in text
    assert "burden tests" not in text


def test_page_of_burden_tests_alone() -> None:
    masks = associations(30, 2, {3: 25.0}).assign(MASK=True)
    text = page({"height": summarise(masks)})
    assert "30 burden tests" in text
    assert "No variant has" not in text
    assert text.count("<img") == 1


def test_page_where_every_trait_is_set_aside() -> None:
    text = page({}, loco=loco_chart({}))
    assert "0 of 1 traits were analysed" in text
    assert "shoe_size" in text


def test_an_account_that_does_not_add_up_is_marked() -> None:
    found = {"height": summary()}
    assert '<tr class="look">' not in page(found)
    short = {**LEDGER, "tests": {"read": 9, "used": 5, "dropped": {"rare": 1}}}
    assert '<tr class="look">' in page(found, ledger=short)


def test_fifty_traits_fit_a_page() -> None:
    """Pictures are largest where dots are everywhere: a trait without effects, many variants."""
    crowded = summarise(associations(300_000, 3, {}))
    pictures = draw_trait(crowded)
    found = {f"trait_{k}": crowded for k in range(50)}
    text = page(found, pictures=dict.fromkeys(found, pictures))
    assert text.count("<img") == 101
    assert len(text) < 15e6
