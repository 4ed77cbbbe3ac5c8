"""The certificate of benchmarks/ against slow arithmetic, and the machinery on problems of a few rows."""

import json
import math
import sys
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import dump_svmlight_file
from sklearn.linear_model import ElasticNet

from benchmarks import __main__ as command
from benchmarks import certificate, crossval, libraries, measure, problems, report, ridge, scaling, stream


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 6)) + rng.standard_normal(6)
    y = 3 + X @ np.array([2.0, -1.0, 0.5, 0, 0, 0]) + rng.standard_normal(20)
    return X, y, rng


def slow_gap(X, y, w, alpha, l1_ratio, s, t):
    """P - D at the dual point t * residual, from the definitions, in the arithmetic of the arguments."""
    n, p = len(X), len(w)
    mean = sum(s[i] * y[i] for i in range(n)), [sum(s[i] * X[i][j] for i in range(n)) for j in range(p)]
    y = [y[i] - mean[0] for i in range(n)]
    X = [[X[i][j] - mean[1][j] for j in range(p)] for i in range(n)]
    residual = [y[i] - sum(X[i][j] * w[j] for j in range(p)) for i in range(n)]
    l1, l2 = alpha * l1_ratio, alpha * (1 - l1_ratio)
    primal = sum(s[i] * residual[i] ** 2 for i in range(n)) / 2
    primal += sum(l1 * abs(w[j]) + l2 * w[j] ** 2 / 2 for j in range(p))
    theta = [t * residual[i] for i in range(n)]
    dual = sum(s[i] * (theta[i] * y[i] - theta[i] ** 2 / 2) for i in range(n))
    for j in range(p):
        excess = abs(sum(s[i] * X[i][j] * theta[i] for i in range(n))) - l1
        if excess > 0:
            dual -= excess**2 / (2 * l2) if l2 > 0 else math.inf
    return primal - dual


@pytest.mark.parametrize("l1_ratio", [1.0, 0.7, 0.05])
def test_the_gap_is_the_smallest_over_multiples_of_the_residual(data, l1_ratio):
    X, y, rng = data
    weights = rng.uniform(0.5, 2, 20)
    s = weights / weights.sum()
    for w in (np.zeros(6), rng.standard_normal(6), np.array([2.0, -1.0, 0.5, 0, 0, 0])):
        for alpha in (0.01, 0.3, 5.0):
            gap = certificate.duality_gaps(X, y, w[:, None], [alpha], l1_ratio, weights)[0]
            scan = np.concatenate([np.linspace(0, 1.5, 201), np.geomspace(1e-3, 1, 100)])
            if l1_ratio == 1:  # the largest multiple that is feasible
                r = y - s @ y - (X - s @ X) @ w
                largest = alpha / np.max(np.abs((X - s @ X).T @ (s * r)))
                scan = np.append(scan[scan < largest], largest * (1 - 1e-12))
            best = min(slow_gap(X, y, w, alpha, l1_ratio, s, t) for t in scan)
            assert gap <= best * (1 + 1e-9)
            assert gap >= best * (1 - 1e-3)


def test_small_gaps_agree_with_rational_arithmetic():
    rng = np.random.default_rng(1)
    X, y = rng.integers(-8, 9, (7, 3)).astype(float), rng.integers(-9, 10, 7).astype(float)
    alpha, n = 0.5, 7
    start = ElasticNet(alpha, l1_ratio=1.0, tol=1e-14, max_iter=10**5).fit(X, y).coef_
    for noise in (0.0, 1e-12, 1e-9, 1e-6):
        w = start + noise * rng.standard_normal(3) * (start != 0)
        exact = [Fraction(value) for value in w]
        s = [Fraction(1, n)] * n
        mean = sum(map(Fraction, y)) / n
        columns = [[Fraction(x) - sum(map(Fraction, X[:, j])) / n for x in X[:, j]] for j in range(3)]
        residual = [Fraction(y[i]) - mean - sum(columns[j][i] * exact[j] for j in range(3)) for i in range(n)]
        v = [sum(x * r for x, r in zip(column, residual, strict=True)) / n for column in columns]
        square = sum(r * r for r in residual) / n
        t = 1 + sum(v[j] * exact[j] for j in range(3)) / square
        t = min(t, Fraction(alpha) / max(map(abs, v)))
        rational = [[Fraction(x) for x in row] for row in X]
        true = slow_gap(rational, list(map(Fraction, y)), exact, Fraction(alpha), 1, s, t)
        gap = certificate.duality_gaps(X, y, w[:, None], [alpha])[0]
        assert true >= 0
        assert abs(gap - float(true)) <= 1e-6 * float(true) + 1e-14


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_the_gap_bounds_what_is_missing_and_vanishes_at_the_optimum(data, l1_ratio):
    X, y, rng = data
    alpha = 0.2
    best = ElasticNet(alpha, l1_ratio=l1_ratio, tol=1e-15, max_iter=10**5).fit(X, y).coef_
    assert certificate.relative_gap(X, y, best, [alpha], l1_ratio) < 1e-13

    def objective(w):
        r = y - X @ w
        r -= r.mean()
        l1, l2 = alpha * l1_ratio, alpha * (1 - l1_ratio)
        return r @ r / 40 + l1 * np.abs(w).sum() + l2 / 2 * w @ w

    for size in (1.0, 1e-2, 1e-4):
        w = best + size * rng.standard_normal(6)
        missing = objective(w) - objective(best)
        assert certificate.duality_gaps(X, y, w[:, None], [alpha], l1_ratio)[0] >= missing - 1e-15


def test_the_gap_is_the_same_for_every_form_of_the_same_data(data):
    X, y, rng = data
    X[rng.random(X.shape) < 0.5] = 0
    W, alphas = rng.standard_normal((6, 25)), np.geomspace(1, 0.01, 25)
    gaps = certificate.duality_gaps(X, y, W, alphas)
    for other in (sp.csc_matrix(X), sp.csr_array(X), np.asfortranarray(X), X + np.arange(6.0)):
        np.testing.assert_allclose(certificate.duality_gaps(other, y + 7, W, alphas), gaps, rtol=1e-11)
    np.testing.assert_allclose(certificate.duality_gaps(X, y, W, alphas, batch=4), gaps, rtol=1e-13)
    counts = rng.integers(1, 4, 20)
    repeated = np.repeat(np.arange(20), counts)
    np.testing.assert_allclose(
        certificate.duality_gaps(X, y, W, alphas, sample_weight=counts),
        certificate.duality_gaps(X[repeated], y[repeated], W, alphas),
        rtol=1e-11,
    )
    narrow = X.astype(np.float32)
    np.testing.assert_allclose(
        certificate.duality_gaps(narrow, y, W, alphas),
        certificate.duality_gaps(narrow.astype(np.float64), y, W, alphas),
        rtol=1e-13,
    )


def test_gaps_of_known_size(data):
    X, y, _ = data
    top = problems.alpha_max(X, y)
    assert certificate.relative_gap(X, y, np.zeros((6, 1)), [top]) < 1e-25
    assert certificate.relative_gap(X, y, np.zeros((6, 1)), [top / 4]) == pytest.approx(0.75**2)
    assert certificate.relative_gap(X, y, np.full((6, 1), np.nan), [top]) == np.inf
    assert certificate.relative_gap(X, np.arange(20) * 0 + X[:, 0], np.eye(6)[:, :1], [1e-300]) < 1e-15


def test_files_become_problems(data, tmp_path):
    X, y, _ = data
    X[:, 2] = 5.0
    sparse = sp.csr_matrix(np.where(np.abs(X) > 1, X, 0))
    np.savez(tmp_path / "dense.npz", X=X, y=np.column_stack([y, y]), feature_names=np.zeros(3, np.uint8))
    parts = {"data": sparse.data, "indices": sparse.indices, "indptr": sparse.indptr}
    np.savez(tmp_path / "riboflavin.npz", **parts, shape=sparse.shape, y=np.where(y > y[0], y, np.nan))
    dump_svmlight_file(sparse, y, str(tmp_path / "text.svm"))
    recipes = problems.specs(tmp_path)
    assert {recipe.name for recipe in problems.choose(recipes, ["other"])} == {"dense-path", "text-path"}
    dense, text = (problems.build(recipes[name]) for name in ("dense-path", "text-path"))
    assert dense.X.shape == (20, 5)
    assert dense.X.flags.f_contiguous
    np.testing.assert_allclose(dense.X.mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(dense.X.std(axis=0), 1)
    np.testing.assert_array_equal(dense.y, y)
    np.testing.assert_allclose(text.X.toarray(), sparse.toarray())
    known = problems.build(recipes["riboflavin-path0.01"])
    assert known.X.shape == (np.sum(y > y[0]), 6)
    assert np.isfinite(known.y).all()
    enet = problems.build(recipes["riboflavin-path0.01-enet0.5"])
    assert enet.alphas[0] == pytest.approx(2 * known.alphas[0])
    assert enet.alphas[-1] == pytest.approx(0.01 * enet.alphas[0])
    assert problems.build(recipes["riboflavin-path0.01-float32"]).X.dtype == np.float32
    assert problems.build(recipes["riboflavin-single0.05"]).alphas == pytest.approx(0.05 * known.alphas[:1])
    for problem in (dense, text, enet):
        problems.save(problem, tmp_path / problem.name)
        again = problems.load(tmp_path / problem.name, 2)
        assert again.threads == 2
        assert again[:2] + again[5:6] == problem[:2] + problem[5:6]
        assert abs(again.X - problem.X).max() == 0
        assert type(again.X) is type(problem.X)
        np.testing.assert_array_equal(again.alphas, problem.alphas)


def test_what_cannot_be_had_says_so(monkeypatch):
    with pytest.raises(problems.Unavailable, match=r"no file golub\.npz .*--data"):
        problems.build(problems.specs()["golub-path0.01"])

    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", offline)
    with pytest.raises(problems.Unavailable, match="no network"):
        problems.build(problems.specs(openml=["boston:1"])["boston_1-path"])
    with pytest.raises(problems.Unavailable, match="ValueError"):
        problems.build(problems.specs(openml=["boston:first"])["boston_first-path"])
    with pytest.raises(SystemExit, match="is no folder"):
        problems.specs("no such folder")
    both = problems.specs(openml=["a9a"], libsvm=["a9a"])
    assert {"a9a-path", "a9a_libsvm-path"} <= set(both)


def test_a_version_of_a_data_set_of_openml_is_a_number(monkeypatch):
    """As the signature of scikit-learn's function says, which refuses a string."""
    pd = pytest.importorskip("pandas")
    asked = []

    def fetch(name, *, version, **_):
        asked.append((name, version))
        frame = pd.DataFrame({"size": [1.0, 2.0, 4.0, 3.0], "kind": pd.Categorical(["a", "b", "a", "b"])})
        return frame, pd.Series([1.0, 2.0, 3.0, 5.0])

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    for name in ("boston:2", "boston"):
        X, y = problems.read_openml(name)
        np.testing.assert_array_equal(X, [[1, 1, 0], [2, 0, 1], [4, 1, 0], [3, 0, 1]])
        np.testing.assert_array_equal(y, [1, 2, 3, 5])
    assert asked == [("boston", 2), ("boston", "active")]


def test_changes_of_data():
    rng = np.random.default_rng(0)
    X, y = problems.cubic(rng.standard_normal((10, 9)), np.arange(10))
    assert X.shape == (10, 219)
    X, y = problems.expression(np.arange(6.0).reshape(2, 3) * [1, 5, 2], None)
    np.testing.assert_array_equal(X, [[0, 4], [3, 10]])
    np.testing.assert_array_equal(y, [5, 20])
    X, y = problems.unit_rows(sp.csr_matrix(rng.integers(0, 3, (9, 8))), y)
    np.testing.assert_allclose(np.unique(np.sqrt(X.multiply(X).sum(axis=1)).round(12)), 1)
    np.testing.assert_array_equal(problems.one_class(None, np.array([3, 1, 1, 2]))[1], [0, 1, 1, 0])
    X, _ = problems.simulate_dense(4000, 3, 1)
    assert np.corrcoef(X.T)[0, 1] == pytest.approx(0.5, abs=0.05)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("problem")
    spec = problems.Spec("tiny", lambda: problems.simulate_dense(40, 12, 3), n_alphas=20, ratio=0.1)
    problem = problems.build(spec)
    problems.save(problem, folder)
    entry = report.describe(problem) | {"threads": 1}
    entry["results"] = [measure.measure(folder, "scikit-learn", 1e-6, limit=30, repeats=2)]
    entry["floor"] = measure.measure_floor(folder)
    return problem, entry


def test_a_library_climbs_to_the_target(measured):
    _, entry = measured
    result = entry["results"][0]
    assert result["reached"]
    assert result["note"] == ""
    assert [run["tol"] for run in result["runs"]] == [10.0**-k for k in range(3, 3 + len(result["runs"]))]
    *loose, last = result["runs"]
    assert all(run["gap"] > 1e-6 for run in loose)
    assert last["gap"] <= 1e-6
    assert last is report.best_run(result)
    assert len(last["wall"]) >= 2
    assert 0 < last["fastest"] <= last["seconds"]
    assert entry["floor"]["support"] == last["support"] > 0


def test_a_run_ends_at_the_limit_and_counts_as_far_as_it_got(measured, tmp_path):
    problems.save(measured[0], tmp_path)
    result = measure.measure(tmp_path, "scikit-learn", 0.0, limit=0.0)
    assert not result["reached"]
    assert result["note"] == "stopped after 0 s"
    judged = measure.judge({"runs": [{"gap": g, "wall": [1.0]} for g in (1e-2, 1e-5, 1e-4)]}, 1e-6)
    assert (judged["best"], judged["reached"]) == (1, False)


def test_an_adapter_that_cannot_says_so(measured, tmp_path):
    problems.save(measured[0]._replace(kind="fit", alphas=np.ones(1)), tmp_path)
    result = measure.measure(tmp_path, "scikit-learn-direct", 1e-6)
    assert result["unsupported"]
    assert result["best"] is None


def test_the_report_shows_winners_and_losers(measured, tmp_path):
    _, entry = measured
    run = {"tol": 1e-3, "gap": 1e-15, "wall": [1e6], "peak": None, "support": 3}
    ours = measure.judge({"library": libraries.OURS, "runs": [run], "start": 1.0, "note": ""}, 1e-9)
    late = {"library": "late", "runs": [run | {"gap": 1e-3}], "start": 1.0, "note": "stopped after 1 s"}
    entry = entry | {"results": [*entry["results"], ours, measure.judge(late, 1e-6)]}
    text = report.block(entry)
    assert "tiny: 40 x 12 float64, dense; 20 alphas; 1 thread; floor" in text
    assert [line.split()[0] for line in text.split("\n")[2:]] == ["scikit-learn", libraries.OURS, "late"]
    assert "@1e-03" in text
    assert "0.00 x" in report.summary([entry])
    assert report.best_peer(entry)["library"] == "scikit-learn"
    entry["results"][0]["runs"][0]["gap"] = math.inf
    report.save({"problems": [entry]}, tmp_path / "results.json")
    read = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert read["problems"][0]["results"][0]["runs"][0]["gap"] is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.00 µs"), (4.2e-4, "420 µs"), (0.0123, "12.3 ms"), (1, "1.00 s"), (321.4, "321 s")],
)
def test_times_have_three_digits(value, text):
    assert report.seconds(value) == text


def test_exponents_are_slopes():
    points = [(1, 5.0), (2, 3.0), (4, 2 * 4.0**1.5), (8, 2 * 8.0**1.5), (16, 2 * 16.0**1.5)]
    assert scaling.exponent(points) == pytest.approx(1.5)
    assert scaling.exponent(points[:1]) is None


def test_the_command_lists_problems(capsys, tmp_path):
    command.main(["--list", "--problems", "simulated_*,diabetes", "--output", str(tmp_path)])
    listed = capsys.readouterr().out
    assert "simulated_500x10000-path0.01 " in listed
    assert "diabetes-fit" in listed
    assert "golub" not in listed


@pytest.mark.slow
@pytest.mark.parametrize("name", libraries.LIBRARIES)
@pytest.mark.parametrize("kind", ["dense", "sparse", "single", "enet"])
@pytest.mark.filterwarnings("ignore")
def test_every_installed_library_solves_the_same_problem(name, kind, tmp_path):
    read = problems.simulate_sparse if kind == "sparse" else problems.simulate_dense
    more = {"density": 0.2} if kind == "sparse" else {}
    spec = problems.Spec("tiny", lambda: read(60, 20, support=5, **more), ratio=0.1, n_alphas=20)
    if kind == "single":
        spec = spec._replace(kind="single")
    if kind == "enet":
        spec = spec._replace(l1_ratio=0.5)
    problems.save(problems.build(spec), tmp_path)
    result = measure.measure(tmp_path, name, 1e-9 if name == libraries.OURS else 1e-6, limit=60)
    if result.get("missing") or result.get("unsupported"):
        pytest.skip(result["note"])
    assert result["reached"]


# ------------------------------------------------------------------------------------------ choosing


@pytest.fixture(scope="module")
def choosing():
    """Small problems of choosing, by kind: a Lasso, an elastic net with two ratios, a grid search; sparse."""
    dense = problems.Spec(
        "tiny", lambda: problems.simulate_dense(43, 12, 3), "cv", 0.05, n_alphas=12, tags=("cv",)
    )
    sparse = dense._replace(read=lambda: problems.simulate_sparse(60, 20, density=0.2, support=5))
    specs = {"dense": dense, "sparse": sparse, "grid": dense._replace(kind="grid")}
    specs["enet"] = dense._replace(l1_ratio=(0.5, 1.0))
    return {name: problems.build(spec)._replace(threads=2) for name, spec in specs.items()}


def test_every_row_is_left_out_once():
    for n in (10, 43):
        seen = [test for _, test in crossval.splits(n)]
        np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(n))
        for train, test in crossval.splits(n):
            np.testing.assert_array_equal(np.union1d(train, test), np.arange(n))
            assert len(train) + len(test) == n


@pytest.mark.parametrize("kind", ["dense", "sparse", "grid", "enet"])
def test_recorded_fits_are_those_that_chose(choosing, kind):
    problem = choosing[kind]
    ratios = np.atleast_1d(problem.l1_ratio)
    for adapter in (crossval.sparse_linear, crossval.scikit_learn):
        chosen = adapter(problem, 1e-10, True)
        assert chosen.mse.shape == (len(ratios), 12, 5)
        for ratio, folds in enumerate(chosen.fits):
            for k, (train, test) in enumerate(crossval.splits(len(problem.y))):
                intercepts = problem.y[train].mean() - problem.X[train].mean(axis=0) @ folds[k]
                found = problem.X[test] @ folds[k] + np.asarray(intercepts)
                errors = np.mean((problem.y[test, None] - found) ** 2, axis=0)
                np.testing.assert_allclose(chosen.mse[ratio, :, k], errors, rtol=1e-9)
        spread = [problem.y[test].var() for _, test in crossval.splits(len(problem.y))]
        judged = chosen.mse / spread if kind == "grid" else chosen.mse  # a search goes by R²
        at = np.unravel_index(np.argmin(judged.mean(axis=2)), chosen.mse.shape[:2])
        assert chosen.alpha == pytest.approx(problem.alphas[at], rel=1e-9)
        assert chosen.l1_ratio == ratios[at[0]]
        unrecorded = adapter(problem, 1e-10, False)
        assert unrecorded.fits is None
        np.testing.assert_allclose(unrecorded.mse, chosen.mse, rtol=1e-12)
        assert crossval.worst_gap(problem, chosen) < 1e-9


def test_the_worst_gap_finds_one_bad_fit_of_one_fold(choosing):
    problem = choosing["enet"]
    chosen = crossval.sparse_linear(problem, 1e-10, True)
    exact = crossval.worst_gap(problem, chosen)
    chosen.fits[1][3][0, 5] += 0.1
    train, _ = crossval.splits(len(problem.y))[3]
    X, y = problem.X[train], problem.y[train]
    bad = certificate.relative_gap(X, y, chosen.fits[1][3], problem.alphas[1])
    assert bad > 1e3 * exact
    assert crossval.worst_gap(problem, chosen) == pytest.approx(bad)
    last = chosen._replace(coef=chosen.coef + 1.0)
    assert crossval.worst_gap(problem, last) > bad


def test_errors_and_choices_are_compared_with_ours(choosing, tmp_path):
    problem = choosing["dense"]
    chosen = crossval.sparse_linear(problem, 1e-10, True)
    assert crossval.judge(problem, chosen, "scikit-learn", tmp_path)["mse_error"] is None
    assert crossval.judge(problem, chosen, libraries.OURS, tmp_path)["mse_error"] is None
    other = chosen._replace(mse=chosen.mse * np.where(np.arange(5) == 2, 1.01, 1.0), alpha=chosen.alpha * 2)
    facts = crossval.judge(problem, other, "scikit-learn", tmp_path)
    assert facts["mse_error"] == pytest.approx(0.01)
    assert facts["same"] is False
    assert crossval.judge(problem, chosen, "scikit-learn", tmp_path)["same"] is True


def test_choosing_is_measured_and_reported(choosing, tmp_path):
    problem = choosing["dense"]
    problems.save(problem, tmp_path)
    again = problems.load(tmp_path, 2)
    np.testing.assert_array_equal(again.alphas, problem.alphas)
    entry = report.describe(problem) | {"threads": 2, "results": []}
    for library, target in ((libraries.OURS, 1e-9), ("scikit-learn", 1e-30)):
        result = measure.measure(tmp_path, library, target, threads=2, limit=60, repeats=2)
        entry["results"].append(result)
    entry["costs"] = measure.measure_costs(tmp_path, 2)
    ours, theirs = entry["results"]
    assert ours["reached"]
    assert not theirs["reached"]
    assert [run["tol"] for run in theirs["runs"]] == [1e-4]
    assert 0 < theirs["runs"][0]["mse_error"] < 0.1
    assert len(theirs["runs"][0]["wall"]) >= 1
    assert entry["costs"]["path"] > 0
    assert entry["costs"]["gram"] > 0
    text = report.choice_block(entry)
    assert "tiny: 43 x 12, dense; 5 folds, 12 alphas, 1 l1_ratio; 2 threads; path" in text
    assert [line.split()[0] for line in text.split("\n")[2:]] == [libraries.OURS, "scikit-learn"]
    line = report.choice_summary([entry]).split("\n")[1]
    assert f"{theirs['runs'][0]['fastest'] / ours['runs'][-1]['fastest']:.2f} x @" in line
    report.save({"problems": [entry]}, tmp_path / "cv.json")
    read = json.loads((tmp_path / "cv.json").read_text(encoding="utf-8"))
    assert read["problems"][0]["results"][0]["runs"][-1]["alpha"] == ours["runs"][-1]["alpha"]


def test_ratios_survive_the_way_to_another_process(choosing, tmp_path):
    problems.save(choosing["enet"], tmp_path)
    assert problems.load(tmp_path).l1_ratio == (0.5, 1.0)
    assert problems.miniature(choosing["enet"]).alphas.shape == (2, 10)


def test_the_command_keeps_choosing_apart(capsys):
    command.main(["cv", "--list"])
    listed = capsys.readouterr().out
    assert "riboflavin-cv0.01-enet7 " in listed
    assert "diabetes-grid0.001 " in listed
    assert "path" not in listed
    command.main(["--list", "--problems", "diabetes"])
    assert "cv" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["celer", "adelie", "glmnet"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_every_installed_peer_chooses_as_we_do(choosing, name, kind, tmp_path):
    problems.save(choosing[kind], tmp_path)
    measure.measure(tmp_path, libraries.OURS, 1e-9)
    result = measure.measure(tmp_path, name, 1e-9, limit=60)
    if result.get("missing") or result.get("unsupported") or "TypeError" in result["note"]:
        pytest.skip(result["note"])
    assert result["reached"]
    run = report.best_run(result)
    assert run["mse_error"] < 1e-3
    assert run["same"]


def test_ridge_problems_are_measured_and_compared(capsys):
    """Ours and scikit-learn's answers to a small problem, in processes of their own."""
    chosen = {name: spec for name, spec in ridge.specs().items() if name in ("diabetes-fit", "diabetes-loo")}
    libraries_chosen = [ridge.OURS, "scikit-learn auto", "scikit-learn svd"]
    tables = ridge.run(chosen, libraries_chosen, lambda _: {"threads": 1, "limit": 60.0})
    for name, table in tables.items():
        rows = {row["library"]: row for row in table["rows"]}
        assert rows["scikit-learn auto"]["apart"] < 1e-8
        assert rows["scikit-learn auto"]["same_alpha"]
        assert all(rows[library]["seconds"] > 0.0 for library in libraries_chosen[:2])
        assert ("seconds" in rows["scikit-learn svd"]) == (name == "diabetes-fit")
    assert "442 x 10; one Gram product" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
@pytest.mark.parametrize(
    ("rows", "limit", "mapped"),
    [
        (40_000, 0.8, True),
        pytest.param(1_000_000, 0.9, False, marks=pytest.mark.slow),
        pytest.param(1_000_000, 0.9, True, marks=pytest.mark.slow),
    ],
)
def test_a_stream_is_measured_under_a_limit(rows, limit, mapped, capsys):
    """Where X alone is larger than what the process may allocate, that is so, and the answers are exact."""
    found = stream.run(rows, limit, mapped, threads=1, repeats=1)
    assert found["refused"] == (rows == 1_000_000)
    assert 0 < found["private"] < limit * 1e9
    assert found["exact"]["rows"] == min(rows, stream.PREFIX)
    assert found["exact"]["same_alphas"]
    assert found["exact"]["gap"] < 1e-12
    for name in ("LassoCV", "RidgeCV"):
        assert found["exact"][f"{name} coef"] < 1e-10
        assert found["exact"][f"{name} mse"] < 1e-10
    assert all(taken > 0.0 for times in found["times"].values() for taken in times)
    plain, averaged = (row["objective"] for row in found["sgd"].values())
    assert 1e-6 < min(plain, averaged) <= max(plain, averaged) < 1.0
    assert averaged < plain or rows < 1_000_000  # the average forgets its beginnings slowly
    printed = capsys.readouterr().out
    assert printed.startswith(f"stream: {rows} x 128 float64 = {rows * 1.024e-6:.2f} GB, ")
    assert f"(all of X at once: {'refused' if found['refused'] else 'granted'})" in printed


def test_streams_begin_alike_and_files_hold_them(tmp_path):
    pool = stream.Pool.make()
    rows = 2 * stream.HEIGHT + 5
    stream.write(rows, tmp_path)
    blocks, mapped = list(pool.blocks(rows)), list(stream.mapped_blocks(tmp_path))
    assert [len(y) for _, y in blocks] == [stream.HEIGHT, stream.HEIGHT, 5]
    for (X, y), (mapped_x, mapped_y), (longer_x, _) in zip(
        blocks, mapped, pool.blocks(10 * rows), strict=False
    ):
        assert isinstance(mapped_x, np.memmap)
        np.testing.assert_array_equal(X, mapped_x)
        np.testing.assert_array_equal(y, mapped_y)
        np.testing.assert_array_equal(X, longer_x[: len(X)])
    assert not (blocks[0][0] == blocks[1][0]).all(axis=1).any()
    assert np.std(blocks[0][0]) == pytest.approx(1.0, abs=0.02)


def test_a_stream_says_why_it_cannot_be(monkeypatch, capsys):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("usage", (), {"free": 10**6}))
    assert "do not fit into" in stream.run(10_000, 1.5, True)["note"]
    assert "do not fit into" in capsys.readouterr().out
    assert "Error" in stream.run(10_000, 0.01, False)["note"]
