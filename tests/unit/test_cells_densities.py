import numpy as np
import pytest
from scipy.stats import gaussian_kde

from tessera.cells.densities import POINTS, density, described, grid_of


@pytest.mark.parametrize("seed", range(4))
def test_densities_are_those_of_scipy(seed):
    random = np.random.Generator(np.random.Philox(seed))
    values = np.concatenate([random.normal(3, 1, 300), random.normal(8, 0.5, 200)])
    values = np.concatenate([values, np.zeros(100 * (seed % 2))])
    grid = grid_of(values)
    quartile = np.subtract(*np.quantile(values, [0.75, 0.25])) / 1.349
    width = 0.9 * min(values.std(), quartile) * len(values) ** -0.2
    reference = gaussian_kde(values, width / values.std(ddof=1))(grid)
    inside = (grid > values.min()) & (grid < values.max())
    found = density(values, grid)
    reference /= reference.max()
    np.testing.assert_allclose(found[inside], reference[inside], atol=0.01)


def test_a_density_is_zero_beyond_the_values():
    grid = np.linspace(0, 10, POINTS)
    found = density(np.array([4.0, 5.0, 6.0]), grid)
    assert not found[(grid < 3.85) | (grid > 6.15)].any()
    assert found[(grid > 4) & (grid < 6)].all()


def test_a_single_value_is_described():
    told = described(np.array([2.5]), grid_of(np.array([2.5])))
    assert (told["n"], told["median"], told["density"]) == (1, 2.5, None)
