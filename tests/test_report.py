"""Tests of the summary of a model: what it says, that it fits, and that it is safe in a page."""

from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
import sklearn.linear_model
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sparse_linear import ElasticNet, ElasticNetCV, Lasso, LassoCV, LassoIC, Ridge, RidgeCV, summary
from sparse_linear._report import WIDTH

X, y = load_diabetes(return_X_y=True)
NAMES = load_diabetes().feature_names
VOID = {"meta", "img", "br"}


class Tree(HTMLParser):
    """Checks that tags are closed in the order in which they were opened; collects texts and attributes."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.texts, self.attributes = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


MODELS = [
    Lasso(alpha=0.3),
    Lasso(alpha=1e6),
    ElasticNet(alpha=0.01, l1_ratio=0.7, relax=0.5),
    Ridge(alpha=0.1),
    Ridge(alpha=0.1, positive=True),
    LassoCV(alphas=20, criterion="1se"),
    LassoCV(alphas=20, criterion=lambda results: 3),
    ElasticNetCV(l1_ratio=[0.5, 1.0], relax=[0.0, 1.0], alphas=20),
    LassoIC("ebic"),
    RidgeCV(alphas=10),
    RidgeCV(alphas=10, cv="gcv"),
    RidgeCV(alphas=10, cv=3),
    RidgeCV(store_cv_results=True),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model)[:60])
def test_all_models_in_text_and_html(model):
    model.fit(X, y)
    for given in ((), (X,), (X, y), (sp.csr_matrix(X), y)):
        said = summary(model, *given, feature_names=["<b>&\x1b" + name * 40 for name in NAMES])
        lines = str(said).splitlines()
        assert max(map(len, lines)) <= WIDTH
        assert "\x1b" not in str(said)
        tree = Tree(said._repr_html_())
        assert "b" not in tree.tags
        assert type(model).__name__ in tree.texts
        for name, value in said.facts:
            assert name in tree.texts
            assert value in tree.texts
        facts = dict(said.facts)
        assert facts["coefficients"] == f"{np.count_nonzero(model.coef_)} of 10 are not zero"
        assert ("R²" in facts) == (len(given) == 2)
    assert facts["R²"].startswith(f"{model.score(X, y):.4f} ")


@pytest.mark.parametrize(
    ("model", "penalty", "chosen"),
    [
        (Lasso(alpha=0.3), "λ (alpha) = 0.3", "the user"),
        (
            ElasticNet(alpha=0.1, l1_ratio=0.25, relax=0.5),
            "λ (alpha) = 0.1, l1_ratio = 0.25, relaxed by 0.5",
            "the user",
        ),
        (
            LassoCV(alphas=[1.0, 0.1], cv=3),
            "λ (alpha) = 0.1",
            "best mean score over 3 folds, from 2 λ between 1 and 0.1",
        ),
        (LassoIC("bic"), "λ (alpha) = 0.04521", "BIC, from 13 λ between 2.148 and 0.002148"),
        (
            RidgeCV([0.1, 0.01]),
            "λ (alpha) = 0.01",
            "best mean score over rows left out one at a time, from 2 λ",
        ),
        (RidgeCV([1, 0.1], cv="gcv"), "λ (alpha) = 0.1", "best mean score over generalised cross-validation"),
    ],
)
def test_penalty_and_choice(model, penalty, chosen):
    facts = dict(summary(model.fit(X, y)).facts)
    assert facts["penalty"] == penalty
    assert facts["chosen by"].startswith(chosen)


def test_coefficients_are_listed_by_their_size_per_standard_deviation():
    Z = X * np.geomspace(1.0, 1e-3, 10)
    model = Ridge(alpha=1e-6).fit(Z, y)
    said = summary(model, Z, y, n_features=4, feature_names=NAMES)
    sizes = model.coef_ * Z.std(axis=0)
    order = np.argsort(-np.abs(sizes))[:4]
    assert [row[0] for row in said.coefficients] == [NAMES[j] for j in order]
    assert [float(row[1]) for row in said.coefficients] == pytest.approx(model.coef_[order], rel=1e-3)
    assert [float(row[2]) for row in said.coefficients] == pytest.approx(sizes[order], rel=1e-3)
    assert said.more == 6
    assert "and 6 smaller" in str(said)
    plain = summary(model, n_features=1, feature_names=NAMES)
    assert plain.coefficients[0][0] == NAMES[np.abs(model.coef_).argmax()]
    assert len(plain.coefficients[0]) == 2


def test_condition_number_and_certificate_are_those_of_the_model():
    model = Ridge(alpha=0.1).fit(X, y)
    facts = dict(summary(model).facts)
    assert facts["condition number"].startswith(f"{model.condition_number_:.3g} of the data")
    assert facts["distance to optimum"].startswith(f"at most {model.dual_gap_:.1e} (duality gap)")
    assert facts["status"] == model.status_


# ---------------------------------------------------------------------------------------------
# Warnings
# ---------------------------------------------------------------------------------------------


def warnings_of(model, *data, **options):
    return " ".join(summary(model, *data, **options).warnings)


def test_nothing_to_warn_of():
    assert summary(LassoCV(criterion="1se").fit(X, y), X, y).warnings == []


def test_alpha_at_either_end_of_those_tried():
    assert "the largest of those tried" in warnings_of(
        LassoCV(alphas=[0.1, 0.001], criterion=lambda r: 0).fit(X, y)
    )
    given = warnings_of(LassoCV(alphas=[2.0, 0.1]).fit(X, y))
    assert "the smallest of those tried; a better one may lie beyond. Try smaller alphas." in given
    assert "the smallest of those tried" in warnings_of(RidgeCV([0.1, 10.0]).fit(X, y))
    model = ElasticNetCV(l1_ratio=[0.5, 1.0], alphas=5, eps=0.5).fit(X, y)
    assert "Lower eps, the ratio of the smallest to the largest (now 0.5)." in warnings_of(model)


def test_no_feature_and_features_never_selected():
    model = LassoCV(alphas=[50.0, 20.0]).fit(X, y)
    assert warnings_of(model).startswith("No feature is used")
    model = LassoCV(alphas=[1.5, 0.5, 0.3]).fit(X, y)
    never = ~model.coef_path_.any(axis=1)
    assert dict(summary(model).facts)["never selected"].startswith(f"{never.sum()} of 10")
    model = LassoCV(alphas=[1.0, 0.1, 0.045]).fit(X, y)
    never = np.flatnonzero(~model.coef_path_.any(axis=1))
    assert 0 < len(never) <= 3
    words = f"Never selected, at any λ tried: {', '.join(NAMES[j] for j in never)}."
    assert words in warnings_of(model, feature_names=NAMES)


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix, sp.csc_array])
def test_collinear_features(convert):
    rng = np.random.default_rng(0)
    Z = np.column_stack([X, -X[:, 2] + 1e-4 * rng.normal(size=len(X))])
    model = Lasso(alpha=0.1).fit(Z, y)
    said = warnings_of(model, convert(Z))
    r = np.corrcoef(Z.T)[2, 10]
    assert f"Two features say nearly the same (correlation beyond 0.95): x2 and x10 ({r:+.3f})" in said
    assert "correlation" not in warnings_of(model)


def test_constant_columns_and_unequal_scales():
    Z = np.column_stack([X * np.where(np.arange(10) == 3, 100.0, 1.0), np.ones((len(X), 2))])
    model = Lasso(alpha=0.1).fit(Z, y)
    said = warnings_of(model, Z)
    assert "2 columns are constant, and cannot tell rows apart: x10, x11." in said
    assert "standardize=True treats them alike" in said
    assert "standardize=True" not in warnings_of(Lasso(alpha=0.1, standardize=True).fit(Z, y), Z)


def test_fits_that_are_not_exact():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(50, 200))
    with pytest.warns(ConvergenceWarning):
        model = Lasso(alpha=1e-4, max_iter=1, tol=1e-12).fit(Z, rng.normal(size=50))
    assert model.status_.startswith("stopped at max_iter=1")
    assert f"The fit is not exact: {model.status_}." in summary(model).warnings


def test_ill_conditioned_equations():
    Z = np.column_stack([X[:, 0], X[:, 0] + 1e-6 * X[:, 1]])
    assert "The equations are ill-conditioned (2.0e+06)" in warnings_of(Ridge(alpha=1e-16).fit(Z, y))
    assert "ill-conditioned" not in warnings_of(Ridge(alpha=1e-3).fit(Z, y))


# ---------------------------------------------------------------------------------------------
# Input
# ---------------------------------------------------------------------------------------------


def test_several_targets():
    Y = np.column_stack([y, y[::-1]])
    model = Lasso(alpha=0.3).fit(X, Y)
    said = summary(model, X, Y, target=1)
    facts = dict(said.facts)
    assert facts["target"] == "1 of the targets 0 to 1"
    assert facts["coefficients"].startswith(f"{np.count_nonzero(model.coef_[1])} of 10")
    assert facts["R², all targets"].startswith(f"{model.score(X, Y):.4f}")
    model = LassoCV(alphas=5, alpha_per_target=True).fit(X, Y)
    assert dict(summary(model, target=1).facts)["penalty"] == f"λ (alpha) = {model.alpha_[1]:.4g}"


def test_models_of_scikit_learn_say_what_they_know():
    said = summary(sklearn.linear_model.Lasso(alpha=0.3).fit(X, y), X, y)
    assert dict(said.facts)["penalty"] == "λ (alpha) = 0.3"
    assert "solver" not in dict(said.facts)


def test_unusable_input():
    model = Lasso(alpha=0.3)
    with pytest.raises(NotFittedError):
        summary(model)
    model.fit(X, y)
    with pytest.raises(ValueError, match="y needs X"):
        summary(model, y=y)
    with pytest.raises(ValueError, match="X must have the 10 features of the fit; got 9"):
        summary(model, X[:, 1:])
    with pytest.raises(ValueError, match="feature_names must hold 10 names"):
        summary(model, feature_names=["a"])


@pytest.mark.parametrize("model", [Lasso(alpha=0.3), LassoCV(alphas=5), RidgeCV(), LassoIC()], ids=str)
def test_notebooks_show_the_diagram_and_a_summary_of_what_is_fitted(model):
    name = type(model).__name__
    plain = model._repr_html_()
    assert "sk-" in plain
    assert name in plain
    assert "sparse-linear-summary" not in plain
    model.fit(X, y)
    for shown in (model._repr_html_(), model._repr_mimebundle_()["text/html"]):
        assert shown.count("sk-top-container") == plain.count("sk-top-container")
        assert shown.endswith(summary(model)._repr_html_())
        assert "fitted" in shown
    assert model._repr_mimebundle_()["text/plain"] == repr(model)
    with sklearn.config_context(display="text"):
        assert set(model._repr_mimebundle_()) == {"text/plain"}
        assert not hasattr(model, "_repr_html_")
