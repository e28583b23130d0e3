"""The page of `cells` in a real browser, headless: what a reader does, and what they see."""

from __future__ import annotations

import re
import shutil
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
import pytest

import services
from services import BAD, TYPES
from tessera.cells.store import open_store

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """To be read only."""
    return services.make_store(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def server(store):
    with services.served(store) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser):
    """A page that is checked afterwards: no fault, no dialogue, no request elsewhere."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    faults, asked = [], []
    opened.on("console", lambda message: message.type == "error" and faults.append(message.text))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    opened.on("request", lambda request: asked.append(request.url))
    opened.expected, opened.shown = [], []  # faults that a test is about; servers that it asks
    yield opened
    context.close()
    assert [fault for fault in faults if not any(e in fault for e in opened.expected)] == []
    assert asked
    own = (*opened.shown, "data:", "blob:", "about:")
    assert [url for url in asked if not url.startswith(own)] == []


def show(page, server, query=""):
    page.shown.append(server.address + "/")
    page.goto(server.address + "/" + query)
    settle(page)


def settle(page):
    page.wait_for_selector("main:not([aria-busy])", timeout=30_000)


def chosen(page):
    return {key: value[0] for key, value in parse_qs(urlsplit(page.url).query).items()}


def cells_of_table(page):
    return [row.split("\t") for row in page.inner_text("#table tbody").splitlines()]


def painted(page, canvas):
    """How many pixels of a canvas have some colour."""
    return page.evaluate(
        """(id) => {
          const canvas = document.getElementById(id);
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let coloured = 0;
          for (let k = 0; k < data.length; k += 4) {
            const spread = Math.max(data[k], data[k + 1], data[k + 2])
              - Math.min(data[k], data[k + 1], data[k + 2]);
            if (data[k + 3] > 128 && spread > 40) coloured += 1;
          }
          return coloured;
        }""",
        canvas,
    )


def test_a_reader_finds_a_gene_by_typing(page, server):
    show(page, server)
    assert page.inner_text("#title") == "brain"
    assert page.is_hidden("#expression")
    assert page.is_visible("#markers-plot svg")
    page.fill("#gene", "")
    page.type("#gene", "gad")
    page.wait_for_selector("#genes [role=option]")
    assert page.inner_text("#genes").split() == ["Gad1", "Gad2"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.get_attribute("#gene", "aria-activedescendant") == "genes-1"
    assert page.get_attribute("#genes-1", "aria-selected") == "true"
    page.keyboard.press("Enter")
    page.wait_for_selector("#title:text-is('Gad2')")
    settle(page)
    assert page.get_attribute("#gene", "aria-expanded") == "false"
    assert chosen(page) == {"dataset": "brain", "gene": "Gad2"}
    assert page.title() == "Gad2 in brain"
    for plot in ("#expression-plot", "#markers-plot"):
        assert page.locator(f"{plot} svg.main-svg").count() > 0
    assert page.locator("#expression-plot .scatterlayer .trace").count() == 2 * len(TYPES) + 2
    assert [row[0] for row in cells_of_table(page)] == sorted(TYPES)


def test_the_table_holds_the_numbers_of_the_data(page, server):
    show(page, server, "?dataset=brain&gene=Gad1")
    brain = services.tissue(1)
    for row in cells_of_table(page):
        values = brain.counts[(brain.cells["cell_type"] == row[0]).to_numpy(), 1]
        assert row[1:3] == ["30", str(np.count_nonzero(values))]
        assert float(row[5]) == pytest.approx(values.mean(), rel=1e-3)
    version = page.inner_text("#facts")
    assert re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", version)
    assert "numpy and Excel" in page.inner_text("#definition")


def test_the_table_is_sorted_by_a_click(page, server):
    show(page, server, "?dataset=brain&gene=Gad1")
    page.click("#table th:nth-child(6) button")
    means = [float(row[5]) for row in cells_of_table(page)]
    assert means == sorted(means, reverse=True)
    assert page.get_attribute("#table th:nth-child(6)", "aria-sort") == "descending"
    page.click("#table th:nth-child(6) button")
    assert [float(row[5]) for row in cells_of_table(page)] == sorted(means)


def test_a_link_shows_the_same(page, server):
    show(page, server, "?dataset=brain&gene=Sst&grouping=cell_type%2Bsex&shape=box")
    assert page.inner_text("#title") == "Sst"
    assert page.input_value("#grouping") == "cell_type+sex"
    assert page.is_checked("input[value=box]")
    assert page.locator("#expression-plot .boxlayer .trace").count() == 6
    assert len(cells_of_table(page)) == 6


def test_choices_stand_in_the_address_and_the_way_back_works(page, server):
    show(page, server, "?dataset=brain&gene=Gad1")
    page.select_option("#grouping", "cell_type+sex")
    page.wait_for_selector("#expression-title:text-is('Gad1 by cell_type + sex')")
    settle(page)
    assert chosen(page)["grouping"] == "cell_type+sex"
    page.check("input[value=box]", force=True)
    assert chosen(page)["shape"] == "box"
    page.select_option("#dataset", "logs")
    page.wait_for_selector("#subtitle:has-text('in logs')")
    settle(page)
    assert page.is_hidden("#umap")
    assert "log₂(CPM + 1)" in page.inner_text("#expression-plot")
    page.go_back()
    page.wait_for_selector("#subtitle:has-text('in brain')")
    settle(page)
    assert page.input_value("#grouping") == "cell_type+sex"


def test_maps_show_expression_and_groups(page, server):
    show(page, server, "?dataset=brain")
    assert painted(page, "umap-group") > 200
    assert painted(page, "umap-value") == 0
    page.click("#subtitle button >> nth=0")
    page.wait_for_selector("#expression:not([hidden])")
    settle(page)
    assert painted(page, "umap-value") > 200
    before = painted(page, "umap-group")
    page.click("#umap-legend button >> nth=0")
    assert painted(page, "umap-group") < before
    assert page.get_attribute("#umap-legend button >> nth=0", "aria-pressed") == "true"
    assert page.get_attribute("#umap-group", "aria-label") == "Map of 90 cells, coloured by group"


def test_a_silent_gene_is_shown(page, server):
    show(page, server, "?dataset=brain&gene=Silent")
    assert painted(page, "umap-value") == 0
    assert [row[3] for row in cells_of_table(page)] == ["0 %"] * 3
    assert page.is_visible("#expression-plot svg >> nth=0")


def test_a_click_on_the_heat_map_chooses_the_gene(page, server):
    show(page, server, "?dataset=brain")
    box = page.locator("#markers-plot .heatmaplayer").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 4)
    page.wait_for_selector("#expression:not([hidden])")
    settle(page)
    first = page.locator("#markers-plot .ytick text").first.text_content()
    assert page.inner_text("#title") == first


def test_an_unknown_gene_is_told_and_the_rest_is_shown(page, server):
    page.expected = ["404"]
    show(page, server, "?dataset=brain&gene=gadd1")
    assert page.inner_text("#notice") == (
        "brain: has no gene gadd1; expected the name of one of its 9 genes (did you mean Gad1?)."
    )
    assert page.is_visible("#markers")
    assert page.is_hidden("#numbers")
    page.fill("#gene", "GAD1")
    page.press("#gene", "Enter")
    page.wait_for_selector("#title:text-is('Gad1')")
    settle(page)
    assert page.is_hidden("#notice")


@pytest.mark.parametrize("gene", sorted({*services.HOSTILE} - {".."}))
def test_hostile_names_stay_text(page, server, gene):
    show(page, server, f"?dataset=hostile&gene={quote(gene, safe='')}")
    assert page.text_content("#title") == gene
    assert page.locator("main img, main script, main a[href^='http'], #genes img").count() == 0
    assert [row[0] for row in cells_of_table(page)] == sorted(services.HOSTILE_TYPES)
    labels = page.locator("#expression-plot .ytick text").all_text_contents()
    assert labels == sorted(services.HOSTILE_TYPES)
    assert BAD in page.locator("#markers-plot .ytick text").all_text_contents()


def test_hostile_names_stay_text_in_suggestions(page, server):
    show(page, server, "?dataset=hostile")
    page.click("#gene")
    page.wait_for_selector("#genes [role=option]")
    names = page.locator("#genes [role=option]").all_text_contents()
    assert sorted(names) == sorted(services.HOSTILE)
    page.click(f"#genes [role=option] >> nth={names.index(BAD)}")
    page.wait_for_selector("#expression:not([hidden])")
    assert page.text_content("#title") == BAD


def test_a_new_version_is_shown_as_a_whole(page, tmp_path):
    store = tmp_path / "store"
    services.publish(store, tmp_path / "old", "brain", services.tissue(1))
    with services.served(store) as running:
        show(page, running, "?gene=Gad1")
        services.publish(store, tmp_path / "new", "brain", services.tissue(9, 60))
        version = open_store(store).current("brain").version
        page.select_option("#grouping", "cell_type+sex")
        page.wait_for_selector(f"#facts:has-text('{version}')")
        settle(page)
        assert sum(int(row[1]) for row in cells_of_table(page)) == 60
        page.goto("about:blank")


def test_an_empty_store_says_so(page, tmp_path):
    with services.served(tmp_path / "nothing") as running:
        show(page, running)
        assert page.inner_text("#notice") == "Nothing was published in this store so far."
        page.goto("about:blank")


def test_a_server_that_stopped_is_told(page, store):
    page.expected = ["ERR_CONNECTION_REFUSED"]
    with services.served(store) as running:
        show(page, running, "?dataset=brain")
    page.select_option("#grouping", "cell_type+sex")
    page.wait_for_selector("#notice:has-text('The server does not answer')")


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_nothing_sticks_out_at_any_width(page, server, width):
    page.set_viewport_size({"width": width, "height": 800})
    show(page, server, "?dataset=brain&gene=Gad1&grouping=cell_type%2Bsex")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
