"""The report accounts for every image and object, and its page tells all and escapes names."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tessera.errors import Problem
from tessera.imaging.compare import agreement, boxes, counts, sizes
from tessera.imaging.database import examples
from tessera.imaging.grid import points
from tessera.imaging.imaging_page import Comparison, Overlay
from tessera.imaging.objects import BORDER, SMALL, object_table
from tessera.imaging.overlays import overlay
from tessera.imaging.pieces import PIECE
from tessera.imaging.report import ASIDE, make_ledger, report, summarise
from tessera.imaging.tables import parameter_table
from tessera.verdict import write_verdict

HOSTILE = "<script>alert(1)</script> $a_b^$"
SETTINGS = {
    "filter": [{"name": "none"}, {"name": "gaussian", "sigma": 2}],
    "threshold": [{"name": "fixed", "value": [90, 120, 150]}], "morphology": [{"op": "none"}],
    "polarity": "bright", "connectivity": 26, "min_size": 5, "border": "flag", "slice": None,
}  # fmt: skip
HEADER = SimpleNamespace(
    shape=(30, 200, 300), ndim=3, voxel_size=(2.0, 0.5, 0.5), unit="µm", dtype="uint16"
)
PARAMS = [point.name for point in points(SETTINGS)]


def objects(seed, count=300):
    random = np.random.default_rng(seed)
    pieces = np.zeros(count, PIECE)
    pieces["first"], pieces["n"] = np.arange(count), random.lognormal(4, 1.3, count)
    pieces["lo"] = random.integers(0, np.array(HEADER.shape) - 8, (count, 3))
    pieces["hi"] = pieces["lo"] + random.integers(2, 9, (count, 3))
    return object_table(pieces, 1.0, HEADER, min_size=5, border="flag")


def study(folder, names=("one", HOSTILE), bad=("third",)):
    """Make what the steps of images leave; `bad` ones were set aside."""
    parts = {"counts": [], "sizes": [], "agreement": []}
    rows, verdicts, summaries, overlays = [], [], [], {}
    for k, name in enumerate([*names, *bad]):
        rows.append({"image": name, "path": f"data/{k}.tif", "group": "AB"[k % 2]})
        verdict, summary = folder / f"{k}.verdict.json", folder / f"{k}.json"
        verdicts.append(verdict)
        summaries.append(summary)
        if name in bad:
            why = Problem(f"data/{k}.tif", "page 3", f"is cut off {HOSTILE}", "copy it again")
            write_verdict(verdict, [why])
            write_verdict(summary, [why])
            continue
        found = {p: objects(10 * k + n // 2, 300 - 20 * n) for n, p in enumerate(PARAMS)}
        thresholds = {p: {"low": None, "value": 90.0 + n} for n, p in enumerate(PARAMS)}
        write_verdict(verdict, [])
        summary.write_text(json.dumps(summarise(name, HEADER, found, thresholds)))
        for p, each in found.items():
            parts["counts"].append(counts(name, p, each, HEADER, "flag"))
            parts["sizes"].append(sizes(name, p, each, HEADER, "flag"))
        parts["agreement"].append(agreement(name, {p: boxes(each) for p, each in found.items()}))
        y, x = np.indices((200, 300))
        blobs = np.hypot(y % 50 - 25, x % 60 - 30)
        grey = np.random.default_rng(k).normal(80 + 60 * (blobs < 14), 12)
        labels = np.where(blobs < 14, 1 + y // 50 * 5 + x // 60, 0)
        size = HEADER.voxel_size[1:]
        png = overlay(grey, labels, title=name, pixel_size=size, unit=HEADER.unit)
        overlays[name] = Overlay(png, PARAMS[0], 14)
    comparison = Comparison(
        parameter_table(points(SETTINGS), SETTINGS).to_pandas(),
        pd.DataFrame(parts["counts"]),
        pd.concat(parts["sizes"]) if parts["sizes"] else pd.DataFrame(),
        pd.concat(parts["agreement"]) if parts["agreement"] else pd.DataFrame(),
    )
    asked = examples(names[0], PARAMS[0], 1, ["volume"], "group") if names else {}
    return report(rows, verdicts, summaries, overlays, comparison, SETTINGS, asked)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return study(tmp_path_factory.mktemp("study"))


def test_the_page_tells_all_and_escapes_names(told):
    page = told.page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<img ") == 2 + 3  # overlays; sizes, stability, agreement
    for heading in ("Objects, as they were found", "Sizes of objects", "The grid of parameters",
                    "Questions to ask of the objects", "What was read and used", "Settings",
                    "Set aside"):  # fmt: skip
        assert f"<h2>{heading}</h2>" in page
    assert "2 of 3 images were measured" in page
    assert "WITH near AS" in page
    assert "plane z = 14" in page
    text = page.replace("\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}", " x")
    assert "30 x 200 x 300" in text
    assert "2 x 0.5 x 0.5 µm" in text
    assert "µm³" in page
    assert "none; gaussian, sigma 2" in page
    assert "fixed, value [90, 120, 150]" in page
    assert "copy it again" in page


def test_the_table_of_images_has_them_all_in_the_order_of_the_sheet(told):
    assert told.images["image"].tolist() == ["one", HOSTILE, "third"]
    assert told.images["status"].tolist() == ["measured", "measured", "set aside"]
    assert told.images["objects"].isna().tolist() == [False, False, True]
    assert told.images["points"].tolist()[:2] == [6, 6]
    assert tuple(told.aside) == ASIDE
    assert told.aside["image"].tolist() == ["third"]


def test_everything_read_is_used_or_dropped(told):
    for account in told.ledger.values():
        assert account["read"] == account["used"] + sum(account["dropped"].values())
    assert told.ledger["images"] == {"read": 3, "used": 2, "dropped": {"set aside": 1}}
    assert told.ledger["objects"]["read"] == 2 * sum(300 - 20 * n for n in range(6))
    assert told.ledger["objects"]["dropped"].keys() == {SMALL}
    assert told.ledger["objects"]["used"] == told.images["objects"].sum()
    assert json.loads(json.dumps(told.ledger)) == told.ledger


def test_reasons_add_up_over_points():
    points_of = [{"objects": 3, "dropped": {SMALL: 1, BORDER: 2}}] * 2
    ledger = make_ledger(1, [{"points": points_of}])
    assert ledger["objects"] == {"read": 12, "used": 6, "dropped": {SMALL: 2, BORDER: 4}}


def test_the_same_study_makes_the_same_page(told, tmp_path):
    assert study(tmp_path).page == told.page


def test_a_run_without_any_good_image_has_a_page(tmp_path):
    page = study(tmp_path, names=()).page
    assert "No image was measured" in page
    assert "0 of 1 images were measured" in page


def test_one_image_and_many(tmp_path):
    page = study(tmp_path, names=("alone",), bad=()).page
    assert "All images were measured" in page
    assert "Nothing was set aside" in page
