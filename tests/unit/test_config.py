"""Configuration: defaults, coercion, every error at once."""

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tessera.config import closest, load_schema, validate_config
from tessera.errors import InputError

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "schemas"
SCHEMA = load_schema(SCHEMAS, "config")
DEFAULTS = validate_config({}, SCHEMA)


def errors(config, schema=SCHEMA):
    """Return the sentences with which a configuration is refused."""
    with pytest.raises(InputError) as caught:
        validate_config(config, schema)
    return str(caught.value).splitlines()


def neuro(**keys):
    return {"neuro": keys}


# -- schemas and references ----------------------------------------------------------------------


def test_references_stay_in_the_folder_and_end(tmp_path):
    (tmp_path / "a.yaml").write_text("properties: {x: {$ref: b.yaml}}")
    (tmp_path / "b.yaml").write_text("type: integer")
    assert load_schema(tmp_path, "a") == {"properties": {"x": {"type": "integer"}}}
    for text in ("$ref: ../b.yaml", "$ref: /etc/b.yaml", "$ref: c.yaml"):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(ValueError, match=r"leaves the folder or is circular"):
            load_schema(tmp_path, "c")


# -- coercion ------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [None, {}, "", "null", "{}", {"neuro": None}, {"neuro": "null"}])
def test_nothing_means_defaults(empty):
    assert validate_config(empty, SCHEMA) == DEFAULTS


def test_results_share_nothing_with_the_schema():
    validate_config({}, SCHEMA)["pipelines"].append("x")
    assert validate_config({}, SCHEMA) == DEFAULTS


@pytest.mark.parametrize(
    ("section", "place", "value"),
    [
        ("{denoise: {sigma: '3'}}", "denoise.sigma", 3.0),
        ("{denoise: {sigma: 1e-3}}", "denoise.sigma", 0.001),
        ("{denoise: {sigma: auto}}", "denoise.sigma", "auto"),
        ("{denoise: {method: none}}", "denoise.method", "none"),
        ("{denoise: {rician: no}}", "denoise.rician", False),
        ("{strict: TRUE}", "strict", True),
        ("{slabs: 5}", "slabs", 5),
        ("{slabs: 5.0}", "slabs", 5),
        ("{preset: none}", "preset", None),
        ("{preset: paper2017}", "preset", "paper2017"),
        ("{subjects: '~'}", "subjects", None),
        ("{subjects: 2024}", "subjects", "2024"),
        ("{fit_bmax: all}", "fit_bmax", "all"),
        ({"mask": "{radius_mm: 2}"}, "mask.radius_mm", 2.0),
        ({"fit": {"reweightings": "4"}}, "fit.reweightings", 4),
        ({"b0_max": "10"}, "b0_max", 10.0),
        ({"b0_max": 10}, "b0_max", 10.0),
    ],
)
def test_strings_are_read_by_the_schema(section, place, value):
    found = validate_config({"neuro": section}, SCHEMA)["neuro"]
    for key in place.split("."):
        found = found[key]
    assert found == value
    assert type(found) is type(value)


def test_a_list_may_be_a_string():
    assert validate_config({"pipelines": "[neuro]"}, SCHEMA) == DEFAULTS


positive = st.floats(1e-6, 1e6)
sections = st.fixed_dictionaries(
    {},
    optional={
        "subjects": st.sampled_from([None, "a/b.tsv"]),
        "b0_max": st.floats(0, 200),
        "fit_bmax": st.just("all") | st.floats(200.5, 1e5),
        "denoise": st.fixed_dictionaries(
            {},
            optional={
                "method": st.sampled_from(["none", "nlm", "mppca"]),
                "search_radius": st.integers(3, 15),
                "rician": st.booleans(),
                "sigma": st.just("auto") | positive,
            },
        ),
        "slabs": st.just("auto") | st.integers(1, 10**9),
        "preset": st.sampled_from([None, "paper2017"]),
        "strict": st.booleans(),
    },
)


@given(sections)
def test_strings_mean_what_values_mean(section):
    direct = validate_config({"neuro": section}, SCHEMA)
    text = yaml.safe_dump(section, default_flow_style=True, width=math.inf)
    as_strings = yaml.load(text, Loader=yaml.BaseLoader)  # as nested values of --config arrive
    assert validate_config({"neuro": as_strings}, SCHEMA) == direct
    assert validate_config({"neuro": text}, SCHEMA) == direct
    assert validate_config(direct, SCHEMA) == direct


# -- sections that may be null --------------------------------------------------------------------


MASKS = {"annotations": "a.tsv", "sets": "s.tsv", "masks": "m.tsv"}
FILLED = {**MASKS, "aaf_bins": [0.01], "singletons": True, "tests": ["max"]}


@pytest.mark.parametrize(
    ("section", "burden"),
    [
        ({}, None),
        ({"burden": None}, None),
        ({"burden": "null"}, None),  # as --config 'wgr={burden: null}' arrives
        ({"burden": " None "}, None),
        ("{burden: null}", None),
        ({"burden": MASKS}, FILLED),
        ({"burden": MASKS | {"aaf_bins": "[0.001, 1]"}}, FILLED | {"aaf_bins": [0.001, 1.0]}),
        ("{burden: {tests: [sum], singletons: no}}", {"tests": ["sum"], "singletons": False}),
        ({"burden": {}}, {"annotations": None, "sets": None, "masks": None}),
    ],
)
def test_a_section_that_may_be_null_is_null_or_filled(section, burden):
    found = validate_config({"wgr": section}, SCHEMA)["wgr"]
    nothing = dict.fromkeys(MASKS)
    assert found["burden"] == (burden if burden is None else FILLED | nothing | burden)
    assert found == DEFAULTS["wgr"] | {"burden": found["burden"]}
    assert validate_config({"wgr": found}, SCHEMA)["wgr"] == found


def test_null_is_no_section_where_that_is_not_allowed():
    """It stands for all defaults, as it always did."""
    found = validate_config({"neuro": {"mask": None}, "wgr": None}, SCHEMA)
    assert found == DEFAULTS


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            neuro(denoise={"method": "nlmm"}),
            "neuro.denoise.method: found 'nlmm'; "
            "expected one of none, nlm, mppca (did you mean nlm?).",
        ),
        (
            neuro(denoise={"method": "NLM"}),
            "neuro.denoise.method: found 'NLM'; "
            "expected one of none, nlm, mppca (did you mean nlm?).",
        ),
        (
            neuro(denoise={"method": None}),
            "neuro.denoise.method: found null; "
            "expected one of none, nlm, mppca (did you mean none?).",
        ),
        (
            neuro(fit_bmax=1.5),
            "neuro.fit_bmax: found 1.5; expected a number above 200 (s/mm2) or the word all.",
        ),
        (
            neuro(fit_bmax="al"),
            "neuro.fit_bmax: found 'al'; expected a number above 200 (s/mm2) or the word all "
            "(did you mean all?).",
        ),
        (neuro(b0_max=-1), "neuro.b0_max: found -1; expected a number from 0 to 200 (s/mm2)."),
        (neuro(b0_max=None), "neuro.b0_max: found null; expected a number from 0 to 200 (s/mm2)."),
        (neuro(b0_max=True), "neuro.b0_max: found true; expected a number from 0 to 200 (s/mm2)."),
        (
            neuro(denoise={"sigma": math.nan}),
            "neuro.denoise.sigma: found nan; expected a number above 0 (signal) or the word auto.",
        ),
        (
            neuro(denoise={"sigma": "inf"}),
            "neuro.denoise.sigma: found inf; expected a number above 0 (signal) or the word auto.",
        ),
        (
            neuro(denoise={"sigma": False}),
            "neuro.denoise.sigma: found false; "
            "expected a number above 0 (signal) or the word auto.",
        ),
        (
            neuro(slabs=0),
            "neuro.slabs: found 0; expected a whole number of at least 1 or the word auto.",
        ),
        (neuro(strict=1), "neuro.strict: found 1; expected true or false."),
        ({"seed": True}, "seed: found true; expected a whole number from 0 to 4294967295."),
        ({"threads": "2.5"}, "threads: found '2.5'; expected a whole number from 1 to 1024."),
        (neuro(mask=5), "neuro.mask: found 5; expected a section with the keys method, radius_mm."),
        (
            neuro(mask="{method: otsu"),
            "neuro.mask: found '{method: otsu'; "
            "expected a section with the keys method, radius_mm.",
        ),
        (
            neuro(subjects=2024),
            "neuro.subjects: found 2024; expected a path or null (put it in quotes).",
        ),
        (
            neuro(mask={"radius": 5}),
            "neuro.mask.radius: unknown key; expected one of method, radius_mm "
            "(did you mean radius_mm?).",
        ),
        (
            neuro(mask={1: 5}),
            "neuro.mask.1: unknown key; expected one of method, radius_mm.",
        ),
        (
            {"pipelines": []},
            "pipelines: found []; "
            "expected a list (not empty, no repeats), each entry one of neuro, astro, vgwas, "
            "wgr, cells, imaging.",
        ),
        (
            {"pipelines": ["nuro"]},
            "pipelines, entry 1: found 'nuro'; expected one of neuro, astro, vgwas, wgr, cells, "
            "imaging (did you mean neuro?).",
        ),
        (
            {"wgr": {"burden": 5}},
            "wgr.burden: found 5; expected null or a section with the keys annotations, sets, "
            "masks, aaf_bins, singletons, tests.",
        ),
        (
            {"wgr": {"burden": {"set": "s.tsv"}}},
            "wgr.burden.set: unknown key; expected one of annotations, sets, masks, aaf_bins, "
            "singletons, tests (did you mean sets?).",
        ),
        (
            {"wgr": {"burden": {"tests": ["skat"]}}},
            "wgr.burden.tests, entry 1: found 'skat'; expected one of max, sum, comphet.",
        ),
        (
            {"wgr": {"traits": []}},
            "wgr.traits: found []; expected the word all or a list (not empty, no repeats), "
            "each entry text.",
        ),
        (
            {"pathvars": {"results": "a/"}},
            "pathvars.results: found 'a/'; expected a folder without { } and without / at its end.",
        ),
        (
            neuro(bids="b", mask={"method": "file"}),
            "neuro: mask.method is file, but a BIDS raw dataset (bids) holds no masks; "
            "set mask.method to otsu, or name the masks in a sheet (subjects).",
        ),
    ],
)
def test_messages(config, message):
    assert errors(config) == [f"config: {message}"]


@pytest.mark.parametrize("config", [[], [1], 5, "hello", True])
def test_a_config_that_is_no_section(config):
    (message,) = errors(config)
    assert "; expected a section with the keys pipelines, seed, threads, " in message


def test_misplaced_keys_are_led_home():
    (message,) = errors({"radius_mm": 5})
    assert message.endswith("(did you mean neuro.mask.radius_mm?).")
    (message,) = errors(neuro(method="nlm"))
    homes = "neuro.mask.method or neuro.denoise.method or neuro.fit.method"
    assert message.endswith(f"(did you mean {homes}?).")


def test_all_errors_come_at_once_and_sorted():
    section = {"b0_max": "x", "fit": {"method": "wls", "reweightings": 0}, "denois": {}}
    found = errors({"neuro": section, "seed": -1, "sed": 2})
    places = [line.split(": ")[1] for line in found]
    expected = ["neuro.b0_max", "neuro.denois", "neuro.fit.method", "neuro.fit.reweightings"]
    assert places == [*expected, "sed", "seed"]


def test_a_required_key_that_is_missing():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert errors({}, schema) == ["config: n: missing key; give a whole number."]


def test_name_of_the_file_in_messages():
    with pytest.raises(InputError, match=r"^mine\.yaml: seed: found 'x'"):
        validate_config({"seed": "x"}, SCHEMA, name="mine.yaml")


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "neuro",
                    "mask",
                    "denoise",
                    "method",
                    "sigma",
                    "b0_max",
                    "pathvars",
                    "wgr",
                    "burden",
                ]
            )
            | st.integers(0, 3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(anything)
def test_whatever_is_given_is_accepted_whole_or_refused_in_plain_words(config):
    try:
        validated = validate_config(config, SCHEMA)
    except InputError as error:
        for problem in error.problems:
            text = str(problem)
            assert "is not" not in problem.what
            assert "schema" not in text
            assert problem.remedy
    else:
        assert list(validated) == list(DEFAULTS)


def test_numbers_beyond_the_range_of_floats():
    assert len(errors({"seed": 10**400, "neuro": {"denoise": {"sigma": 10**400}}})) == 2


def test_closest_ignores_case_and_gives_up():
    assert closest("BVALS", ["bvec", "bval"]) == "bval"
    assert closest("zzz", ["bvec", "bval"]) is None


# -- values of a preset ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "section", [{"mask": {"method": "median_otsu"}}, {"denoise": {"sigma": "per_volume"}}]
)
def test_values_of_a_preset_cannot_be_set_by_hand(section):
    assert len(errors({"neuro": section})) == 1
