"""The penalty says the same in every unit."""

import numpy as np
import pytest

from sparse_linear._design import Units
from sparse_linear._penalty import make_penalty

WEIGHTS = np.array([1.0, 0.0, np.inf, 0.5, 2.0])


def value(penalty, lam, coef):
    """The penalty of some coefficients; infinite out of bounds."""
    if np.any(coef < penalty.lower) or np.any(coef > penalty.upper):
        return np.inf
    return lam * (penalty.l1 @ np.abs(coef) + penalty.l2 @ coef**2 / 2)


def test_weights_multiply_and_infinity_excludes():
    """Factors times weights; infinity becomes the bounds 0 and 0, and stays out of the arithmetic."""
    penalty = make_penalty(5, 0.3, 0.7, WEIGHTS, -1.0, np.full(5, 2.0))
    np.testing.assert_allclose(penalty.l1, 0.3 * np.array([1.0, 0.0, 1.0, 0.5, 2.0]))
    np.testing.assert_allclose(penalty.l2, 0.7 * np.array([1.0, 0.0, 1.0, 0.5, 2.0]))
    np.testing.assert_array_equal(penalty.lower, [-1, -1, 0, -1, -1])
    np.testing.assert_array_equal(penalty.upper, [2, 2, 0, 2, 2])
    np.testing.assert_array_equal(penalty.excluded, [False, False, True, False, False])


@pytest.mark.parametrize(
    ("lower", "upper", "bounded"),
    [
        (-np.inf, np.inf, False),
        (0.0, np.inf, True),
        (-np.inf, [np.inf, np.inf, np.inf, np.inf, 1.0], True),
        ([-np.inf, -np.inf, 0.0, -np.inf, -np.inf], [np.inf, np.inf, 0.0, np.inf, np.inf], False),
        (0.0, 0.0, False),
    ],
)
def test_bounded_asks_for_a_bound_that_matters(lower, upper, bounded):
    """A feature that is held at 0 is not a bounded one: closed forms leave it out."""
    assert make_penalty(5, 0.0, 1.0, None, np.array(lower), np.array(upper)).bounded is bounded


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
@pytest.mark.parametrize("seed", range(3))
def test_units_change_numbers_not_meaning(scale, seed):
    """On ``v = w norm / scale`` the penalty is the old one over ``scale^2``, the bounds where they were."""
    rng = np.random.default_rng(seed)
    norm = 10.0 ** rng.uniform(-8, 8, 5)
    penalty = make_penalty(5, 0.4, 0.6, WEIGHTS, -rng.uniform(0.5, 1, 5) * scale / norm, np.inf)
    units = Units(np.zeros(5), norm, np.zeros(5, dtype=bool))
    inside = penalty.in_units(units, scale)
    for _ in range(20):
        v = rng.standard_normal(5) * (np.arange(5) != 2)
        w = v * scale / norm
        expected = value(penalty, 0.3, w) / scale**2
        assert value(inside, 0.3, v) == (
            expected if np.isinf(expected) else pytest.approx(expected, rel=1e-12)
        )


def test_units_hold_constant_columns_at_zero():
    """A column without spread is excluded, whatever its bounds; the others keep theirs."""
    constant = np.array([True, False, False])
    penalty = make_penalty(3, 1.0, 0.0, None, -1.0, np.inf).in_units(
        Units(np.ones(3), np.ones(3), constant), 2.0
    )
    np.testing.assert_array_equal(penalty.excluded, constant)
    np.testing.assert_array_equal(penalty.lower, [0.0, -0.5, -0.5])


def test_standardised_penalties_are_those_of_columns_of_unit_norm():
    """The same factors, digit by digit, of coefficients times norms; bounds stay on the scale of X."""
    norm = np.array([1e-3, 1.0, 5.0, 0.2, 6e-151])
    plain = make_penalty(5, 0.4, 0.6, np.array([1.0, 0.0, 3.0, 0.5, 1e-18]), -0.1, np.inf)
    units = Units(np.zeros(5), norm, np.zeros(5, dtype=bool))
    inside = plain.in_units(units, 0.5, standardize=True)
    np.testing.assert_array_equal(inside.l1, plain.l1 / 0.5)
    np.testing.assert_array_equal(inside.l2, plain.l2)
    np.testing.assert_array_equal(inside.lower, plain.in_units(units, 0.5).lower)
