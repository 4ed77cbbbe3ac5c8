"""Tests of `python -m sparse_linear`: the command line, the files it reads, and the gap it certifies."""

import bz2
import functools
import gzip
import json
import signal
import subprocess
import sys
import warnings

import numba
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model
from sklearn.datasets import dump_svmlight_file, make_regression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import FunctionTransformer

from sparse_linear import Lasso, _compiled
from sparse_linear.__main__ import WIDTH, as_text, fit_into, main
from sparse_linear._compare import (
    ESTIMATORS,
    LIBRARIES,
    DataError,
    compare,
    diabetes,
    digits,
    load_problem,
    relative_gap,
)

COMMAND = [sys.executable, "-m", "sparse_linear"]
# True in one of 40 rows, which is not among those for fitting.
HELD_OUT_ONLY = np.arange(40) == train_test_split(np.arange(40), test_size=0.25, random_state=0)[1][0]
QUICK = ["--alphas", "2", "--folds", "2", "--no-sklearn"]


@pytest.fixture
def numbers():
    X, y = make_regression(n_samples=40, n_features=3, noise=5.0, random_state=0)
    return X, y


@pytest.fixture
def table(numbers):
    """Columns of every kind; the target depends on `size` and `colour`."""
    pd = pytest.importorskip("pandas")
    X, y = numbers
    n = len(y)
    colour = np.where(np.arange(n) % 3 == 0, "red", "green")
    frame = pd.DataFrame(
        {
            "size": X[:, 0],
            "width": X[:, 1],
            "flag": np.arange(n) % 2 == 0,
            "colour": colour,
            "price": 3.0 * X[:, 0] + 10.0 * (colour == "red") + 0.1 * y / np.std(y),
        }
    )
    frame.loc[[3, 5], "width"] = np.nan
    frame.loc[[7], "colour"] = None
    return frame


def error_of(capsys, *arguments):
    """Run a command that must fail with one line on stderr, besides progress, and nothing on stdout."""
    assert main(list(map(str, arguments))) == 2
    out, err = capsys.readouterr()
    assert out == ""
    *progress, last = err.splitlines()
    assert all(line.startswith("[") for line in progress)
    assert last.startswith("sparse_linear: error: ")
    return last.removeprefix("sparse_linear: error: ")


def features_of(problem):
    comparison = compare(problem, n_alphas=2, folds=2, with_sklearn=False, say=lambda text: None)
    return comparison.feature_names


def hide(monkeypatch, package):
    """Make a package look as if it were not installed."""

    class Hidden:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == package:
                raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Hidden, *sys.meta_path])


# ------------------------------------------------------------------------------------------------------------
# The command without arguments


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="takes minutes without compilation")
def test_json_of_the_whole_command():
    done = subprocess.run([*COMMAND, "--json"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {"sparse_linear", "scikit-learn", "numba", "python"} <= set(report["versions"])
    assert report["cores"] >= 1
    assert [data["name"] for data in report["data"]] == ["diabetes", "digits"]
    assert all(line.startswith("[") and len(line) <= WIDTH for line in done.stderr.splitlines())
    for data in report["data"]:
        assert data["warm_up_seconds"] > 0
        assert [(fit["model"], fit["library"]) for fit in data["fits"]] == [
            (model, library) for model in ("Ridge", "Lasso", "ElasticNet") for library in LIBRARIES
        ]
        for ours, theirs in zip(data["fits"][::2], data["fits"][1::2], strict=True):
            assert 0 <= ours["relative_gap"] < 1e-10
            assert 0 <= theirs["relative_gap"] < 0.1
            assert ours["not_converged"] == 0
            assert 0 < ours["held_out_r2"] < 1
            assert ours["search_seconds"] > ours["path_seconds"] > 0
    tall, wide = report["data"]
    assert tall["n_train"] > tall["n_features"] == 55
    assert wide["n_train"] < wide["n_features"] == 1796
    assert "bmi" in [feature["name"] for feature in tall["lasso_features"]]
    # The Lasso knows nothing of labels, but draws a 2 from twos.
    assert wide["lasso_features"][0]["name"].startswith("a 2 ")


def test_text_is_readable_in_80_columns(capsys):
    assert main(["--alphas", "3", "--folds", "2"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines() + err.splitlines()
    assert max(map(len, lines)) <= WIDTH
    for words in ("Diabetes:", "Digits:", "scikit-learn", "non-zero", "What matters", "bmi", "Done in"):
        assert words in out
    assert "warm-up" in err


def test_shipped_problems_have_the_shapes_they_promise():
    assert diabetes().X.shape == (442, 10)
    problem = digits()
    assert problem.X.shape == (64, 1796)
    assert len(problem.columns) == 1796
    assert problem.columns[0] == "a 0 (image 0)"
    assert problem.columns[22] == "a 3 (image 23)"  # 22 is the target


def test_seed_and_folds_are_used(capsys):
    assert main([*QUICK, "--json", "--seed", "1"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["seed"], first["folds"], first["alphas"]) == (1, 2, 2)
    assert [fit["fits"] for fit in first["data"][0]["fits"]] == [5, 5, 5]
    assert main([*QUICK, "--json", "--seed", "2"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert first["data"][0]["fits"][0]["held_out_r2"] != second["data"][0]["fits"][0]["held_out_r2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "y"], "--target needs --data"),
        (["--folds", "1"], "'1' is not a whole number from 2 to"),
        (["--seed", "-1"], "'-1' is not a whole number from 0 to"),
        (["--alphas", "many"], "'many' is not a whole number"),
        (["--nonsense"], "unrecognized arguments"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["warmup", "--json"], "warmup takes no options"),
    ],
)
def test_wrong_arguments(capsys, arguments, words):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for option in ("warmup", "--data", "--target", "--alphas", "--folds", "--seed", "--no-sklearn", "--json"):
        assert option in out


def test_warm_up_says_what_it_does(capsys, monkeypatch):
    """What it compiles is tested in test_cache.py."""
    told = []

    def warm_up(watch):
        watch("dense data", 1, 2)
        told.append(_compiled.PATIENCE)
        return "/somewhere"

    monkeypatch.setattr("sparse_linear.__main__.warm_up", warm_up)
    monkeypatch.setattr(_compiled, "PATIENCE", _compiled.PATIENCE)
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 0)
    assert main(["warmup"]) == 0
    out, err = capsys.readouterr()
    assert out == "The compiled code is in /somewhere.\n"
    assert "s] 1 of 2: dense data\n" in err
    assert told == [np.inf]  # no second voice
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert main(["warmup"]) == 2
    assert "NUMBA_DISABLE_JIT is set" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes are different there")
def test_interrupt_and_broken_pipe_end_without_traceback():
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(COMMAND, **pipes) as process:
        assert "warm-up" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("sparse_linear: stopped.\n")
    assert "Traceback" not in err
    with subprocess.Popen([*COMMAND, *QUICK], **pipes) as process:
        process.stdout.close()
        err = process.stderr.read()
        process.wait(timeout=60)
    assert process.returncode == 141
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


# ------------------------------------------------------------------------------------------------------------
# The certified gap


@pytest.mark.parametrize("name", ["Ridge", "Lasso", "ElasticNet"])
@pytest.mark.parametrize("sparse", [False, True])
def test_gap_bounds_the_distance_to_the_optimum(numbers, name, sparse):
    X, y = numbers
    n = len(y)
    alpha = {"Ridge": 20.0, "Lasso": 5.0, "ElasticNet": 5.0}[name]
    l1, l2 = {"Ridge": (0.0, alpha / n), "Lasso": (alpha, 0.0), "ElasticNet": (2.5, 2.5)}[name]
    exact = getattr(sklearn.linear_model, name)(alpha=alpha, tol=1e-13).fit(X, y)

    def objective(w, b):
        return np.mean((y - X @ w - b) ** 2) / 2 + l1 * np.sum(np.abs(w)) + l2 / 2 * np.sum(w**2)

    best = objective(exact.coef_, exact.intercept_)
    container = sp.csr_array if sparse else np.asarray
    assert relative_gap(container(X), y, exact.coef_, exact.intercept_, l1, l2) < 1e-11
    rng = np.random.default_rng(0)
    for size in (1e-3, 0.1, 1.0, 100.0):
        w = exact.coef_ + size * rng.normal(size=3)
        b = exact.intercept_ + size * rng.normal()
        gap = relative_gap(container(X), y, w, b, l1, l2)
        assert gap >= (objective(w, b) - best) / (np.var(y) / 2) > 0


def test_gap_of_nothing_at_the_largest_alpha_is_zero(numbers):
    X, y = numbers
    l1 = np.max(np.abs(X.T @ (y - y.mean()))) / len(y)
    assert relative_gap(X, y, np.zeros(3), y.mean(), l1, 0.0) < 1e-15
    assert relative_gap(X, y, np.zeros(3), y.mean(), l1 / 2, 0.0) > 1e-3


# ------------------------------------------------------------------------------------------------------------
# Files that can be used


def test_csv_with_every_kind_of_column(table, tmp_path, capsys):
    n = len(table)
    table["when"] = [f"2024-01-{1 + i % 28:02d}" for i in range(n)]
    table["id"] = [f"user {i}" for i in range(n)]
    table["nearly"] = ["unknown", *map(str, range(1, n))]
    table["nothing"] = np.nan
    table["same"] = 7
    table.loc[[0, 1], "price"] = np.nan
    path = tmp_path / "things.csv"
    table.to_csv(path)  # with row numbers, which pandas reads back as a column without name
    problem = load_problem(path, "price")
    assert problem.columns == ["size", "width", "flag", "colour"]
    assert len(problem.y) == n - 2
    assert problem.notes == [
        "Left out 2 of 40 rows, in which the target 'price' is missing.",
        "Left out as row numbers: 'Unnamed: 0'.",
        "Left out as dates or times: 'when'.",
        "Left out as text that differs from row to row: 'id'.",
        "Left out as numbers with text among them: 'nearly'.",
        "Left out as empty: 'nothing'.",
        "Left out as constant: 'same'.",
        "Filled in 3 missing values in 2 columns: the median of numbers, the most frequent category.",
    ]
    assert features_of(problem) == ["size", "width", "flag", "colour = green", "colour = red"]
    assert main(["--data", str(path), "--target", "price", "--alphas", "3", "--folds", "2"]) == 0
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines() + err.splitlines())) <= WIDTH
    assert "colour = " in out
    assert "dates or times: 'when'" in out


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".CSV", ".csv.bz2", ".tsv"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_separators_and_compression(table, tmp_path, ending, separator):
    path = tmp_path / f"things{ending}"
    opener = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
    with opener(path, "wt", encoding="utf-8-sig", newline="") as file:
        table.rename(columns={"size": "size, in €"}).to_csv(file, sep=separator, index=False)
    problem = load_problem(path, " price ")
    assert problem.columns == ["size, in €", "width", "flag", "colour"]


def test_parquet_keeps_types(table, tmp_path):
    pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    from decimal import Decimal

    n = len(table)
    table["level"] = pd.Categorical.from_codes(np.arange(n) % 2, ["10", "20"])
    table["count"] = pd.array([None, *range(1, n)], dtype="Int64")
    table["cost"] = [None, *(Decimal(i) / 4 for i in range(1, n))]
    table["maybe"] = [None, *(i % 3 == 0 for i in range(1, n))]
    table["when"] = pd.date_range("2024-01-01", periods=n)
    table["long"] = pd.timedelta_range("1h", periods=n)
    table.index = pd.Index(np.arange(n) ** 2, name="square")
    path = tmp_path / "things.parquet"
    table.to_parquet(path)
    problem = load_problem(path, "price")
    assert problem.columns == ["square", "size", "width", "flag", "count", "cost", "maybe", "colour", "level"]
    assert problem.X["cost"][5] == 1.25
    assert problem.notes[0] == "Left out as dates or times: 'when', 'long'."
    assert {"level = 10", "level = 20", "colour = red"} <= set(features_of(problem))


def test_rare_and_unseen_categories(tmp_path):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    city = np.array([f"city {i}" for i in range(60)])[rng.zipf(1.5, size=300).clip(max=60) - 1]
    path = tmp_path / "cities.csv"
    pd.DataFrame({"city": city, "y": rng.normal(size=300)}).to_csv(path, index=False)
    names = features_of(load_problem(path, "y"))
    assert len(names) == 30
    assert names[-1] == "city = (rare)"


def test_columns_known_in_a_few_rows_only(table, tmp_path):
    table["seldom"] = [1.0, 2.0, *[np.nan] * (len(table) - 2)]
    table["scarce"] = ["a", "a", "a", "b", *[None] * (len(table) - 4)]
    path = tmp_path / "things.csv"
    table.to_csv(path, index=False)
    assert {"seldom", "scarce = a"} <= set(load_problem(path, "price").columns) | set(
        features_of(load_problem(path, "price"))
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, bool])
def test_npz_dense(numbers, tmp_path, dtype):
    X, y = numbers
    path = tmp_path / "numbers.npz"
    np.savez(path, X=(10 * X.clip(min=0)).astype(dtype), y=y[:, None], other=-y)
    problem = load_problem(path)
    assert problem.X.dtype == (np.float32 if dtype is np.float32 else np.float64)
    assert features_of(problem) == ["x0", "x1", "x2"]
    np.testing.assert_array_equal(load_problem(path, "other").y, -problem.y)


def test_npz_with_missing_values(numbers, tmp_path):
    X, y = numbers
    X[2:5, 1] = np.nan
    y[0] = np.nan
    path = tmp_path / "numbers.npz"
    np.savez(path, X=X, y=y)
    problem = load_problem(path)
    assert problem.notes == [
        "Left out 1 of 40 rows, in which the target 'y' is missing.",
        "Filled in 3 missing values in 1 column: the median.",
    ]
    assert len(features_of(problem)) == 3


@pytest.mark.parametrize(
    "names",
    [
        np.array(["a", "b", "c d"]),
        np.array([b"a", b"b", b"c  d"]),
        np.frombuffer(b"a\nb\nc d", dtype=np.uint8),
        np.bytes_("a\nb\nc d"),
        np.array("a\nb\nc\td"),
    ],
)
def test_npz_feature_names(numbers, tmp_path, names):
    X, y = numbers
    path = tmp_path / "numbers.npz"
    np.savez(path, X=X, y=y, feature_names=names)
    assert load_problem(path).columns == ["a", "b", "c d"]
    np.savez(path, X=X[:, :2], y=y, feature_names=names)
    problem = load_problem(path)
    assert problem.columns == ["x0", "x1"]
    assert problem.notes == ["feature_names is not used: it has 3 names for 2 features."]


def test_npz_csr_stays_sparse(numbers, tmp_path, capsys):
    X, y = numbers
    X[np.abs(X) < 0.5] = 0.0
    parts = sp.csr_matrix(X)
    path = tmp_path / "numbers.npz"
    np.savez(path, data=parts.data, indices=parts.indices, indptr=parts.indptr, shape=parts.shape, y=y)
    problem = load_problem(path)
    assert sp.issparse(problem.X)
    assert sp.issparse(problem.prepare.fit_transform(problem.X))
    assert main(["--data", str(path), "--alphas", "3", "--folds", "3"]) == 0
    assert "largest absolute value" in capsys.readouterr().out


@pytest.mark.parametrize("ending", [".svm", ".svmlight.gz", ".libsvm.bz2"])
@pytest.mark.parametrize("first", [0, 1])
def test_svmlight_keeps_the_numbers_of_its_features(numbers, tmp_path, ending, first):
    X, y = numbers
    path = tmp_path / f"numbers{ending}"
    plain = tmp_path / "plain"
    dump_svmlight_file(X, y, str(plain), zero_based=first == 0)
    opener = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
    with opener(path, "wb") as file:
        file.write(plain.read_bytes())
    problem = load_problem(path, "unused" if first else None)
    assert problem.columns == [f"feature {first + j}" for j in range(3)]
    assert len(problem.notes) == first
    np.testing.assert_allclose(problem.X.toarray(), X)


def test_npz_and_svmlight_do_without_pandas(numbers, tmp_path, monkeypatch):
    X, y = numbers
    hide(monkeypatch, "pandas")
    np.savez(tmp_path / "numbers.npz", X=X, y=y)
    dump_svmlight_file(X, y, str(tmp_path / "numbers.svm"))
    for name in ("numbers.npz", "numbers.svm"):
        assert len(features_of(load_problem(tmp_path / name))) == 3


def test_long_and_strange_names_fit_the_terminal(table, tmp_path, capsys):
    path = tmp_path / "things.csv"
    table.rename(columns={"size": "si\x1b[31mze" + "!" * 200, "price": "pr" * 60}).to_csv(path, index=False)
    assert main(["--data", str(path), "--target", "pr" * 60, *QUICK]) == 0
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines() + err.splitlines())) <= WIDTH
    assert "\x1b" not in out + err
    assert "si?[31mze!!" in out
    assert fit_into("abcdefghij", 7) == "ab..hij"


def test_a_lasso_without_features_says_so(tmp_path, capsys):
    rng = np.random.default_rng(0)
    path = tmp_path / "noise.npz"
    np.savez(path, X=rng.normal(size=(60, 4)), y=rng.normal(size=60))
    assert main(["--data", str(path), *QUICK]) == 0
    assert "The Lasso uses no feature" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------------
# Files that cannot be used


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("things.xlsx", b"x", "does not say what is in it"),
        ("things", b"x", "does not say what is in it"),
        ("things.npz.gz", b"x", "does not say what is in it"),
        ("things.csv", b"", "is empty"),
        ("things.csv", b"\n1,2\n", "first line"),
        ("things.csv", b"a,b\n1,2\n1,2,3,4\n", "could not be read as CSV"),
        ("things.csv", "a,b\nä,1\n".encode("latin-1"), "not text in UTF-8"),
        ("things.csv.gz", b"a,b\n1,2\n", "could not be read as CSV"),
        ("things.parquet", b"a,b\n1,2\n", "could not be read as Parquet"),
        ("things.npz", b"a,b\n1,2\n", "could not be read as NPZ"),
        ("things.svm", b"a,b\n1,2\n", "could not be read as svmlight"),
        ("things.svm.gz", b"1 1:1\n", "could not be read as svmlight"),
        ("things.svm", b"1\n2\n" * 20, "Every feature is constant"),
        ("things.svm", b"1 1:nan\n2 1:3\n" * 20, "missing values (NaN)"),
        ("things.svm", b"1 1:inf\n2 1:3\n" * 20, "The sparse X holds 20 infinite"),
    ],
)
def test_unusable_files(capsys, tmp_path, name, content, words):
    if ".csv" in name or ".parquet" in name:
        pytest.importorskip("pandas")
    if ".parquet" in name:
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    message = error_of(capsys, "--data", path, "--target", "b")
    assert words in message


def test_missing_file_and_folder(capsys, tmp_path):
    assert error_of(capsys, "--data", tmp_path / "no.csv") == f"There is no file '{tmp_path / 'no.csv'}'."
    (tmp_path / "folder.csv").mkdir()
    assert "is not a file" in error_of(capsys, "--data", tmp_path / "folder.csv")
    assert "could not be read" in error_of(capsys, "--data", tmp_path / ("n" * 300 + ".csv"))


@pytest.mark.parametrize(
    ("name", "missing"), [("x.csv", "pandas"), ("x.parquet", "pandas"), ("x.parquet", "pyarrow")]
)
def test_missing_optional_dependency(capsys, tmp_path, monkeypatch, name, missing):
    if missing == "pyarrow":
        pytest.importorskip("pandas")
    (tmp_path / name).write_text("a,b\n1,2\n")
    hide(monkeypatch, missing)
    message = error_of(capsys, "--data", tmp_path / name, "--target", "b")
    assert f"need {missing}, which is not installed" in message
    assert 'pip install "sparse_linear[data]"' in message


@pytest.mark.parametrize(
    ("change", "target", "words"),
    [
        ({}, None, "--target is missing: which column of"),
        ({}, "Prise", "has no column 'Prise'; did you mean 'price'?"),
        ({}, "weight", "has no column 'weight'; there are 'size', 'width', 'flag', 'colour', 'price'"),
        ({}, "colour", "The target 'colour' is not numeric, it holds values such as 'red', 'green'"),
        ({"price": ["12,5", "1.0"] * 20}, "price", "it holds values such as '12,5';"),
        ({"price": 3.0}, "price", "The target 'price' is 3 in all 40 rows"),
        ({"price": [np.inf] + [1.0] * 39}, "price", "The target 'price' holds 1 infinite"),
        ({"price": [1.0, 2.0] + [None] * 38}, "price", "There are 2 rows in which the target is known"),
        ({"price": HELD_OUT_ONLY.astype(float)}, "price", "The target is 0 in all rows used for fitting"),
        ({"width": [-np.inf, np.inf] + [1.0] * 38}, "price", "Column 'width' holds 2 infinite"),
        ({"width": [1e200] + [1.0] * 39}, "price", "Column 'width' holds 1 infinite or absurdly large"),
        ({"Size ": 1.0, " Size": 2.0}, "price", "has 2 columns named 'Size'"),
    ],
)
def test_unusable_columns(capsys, table, tmp_path, change, target, words):
    path = tmp_path / "things.csv"
    table.assign(**change).to_csv(path, index=False)
    arguments = ["--data", path] + ([] if target is None else ["--target", target])
    assert words in error_of(capsys, *arguments)


def test_tables_without_rows_or_features(capsys, table, tmp_path):
    path = tmp_path / "things.csv"
    table[:0].to_csv(path, index=False)
    assert "has no rows" in error_of(capsys, "--data", path, "--target", "price")
    table[:10].to_csv(path, index=False)
    assert "There are 10 rows" in error_of(capsys, "--data", path, "--target", "price")
    table[["price"]].to_csv(path, index=False)
    assert "has no column to predict 'price' from" in error_of(capsys, "--data", path, "--target", "price")
    table[["price"]].assign(same=1).to_csv(path, index=False)
    assert "Left out as constant: 'same'." in error_of(capsys, "--data", path, "--target", "price")
    table.to_csv(path, index=False)
    assert "use fewer --folds" in error_of(capsys, "--data", path, "--target", "price", "--folds", "16")
    table[["price"]].assign(once=HELD_OUT_ONLY).to_csv(path, index=False)
    assert "Every feature is constant" in error_of(capsys, "--data", path, "--target", "price")


@pytest.mark.parametrize(
    ("arrays", "target", "words"),
    [
        ({"X": np.ones((30, 2))}, None, "has no array 'y' to predict; there are 'X'"),
        ({"X": np.ones((30, 2)), "yield": np.ones(30)}, "yeild", "did you mean 'yield'?"),
        ({"Z": np.ones((30, 2)), "y": np.ones(30)}, None, "should hold an array X, or a CSR matrix"),
        ({"X": np.ones(30), "y": np.ones(30)}, None, "'X' of"),
        ({"X": np.ones((30, 2)), "y": np.ones((30, 3))}, None, "has shape (30, 3); it should be (rows)"),
        ({"X": np.ones((30, 2)), "y": np.ones(29)}, None, "has 30 rows in X but 29 values in 'y'"),
        ({"X": np.ones((30, 2), dtype=complex), "y": np.ones(30)}, None, "'X' of"),
        ({"X": np.ones((30, 2)), "y": np.full(30, "a")}, None, "it should hold real numbers"),
        ({"X": np.ones((30, 2)), "y": np.array(1.0)}, None, "has shape (); it should be (rows)"),
        ({"X": np.ones((30, 2)), "y": np.array([{}] * 30)}, None, "could not be read as NPZ"),
        ({"X": np.ones((30, 0)), "y": np.arange(30)}, None, "has no features"),
        (
            {"X": np.full((30, 1), np.float32(np.inf)), "y": np.arange(30)},
            None,
            "Column 'x0' holds 30 infinite",
        ),
        (
            {"data": [1.0], "indices": [5], "indptr": [0, 1], "shape": [1, 2], "y": [1.0]},
            None,
            "could not be read as NPZ",
        ),
    ],
)
def test_unusable_arrays(capsys, tmp_path, arrays, target, words):
    path = tmp_path / "numbers.npz"
    np.savez(path, **arrays)
    arguments = ["--data", path] + ([] if target is None else ["--target", target])
    assert words in error_of(capsys, *arguments)


def test_warnings_become_lines_of_progress(numbers, tmp_path):
    def complain(X):
        warnings.warn("odd\n numbers", UserWarning, stacklevel=1)
        return X

    X, y = numbers
    path = tmp_path / "numbers.npz"
    np.savez(path, X=X, y=y)
    problem = load_problem(path)._replace(
        prepare=FunctionTransformer(complain, feature_names_out="one-to-one")
    )
    said = []
    compare(problem, n_alphas=2, folds=2, with_sklearn=False, say=said.append)
    assert said[2] == "numbers.npz: Ridge, sparse_linear: odd numbers"


def test_fits_that_did_not_converge_are_counted(numbers, tmp_path, monkeypatch):
    hasty = functools.partial(sklearn.linear_model.Lasso, max_iter=1)
    monkeypatch.setitem(ESTIMATORS, "Lasso", (Lasso, hasty))
    X, y = numbers
    path = tmp_path / "numbers.npz"
    np.savez(path, X=X + X[:, ::-1] / 2, y=y)
    comparison = compare(load_problem(path), n_alphas=3, folds=2, say=lambda text: None)
    counts = {(fit.model, fit.library): fit.not_converged for fit in comparison.fits}
    assert counts["Lasso", LIBRARIES[0]] == 0
    assert counts["Lasso", LIBRARIES[1]] > 0
    assert counts["Ridge", LIBRARIES[1]] == 0
    text = " ".join(as_text(comparison).split())
    assert f"had not converged: scikit-learn's Lasso {counts['Lasso', LIBRARIES[1]]} of 7." in text


def test_data_error_is_a_value_error():
    assert issubclass(DataError, ValueError)
