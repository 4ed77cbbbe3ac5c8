"""The active-set solver: every solution is optimal on *all* features, whatever set it was found on."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from sparse_linear import _active_set, _kernels, _working_sets
from sparse_linear._design import ColumnSource, make_design, room
from sparse_linear._moments import MomentDesign, MomentSource, Sums
from sparse_linear._penalty import make_penalty
from tests import oracles


@pytest.fixture(params=["whole", "screened", "one-by-one", "starved"])
def screened(request, monkeypatch):
    """Whether features are screened; what comes out is the same as from all features at once.

    One by one, every lambda is verified by itself. Starved, screening proposes a feature or two at a time, so
    that nearly all come in because the verification on all features misses them.
    """
    if request.param == "one-by-one":
        monkeypatch.setattr(_working_sets, "LOOK_AHEAD", 1)
    if request.param == "starved":
        monkeypatch.setattr(_working_sets, "SPARE", -(1 << 40))
        monkeypatch.setattr(_working_sets, "FEWEST", 1)
    return request.param != "whole"


class Case:
    """Data and a penalty, solved from the columns of X or from its moments; a source is used only once."""

    def __init__(self, X, y, penalty, kind="columns", screened=True, weights=None, fit_intercept=True):
        self.data = X, y, weights, fit_intercept
        self.penalty, self.kind, self.screened = penalty, kind, screened

    def source(self, kind):
        X, y, weights, fit_intercept = self.data
        design = make_design(X, weights, fit_intercept)
        if kind == "columns":
            source = ColumnSource(design, y)
            source.all_at_once = not self.screened
        else:
            moments = Sums.from_data(X, y[:, None], design.share)
            units = design.units if sparse.issparse(X) else None
            source = MomentSource(MomentDesign(moments, fit_intercept, units), 0)
        return source

    def first_lambda(self):
        source = self.source("columns")
        return _active_set.largest_lambda(source, self.penalty.in_units(source.units, source.target.scale))

    def solve(self, lams, max_rounds=1000, start=None, tol=_kernels.EXACT):
        """Coefficients on the original scale, (b, p), and the `Solutions` they come from."""
        source = self.source(self.kind)
        units, scale = source.units, source.target.scale
        coef = None if start is None else start * units.norm / scale
        penalty = self.penalty.in_units(units, scale)
        found = _active_set.solve_path(source, penalty, np.asarray(lams), max_rounds, coef, tol)
        # In units of the columns a coefficient is at its bound only up to rounding.
        coefs = np.clip(
            found.whole(len(units.norm)) * scale / units.norm, self.penalty.lower, self.penalty.upper
        )
        return coefs, found


every_source = pytest.mark.parametrize("kind", ["columns", "moments"])


def assert_path_optimal(X, y, coefs, lams, tol=1e-11, **options):
    for lam, coef in zip(lams, coefs, strict=True):
        given = oracles.problem(X, y, alpha=lam, **options)
        middle = given.y[0] - given.target[0] - given.mean @ coef
        oracles.assert_optimal(
            X, y, coef, middle if options.get("fit_intercept", True) else 0.0, lam, tol=tol, **options
        )


DATA = {
    "tall": lambda: oracles.numbers(40, 8, seed=0),
    "wide": lambda: oracles.numbers(20, 60, seed=1),
    "very-correlated": lambda: oracles.numbers(25, 40, seed=2, correlation=5.0),
    "duplicates": lambda: (
        np.repeat(oracles.numbers(15, 12, seed=3)[0], 3, axis=1) * np.tile([1.0, -1.0, 1.0], 12),
        oracles.numbers(15, 12, seed=3)[1],
    ),
    "sparse": lambda: (sparse.csr_array(oracles.holes(25, 50, seed=4)[0]), oracles.holes(25, 50, seed=4)[1]),
    "one-hot": lambda: (np.eye(6)[np.arange(24) % 6], oracles.numbers(24, 1, seed=5)[1]),
}


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@every_source
@pytest.mark.parametrize("data", DATA)
def test_every_lambda_of_a_path_is_optimal(data, kind, l1_ratio, screened):
    """From the first lambda to a thousandth of it: the conditions of all features, gaps near rounding."""
    X, y = DATA[data]()
    case = Case(X, y, make_penalty(X.shape[1], l1_ratio, 1.0 - l1_ratio), kind, screened)
    lams = np.geomspace(1.0, 1e-3, 12) * case.first_lambda()
    coefs, found = case.solve(lams)
    assert_path_optimal(X, y, coefs, lams, l1_ratio=l1_ratio)
    assert (found.gaps <= 1e-12).all()
    assert (found.rounds >= 1).all()
    given = oracles.problem(X, y)
    for coef, rss in zip(coefs, found.rss, strict=True):
        residual = given.residual(coef.astype(oracles.LONG))
        assert rss == pytest.approx(float(given.share @ residual**2 / given.scale**2), rel=1e-9, abs=1e-13)


@every_source
@pytest.mark.parametrize("options", ["loose", "box", "positive", "mixed"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_penalties_of_all_kinds(fit_intercept, kind, options, screened):
    """Unpenalised and excluded features, boxes and signs, with weights and without an intercept."""
    X, y = oracles.numbers(20, 30, seed=6)
    rng, feature = np.random.default_rng(0), np.arange(30)
    weights = np.where(rng.random(20) < 0.2, 0.0, rng.uniform(0.5, 2.0, 20))
    settings = {
        "loose": {"penalty_weights": np.where(feature % 7 == 0, 0.0, 1.0)},
        "box": {"bounds": (-0.05, 0.1)},
        "positive": {"bounds": (0.0, np.inf)},
        "mixed": {
            "penalty_weights": np.where(feature == 3, np.inf, np.where(feature < 2, 0.0, rng.random(30))),
            "bounds": (np.where(feature % 2, -0.1, -np.inf), np.where(feature % 3, 0.1, 0.0)),
        },
    }[options]
    limits = settings.get("bounds", (-np.inf, np.inf))
    penalty = make_penalty(30, 0.9, 0.1, settings.get("penalty_weights"), *limits)
    case = Case(X, y, penalty, kind, screened, weights, fit_intercept)
    lams = np.array([1.0, 0.5, 0.1, 0.01]) * case.first_lambda()
    coefs, found = case.solve(lams)
    common = {"sample_weight": weights, "fit_intercept": fit_intercept, "l1_ratio": 0.9}
    assert_path_optimal(X, y, coefs, lams, **common, **settings)
    assert (found.gaps <= 1e-12).all()


def test_one_far_lambda_is_reached_by_steps():
    """A single lambda far below the first one gives what a fine path gives there."""
    X, y = oracles.numbers(30, 80, seed=7, correlation=2.0)
    case = Case(X, y, make_penalty(80, 1.0, 0.0))
    top = case.first_lambda()
    single, found = case.solve([1e-4 * top])
    fine, _ = case.solve(np.geomspace(1.0, 1e-4, 60) * top)
    assert found.gaps[0] <= 1e-13
    np.testing.assert_allclose(X @ single[0], X @ fine[-1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("start", [1e4, 1.0, 0.11, 0.05])
def test_with_steps(start):
    """all lambdas are there in order, none falls too far, every entry knows whom it serves."""
    lams = np.array([0.1, 0.1, 0.09, 1e-5, 0.0, 0.0])
    sequence, answers = _active_set._with_steps(start, lams)
    np.testing.assert_array_equal(sequence[answers >= 0], lams)
    np.testing.assert_array_equal(answers[answers >= 0], np.arange(len(lams)))
    positive = np.concatenate([[max(start, lams[0])], sequence[sequence > 0]])
    assert (positive[1:] <= positive[:-1]).all()
    assert (positive[1:] >= _active_set.STEP * positive[:-1]).all()


@every_source
def test_the_way_there_does_not_matter(kind, screened):
    """From zero, from the answer, from another lambda's answer, from nonsense: one and the same solution."""
    X, y = oracles.numbers(30, 50, seed=8)
    case = Case(X, y, make_penalty(50, 0.8, 0.2, None, -0.4, 0.3), kind, screened)
    lam = 0.05 * case.first_lambda()
    cold, found = case.solve([lam])
    assert found.gaps[0] <= 1e-13
    elsewhere = case.solve([3 * lam])[0][0]
    for start in (cold[0], elsewhere, np.random.default_rng(0).standard_normal(50), np.full(50, 9.0)):
        warm, again = case.solve([lam], start=start)
        np.testing.assert_allclose(warm, cold, rtol=0, atol=1e-12)
        assert again.gaps[0] <= 1e-13


@every_source
@pytest.mark.parametrize("limits", [(-np.inf, np.inf), (0.0, np.inf), (-0.1, 0.1)])
@pytest.mark.parametrize("loose", [0, 3])
@pytest.mark.parametrize("lam", [0.3, 0.01, 0.0])
def test_a_stopped_fit_tells_the_truth(kind, limits, loose, lam, screened):
    """After one round the gap still bounds the distance from the true minimum."""
    X, y = oracles.numbers(40, 30, seed=9, correlation=3.0)
    weights = np.where(np.arange(30) < loose, 0.0, 1.0)
    case = Case(X, y, make_penalty(30, 1.0, 0.0, weights, *limits), kind, screened)
    coefs, found = case.solve([lam], max_rounds=1)
    exact, certain = case.solve([lam])
    assert certain.gaps[0] <= 1e-13
    given = oracles.problem(X, y, alpha=lam, penalty_weights=weights, bounds=limits)
    distance = float((given.objective(coefs[0]) - given.objective(exact[0])) / given.scale**2)
    assert distance >= -1e-13
    assert found.gaps[0] >= distance - 1e-13


@pytest.mark.parametrize("limits", [(-np.inf, np.inf), (0.0, np.inf), (-np.inf, 0.0), (-0.1, 0.1)])
@pytest.mark.parametrize("loose", [0, 3])
def test_largest_lambda_is_where_the_first_feature_enters(limits, loose, screened):
    """At it all penalised features are zero, just below it one is not; unpenalised ones are fitted."""
    X, y = oracles.numbers(30, 40, seed=10)
    X[:, :2] += 0.1 * y[:, None] * [1.0, -1.0]
    weights = np.where(np.arange(40) < loose, 0.0, 1.0 + np.arange(40) / 40)
    case = Case(X, y, make_penalty(40, 1.0, 0.5, weights, *limits), screened=screened)
    top = case.first_lambda()
    (at, below), _ = case.solve([top, top * (1.0 - 1e-6)])
    assert not at[loose:].any()
    assert np.count_nonzero(below[loose:]) == 1
    assert at[:loose].any() == (loose > 0)


# ---------------------------------------------------------------------------------------------
# Descent, for working sets that are too large for a factor
# ---------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch):
    """As if more than five features were too many for a factor."""
    monkeypatch.setattr(_working_sets, "LARGEST_FACTOR", 5)


DESCENT = {
    "lasso": ({}, make_penalty(60, 1.0, 0.0)),
    "elastic net": ({"l1_ratio": 0.5}, make_penalty(60, 0.5, 0.5)),
    "box": ({"bounds": (-0.05, 0.1)}, make_penalty(60, 1.0, 0.0, None, -0.05, 0.1)),
    "loose": (
        {"penalty_weights": np.where(np.arange(60) % 9, 1.0, 0.0)},
        make_penalty(60, 1.0, 0.0, np.where(np.arange(60) % 9, 1.0, 0.0)),
    ),
}


def awkward(data, penalty, container, fit_intercept):
    """A `Case` with weights, some of them zero; with an intercept, a column far from zero."""
    X, y = data
    n = len(y)
    if fit_intercept:
        X[:, 7] = 100.0 + np.random.default_rng(0).standard_normal(n)
    weights = np.where(np.arange(n) % 7 != 3, 1.0 + np.arange(n) / n, 0.0)
    given_as = {"dense": X, "csc": sparse.csc_array(X), "csr": sparse.csr_array(X)}[container]
    return Case(given_as, y, penalty, weights=weights, fit_intercept=fit_intercept)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("container", ["dense", "csc", "csr"])
@pytest.mark.parametrize("name", DESCENT)
def test_descent_is_optimal_too(name, container, fit_intercept):
    """Weights, an offset, a column far from zero: the conditions of all features, to the gap asked for."""
    options, penalty = DESCENT[name]
    case = awkward(oracles.holes(40, 60, seed=11), penalty, container, fit_intercept)
    given_as, y, weights, _ = case.data
    lams = np.array([0.5, 0.2, 0.05]) * case.first_lambda()
    coefs, found = case.solve(lams, max_rounds=100_000)
    assert (found.gaps <= 1e-12).all()
    common = {"sample_weight": weights, "fit_intercept": fit_intercept}
    assert_path_optimal(given_as, y, coefs, lams, tol=1e-6, **common, **options)
    assert (found.rounds > 10).any(), "this was not descent"


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-8])
def test_tol_decides_when_descent_stops(tol):
    """The gap is within `tol`, and more of it is asked for than a looser one would have taken."""
    X, y = oracles.numbers(60, 80, seed=12, correlation=3.0)
    case = Case(X, y, make_penalty(80, 1.0, 0.0))
    lams = [0.01 * case.first_lambda()]
    _, loose = case.solve(lams, max_rounds=100_000, tol=tol)
    _, close = case.solve(lams, max_rounds=100_000, tol=0.01 * tol)
    assert loose.gaps[0] <= tol
    assert close.gaps[0] <= 0.01 * tol
    assert loose.rounds[0] < close.rounds[0]


@pytest.mark.usefixtures("few")
def test_extrapolation_saves_epochs(monkeypatch):
    """Without it, correlated columns take many times as many epochs."""
    X, y = oracles.numbers(60, 80, seed=12, correlation=3.0)
    case = Case(X, y, make_penalty(80, 1.0, 0.0))
    lams = [0.01 * case.first_lambda()]
    _, fast = case.solve(lams, max_rounds=1_000_000, tol=1e-8)
    keep = lambda self, lam, rules, active, before, history, residual, offset: (residual, offset)  # noqa: E731
    monkeypatch.setattr(_working_sets.DescentSet, "_extrapolate", keep)
    _, slow = case.solve(lams, max_rounds=1_000_000, tol=1e-8)
    assert slow.gaps[0] <= 1e-8
    assert fast.rounds[0] < 0.5 * slow.rounds[0]


@pytest.mark.usefixtures("few")
def test_a_working_set_outgrows_its_factor():
    """A path begins with a factor and ends with descent: the answers are those of a factor throughout."""
    X, y = oracles.numbers(30, 70, seed=13)
    case = Case(X, y, make_penalty(70, 0.9, 0.1))
    lams = np.geomspace(1.0, 0.02, 15) * case.first_lambda()
    coefs, found = case.solve(lams, max_rounds=100_000)
    expected, _ = Case(X, y, make_penalty(70, 0.9, 0.1), "moments").solve(lams)
    assert (found.gaps <= 1e-12).all()
    np.testing.assert_allclose(coefs, expected, rtol=0, atol=1e-5)
    start = expected[7]
    warm, again = case.solve(lams[7:8], max_rounds=100_000, start=start)
    assert again.gaps[0] <= 1e-12
    np.testing.assert_allclose(warm[0], start, rtol=0, atol=1e-5)


# ---------------------------------------------------------------------------------------------
# Equations between the rows, for more active features than these under a ridge penalty
# ---------------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch):
    """As if more features than rows were far more."""
    monkeypatch.setattr(_working_sets, "SMALLEST", 5)
    monkeypatch.setattr(_working_sets, "MANY", 1)


EXCLUDED = np.where(np.arange(90) % 9, 1.0, np.inf)
STRONG = {
    "elastic net": ({"l1_ratio": 0.3}, make_penalty(90, 0.3, 0.7)),
    "excluded": ({"l1_ratio": 0.3, "penalty_weights": EXCLUDED}, make_penalty(90, 0.3, 0.7, EXCLUDED)),
    "positive": ({"l1_ratio": 0.1, "bounds": (0.0, np.inf)}, make_penalty(90, 0.1, 0.9, None, 0.0)),
    "box": ({"l1_ratio": 0.2, "bounds": (-0.2, 0.3)}, make_penalty(90, 0.2, 0.8, None, -0.2, 0.3)),
    "ridge in a box": ({"l1_ratio": 0.0, "bounds": (-0.2, 0.3)}, make_penalty(90, 0.0, 1.0, None, -0.2, 0.3)),
}


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("container", ["dense", "csc", "csr"])
@pytest.mark.parametrize("name", STRONG)
def test_more_features_than_rows_are_solved_on_the_rows(name, container, fit_intercept):
    """Weights, an offset, a column far from zero: the conditions of all features, and gaps near rounding."""
    options, penalty = STRONG[name]
    X, y = oracles.holes(20, 90, seed=16)
    case = awkward((X, 10.0 * y), penalty, container, fit_intercept)
    given_as, y, weights, _ = case.data
    lams = np.array([0.9, 0.5, 0.2, 0.05]) * (case.first_lambda() or 1.0)
    coefs, found = case.solve(lams)
    assert found.manner.startswith("equations between the rows")
    assert (found.gaps <= 1e-13).all()
    assert found.rounds.max() < 30
    common = {"sample_weight": weights, "fit_intercept": fit_intercept}
    assert_path_optimal(given_as, y, coefs, lams, tol=1e-9, **common, **options)


@pytest.mark.parametrize("correlation", [0.0, 3.0])
def test_hundreds_of_active_features_for_a_few_rows(correlation, monkeypatch):
    """The answers of a factor of the features, which is so large that it is not made otherwise."""
    X, y = oracles.numbers(25, 900, seed=17, correlation=correlation)
    case = Case(X, 30.0 * y, make_penalty(900, 0.5, 0.5))
    lams = np.geomspace(1.0, 0.01, 12) * case.first_lambda()
    coefs, found = case.solve(lams)
    assert np.count_nonzero(coefs[-1]) > 20 * 25
    assert found.manner.startswith("equations between the rows")
    assert (found.gaps <= 1e-13).all()
    warm, _ = case.solve(lams[5:6], start=coefs[4])
    np.testing.assert_allclose(warm[0], coefs[5], rtol=0, atol=1e-12 * np.abs(coefs).max())
    monkeypatch.setattr(_working_sets, "MANY", 1000)
    expected, other = case.solve(lams)
    assert not other.manner
    np.testing.assert_allclose(coefs, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("shape", [(15, 60), (30, 200), (70, 600)])
@pytest.mark.parametrize("correlation", [1.0, 4.0, 20.0])
@pytest.mark.parametrize("l1_ratio", [0.5, 0.9, 0.999])
def test_few_steps_are_enough_for_far_lambdas(shape, correlation, l1_ratio):
    """Newton's steps, uncut, would go round in circles here; a weak ridge penalty needs most of them."""
    X, y = oracles.numbers(*shape, seed=3, correlation=correlation)
    case = Case(X, y, make_penalty(shape[1], l1_ratio, 1.0 - l1_ratio))
    _, found = case.solve(np.array([0.3, 0.01, 0.0003]) * case.first_lambda())
    assert (found.gaps <= 1e-12).all()
    assert found.rounds.max() < (40 if l1_ratio < 0.99 else 200)


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_stale_features_leave_before_the_factor_does(monkeypatch, container):
    """A working set that is full forgets its features at zero, and is solved exactly as before."""
    X, y = oracles.numbers(30, 300, seed=14)
    case = Case(container(X), y, make_penalty(300, 1.0, 0.0))
    lams = np.geomspace(1.0, 0.02, 40) * case.first_lambda()
    expected, found = case.solve(lams)
    support = np.count_nonzero(expected, axis=1).max()
    assert (found.gaps <= 1e-13).all()
    monkeypatch.setattr(_working_sets, "LARGEST_FACTOR", support + 55)
    drop, dropped = _working_sets.FactorSet.drop_stale, []
    monkeypatch.setattr(_working_sets.FactorSet, "drop_stale", lambda self: (dropped.append(1), drop(self)))
    coefs, again = case.solve(lams)
    assert dropped
    assert (again.gaps <= 1e-13).all(), "with descent they would be larger"
    np.testing.assert_allclose(coefs, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("container", [np.asarray, np.asfortranarray, sparse.csc_array, sparse.csr_array])
@pytest.mark.parametrize("calls", [1, 2, 5])
def test_a_source_survives_an_interrupt(container, calls):
    """What a path that was stopped has gathered does not count for the next one on the same source."""
    X, y = oracles.numbers(30, 300, seed=15)
    penalty = make_penalty(300, 1.0, 0.0, np.arange(300) > 2)  # three features are in from the start

    def solve(source, watch):
        in_units = penalty.in_units(source.units, source.target.scale)
        lams = np.geomspace(1.0, 0.02, 40) * np.abs(source.start).max()
        return _active_set.solve_path(source, in_units, lams, 1000, watch=watch).whole(300)

    def stop(count):
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

    design = make_design(container(X), None, True)
    expected = solve(ColumnSource(design, y), _working_sets.unwatched)
    source, left = ColumnSource(design, y), calls
    with pytest.raises(KeyboardInterrupt):
        [solve(source, stop) for _ in range(calls)]
    found = solve(source, _working_sets.unwatched)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def test_a_factor_moves_with_its_ridge_penalties():
    """Where features are forgotten, and where there is no room for more, the factor stays what it was."""
    X, y = oracles.numbers(60, 400, seed=16)
    source = ColumnSource(make_design(X, None, True), y)
    penalty, lam = make_penalty(400, 0.5, 0.5), 0.05
    working = _working_sets.FactorSet(source, penalty, lam)
    working.extend(np.arange(40), working.target)
    working.solve(np.array([lam]), 1000)

    def check():
        places, k = working.work.order[: working.free], working.free
        gram = working.work.gram[np.ix_(places, places)] + np.diag(lam * working.work.base[places, 1])
        upper = np.triu(working.work.factor[:k, :k])
        np.testing.assert_allclose(upper.T @ upper, gram, rtol=0, atol=1e-12)
        assert working.work.level[0] == lam
        return set(working.features[places])

    inside = check()
    working.drop_stale()
    assert len(inside) == working.size < 40
    assert check() == inside
    working.extend(np.arange(40, 340), source.correlate(working.coef[None])[0][0])
    assert check() == inside


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read as Linux tells it")
def test_an_array_with_room_to_grow_takes_what_is_written():
    def resident():
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    before = resident()
    array = room(8192, 8192)
    array[:1000, :1000] = 1.0
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert resident() - before < 0.05 * array.nbytes


@pytest.mark.parametrize("share", [1.5, 0.5])
def test_descent_asks_for_nothing_where_the_gap_is_small_enough(share):
    """A feature outside that violates its condition is missing only if the gap exceeds the goal."""
    X, y = oracles.numbers(30, 40, seed=15)
    source = ColumnSource(make_design(X, None, True), y)
    working = _working_sets.FactorSet(source, make_penalty(40, 1.0, 0.0), 1.0)
    working.extend(np.arange(3), working.target)
    working = working.without_factor(1.0)
    coefs, lams = np.zeros((1, 3)), np.array([0.5 * np.abs(working.source.start).max()])
    _, _, gaps, _ = working.verify(coefs, lams)
    working.goal = share * gaps[0]
    _, _, _, lacking = working.verify(coefs, lams)
    assert (lacking[0] > 0) == (share < 1.0)


def test_refinement_passes_over_the_data(monkeypatch):
    """Where inner products of columns are not good enough for the gap, the residual itself is correlated."""
    exact, rng = ColumnSource._from_products, np.random.default_rng(0)

    def rough(self, coefs, used):
        corrs, rss = exact(self, coefs, used)
        return corrs + 1e-5 * coefs.any() * rng.standard_normal(corrs.shape), rss

    monkeypatch.setattr(ColumnSource, "_from_products", rough)
    X, y = oracles.numbers(30, 400, seed=16)
    case = Case(X, y, make_penalty(400, 1.0, 0.0))
    coefs, found = case.solve(np.geomspace(0.99, 0.9, 16) * case.first_lambda())
    assert coefs.any()
    assert (found.gaps <= 1e-12).all()
