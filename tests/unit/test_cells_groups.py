"""Groups of cells: labels, order, sizes, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from tessera.cells.groups import groups_of
from tessera.errors import InputError

CELLS = pd.DataFrame(
    {
        "cell": list("abcdefg"),
        "kind": ["T", "b", "T", "B", "B", "T", "é"],
        "donor": ["2", "1", "10", "1", "1", "2", "1"],
    }
)


def test_groups_are_in_the_order_of_code_points():
    groups = groups_of(CELLS, ["kind"])
    assert groups.labels == ["B", "T", "b", "é"]
    assert groups.sizes.tolist() == [2, 3, 1, 1]
    assert groups.codes.tolist() == [1, 2, 1, 0, 0, 1, 3]
    assert groups.codes.dtype == np.int32


def test_several_columns_make_the_combinations_that_there_are():
    groups = groups_of(CELLS, ["kind", "donor"])
    assert groups.labels == ["B|1", "T|10", "T|2", "b|1", "é|1"]
    assert groups.table.columns.tolist() == ["group", "kind", "donor", "n"]
    assert groups.table["donor"].tolist() == ["1", "10", "2", "1", "1"]
    assert groups.sizes.tolist() == [2, 1, 2, 1, 1]


def test_small_groups_are_left_out():
    groups = groups_of(CELLS, ["kind"], min_cells=2)
    assert groups.labels == ["B", "T"]
    assert groups.codes.tolist() == [1, -1, 1, 0, 0, 1, -1]


def test_columns_may_be_called_like_those_of_the_table():
    cells = CELLS.rename(columns={"kind": "group", "donor": "n"})
    groups, expected = groups_of(cells, ["group", "n"]), groups_of(CELLS, ["kind", "donor"])
    assert groups.table.columns.tolist() == ["group", "group_", "n_", "n"]
    assert groups.labels == expected.labels
    assert groups.codes.tolist() == expected.codes.tolist()


def test_categories_are_taken_as_their_text():
    cells = CELLS.astype({"kind": "category", "donor": "category"})
    once, again = groups_of(cells, ["kind", "donor"]), groups_of(CELLS, ["kind", "donor"])
    assert once.codes.tolist() == again.codes.tolist()
    assert once.table.to_dict("list") == again.table.to_dict("list")


def test_groups_do_not_depend_on_the_order_of_cells():
    turned = CELLS.iloc[::-1].reset_index(drop=True)
    once, again = groups_of(CELLS, ["kind"]), groups_of(turned, ["kind"])
    assert once.codes.tolist() == again.codes[::-1].tolist()
    pd.testing.assert_frame_equal(once.table, again.table)


def test_labels_that_would_be_the_same_are_refused():
    cells = pd.DataFrame({"a": ["x|y", "x"], "b": ["z", "y|z"]})
    with pytest.raises(InputError) as caught:
        groups_of(cells, ["a", "b"])
    assert str(caught.value) == (
        "metadata: column a and b: two different groups would both be called 'x|y|z'; take '|' out "
        "of the values."
    )


def test_no_group_at_all_is_refused():
    with pytest.raises(InputError) as caught:
        groups_of(CELLS, ["donor", "kind"], min_cells=9)
    assert str(caught.value) == (
        "metadata: column donor and kind: no group has 9 cells or more; lower cells.min_cells."
    )
