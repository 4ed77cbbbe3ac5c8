"""`python -m sparse_linear --report FILE`: one page with tables and pictures that needs nothing but itself.

Pictures are SVG inside the page; there is no script, and nothing is fetched from anywhere.
"""

import base64
import html
import io
import os
from pathlib import Path
from string import Template

from sklearn.base import clone
from sklearn.model_selection import KFold

from sparse_linear._compare import CELLS, READING, DataError, cells, footnotes, prepared_names
from sparse_linear._cv import LassoCV
from sparse_linear._display import CoefficientDisplay, CVDisplay, GeometryDisplay, PathDisplay
from sparse_linear._report import summary
from sparse_linear._ridge_cv import RidgeCV

CORNERS = (
    "Why the Lasso gives zeros and Ridge does not, for two of the features: the ball of the Lasso has "
    "corners, and the solution stays in one until the ball is large enough."
)
# Inches: wide pictures scroll sideways on a phone, the others fit and stay legible.
PHONE = (5.0, 4.0)
WIDE = 7.0
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 50rem;
  margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.2; }
h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem; }
table { border-collapse: collapse; font-size: .9rem; }
.scroll { overflow-x: auto; }
.fits td, .fits th { padding: .2rem .4rem; text-align: right; white-space: nowrap; }
.fits td:first-child, .fits th:first-child, .fits td:nth-child(2) { text-align: left; padding-left: 0; }
thead th { border-bottom: 1px solid #888; }
figure { margin: 1.5rem 0; overflow-x: auto; }
img { max-width: 100%; height: auto; }
img.wide { min-width: 40rem; }
figcaption, .small { font-size: .9rem; color: #444; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="small">$about</p>
$sections
<p class="small">$reading</p>
</body>
</html>
""")


def check_page(path):
    """Refuse, before any work, a page that could not be drawn or written."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DataError(
            '--report needs matplotlib, which is not installed: pip install "sparse_linear[plot]"'
        ) from error
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise DataError(f"--report cannot write '{path}': it should name a file in a folder that exists.")


def write_page(path, comparisons, about, say):
    """Write the page.

    Parameters
    ----------
    path : str
    comparisons : list of Comparison
    about : dict
        Of the run: versions, cores, seed, folds, alphas.
    say : callable
        Gets one line of text at a time about what is being done.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    import matplotlib

    matplotlib.use("agg")  # a command opens no windows
    sections = []
    for comparison in comparisons:
        say(f"{comparison.problem.name}: tables and pictures of the report")
        with matplotlib.rc_context({"figure.figsize": PHONE}):
            sections.append(_section(comparison, about))
    versions = about["versions"]
    page = PAGE.substitute(
        title="sparse_linear: a report",
        about=_escaped(
            f"sparse_linear {versions['sparse_linear']}, scikit-learn {versions['scikit-learn']}, Python "
            f"{versions['python']}; {about['folds']} folds, {about['alphas']} alphas, seed {about['seed']}."
        ),
        sections="\n".join(sections),
        reading=_escaped(READING),
    )
    try:
        Path(path).write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"--report cannot write '{path}': {error.strerror}.") from error


def _section(comparison, about):
    """What the page says about one data set."""
    problem = comparison.problem
    prepare = clone(problem.prepare)
    Z, y = prepare.fit_transform(problem.X), problem.y
    names = prepared_names(problem, prepare)
    folds = KFold(about["folds"], shuffle=True, random_state=about["seed"])
    lasso = LassoCV(cv=folds).fit(Z, y)
    ridge = RidgeCV(alphas=30, cv=folds).fit(Z, y)
    named = {"feature_names": names}
    pictures = [
        (
            "The Lasso lets features in one after another as λ falls.",
            PathDisplay.from_estimator(lasso, **named),
        ),
        (
            "The error in cross-validation, with one standard error up and down.",
            CVDisplay.from_estimator(lasso),
        ),
        (
            f"Coefficients of the Lasso beside those of Ridge: the change of the prediction {problem.unit}.",
            CoefficientDisplay.from_estimator(lasso, ridge, **named),
        ),
    ]
    if len(names) > 1:
        pictures.append((CORNERS, GeometryDisplay.from_estimator(lasso, Z, y, **named)))
    return "\n".join(
        [
            f"<h2>{_escaped(problem.name)}</h2>",
            *(f"<p>{_escaped(text)}</p>" for text in (problem.story, *problem.notes)),
            f"<h3>Three models, {comparison.n_train} rows to fit, {comparison.n_test} held out</h3>",
            _fits_table(comparison.fits),
            *(f'<p class="small">{_escaped(note)}</p>' for note in footnotes(comparison.fits)),
            "<h3>The Lasso, on all rows</h3>",
            summary(lasso, Z, y, feature_names=names)._repr_html_(),
            *(_figure(caption, display) for caption, display in pictures),
        ]
    )


def _fits_table(fits):
    """The table of fits, in HTML."""
    heads = [("", "model"), *zip(*CELLS, strict=True)]
    head = "".join(f'<th scope="col">{_escaped(" ".join(lines).strip())}</th>' for lines in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in (fit.model, *cells(fit))) + "</tr>"
        for fit in fits
    )
    return (
        f'<div class="scroll"><table class="fits"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _figure(caption, display):
    """A picture as SVG inside the page, with its caption."""
    from matplotlib import pyplot

    file = io.BytesIO()
    display.figure_.savefig(file, format="svg", metadata={"Date": None}, dpi=150)
    pyplot.close(display.figure_)
    kind = ' class="wide"' if display.figure_.get_figwidth() > WIDE else ""
    picture = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<figure><img{kind} alt="{_escaped(caption)}" src="data:image/svg+xml;base64,{picture}">'
        f"<figcaption>{_escaped(caption)}</figcaption></figure>"
    )


def _escaped(text):
    return html.escape(str(text))
