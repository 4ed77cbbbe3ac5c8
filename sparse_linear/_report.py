"""What there is to say about a fitted model, as a short table in text and in HTML."""

from __future__ import annotations

import html
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from sparse_linear import _display, _validation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_linear._estimators import LinearModel
    from sparse_linear._typing import ColumnsLike, MatrixLike

WIDTH = 88
# Features whose correlation is beyond this, in absolute value, are called collinear.
COLLINEAR = 0.95
# Pairs are looked for between this many of the largest coefficients and all features.
SUSPECTS = 100
# How many are named, of things that may be many.
SHOWN = 3
# From this condition number on there is a warning: changes of the data grow by as much in the coefficients.
ILL_CONDITIONED = 1e6
# Standard deviations further apart than this, under one penalty, get a warning.
UNEQUAL = 10.0
STYLE = "text-align:left;padding:.15em .8em .15em 0;vertical-align:top"
NUMBER = "text-align:right;padding:.15em .8em .15em 0;font-variant-numeric:tabular-nums"


class Summary(NamedTuple):
    """A fitted model in words and numbers; see `summary`. `str` makes text of it, a notebook shows HTML.

    Attributes
    ----------
    title : str
    facts : list of (str, str)
        What, and how much.
    header : tuple of str
        Of the table of coefficients.
    coefficients : list of tuple of str
        The largest coefficients: the feature, its coefficient and, with X, the same for a change of the
        feature by one standard deviation.
    more : int
        How many smaller ones there are.
    warnings : list of str
        Whole sentences.
    """

    title: str
    facts: list[tuple[str, str]]
    header: tuple[str, ...]
    coefficients: list[tuple[str, ...]]
    more: int
    warnings: list[str]

    def __str__(self) -> str:
        lines = [self.title, "=" * min(len(self.title), WIDTH)]
        margin = max(len(name) for name, _ in self.facts) + 2
        for name, value in self.facts:
            lines += _wrapped(value, f"{name:{margin}}", " " * margin)
        if self.coefficients:
            names = [_display.shorten(name, WIDTH - 40) for name, *_ in self.coefficients]
            first = max(len(self.header[0]), *map(len, names))
            lines.append("")
            for name, row in zip((self.header[0], *names), (self.header, *self.coefficients), strict=True):
                lines.append(f"{name:{first}}" + "".join(f"{cell:>20}" for cell in row[1:]))
            if self.more:
                lines.append(f"and {self.more} smaller")
        for warning in self.warnings:
            lines += ["", *_wrapped(warning, "! ", "  ")]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        facts = "".join(
            f'<tr><th scope="row" style="{STYLE}">{_escaped(name)}</th>'
            f'<td style="{STYLE}">{_escaped(value)}</td></tr>'
            for name, value in self.facts
        )
        parts = [f"<p><strong>{_escaped(self.title)}</strong></p><table>{facts}</table>"]
        if self.coefficients:
            heads = "".join(
                f'<th scope="col" style="{STYLE if at == 0 else NUMBER}">{_escaped(name)}</th>'
                for at, name in enumerate(self.header)
            )
            rows = "".join(
                f'<tr><th scope="row" style="{STYLE};font-weight:normal">{_escaped(name)}</th>'
                + "".join(f'<td style="{NUMBER}">{_escaped(number)}</td>' for number in numbers)
                + "</tr>"
                for name, *numbers in self.coefficients
            )
            parts.append(
                f'<table style="margin-top:.8em"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
            )
            if self.more:
                parts.append(f"<p>and {self.more} smaller</p>")
        if self.warnings:
            items = "".join(f"<li>{_escaped(warning)}</li>" for warning in self.warnings)
            parts.append(f"<p><strong>To look at</strong></p><ul>{items}</ul>")
        return f'<div class="sparse-linear-summary" style="overflow-x:auto">{"".join(parts)}</div>'


def summary(
    model: LinearModel,
    X: MatrixLike | None = None,
    y: ColumnsLike | None = None,
    *,
    sample_weight: ColumnsLike | None = None,
    feature_names: Sequence[str] | None = None,
    n_features: int = 10,
    target: int = 0,
) -> Summary:
    """What a fitted model is, how it was chosen, how exact it is, and what deserves a second look.

    Parameters
    ----------
    model : a fitted estimator of this package
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        With it, coefficients are also given for a change of the feature by one standard deviation, and
        collinear features are looked for: pairs with a correlation beyond 0.95 of which one has a coefficient
        among the hundred largest.
    y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
        With it, R² on these data.
    sample_weight : array-like of shape (n_samples,), default=None
        For R².
    feature_names : sequence of str, default=None
        None stands for those of the fit.
    n_features : int, default=10
        How many coefficients are listed at most.
    target : int, default=0
        Which target, if there are several.

    Returns
    -------
    Summary
        Text (`str`, at most 88 columns wide) and, in notebooks, HTML.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sparse_linear import LassoCV, summary
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> print(summary(LassoCV(criterion="1se").fit(X, y), n_features=3))
    LassoCV
    =======
    penalty              λ (alpha) = 0.1868
    chosen by            one-standard-error rule over 5 folds, from 100 λ between 2.148 and
                         0.002148
    coefficients         6 of 10 are not zero
    intercept            152.1
    distance to optimum  at most ... (duality gap), ... of the objective
    status               ...
    solver               ...
    <BLANKLINE>
    feature         coefficient
    bmi                   511.6
    s5                    451.2
    bp                    239.9
    and 3 smaller
    """
    _validation.check_linear_model(model, "summary")
    coef = np.asarray(_display.of_target(model.coef_, target, 1), dtype=np.float64)
    names = _display.feature_names_of(model, feature_names, len(coef))
    columns = None
    if X is not None:
        columns = _Columns(X)
        if columns.X.shape[1] != len(coef):
            raise ValueError(f"X must have the {len(coef)} features of the fit; got {columns.X.shape[1]}.")
    elif y is not None:
        raise ValueError("y needs X: give the rows on which R² is to be computed, or drop y.")
    n_targets = 1 if np.ndim(model.coef_) == 1 else len(model.coef_)
    facts = [("target", f"{target} of the targets 0 to {n_targets - 1}")] if n_targets > 1 else []
    facts += _facts_of_choice(model, target)
    facts.append(("coefficients", f"{np.count_nonzero(coef)} of {len(coef)} are not zero"))
    never = _never(model, target)
    if never:
        facts.append(("never selected", f"{never} of {len(coef)} features, at any λ that was tried"))
    facts.append(("intercept", f"{_display.of_target(model.intercept_, target, 0):.4g}"))
    if columns is not None and X is not None and y is not None:
        r2 = f"{model.score(X, y, sample_weight):.4f} on the {columns.X.shape[0]} rows given"
        facts.append(("R²" if n_targets == 1 else "R², all targets", r2))
    facts += _facts_of_solution(model, target)

    scale = np.ones(len(coef)) if columns is None else columns.deviations
    order = np.argsort(-np.abs(coef * scale), kind="stable")
    shown = order[: min(n_features, np.count_nonzero(coef * scale))]
    rows: list[tuple[str, ...]] = [(names[j], f"{coef[j]:.4g}") for j in shown]
    if columns is not None:
        rows = [(*row, f"{coef[j] * scale[j]:.4g}") for row, j in zip(rows, shown, strict=True)]
    return Summary(
        type(model).__name__,
        facts,
        ("feature", "coefficient", "per std deviation")[: 2 if columns is None else 3],
        rows,
        int(np.count_nonzero(coef * scale)) - len(rows),
        _warnings(model, coef, names, columns, order, target),
    )


class _Columns:
    """X, and what a summary needs of its columns."""

    def __init__(self, X):
        self.X: Any = X.tocsc() if sparse.issparse(X) else np.asarray(X)
        self.deviations = _display.deviations(self.X)

    def correlations(self, j):
        """Correlations (p,) of column j with all columns; zero where a column is constant."""
        n = self.X.shape[0]
        column = self.X[:, [j]]
        column = np.asarray(column.toarray() if sparse.issparse(column) else column, dtype=np.float64)[:, 0]
        # The other columns need no centring beside a centred one.
        products = np.asarray(self.X.T @ (column - column.mean())).ravel() / n
        scale = self.deviations * self.deviations[j]
        return np.divide(products, scale, out=np.zeros(len(scale)), where=scale > 0.0)


def _facts_of_choice(model, target):
    """The penalty, and how it was chosen."""
    alpha = _display.chosen_alpha(model, target)
    facts = [("penalty", f"λ (alpha) = {alpha:.4g}")]
    for name, words in (("l1_ratio", "l1_ratio = {:.3g}"), ("relax", "relaxed by {:.3g}")):
        value = getattr(model, f"{name}_", getattr(model, name, None))
        value = None if value is None else float(_display.of_target(value, target, 0))
        shown = value is not None and value not in ((1.0,) if name == "l1_ratio" else (0.0,))
        if shown:
            facts[0] = ("penalty", f"{facts[0][1]}, {words.format(value)}")
    if hasattr(model, "criterion_"):
        name = {"aic": "AIC", "aicc": "AICc", "bic": "BIC", "ebic": "extended BIC"}[model.criterion]
        facts.append(("chosen by", f"{name}, from {_range(model.alphas_)}"))
    elif hasattr(model, "best_index_"):
        rule = {"min": "best mean score", "1se": "one-standard-error rule"}
        rule = "a rule of the user's" if callable(model.criterion) else rule[model.criterion]
        tried = _range(_display.tried_alphas(model, target))
        facts.append(("chosen by", f"{rule} over {_folds(model, target)}, from {tried}"))
    else:
        facts.append(("chosen by", "the user"))
    return facts


def _folds(model, target):
    if model.cv is None and not hasattr(model, "l1_ratio_"):
        return "rows left out one at a time"
    if isinstance(model.cv, str):
        return "generalised cross-validation"
    table = _display.chosen_table(model, target)
    return f"{sum(name.startswith('split') for name in table)} folds"


def _range(alphas):
    return f"{len(alphas)} λ between {np.max(alphas):.4g} and {np.min(alphas):.4g}"


def _never(model, target):
    """Number of features that are zero along the whole path, where the path is known."""
    path = getattr(model, "coef_path_", None)
    return 0 if path is None else int((~_display.of_target(path, target, 2).any(axis=1)).sum())


def _facts_of_solution(model, target):
    """How exact the solution is."""
    facts = []
    if hasattr(model, "status_"):
        gap, objective = (
            float(_display.of_target(values, target, 0)) for values in (model.dual_gap_, model.objective_)
        )
        share = f", {gap / objective:.1e} of the objective" if objective > 0.0 else ""
        facts.append(("distance to optimum", f"at most {gap:.1e} (duality gap){share}"))
        facts.append(("status", _status(model, target)))
        facts.append(("solver", model.solver_))
    if hasattr(model, "condition_number_"):
        condition = float(_display.of_target(model.penalised_condition_number_, target, 0))
        words = f"{model.condition_number_:.3g} of the data, {condition:.3g} with the penalty"
        facts.append(("condition number", words))
    return facts


def _status(model, target):
    status = model.status_
    return status if isinstance(status, str) else status[target]


def _warnings(model, coef, names, columns, order, target):
    """What deserves a second look, in whole sentences."""
    said = []
    alpha = _display.chosen_alpha(model, target)
    if hasattr(model, "alpha_"):
        alphas = _display.tried_alphas(model, target)
        if len(alphas) > 1 and alpha in (np.max(alphas), np.min(alphas)) and coef.any():
            end, cure = "largest", "Try larger alphas."
            if alpha == np.min(alphas):
                end, cure = "smallest", "Try smaller alphas."
                if hasattr(model, "eps") and np.ndim(model.alphas) == 0:
                    cure = f"Lower eps, the ratio of the smallest to the largest (now {model.eps:g})."
            said.append(f"The chosen λ is the {end} of those tried; a better one may lie beyond. {cure}")
    if not coef.any():
        said.append("No feature is used: the prediction is the same for all rows. A smaller λ lets some in.")
    never = _never(model, target)
    if 0 < never <= SHOWN:
        zero = ~_display.of_target(model.coef_path_, target, 2).any(axis=1)
        said.append(f"Never selected, at any λ tried: {', '.join(map(_display.shorten, names[zero]))}.")
    if hasattr(model, "status_") and not _status(model, target).startswith(("optimal", "within")):
        said.append(f"The fit is not exact: {_status(model, target)}.")
    if hasattr(model, "condition_number_"):
        condition = float(_display.of_target(model.penalised_condition_number_, target, 0))
        if condition > ILL_CONDITIONED:
            said.append(
                f"The equations are ill-conditioned ({condition:.1e}): small changes of the data change the "
                "coefficients much. A larger λ steadies them."
            )
    return said if columns is None else said + _warnings_from_data(model, coef, names, columns, order)


def _warnings_from_data(model, coef, names, columns, order):
    """What only X shows: constant columns, unequal scales, collinear features."""
    said = []
    constant = columns.deviations == 0.0
    if constant.any():
        count = int(constant.sum())
        examples = ", ".join(map(_display.shorten, names[constant][:SHOWN]))
        said.append(
            f"{count} {'column is' if count == 1 else 'columns are'} constant, and cannot tell rows apart: "
            f"{examples}{' and others' if count > SHOWN else ''}."
        )
    spans = columns.deviations[~constant]
    if not getattr(model, "standardize", True) and len(spans) and spans.max() > UNEQUAL * spans.min():
        said.append(
            f"The standard deviations of the features lie between {spans.min():.2g} and {spans.max():.2g}: "
            "the penalty weighs more on some than on others. standardize=True treats them alike."
        )
    pairs = {}
    for j in order[: min(SUSPECTS, np.count_nonzero(coef))]:
        correlations = columns.correlations(j)
        for k in np.flatnonzero(np.abs(correlations) > COLLINEAR):
            if k != j:
                pairs[min(j, k), max(j, k)] = correlations[k]
    if pairs:
        strongest = sorted(pairs, key=lambda pair: -abs(pairs[pair]))[:SHOWN]
        examples = "; ".join(
            f"{_display.shorten(names[j])} and {_display.shorten(names[k])} ({pairs[j, k]:+.3f})"
            for j, k in strongest
        )
        count = f"{len(pairs)} pairs of features" if len(pairs) > 1 else "Two features"
        said.append(
            f"{count} say nearly the same (correlation beyond {COLLINEAR}): {examples}. Which of them gets "
            "the coefficient is nearly arbitrary; an ElasticNet or Ridge shares it between them."
        )
    return said


def _wrapped(text, first, later):
    """Text as lines of at most WIDTH columns."""
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=later)


def _escaped(text):
    return html.escape(str(text))
