"""Pictures, in scikit-learn's Display convention: paths, cross-validation, coefficients, geometry.

A display holds what is drawn; `plot` draws it, and may be called again. matplotlib is imported there, and
nowhere else in the package. Colours are those of Okabe and Ito (2008), which people with any of the common
kinds of colour blindness tell apart, without the yellow that is lost on white.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self, Unpack

import numpy as np
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from sparse_linear import _path, _selection, _validation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.axes._secondary_axes import SecondaryAxis
    from matplotlib.collections import LineCollection
    from matplotlib.container import BarContainer, ErrorbarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Polygon
    from matplotlib.text import Annotation
    from numpy.typing import ArrayLike, NDArray

    from sparse_linear._cv import ElasticNetCV
    from sparse_linear._estimators import LinearModel
    from sparse_linear._ridge_cv import RidgeCV
    from sparse_linear._typing import (
        Abscissa,
        BarsOfPicture,
        ColumnsLike,
        CVOfPicture,
        Feature,
        FittedLinear,
        Floats,
        MatrixLike,
        PanelsOfPicture,
        PathOfPicture,
    )

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
BLUE, RED, GREEN = COLOURS[:3]
GREY = "#999999"
DASHES = ("-", "--", ":", "-.")
SMALL = 8  # points: the size of labels
# Above this number of lines a vector picture keeps them as pixels.
MANY_LINES = 200
# Longer names lose their middle in labels.
LONGEST = 24


# ---------------------------------------------------------------------------------------------
# What the displays share
# ---------------------------------------------------------------------------------------------


def _axes(ax, what, n=1, width=None, height=None):
    """Axes to draw on: those given, or n new ones side by side; as an array.

    Width and height of a new figure, in inches, are those that the user has set for all, unless given.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f'{what} needs matplotlib, which is not installed: pip install "sparse_linear[plot]"'
        ) from error
    if ax is None:
        usual = pyplot.rcParams["figure.figsize"]
        size = (width or usual[0], height or usual[1])
        return np.atleast_1d(pyplot.subplots(1, n, figsize=size, layout="constrained")[1])
    given = np.atleast_1d(ax).ravel()
    if len(given) != n:
        raise ValueError(f"ax must be {n} axes, one for each panel; got {len(given)}.")
    return given


def feature_names_of(model, given, n_features):
    """Names of the features: those given, or those of the fit, or x0, x1 and so on."""
    names = getattr(model, "feature_names_in_", None) if given is None else given
    if names is None:
        return np.array([f"x{j}" for j in range(n_features)], dtype=object)
    if len(names) != n_features:
        raise ValueError(f"feature_names must hold {n_features} names, one per feature; got {len(names)}.")
    return np.array([printable(str(name)) for name in names], dtype=object)


def of_target(values, target, ndim):
    """The part of fitted values that belongs to one target; `ndim` is the dimension of such a part."""
    values = np.asarray(values)
    if values.ndim == ndim:
        return values[()]
    if len(values) == 1:
        return values[0]
    if not 0 <= target < len(values):
        raise ValueError(f"target must be from 0 to {len(values) - 1}, the number of a target; got {target}.")
    return values[target]


def chosen_alpha(model, target=0):
    """Alpha of a fitted model: what was chosen, or what was given."""
    return float(of_target(getattr(model, "alpha_" if hasattr(model, "alpha_") else "alpha"), target, 0))


def chosen_table(model, target=0):
    """The rows of `cv_results_` that differ from the choice in alpha only, with decreasing alpha."""
    table = getattr(model, "cv_results_", None)
    if isinstance(table, list):
        table = of_target(table, target, 0)
    if not isinstance(table, dict):
        remedy = "fit it without store_cv_results" if table is not None else "use LassoCV, say"
        raise ValueError(f"{type(model).__name__} holds no table of mean scores (cv_results_); {remedy}.")
    rows = np.arange(len(table["alpha"]))
    for name in {"l1_ratio", "relax"} & set(table):
        rows = rows[table[name][rows] == of_target(getattr(model, f"{name}_"), target, 0)]
    rows = rows[np.argsort(-table["alpha"][rows], kind="stable")]
    return {name: values[rows] for name, values in table.items()}


def tried_alphas(model, target=0):
    """The alphas from which that of a fitted model was chosen, for the chosen l1_ratio."""
    each = np.ndim(model.alphas_) > 1  # a grid for each l1_ratio, or target
    return chosen_table(model, target)["alpha"] if each else model.alphas_


def deviations(X):
    """Standard deviations (p,) of the columns of X, dense or sparse."""
    return np.sqrt(StandardScaler(with_mean=False).fit(X).var_)


def printable(text):
    """Replace what would move a cursor, or be no letter, rather than be seen."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def shorten(name, longest=LONGEST):
    """A name without its middle, if it is too long: names differ most at their ends."""
    head = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:head]}…{name[head + 1 - longest :]}"


def spread(wanted, gap):
    """Places in [0, 1], as near to those wanted as can be and at least `gap` apart.

    Least squares under that constraint is an isotonic regression of the places, each less the room that those
    before it take.

    Parameters
    ----------
    wanted : ndarray of shape (k,)
    gap : float
        Is made smaller if k places do not fit.
    """
    from sklearn.isotonic import isotonic_regression

    if len(wanted) == 0:
        return wanted
    order = np.argsort(wanted, kind="stable")
    room = min(gap, 1.0 / max(1, len(wanted) - 1)) * np.arange(len(wanted))
    placed = np.empty(len(wanted))
    placed[order] = np.clip(isotonic_regression(wanted[order] - room), 0.0, 1.0 - room[-1]) + room
    return placed


def _text(name):
    """A name in a picture, short; a dollar sign in it does not begin a formula."""
    return shorten(name).replace("$", r"\$")


def _label(ax, names, colours, wanted, side):
    """Write names along the top or the right of axes, each as near to its place (in [0, 1]) as there is room.

    Returns the annotations.
    """
    from matplotlib.colors import to_rgb

    across = side == "top"
    box, figure = ax.get_position(), ax.figure
    inches = box.width * figure.get_figwidth() if across else box.height * figure.get_figheight()
    placed = spread(np.asarray(wanted, dtype=float), 1.3 * SMALL / (72.0 * inches))
    return [
        ax.annotate(
            _text(name),
            xy=(at, 1.0) if across else (1.0, at),
            xytext=(to, 1.06) if across else (1.04, to),
            xycoords="axes fraction",
            textcoords="axes fraction",
            ha="center" if across else "left",
            va="bottom" if across else "center",
            rotation=90 if across else 0,
            fontsize=SMALL,
            color=0.7 * np.array(to_rgb(colour)),  # small letters need more contrast than lines
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "lw": 0.6,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0.5, 0.0) if across else (0.0, 0.5),
            },
        )
        for name, colour, at, to in zip(names, colours, wanted, placed, strict=True)
    ]


def _alpha_axis(ax, alphas, margin=0.0):
    """Make x the logarithm of alpha, decreasing from left to right, as the model grows.

    The margin is a share of the width. The fewer powers of ten there are, the more numbers lie between them.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_xscale("log")
    width = np.log10(alphas.max() / alphas.min())
    room = 10.0 ** (margin * width if width > 0.0 else 0.1)
    ax.set_xlim(alphas.max() * room, alphas.min() / room)
    between = (1.0,) if width > 2.5 else (1.0, 2.0, 5.0) if width > 1.0 else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
    ax.xaxis.set_major_locator(LogLocator(subs=between))
    ax.xaxis.set_major_formatter("{x:.3g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("λ (alpha), decreasing")


# ---------------------------------------------------------------------------------------------
# Paths
# ---------------------------------------------------------------------------------------------


class PathDisplay:
    """Coefficients along a path of alphas, with the names of the features where they enter.

    Make it with `from_estimator` or `from_path`.

    Parameters
    ----------
    alphas : ndarray of shape (n_alphas,)
        In decreasing order.
    coefs : ndarray of shape (n_features, n_alphas)
    feature_names : sequence of str of length n_features, default=None
        None stands for x0, x1 and so on.
    alpha : float, default=None
        The alpha to mark.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure
    lines_ : list of matplotlib.lines.Line2D
        Of the features that have labels, in the order in which they enter.
    others_ : matplotlib.collections.LineCollection
        Of all other features that are not zero everywhere, in grey.
    labels_ : list of matplotlib.text.Annotation
    chosen_ : matplotlib.lines.Line2D or None
        The mark of `alpha`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sparse_linear import LassoCV, PathDisplay
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> display = PathDisplay.from_estimator(LassoCV().fit(X, y), n_labels=4)
    >>> [label.get_text() for label in display.labels_]
    ['bmi', 's5', 'bp', 's3']
    """

    ax_: Axes
    figure_: Figure
    lines_: list[Line2D]
    others_: LineCollection
    labels_: list[Annotation]
    chosen_: Line2D | None

    def __init__(
        self,
        alphas: ArrayLike,
        coefs: ArrayLike,
        *,
        feature_names: Sequence[str] | None = None,
        alpha: float | None = None,
    ) -> None:
        self.alphas = np.asarray(alphas, dtype=float)
        self.coefs = np.asarray(coefs, dtype=float)
        if self.coefs.ndim != 2 or self.coefs.shape[1:] != self.alphas.shape:
            raise ValueError(
                f"coefs must have shape (n_features, {len(self.alphas)}), one column per alpha; "
                f"got {self.coefs.shape}."
            )
        self.feature_names = feature_names_of(None, feature_names, len(self.coefs))
        self.alpha = alpha

    @classmethod
    def from_path(
        cls,
        path: tuple[Any, ...],
        *,
        feature_names: Sequence[str] | None = None,
        alpha: float | None = None,
        target: int = 0,
        ax: Axes | None = None,
        **options: Unpack[PathOfPicture],
    ) -> Self:
        """Draw the result of `lasso_path`, `enet_path` or `ridge_path`.

        Parameters
        ----------
        path : Path or tuple
            Begins with the alphas and the coefficients, as scikit-learn's functions return them too.
        feature_names : sequence of str, default=None
        alpha : float, default=None
            The alpha to mark.
        target : int, default=0
            Which target, if there are several.
        ax : matplotlib.axes.Axes, default=None
        **options
            The other parameters of `plot`.

        Returns
        -------
        PathDisplay
        """
        alphas, coefs = path[:2]
        display = cls(alphas, of_target(coefs, target, 2), feature_names=feature_names, alpha=alpha)
        return display.plot(ax, **options)

    @classmethod
    def from_estimator(
        cls,
        estimator: LinearModel,
        X: MatrixLike | None = None,
        y: ColumnsLike | None = None,
        *,
        sample_weight: ColumnsLike | None = None,
        feature_names: Sequence[str] | None = None,
        target: int = 0,
        ax: Axes | None = None,
        **options: Unpack[PathOfPicture],
    ) -> Self:
        """Draw the path on which a fitted estimator lies, and mark its alpha.

        Parameters
        ----------
        estimator : a fitted estimator of this package
        X, y, sample_weight : the data of the fit, default=None
            Only for estimators that do not keep their path: those without cross-validation.
        feature_names : sequence of str, default=None
            None stands for those of the fit.
        target : int, default=0
            Which target, if there are several.
        ax : matplotlib.axes.Axes, default=None
        **options
            The other parameters of `plot`.

        Returns
        -------
        PathDisplay
        """
        _validation.check_linear_model(estimator, "PathDisplay")
        if hasattr(estimator, "coef_path_"):
            alphas = tried_alphas(estimator, target)
            coefs = of_target(estimator.coef_path_, target, 2)
            order = np.argsort(-alphas, kind="stable")
            alphas, coefs = alphas[order], coefs[:, order]
        elif X is None or y is None:
            raise ValueError(
                f"This {type(estimator).__name__} keeps no path; give the X and y that it was fitted to."
            )
        else:
            alphas, coefs = _path_through(estimator, X, y, sample_weight, target)[:2]
        names = feature_names_of(estimator, feature_names, len(coefs))
        alpha = chosen_alpha(estimator, target)
        return cls(alphas, coefs, feature_names=names, alpha=alpha).plot(ax, **options)

    def plot(self, ax: Axes | None = None, *, x: Abscissa = "alpha", n_labels: int = 10) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            None makes a new figure.
        x : {"alpha", "l1_norm"}, default="alpha"
            Against the logarithm of alpha, or against the sum of the absolute coefficients.
        n_labels : int, default=10
            How many features get a colour and a label: the first to enter, or the largest at the end if all
            are there from the beginning (Ridge).

        Returns
        -------
        self : PathDisplay
        """
        _validation.check_choice(x, "x", ("alpha", "l1_norm"))
        (ax,) = _axes(ax, "PathDisplay.plot")
        from matplotlib.collections import LineCollection

        keep = np.ones(len(self.alphas), dtype=bool) if x == "l1_norm" else self.alphas > 0.0
        coefs, alphas = self.coefs[:, keep], self.alphas[keep]
        norms = np.abs(coefs).sum(axis=0)
        places = alphas if x == "alpha" else norms
        used = np.flatnonzero(coefs.any(axis=1))
        entries = (coefs[used] != 0.0).argmax(axis=1)
        dense = len(used) > 0 and not entries.any()
        sizes = np.abs(coefs[used, -1] if dense else coefs[used, entries])
        order = np.lexsort((-sizes, entries))
        # A feature is last zero at the alpha before the one that shows it; its line begins there.
        named, begins = used[order][:n_labels], np.maximum(entries[order][:n_labels] - 1, 0)

        if x == "alpha":
            _alpha_axis(ax, alphas)
        else:
            ax.set_xlim(norms.min(), norms.max() or 1.0)
            ax.set_xlabel("‖w‖₁, the sum of absolute coefficients")
        ax.set_ylabel("coefficient")
        ax.axhline(0.0, color=GREY, lw=0.8, zorder=1)
        rest = np.setdiff1d(used, named)
        segments = np.stack([np.broadcast_to(places, (len(rest), len(places))), coefs[rest]], axis=2)
        self.others_ = LineCollection(
            list(segments),
            colors=GREY,
            linewidths=0.6,
            alpha=0.5,
            zorder=1.5,
            rasterized=len(rest) > MANY_LINES,
        )
        ax.add_collection(self.others_)
        colours = [COLOURS[k % len(COLOURS)] for k in range(len(named))]
        self.lines_ = [
            ax.plot(
                places[begin:],
                coefs[j, begin:],
                color=colour,
                ls=DASHES[k // len(COLOURS) % len(DASHES)],
                lw=1.5,
                label="_" + self.feature_names[j],  # an underscore keeps it out of legends
            )[0]
            for k, (j, begin, colour) in enumerate(zip(named, begins, colours, strict=True))
        ]
        top = np.abs(coefs).max(initial=0.0) or 1.0
        low, high = min(coefs.min(initial=0.0), 0.0), max(coefs.max(initial=0.0), 0.0)
        ax.set_ylim(low - 0.05 * top, high + 0.05 * top)
        if dense:
            bottom, ceiling = ax.get_ylim()
            wanted, side = (coefs[named, -1] - bottom) / (ceiling - bottom), "right"
        else:
            starts = places[begins]
            ax.scatter(starts, np.zeros(len(starts)), s=14, color=colours, zorder=3, clip_on=False)
            ax.vlines(starts, 0.0, ax.get_ylim()[1], colors=colours, lw=0.6, alpha=0.5, zorder=1.2)
            points = np.column_stack([starts, np.zeros(len(starts))])
            wanted, side = ax.transAxes.inverted().transform(ax.transData.transform(points))[:, 0], "top"
        self.labels_ = _label(ax, self.feature_names[named], colours, wanted, side)
        self.chosen_ = None
        if self.alpha is not None and (x == "l1_norm" or self.alpha > 0.0):
            nearest = int(np.abs(alphas - self.alpha).argmin())
            at = self.alpha if x == "alpha" else np.interp(-self.alpha, -alphas, norms)
            self.chosen_ = ax.axvline(
                at,
                color="black",
                ls="--",
                lw=1.2,
                label=f"λ = {self.alpha:.3g}, {np.count_nonzero(coefs[:, nearest])} non-zero",
            )
            ax.legend(loc="lower left", fontsize=SMALL)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _path_through(model, X, y, sample_weight, target):
    """The path on which a model lies that was fitted to one alpha, with its own settings."""
    names = ("fit_intercept", "positive", "standardize", "penalty_weights", "bounds")
    settings = {name: getattr(model, name) for name in names} | {"sample_weight": sample_weight}
    y = np.asarray(y)
    y = y if y.ndim == 1 else y[:, target]
    alpha = chosen_alpha(model, target)
    if not hasattr(model, "l1_ratio"):
        return _path.ridge_path(X, y, (alpha or 1.0) * np.geomspace(1e4, 1e-4, 101), **settings)
    grid = model.alphas_ if hasattr(model, "alphas_") else None
    if grid is None:
        # A Ridge in the scale of ElasticNet has no largest alpha; near it there is one.
        grid = _path.alpha_grid(X, y, l1_ratio=max(model.l1_ratio, 1e-3), **settings)
        low = min(grid[-1], alpha or grid[-1])
        grid = np.append(np.geomspace(max(grid[0], alpha), low, 100), alpha)
    return _path.enet_path(X, y, l1_ratio=model.l1_ratio, alphas=grid, **settings)


# ---------------------------------------------------------------------------------------------
# Cross-validation
# ---------------------------------------------------------------------------------------------


class CVDisplay:
    """Errors of a cross-validation with their standard errors, against the logarithm of alpha.

    Make it with `from_estimator`. It shows what users of glmnet know: the mean error, one standard error up
    and down, the alpha with the smallest error, the sparsest model within one standard error of it, and along
    the top the number of non-zero coefficients.

    Parameters
    ----------
    alphas : ndarray of shape (n_alphas,)
        In decreasing order.
    mean, error : ndarray of shape (n_alphas,)
        Mean over folds and its standard error; NaN where there is none.
    sizes : ndarray of shape (n_alphas,)
        Numbers of non-zero coefficients, or degrees of freedom.
    alpha, alpha_min, alpha_1se : float
        What was chosen, and what the two rules choose; `alpha_1se` is None where there are no standard
        errors.
    score_name, size_name : str

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure
    errorbar_ : matplotlib.container.ErrorbarContainer
    min_, one_se_, chosen_ : matplotlib.lines.Line2D or None
        The marks; `chosen_` is None where one of the two rules made the choice.
    top_ : matplotlib.axes._secondary_axes.SecondaryAxis
        The axis along the top.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sparse_linear import CVDisplay, LassoCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> display = CVDisplay.from_estimator(LassoCV().fit(X, y))
    >>> [line.get_label() for line in (display.min_, display.one_se_)]
    ['smallest error: λ = 0.00375, 9 non-zero (chosen)', 'one standard error: λ = 0.187, 6 non-zero']
    """

    ax_: Axes
    figure_: Figure
    errorbar_: ErrorbarContainer
    min_: Line2D
    one_se_: Line2D | None
    chosen_: Line2D | None
    top_: SecondaryAxis

    def __init__(
        self,
        alphas: Floats,
        mean: Floats,
        error: Floats,
        sizes: NDArray[Any],
        *,
        alpha: float,
        alpha_min: float,
        alpha_1se: float | None,
        score_name: str,
        size_name: str,
    ) -> None:
        self.alphas, self.mean, self.error, self.sizes = alphas, mean, error, sizes
        self.alpha, self.alpha_min, self.alpha_1se = alpha, alpha_min, alpha_1se
        self.score_name, self.size_name = score_name, size_name

    @classmethod
    def from_estimator(
        cls,
        estimator: ElasticNetCV | RidgeCV,
        *,
        target: int = 0,
        ax: Axes | None = None,
        **options: Unpack[CVOfPicture],
    ) -> Self:
        """Draw the cross-validation of a fitted `LassoCV`, `ElasticNetCV` or `RidgeCV`.

        Of several values of `l1_ratio` and `relax`, the chosen ones are shown.

        Parameters
        ----------
        estimator : LassoCV, ElasticNetCV or RidgeCV
            Fitted.
        target : int, default=0
            Which target, if each has its own alpha.
        ax : matplotlib.axes.Axes, default=None
        **options
            The other parameters of `plot`.

        Returns
        -------
        CVDisplay
        """
        _validation.check_linear_model(estimator, "CVDisplay")
        table = chosen_table(estimator, target)
        keep = table["alpha"] > 0.0
        table = {name: values[keep] for name, values in table.items()}
        name, sign = _score_name(estimator)
        alphas, error = table["alpha"], table["se_test_score"]
        best = _selection.choose("min", table)
        known = np.isfinite(error[best])
        counts = "n_nonzero" in table
        display = cls(
            alphas,
            sign * table["mean_test_score"],
            error,
            table["n_nonzero"] if counts else table["df"],
            alpha=chosen_alpha(estimator, target),
            alpha_min=float(alphas[best]),
            alpha_1se=float(alphas[_selection.choose("1se", table)]) if known else None,
            score_name=name,
            size_name="non-zero" if counts else "degrees of freedom",
        )
        return display.plot(ax, **options)

    def plot(self, ax: Axes | None = None, *, n_sizes: int = 8) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            None makes a new figure.
        n_sizes : int, default=8
            How many numbers stand along the top.

        Returns
        -------
        self : CVDisplay
        """
        (ax,) = _axes(ax, "CVDisplay.plot")
        self.errorbar_ = ax.errorbar(
            self.alphas,
            self.mean,
            yerr=np.where(np.isfinite(self.error), self.error, 0.0),
            color=RED,
            ecolor="#BBBBBB",
            fmt="o",
            ms=3,
            elinewidth=1,
            capsize=1.5,
        )
        _alpha_axis(ax, self.alphas, margin=0.03)
        ax.set_ylabel(self.score_name)
        ax.yaxis.set_major_formatter("{x:.4g}")  # a power of ten apart would stand in the way of the top axis
        best = "largest score" if self.score_name.startswith("mean score") else "smallest error"
        self.min_ = self._mark(ax, self.alpha_min, best, BLUE, "--")
        self.one_se_ = self._mark(ax, self.alpha_1se, "one standard error", GREEN, "-.")
        other = self.alpha not in (self.alpha_min, self.alpha_1se)
        self.chosen_ = self._mark(ax, self.alpha, "", "black", ":") if other else None
        ax.legend(loc="best", fontsize=SMALL)
        shown = np.unique(np.linspace(0, len(self.alphas) - 1, n_sizes).round().astype(int))
        self.top_ = ax.secondary_xaxis("top")
        self.top_.set_xticks(self.alphas[shown], [f"{size:.3g}" for size in self.sizes[shown]])
        self.top_.set_xticks([], minor=True)
        self.top_.set_xlabel("non-zero coefficients" if self.size_name == "non-zero" else self.size_name)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _mark(self, ax, alpha, words, colour, dash):
        if alpha is None or alpha <= 0.0:
            return None
        size = self.sizes[np.abs(self.alphas - alpha).argmin()]
        chosen = " (chosen)" if alpha == self.alpha else ""
        label = f"{words}{': ' if words else ''}λ = {alpha:.3g}, {size:.3g} {self.size_name}{chosen}"
        return ax.axvline(alpha, color=colour, ls=dash, lw=1.5, label=label)


def _score_name(model):
    """What the mean scores of a model are called in a picture, and the sign that goes with it."""
    from_rows = not hasattr(model, "l1_ratio_")  # RidgeCV: R² is what None stands for with folds
    scoring, cv = model.scoring, model.cv
    if from_rows and isinstance(cv, str):
        return "generalised cross-validation error", -1.0
    if scoring is None and from_rows and cv is not None:
        scoring = "r2"
    if scoring in (None, "neg_mean_squared_error"):
        return "mean squared error", -1.0
    if isinstance(scoring, str) and scoring.startswith("neg_"):
        return scoring.removeprefix("neg_").replace("_", " "), -1.0
    name = {"r2": "R²"}.get(scoring, scoring) if isinstance(scoring, str) else "scoring"
    return f"mean score ({name})", 1.0


# ---------------------------------------------------------------------------------------------
# Coefficients
# ---------------------------------------------------------------------------------------------


class CoefficientDisplay:
    """Bars of the coefficients that are not zero, the largest first, of one model or of several.

    Make it with `from_estimator`.

    Parameters
    ----------
    coefs : ndarray of shape (n_models, n_features)
    feature_names : sequence of str of length n_features
    model_names : sequence of str of length n_models
    x_label : str, default="coefficient"

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure
    bars_ : list of matplotlib.container.BarContainer
        One for each model.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sparse_linear import CoefficientDisplay, Lasso, Ridge
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> lasso, ridge = Lasso(alpha=0.5).fit(X, y), Ridge().fit(X, y)
    >>> display = CoefficientDisplay.from_estimator(lasso, ridge, n_features=4)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['bmi', 's5', 'bp', 's3']
    """

    ax_: Axes
    figure_: Figure
    bars_: list[BarContainer]

    def __init__(
        self,
        coefs: ArrayLike,
        feature_names: Sequence[str],
        model_names: Iterable[str],
        *,
        x_label: str = "coefficient",
    ) -> None:
        self.coefs = np.atleast_2d(np.asarray(coefs, dtype=float))
        self.feature_names = feature_names_of(None, feature_names, self.coefs.shape[1])
        self.model_names = list(model_names)
        self.x_label = x_label

    @classmethod
    def from_estimator(
        cls,
        estimator: FittedLinear,
        *others: FittedLinear,
        X: MatrixLike | None = None,
        feature_names: Sequence[str] | None = None,
        model_names: Iterable[str] | None = None,
        target: int = 0,
        ax: Axes | None = None,
        **options: Unpack[BarsOfPicture],
    ) -> Self:
        """Draw the coefficients of fitted linear models, of this package or of scikit-learn.

        Parameters
        ----------
        estimator : a fitted estimator with `coef_`
        *others : fitted estimators with `coef_`
            To compare with, fitted to the same features.
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            If given, coefficients are multiplied by the standard deviations of its columns, so that they can
            be compared with one another.
        feature_names : sequence of str, default=None
            None stands for those of the fit.
        model_names : sequence of str, default=None
            None stands for the names of the classes, with the package where they are the same.
        target : int, default=0
            Which target, if there are several.
        ax : matplotlib.axes.Axes, default=None
        **options
            The other parameters of `plot`.

        Returns
        -------
        CoefficientDisplay
        """
        models = (estimator, *others)
        for model in models:
            _validation.check_linear_model(model, "CoefficientDisplay")
        coefs = [np.asarray(of_target(model.coef_, target, 1), dtype=float) for model in models]
        if len({len(coef) for coef in coefs}) > 1:
            found = " and ".join(str(len(coef)) for coef in coefs)
            raise ValueError(f"The models must be fitted to the same features; they have {found} of them.")
        if model_names is None:
            kinds = [type(model).__name__ for model in models]
            packages = [type(model).__module__.split(".")[0] for model in models]
            same = len(set(kinds)) < len(kinds)
            model_names = [
                f"{kind} ({package})" if same else kind for kind, package in zip(kinds, packages, strict=True)
            ]
        names = feature_names_of(estimator, feature_names, len(coefs[0]))
        label = "coefficient"
        if X is not None:
            coefs = np.array(coefs) * deviations(X)
            label = "coefficient × standard deviation of the feature"
        return cls(coefs, names, model_names, x_label=label).plot(ax, **options)

    def plot(self, ax: Axes | None = None, *, n_features: int = 20) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            None makes a new figure.
        n_features : int, default=20
            How many features are shown at most.

        Returns
        -------
        self : CoefficientDisplay
        """
        n_models = len(self.coefs)
        largest = np.abs(self.coefs).max(axis=0)
        # What the first model selected comes first, by its own sizes; then what only others did.
        order = np.lexsort((-largest, -np.abs(self.coefs[0])))
        used = order[largest[order] > 0.0]
        shown = used[:n_features]
        height = max(2.0, 0.8 + 0.2 * max(len(shown), 1) * (1.0 if n_models == 1 else 1.4))
        (ax,) = _axes(ax, "CoefficientDisplay.plot", height=height)
        rows, thick = np.arange(len(shown)), 0.8 / n_models
        self.bars_ = [
            ax.barh(
                rows + (k - (n_models - 1) / 2) * thick,
                coef[shown],
                height=thick,
                color=COLOURS[k % len(COLOURS)],
                hatch=("", "////", "....", "xxxx")[k % 4],
                edgecolor="white",
                lw=0.3,
                label=f"{_text(name)}, {np.count_nonzero(coef)} of {len(coef)} non-zero",
            )
            for k, (name, coef) in enumerate(zip(self.model_names, self.coefs, strict=True))
        ]
        ax.axvline(0.0, color="black", lw=0.8)
        ax.set_yticks(rows, [_text(name) for name in self.feature_names[shown]], fontsize=SMALL)
        ax.set_ylim(len(shown) - 0.4, -0.6)
        ax.set_xlabel(self.x_label)
        left = len(used) - len(shown)
        if left:
            ax.text(1.0, 0.02, f"and {left} smaller ", transform=ax.transAxes, ha="right", fontsize=SMALL)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=SMALL, frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


# ---------------------------------------------------------------------------------------------
# Geometry
# ---------------------------------------------------------------------------------------------


class Panel(NamedTuple):
    """What one penalty does to two coefficients."""

    name: str
    l1_ratio: float
    path: np.ndarray  # (2, n_alphas): from zero to least squares
    solution: np.ndarray  # (2,): the point of the path at which the ball is drawn


class GeometryDisplay:
    r"""The picture of textbooks, for two features of your data: contours of the loss, balls of penalties.

    Make it with `from_data` or `from_estimator`. Both features are brought to unit variance, and the target
    too. Each panel shows the contours of the squared error, the ball
    :math:`\{w : \rho \|w\|_1 + \tfrac{1 - \rho}{2} \|w\|^2 \le t\}` of one penalty, the point where it
    touches the lowest contour, and the way of that point from zero to least squares as the ball grows. All
    balls touch the same contour, and the first one is as large as the Lasso allows with one feature at zero,
    or nearly so (Tibshirani 1996, figure 2; Hastie, Tibshirani and Friedman 2009, figure 3.11).

    Parameters
    ----------
    gram : ndarray of shape (2, 2)
        Correlations of the features.
    corrs : ndarray of shape (2,)
        Their correlations with the target.
    panels : list of Panel
    feature_names : sequence of str of length 2

    Attributes
    ----------
    ax_ : ndarray of matplotlib.axes.Axes of shape (n_panels,)
    figure_ : matplotlib.figure.Figure
    balls_ : list of matplotlib.patches.Polygon
    solutions_ : list of matplotlib.lines.Line2D
        Where ball and contour touch.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sparse_linear import GeometryDisplay
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> display = GeometryDisplay.from_data(X, y, features=["bmi", "s1"])
    >>> [panel.name for panel in display.panels]
    ['Lasso', 'Elastic net', 'Ridge']
    >>> display.panels[0].solution.round(2), display.panels[2].solution.round(2)
    (array([0.48, 0.  ]), array([0.44, 0.08]))
    """

    ax_: NDArray[np.object_]
    figure_: Figure
    balls_: list[Polygon]
    solutions_: list[Line2D]

    def __init__(
        self, gram: Floats, corrs: Floats, panels: Sequence[Panel], feature_names: Sequence[str]
    ) -> None:
        self.gram, self.corrs, self.panels = gram, corrs, panels
        self.feature_names = feature_names_of(None, feature_names, 2)

    @classmethod
    def from_estimator(
        cls,
        estimator: FittedLinear,
        X: MatrixLike,
        y: ColumnsLike,
        *,
        features: Sequence[Feature] | None = None,
        feature_names: Sequence[str] | None = None,
        target: int = 0,
        **options: Unpack[PanelsOfPicture],
    ) -> Self:
        """Draw two features that a fitted model uses.

        Parameters
        ----------
        estimator : a fitted estimator with `coef_`
        X, y : the data, as in `from_data`
        features : pair of int or str, default=None
            None stands for two of the ten with the largest coefficients times standard deviations: that with
            the largest correlation with y, and the one that enters the Lasso of these two where its alpha is
            nearest to half of the largest, so that the corner shows.
        feature_names : sequence of str, default=None
            None stands for those of the fit.
        target : int, default=0
            Which target, if there are several.
        **options
            The other parameters of `from_data`.

        Returns
        -------
        GeometryDisplay
        """
        _validation.check_linear_model(estimator, "GeometryDisplay")
        coef = of_target(estimator.coef_, target, 1)
        names = feature_names_of(estimator, feature_names, len(coef))
        if features is None:
            sizes = np.abs(coef) * deviations(X)
            if len(sizes) < 2:
                raise ValueError("GeometryDisplay shows two features; X has 1.")
            some = np.argsort(-sizes, kind="stable")[:10]
            features = some[_instructive(_standardised(X, some), _standardised(y, [target])[:, 0])]
        y = np.asarray(y) if np.ndim(y) == 1 else _columns(y, [target])[:, 0]
        return cls.from_data(X, y, features=features, feature_names=names, **options)

    @classmethod
    def from_data(
        cls,
        X: MatrixLike,
        y: ColumnsLike,
        *,
        features: Sequence[Feature] = (0, 1),
        feature_names: Sequence[str] | None = None,
        l1_ratios: Sequence[float] = (1.0, 0.5, 0.0),
        ax: Iterable[Axes] | None = None,
    ) -> Self:
        """Draw two features of some data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        features : pair of int or str, default=(0, 1)
            Columns of X, by number or by name.
        feature_names : sequence of str, default=None
            None stands for the columns of a data frame.
        l1_ratios : sequence of float, default=(1.0, 0.5, 0.0)
            One panel for each: 1 is the Lasso, 0 is Ridge.
        ax : array of matplotlib.axes.Axes, one for each panel, default=None

        Returns
        -------
        GeometryDisplay
        """
        X = X if hasattr(X, "shape") else np.asarray(X)
        names = getattr(X, "columns", None) if feature_names is None else feature_names
        names = feature_names_of(None, names, X.shape[1])
        pair = [_column(feature, names) for feature in features]
        if len(set(pair)) != 2:
            raise ValueError(f"features must be two different columns of X, got {features!r:.60}.")
        Z, t = _standardised(X, pair), _standardised(y, [0])[:, 0]
        gram, corrs = Z.T @ Z / len(Z), Z.T @ t / len(Z)
        if np.abs(corrs).max() < 1e-12:
            raise ValueError("Neither of the two features is correlated with y; choose others.")
        # Far enough up that Ridge is near zero, and down to least squares.
        alphas = np.abs(corrs).max() * np.geomspace(1e3, 1e-6, 1200)
        paths = [_path.enet_path(Z, t, l1_ratio=ratio, alphas=alphas).coefs for ratio in (1.0, *l1_ratios)]
        lasso, *paths = [np.asarray(path) for path in paths]
        alone = np.flatnonzero((lasso != 0.0).sum(axis=0) == 1)
        at = alone[len(alone) * 9 // 10] if len(alone) else np.flatnonzero(lasso.any(axis=0))[0]
        level = _loss(gram, corrs, lasso[:, at])
        panels = []
        for ratio, path in zip(l1_ratios, paths, strict=True):
            name = {1.0: "Lasso", 0.0: "Ridge", 0.5: "Elastic net"}.get(ratio, f"Elastic net, {ratio:g}")
            nearest = np.abs(_loss(gram, corrs, path) - level).argmin()
            panels.append(Panel(name, float(ratio), path, path[:, nearest]))
        return cls(gram, corrs, panels, names[pair]).plot(ax)

    def plot(self, ax: Iterable[Axes] | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : array of matplotlib.axes.Axes, one for each panel, default=None
            None makes a new figure.

        Returns
        -------
        self : GeometryDisplay
        """
        n = len(self.panels)
        axes = _axes(ax, "GeometryDisplay.plot", n, width=3.2 * n, height=3.6)
        balls = [_ball(panel.l1_ratio, panel.solution) for panel in self.panels]
        everything = np.hstack([*balls, *(panel.path for panel in self.panels)])
        low, high = everything.min(axis=1), everything.max(axis=1)
        side = 1.12 * (high - low).max()
        centre = (low + high) / 2
        grid = [np.linspace(c - side / 2, c + side / 2, 200) for c in centre]
        loss = _loss(self.gram, self.corrs, np.array(np.meshgrid(*grid)).reshape(2, -1)).reshape(200, 200)
        bottom = min(_loss(self.gram, self.corrs, panel.path).min() for panel in self.panels)
        self.balls_, self.solutions_ = [], []
        for axis, panel, ball in zip(axes, self.panels, balls, strict=True):
            touched = _loss(self.gram, self.corrs, panel.solution)
            # Contours of equal steps in distance from least squares, the touched one among them.
            steps = bottom + (touched - bottom) * (np.array([0.33, 0.67, 1.33, 1.67, 2.0]) ** 2)
            axis.contour(*grid, loss, levels=steps, colors=GREY, linewidths=0.7, linestyles="-")
            axis.contour(*grid, loss, levels=[touched], colors=BLUE, linewidths=1.6, linestyles="-")
            axis.axhline(0.0, color="black", lw=0.6)
            axis.axvline(0.0, color="black", lw=0.6)
            self.balls_ += axis.fill(*ball, facecolor="#E69F0055", edgecolor="#E69F00", lw=1.2)
            [way] = axis.plot(*panel.path, color=RED, lw=1.6)
            [goal] = axis.plot(*panel.path[:, -1], "x", color="black", ms=6, mew=1.5)
            self.solutions_ += axis.plot(*panel.solution, "o", color=RED, ms=7, mec="white")
            axis.set(
                aspect="equal",
                xlim=grid[0][[0, -1]],
                ylim=grid[1][[0, -1]],
                xlabel=f"{_text(self.feature_names[0])}, standardised",
            )
            zero = self.feature_names[panel.solution == 0.0]
            where = f"{_text(zero[0])} = 0" if len(zero) else "neither is zero"
            axis.set_title(f"{panel.name}: {where}", fontsize=SMALL + 2)
            axis.tick_params(labelsize=SMALL)
        axes[0].set_ylabel(f"{_text(self.feature_names[1])}, standardised")
        self.ax_, self.figure_ = axes, axes[0].figure
        if ax is None:
            parts = (self.balls_[-1], self.solutions_[-1], way, goal)
            words = ("ball of the penalty", "touches here", "its way as the ball grows", "least squares")
            self.figure_.legend(parts, words, loc="outside lower center", ncols=4, fontsize=SMALL)
        return self


def _column(feature, names):
    """Number of a column that was named by number or by name."""
    if isinstance(feature, str):
        found = np.flatnonzero(names == feature)
        if len(found) == 0:
            raise ValueError(f"features names {feature!r}, which is not a column of X.")
        return int(found[0])
    if not 0 <= feature < len(names):
        raise ValueError(f"features must be from 0 to {len(names) - 1}, got {feature}.")
    return int(feature)


def _columns(X, columns):
    """Some columns of X, as a dense array of float64; a vector is one column."""
    if np.ndim(X) == 1:
        return np.asarray(X, dtype=np.float64)[:, None]
    some = X.iloc[:, columns] if hasattr(X, "iloc") else X[:, columns]
    return np.asarray(some.toarray() if sparse.issparse(some) else some, dtype=np.float64)


def _standardised(X, columns):
    """The same with mean 0 and variance 1."""
    return StandardScaler().fit_transform(_columns(X, columns))


def _instructive(Z, t):
    """Numbers of two standardised columns of which the Lasso uses one alone down to about half its alpha.

    With column ``a`` alone, of correlation ``c > 0`` after a change of its sign, the others have correlations
    ``c_j - g_j (c - alpha)`` with the residual; one enters where that is alpha or minus alpha.
    """
    corrs = Z.T @ t / len(Z)
    first = int(np.abs(corrs).argmax())
    top = abs(corrs[first])
    with np.errstate(divide="ignore", invalid="ignore"):
        g = Z.T @ Z[:, first] * (np.sign(corrs[first]) / len(Z))
        entries = np.array([(corrs - g * top) / (sign - g) for sign in (1.0, -1.0)])
    entries = np.where((entries > 0.0) & (entries < top), entries, 0.0).max(axis=0)
    entries[first] = np.inf
    return [first, int(np.abs(entries - 0.5 * top).argmin())]


def _loss(gram, corrs, w):
    """Half the mean squared error, less a constant, of coefficients of shape (2,) or (2, m)."""
    return 0.5 * (w * (gram @ w)).sum(axis=0) - corrs @ w


def _ball(l1_ratio, point):
    r"""Boundary (2, m) of :math:`\rho \|w\|_1 + (1 - \rho) \|w\|^2 / 2 \le t` that passes through a point."""
    angles = np.linspace(0.0, 2.0 * np.pi, 361)
    u = np.array([np.cos(angles), np.sin(angles)])
    l1, l2 = l1_ratio, 1.0 - l1_ratio
    t = l1 * np.abs(point).sum() + 0.5 * l2 * (point @ point)
    # The positive root of l2/2 r² + l1 |u| r = t, in the form that also holds for l2 = 0.
    b = l1 * np.abs(u).sum(axis=0)
    return u * (2.0 * t / (b + np.sqrt(b * b + 2.0 * l2 * t)))
