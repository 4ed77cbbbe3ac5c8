"""Types: what mypy makes of a user's code, and whether what is annotated is what comes out.

`.ci/run` has mypy check this file. Here a line with `type: ignore` is an assertion: mypy must call it an
error of just this kind, or it complains about the comment.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
import typing
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, assert_type

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

import sparse_linear
from sparse_linear import (
    CoefficientDisplay,
    CVDisplay,
    ElasticNet,
    ElasticNetCV,
    ElasticNetIC,
    GeometryDisplay,
    Lasso,
    LassoCV,
    LassoIC,
    Moments,
    Path,
    PathDisplay,
    Ridge,
    RidgeCV,
    Summary,
    _convert,
    _ic,
    _selection,
    _typing,
    _validation,
    alpha_for,
    alpha_grid,
    convert_penalty,
    enet_path,
    from_sklearn,
    lasso_path,
    ridge_path,
    summary,
)
from sparse_linear._typing import AsX, Floats, PerTarget, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 4))
y = X @ [1.0, 0.0, -1.0, 0.5] + 0.1 * RNG.normal(size=30)
Y = np.column_stack([y, X[:, 1]])

# ---------------------------------------------------------------------------------------------
# What a user's type checker says
# ---------------------------------------------------------------------------------------------


def test_a_fit_and_what_it_has() -> None:
    model = assert_type(Lasso(alpha=0.1, positive=False).fit(X, y), Lasso)
    assert_type(model.coef_, AsX)
    assert_type(model.intercept_, float | np.floating[Any] | AsX)
    assert_type(model.dual_gap_, PerTarget)
    assert_type(model.solver_, str)
    assert_type(model.predict(X), AsX)
    assert_type(model.predict([[0, 1, 2, 3]]), AsX)
    assert_type(model.score(X, y), float)
    assert_type(model.get_params(), dict[str, Any])
    assert_type(Ridge(alpha=[1.0, 2.0]).fit(X, Y).n_iter_, NDArray[np.int64] | None)
    assert_type(Ridge().fit(X, y).rank_, int)
    assert_type(LassoIC("bic").fit(X, y).criterion_, Floats)


def test_all_kinds_of_data() -> None:
    for data in (X, X.tolist(), sparse.csr_array(X), sparse.csc_matrix(X), np.asfortranarray(X, np.float32)):
        ElasticNet(alpha=0.1).fit(data, y, sample_weight=np.ones(30))
    given: ArrayLike = X.tolist()
    Ridge().fit(given, y.tolist(), 1.0)


def test_choosing() -> None:
    model = LassoCV(alphas=[0.1, 0.01], cv=[(np.arange(15), np.arange(15, 30))], relax=[0, 1]).fit(X, y)
    assert_type(model, LassoCV)
    assert_type(model.alpha_, PerTarget)
    assert_type(model.cv_results_, Results | list[Results])
    assert_type(model.coef_path_, AsX)
    ElasticNetCV(alphas=5, l1_ratio=[0.5, 1.0], criterion=lambda table: int(table["alpha"].argmax())).fit(
        X, y
    )
    assert_type(RidgeCV(alphas=5, cv="gcv").fit(X, y).df_, Floats)


def test_functions() -> None:
    path = assert_type(lasso_path(X, y, alphas=[1.0, 0.1], fit_intercept=True), Path)
    assert_type(path.coefs, AsX)
    assert_type(path.solver, str)
    alphas, coefs, _ = path
    assert alphas is path.alphas
    assert coefs is path.coefs
    assert_type(enet_path(X, y, l1_ratio=0.5, return_n_iter=True).n_iters, list[int] | list[list[int]])
    assert_type(ridge_path(X, y, [1.0]), Path)
    assert_type(alpha_grid(X, y), Floats)
    assert_type(alpha_for(X, y, n_nonzero=2), float)
    report = assert_type(summary(Lasso(alpha=0.1).fit(X, y), X, y), Summary)
    assert_type(report.facts, list[tuple[str, str]])
    back = from_sklearn(Ridge().fit(X, y).to_sklearn())
    assert_type(back, ElasticNet | Ridge | ElasticNetCV | RidgeCV)


def test_penalties_have_the_type_of_their_convention() -> None:
    assert_type(convert_penalty(0.1, from_="sklearn.Lasso", to="l1_norm", X=X, y=y), float)
    assert_type(convert_penalty((0.1, 0.5), from_="sklearn.ElasticNet", to="keras"), _convert.Keras)
    found = convert_penalty({"lambda_": 0.1, "alpha": 1.0}, from_="glmnet", to="torch")
    assert_type(found.weight_decay, float)


def test_moments() -> None:
    moments = assert_type(Moments.from_chunks((X, y, None) for _ in range(2)), Moments)
    folds = assert_type(Moments.by_fold([(X, y, None, np.arange(30) % 3)], n_folds=3), list[Moments])
    assert_type(moments + folds[0], Moments)
    assert_type(sum(folds, Moments()), Moments)
    assert_type(moments.n_features, int | None)
    assert_type(Lasso().fit_moments(moments), Lasso)
    assert_type(ElasticNetCV(alphas=3).fit_moments(folds), ElasticNetCV)


def test_pictures() -> None:
    model = LassoCV(alphas=10, cv=3).fit(X, y)
    display = PathDisplay.from_estimator(model, n_labels=2, x="l1_norm")
    assert_type(display, PathDisplay)
    if TYPE_CHECKING:
        assert_type(display.ax_, Axes)
        assert_type(display.figure_, Figure)
    CVDisplay.from_estimator(model, n_sizes=4).figure_.set_dpi(72)
    CoefficientDisplay.from_estimator(model, Ridge().fit(X, y), model_names=["a", "b"])
    GeometryDisplay.from_data(X, y, features=[0, 2], l1_ratios=[1.0, 0.0])


def test_wrong_calls_are_errors() -> None:
    """For mypy, and when they run."""
    model = Lasso(alpha=0.1).fit(X, y)
    with pytest.raises(TypeError):
        Lasso(alpa=0.1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Lasso(0.1, False)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="2D"):
        Lasso().fit(None, y)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="selection"):
        Lasso(selection="cyclical").fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="alpha"):
        Lasso(alpha="auto").fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bounds"):
        Lasso(bounds=0.0).fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="criterion"):
        LassoCV(criterion="best").fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="solver"):
        ridge_path(X, y, [1.0], solver="exact")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="l1_ratio"):
        lasso_path(X, y, l1_ratio=0.5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="moments"):
        Ridge().fit_moments(X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="to must be one of"):
        convert_penalty(0.1, from_="glmnet", to="lasso")  # type: ignore[call-overload]
    with pytest.raises(AttributeError):
        convert_penalty(0.1, from_="glmnet", to="keras").lambda_  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(TypeError):
        PathDisplay.from_estimator(model, X, y, labels=3)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        model.coef_.columns  # type: ignore[attr-defined]  # noqa: B018


# ---------------------------------------------------------------------------------------------
# Whether the annotations are there, and true
# ---------------------------------------------------------------------------------------------


def public_functions() -> dict[str, types.FunctionType]:
    """Everything public that can be called, by name: functions, and the methods of classes."""
    found = {}
    for name in sparse_linear.__all__:
        thing = getattr(sparse_linear, name)
        if inspect.isfunction(thing):
            found[name] = thing
        for kind in reversed(inspect.getmro(thing)) if inspect.isclass(thing) else ():
            if not kind.__module__.startswith("sparse_linear"):
                continue
            for part, value in vars(kind).items():
                value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                if inspect.isfunction(value) and (part == "__init__" or not part.startswith("_")):
                    found[f"{kind.__name__}.{part}"] = value
    return found


@pytest.mark.parametrize(("name", "function"), public_functions().items(), ids=lambda part: str(part))
def test_everything_public_is_annotated(name: str, function: types.FunctionType) -> None:
    signature = inspect.signature(function)
    assert signature.return_annotation is not signature.empty
    bare = [part.name for part in signature.parameters.values() if part.annotation is part.empty]
    assert bare in ([], ["self"], ["cls"])


def evaluated(annotation: str, owner: type) -> Any:
    """A type from its words: the names are those of the module, as a type checker sees them."""
    import matplotlib.axes._secondary_axes
    import matplotlib.collections
    import matplotlib.container
    import matplotlib.figure
    import matplotlib.lines
    import matplotlib.patches
    import matplotlib.text

    names: dict[str, Any] = {}
    for part in (
        matplotlib.axes,
        matplotlib.axes._secondary_axes,
        matplotlib.collections,
        matplotlib.container,
        matplotlib.figure,
        matplotlib.lines,
        matplotlib.patches,
        matplotlib.text,
        typing,
        _typing,
        sys.modules[owner.__module__],
    ):
        names |= vars(part)
    return eval(annotation, {**names, "NDArray": NDArray, "Moments": Moments})


def holds(value: object, kind: Any) -> bool:
    """Whether a value is of a type; of arrays the dtype, of containers every entry is looked at."""
    if kind is Any:
        return True
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(holds(value, part) for part in parts)
    if origin is np.ndarray:
        [scalar] = typing.get_args(parts[1])
        scalar = typing.get_origin(scalar) or scalar
        return isinstance(value, np.ndarray) and (scalar is Any or issubclass(value.dtype.type, scalar))
    if origin is list:
        return isinstance(value, list) and all(holds(entry, parts[0]) for entry in value)
    if origin is dict:
        return isinstance(value, dict) and all(holds(entry, parts[1]) for entry in value.values())
    if origin is tuple:
        return isinstance(value, tuple) and all(holds(entry, parts[0]) for entry in value)
    if origin is np.floating:
        return isinstance(value, np.floating)
    return isinstance(value, kind)


def false_annotations(thing: object) -> dict[str, object]:
    """Public attributes of an object whose value is not of the annotated type, or that have none."""
    kinds: dict[str, Any] = {}
    for kind in reversed(type(thing).__mro__):
        if kind.__module__.startswith("sparse_linear"):
            for name, annotation in vars(kind).get("__annotations__", {}).items():
                kinds[name] = evaluated(annotation, kind)
    given = inspect.signature(type(thing)).parameters
    return {
        name: value
        for name, value in vars(thing).items()
        if not name.startswith("_")
        and name not in given
        and (name not in kinds or not holds(value, kinds[name]))
    }


FITTED = [
    Lasso(alpha=0.01),
    Lasso(alpha=0.01, fit_intercept=False),
    ElasticNet(alpha=0.01),
    Ridge(),
    Ridge(positive=True),
    LassoCV(alphas=5, cv=3),
    LassoCV(alphas=5, cv=3, alpha_per_target=True, store_fold_coefs=True),
    ElasticNetCV(alphas=5, cv=3, l1_ratio=[0.5, 1.0], relax=[0.0, 1.0]),
    RidgeCV(),
    RidgeCV(alphas=5, cv=3, alpha_per_target=True),
    RidgeCV(store_cv_results=True),
    LassoIC(),
    ElasticNetIC(alphas=5),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("model", FITTED, ids=str)
def test_fitted_attributes_are_what_they_are_said_to_be(model: Any, dtype: type) -> None:
    # Several targets are not for information criteria; and of a single column these warn.
    columns = [] if isinstance(model, ElasticNetIC) else [Y]
    columns += [] if isinstance(model, (ElasticNetIC, ElasticNetCV)) else [y[:, None]]
    for target in (y, *columns):
        assert false_annotations(model.fit(X.astype(dtype), target)) == {}
        assert holds(model.predict(X), AsX)


def test_attributes_of_moments_paths_and_pictures_are_too() -> None:
    assert false_annotations(Lasso(alpha=0.01).partial_fit(X, y)) == {}
    assert false_annotations(Moments.from_data(X, Y)) == {}
    assert false_annotations(Moments()) == {}
    assert false_annotations(lasso_path(X, y)) == {}
    assert false_annotations(ridge_path(X, Y, [1.0, 0.1])) == {}
    model = LassoCV(alphas=10, cv=3).fit(X, y)
    assert false_annotations(PathDisplay.from_estimator(model)) == {}
    assert false_annotations(CVDisplay.from_estimator(model)) == {}
    assert false_annotations(CoefficientDisplay.from_estimator(model)) == {}
    assert false_annotations(GeometryDisplay.from_data(X, y)) == {}


def test_a_false_annotation_would_be_found() -> None:
    model = Lasso(alpha=0.01).fit(X, y)
    model.solver_ = 3  # type: ignore[assignment]
    model.coef_ = np.arange(4)  # type: ignore[assignment]
    model.new_ = None
    assert set(false_annotations(model)) == {"solver_", "coef_", "new_"}


def test_words_of_the_types_are_those_of_the_checks() -> None:
    def words(kind: Any) -> tuple[str, ...]:
        return typing.get_args(kind)

    assert set(words(_typing.OneNumber) + words(_typing.TwoNumbers)) == set(_convert.CONVENTIONS)
    for name in words(_typing.OneNumber):
        assert len(_convert.CONVENTIONS[name].values._fields) == 1
    assert words(_typing.RidgeSolver) == _validation.SOLVERS
    assert words(_typing.InformationCriterion) == _ic.CRITERIA
    assert words(words(_typing.Criterion)[0]) == _selection.CRITERIA
    assert typing.get_origin(words(_typing.Criterion)[0]) is Literal


def test_keywords_that_are_passed_on_are_those_that_are_taken() -> None:
    def keywords(function: Any) -> set[str]:
        return set(inspect.signature(function).parameters) - {"self", "params", "options"}

    passed_on = keywords(enet_path) - keywords(lasso_path) - {"l1_ratio"}
    assert set(_typing.PathOptions.__annotations__) == passed_on
    facts = keywords(convert_penalty) - {"value", "from_", "to"}
    assert set(_typing.ConversionFacts.__annotations__) == facts
    for options, function, own in (
        (_typing.PathOfPicture, PathDisplay.plot, PathDisplay.from_estimator),
        (_typing.CVOfPicture, CVDisplay.plot, CVDisplay.from_estimator),
        (_typing.BarsOfPicture, CoefficientDisplay.plot, CoefficientDisplay.from_estimator),
        (_typing.PanelsOfPicture, GeometryDisplay.from_data, GeometryDisplay.from_estimator),
    ):
        assert set(options.__annotations__) == keywords(function) - keywords(own)


def test_types_cost_nothing_when_the_package_is_imported() -> None:
    code = "import sys, sparse_linear; assert 'sparse_linear._typing' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_type_checkers_are_told_that_there_are_types() -> None:
    folder = FilePath(sparse_linear.__file__).parent
    assert (folder / "py.typed").read_bytes() == b""
