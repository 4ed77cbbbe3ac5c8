"""`python -m sparse_linear`: Ridge, Lasso and ElasticNet at work beside scikit-learn, on real data.

`python -m sparse_linear warmup` compiles everything instead.
"""

import argparse
import io
import json
import os
import platform
import sys
import textwrap
import time

import numba
import numpy as np
import scipy
import sklearn

import sparse_linear
from sparse_linear import _compiled
from sparse_linear._compare import (
    CELLS,
    LIBRARIES,
    READING,
    Comparison,
    DataError,
    cells,
    compare,
    diabetes,
    digits,
    footnotes,
    load_problem,
)
from sparse_linear._page import check_page, write_page
from sparse_linear._warmup import warm_up

WIDTH = 80
N_FEATURES = 10


def main(arguments=None):
    """Run the command line and return its exit code."""
    options = parse(arguments)
    try:
        (run if options.command is None else compile_everything)(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except DataError as error:
        print(f"sparse_linear: error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # What the compiler had half made would complain when it is destroyed.
        sys.unraisablehook = lambda _: None
        print("\nsparse_linear: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; without this the flush at exit would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def parse(arguments):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sparse_linear",
        description="Choose alpha of Ridge, Lasso and ElasticNet by cross-validation, sparse_linear beside "
        "scikit-learn: on two data sets that ship with scikit-learn, or on your own.",
    )
    option = parser.add_argument
    option(
        "command",
        nargs="?",
        choices=("warmup",),
        metavar="warmup",
        help="do nothing but compile everything that any fit may need, as when a Docker image is built",
    )
    option(
        "--data",
        metavar="FILE",
        help="your data: .csv, .tsv, .parquet, .npz (X and y; X may be CSR: data, indices, indptr, shape), "
        ".svm, .svmlight or .libsvm; text may be compressed (.gz, .bz2)",
    )
    option("--target", metavar="COLUMN", help="what to predict; .npz: an array (default: y)")
    option("--alphas", metavar="N", type=_from_to(2, 1000), default=12, help="to choose from (default: 12)")
    option("--folds", metavar="N", type=_from_to(2, 1000), default=5, help="to cross-validate (default: 5)")
    option("--seed", metavar="N", type=_from_to(0, 2**32 - 1), default=0, help="of all splits (default: 0)")
    option("--no-sklearn", action="store_true", help="leave scikit-learn out, which is slow on large data")
    option("--report", metavar="FILE", help="write a page (HTML) with tables and pictures too")
    option("--json", action="store_true", help="write one JSON object instead of tables")
    options = parser.parse_args(arguments)
    if options.target is not None and options.data is None:
        parser.error("--target needs --data, the file that holds this column")
    if options.command is not None and options != parser.parse_args([options.command]):
        parser.error(f"{options.command} takes no options")
    return options


def _from_to(low, high):
    def whole_number(text):
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {low} to {high}")
        return int(text)

    return whole_number


def progress():
    """Return a function that writes lines to stderr, each with the seconds since now."""
    start = time.perf_counter()

    def say(text):
        if sys.stderr is not None:
            elapsed = f"[{time.perf_counter() - start:5.1f} s]"
            print(fit_into(f"{elapsed} {text}", WIDTH), file=sys.stderr, flush=True)

    return say


def compile_everything(options):
    """Compile all code for all kinds of data, or find it in the cache."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # set as Numba is imported
        raise DataError("NUMBA_DISABLE_JIT is set, so that nothing is compiled; unset it for the warm-up")
    _compiled.PATIENCE = np.inf  # progress says more
    say = progress()
    folder = warm_up(lambda name, number, count: say(f"{number} of {count}: {name}"))
    say("done")
    print("The compiled code could not be kept." if folder is None else f"The compiled code is in {folder}.")


def run(options):
    """Compare on all data sets asked for; tables or JSON go to stdout, progress to stderr."""
    start = time.perf_counter()
    say = progress()
    if options.report is not None:
        check_page(options.report)
    if options.data is None:
        problems = [diabetes(), digits()]
    else:
        say(f"reading {options.data}")
        problems = [load_problem(options.data, options.target)]
    about = {
        "versions": {
            "sparse_linear": sparse_linear.__version__,
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "numba": numba.__version__,
            "python": platform.python_version(),
        },
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "seed": options.seed,
        "folds": options.folds,
        "alphas": options.alphas,
    }
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the terminal may have no letters for the user's names
    compared: list[Comparison] = []
    comparisons: list[dict[str, object]] = []
    for problem in problems:
        comparison = compare(
            problem,
            n_alphas=options.alphas,
            folds=options.folds,
            seed=options.seed,
            with_sklearn=not options.no_sklearn,
            say=say,
        )
        if not options.json:
            if not comparisons:
                print(heading(about, beside="with" if options.no_sklearn else "beside"))
            print(as_text(comparison), flush=True)
        compared.append(comparison)
        comparisons.append(as_dict(comparison))
    if options.report is not None:
        write_page(options.report, compared, about, say)
    seconds = time.perf_counter() - start
    if options.json:
        print(json.dumps({**about, "seconds": seconds, "data": comparisons}, indent=2, allow_nan=False))
    else:
        print(footer(about, seconds))


def as_dict(comparison):
    """Return a comparison as what JSON knows."""
    problem = comparison.problem
    return {
        "name": problem.name,
        "story": problem.story,
        "notes": problem.notes,
        "n_train": comparison.n_train,
        "n_test": comparison.n_test,
        "n_features": len(comparison.feature_names),
        "target_unit": comparison.y_unit,
        "one_blas_thread": comparison.one_thread,
        "warm_up_seconds": comparison.warm_up_seconds,
        "fits": [{k: v for k, v in fit._asdict().items() if k != "coef"} for fit in comparison.fits],
        "lasso_features": [{"name": name, **coefs} for name, coefs in leading_features(comparison)],
        "lasso_unit": problem.unit,
    }


def leading_features(comparison):
    """Return name, and coefficient by library, of the largest coefficients of our Lasso."""
    coefs = {fit.library: fit.coef for fit in comparison.fits if fit.model == "Lasso"}
    ours = coefs[LIBRARIES[0]]
    order = np.argsort(-np.abs(ours), kind="stable")[: min(N_FEATURES, np.count_nonzero(ours))]
    return [
        (comparison.feature_names[j], {library: float(coef[j]) for library, coef in coefs.items()})
        for j in order
    ]


def heading(about, beside):
    """Return what is being run, on what."""
    versions, cores = about["versions"], about["cores"]
    lines = wrapped(
        f"sparse_linear {versions['sparse_linear']} {beside} scikit-learn {versions['scikit-learn']} "
        f"(Python {versions['python']}, {cores} {'core' if cores == 1 else 'cores'})"
    )
    lines += wrapped(
        f"alpha: the best of {about['alphas']} in {about['folds']}-fold cross-validation, for a target of "
        "variance 1"
    )
    return "\n".join(lines)


def as_text(comparison):
    """Return a comparison as tables for a terminal."""
    problem = comparison.problem
    lines = ["", "-" * WIDTH, *wrapped(problem.story)]
    for note in problem.notes:
        lines += wrapped(note)
    lines += wrapped(
        f"{comparison.n_train} rows to fit and to choose alpha, {comparison.n_test} rows held out; "
        f"{len(comparison.feature_names)} features."
    )
    lines += wrapped(
        f"Warm-up, which compiles in a fresh install: {comparison.warm_up_seconds:.2f} s, not counted below."
        + (" BLAS keeps to one thread, as the data are small." if comparison.one_thread else "")
    )
    return "\n".join([*lines, "", *fits_table(comparison.fits), "", *features_table(comparison)])


def fits_table(fits):
    """Return the lines of the table of fits, with its footnotes."""
    columns = "{:10} {:13} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8}"
    lines = [columns.format("", *head) for head in CELLS]
    model = None
    for fit in fits:
        lines.append(columns.format("" if fit.model == model else fit.model, *cells(fit)))
        model = fit.model
    for note in footnotes(fits):
        lines += wrapped(note)
    return lines


def features_table(comparison):
    """Return the lines of the table of the features that matter."""
    features = leading_features(comparison)
    if not features:
        return wrapped("The Lasso uses no feature: at its alpha the best prediction is the mean.")
    n_used = next(fit.non_zero for fit in comparison.fits if fit.model == "Lasso")
    shown = f"the {len(features)} largest of {n_used}" if n_used > len(features) else f"all {n_used}"
    lines = wrapped(
        f"What matters, by the Lasso ({shown}): the change of the prediction {comparison.problem.unit}."
    )
    libraries = list(features[0][1])
    row = "{:50}" + " {:>14}" * len(libraries)
    lines.append(row.format("", *libraries))
    for name, coefs in features:
        lines.append(
            row.format(fit_into(name, 50), *(f"{coef:+.4g}" if coef else "0" for coef in coefs.values()))
        )
    return lines


def footer(about, seconds):
    """Return how to read the tables."""
    lines = ["", "-" * WIDTH]
    lines += wrapped(READING)
    return "\n".join([*lines, f"Done in {seconds:.1f} s."])


def wrapped(text):
    """Return text as lines for the terminal."""
    return textwrap.wrap(printable(text), WIDTH)


def printable(text):
    """Replace what would move the cursor rather than be seen."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def fit_into(text, width):
    """Shorten text in its middle: names differ most at their ends."""
    text = printable(text)
    if len(text) <= width:
        return text
    head = (width - 2) // 2
    return text[:head] + ".." + text[len(text) - (width - 2 - head) :]


if __name__ == "__main__":
    sys.exit(main())
