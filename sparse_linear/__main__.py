"""`python -m sparse_linear`: Ridge, Lasso and ElasticNet at work beside scikit-learn, on real data."""

import argparse
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
from sparse_linear._compare import LIBRARIES, N_ALPHAS, DataError, compare, diabetes, digits, load_problem

WIDTH = 80
N_FEATURES = 10


def main(arguments=None):
    """Run the command line and return its exit code."""
    options = parse(arguments)
    start = time.perf_counter()

    def say(text):
        if sys.stderr is not None:
            print(
                fit_into(f"[{time.perf_counter() - start:5.1f} s] {text}", WIDTH), file=sys.stderr, flush=True
            )

    try:
        if sys.stdout is not None:
            sys.stdout.reconfigure(
                errors="replace"
            )  # names in the user's data that the terminal has no letters for
        run(options, say, start)
        if sys.stdout is not None:
            sys.stdout.flush()
    except DataError as error:
        print(f"sparse_linear: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
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
        description="Choose alpha of Ridge, Lasso and ElasticNet by cross-validation, with sparse_linear "
        "beside scikit-learn: on two data sets that ship with scikit-learn, or on your own.",
    )
    parser.add_argument(
        "--data",
        metavar="FILE",
        help="your data: .csv, .tsv, .parquet, .npz (X and y; X may be CSR: data, indices, indptr, shape), "
        ".svm, .svmlight or .libsvm; .gz or .bz2 for all that are text",
    )
    parser.add_argument("--target", metavar="COLUMN", help="what to predict; .npz: an array, y if not given")
    parser.add_argument(
        "--folds", type=_integer(2, 1000), default=5, help="of the cross-validation (default: 5)"
    )
    parser.add_argument(
        "--seed", type=_integer(0, 2**32 - 1), default=0, help="of splits and folds (default: 0)"
    )
    parser.add_argument(
        "--no-sklearn", action="store_true", help="leave scikit-learn out, e.g. for large data"
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object instead of tables")
    options = parser.parse_args(arguments)
    if options.target is not None and options.data is None:
        parser.error("--target needs --data, the file that has this column")
    return options


def _integer(low, high):
    def integer(text):
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {low} to {high}")
        return int(text)

    return integer


def run(options, say, start):
    """Compare on all data sets asked for and write the results to stdout."""
    versions = {
        "sparse_linear": sparse_linear.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": numba.__version__,
        "python": platform.python_version(),
    }
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if options.data is None:
        problems = [diabetes(), digits()]
    else:
        say(f"reading {options.data}")
        problems = [load_problem(options.data, options.target)]
    if not options.json:
        print(heading(versions, cores, options.folds))
    comparisons = []
    for problem in problems:
        comparison = compare(
            problem, folds=options.folds, seed=options.seed, with_sklearn=not options.no_sklearn, say=say
        )
        comparisons.append(comparison)
        if not options.json:
            print(as_text(comparison), flush=True)
    seconds = time.perf_counter() - start
    if options.json:
        report = {
            "versions": versions,
            "cores": cores,
            "seed": options.seed,
            "folds": options.folds,
            "alphas": N_ALPHAS,
            "seconds": seconds,
            "data": [as_json(comparison) for comparison in comparisons],
        }
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        print(footer(seconds))


def as_json(comparison):
    """Return a comparison as dicts and lists."""
    fits = [fit._asdict() for fit in comparison.fits]
    for fit in fits:
        del fit["coef"]
    return {
        "name": comparison.problem.name,
        "story": comparison.problem.story,
        "notes": comparison.problem.notes,
        "n_train": comparison.n_train,
        "n_test": comparison.n_test,
        "n_features": len(comparison.feature_names),
        "warm_up_seconds": comparison.warm_up_seconds,
        "fits": fits,
        "features": [
            {"name": name, **{library: float(coef) for library, coef in coefs.items()}}
            for name, coefs in leading_features(comparison)
        ],
        "coefficient": comparison.problem.unit,
    }


def leading_features(comparison):
    """Return name and coefficient per library of the largest coefficients of our Lasso."""
    coefs = {fit.library: fit.coef for fit in comparison.fits if fit.model == "Lasso"}
    ours = coefs[LIBRARIES[0]]
    order = np.argsort(-np.abs(ours), kind="stable")[: min(N_FEATURES, np.count_nonzero(ours))]
    return [
        (comparison.feature_names[j], {library: coef[j] for library, coef in coefs.items()}) for j in order
    ]


def heading(versions, cores, folds):
    """Return what is being run."""
    return "\n".join(
        wrapped(
            f"sparse_linear {versions['sparse_linear']} beside scikit-learn {versions['scikit-learn']} "
            f"(Python {versions['python']}, {cores} {'core' if cores == 1 else 'cores'})"
        )
        + wrapped(f"{N_ALPHAS} alphas, {folds}-fold cross-validation; same rows, folds and alphas for both")
    )


def as_text(comparison):
    """Return a comparison as tables for a terminal."""
    problem, fits = comparison.problem, comparison.fits
    lines = ["", "-" * WIDTH, *wrapped(problem.story)]
    for note in problem.notes:
        lines += wrapped(note)
    lines += wrapped(
        f"{comparison.n_train} rows to fit and to choose alpha, {comparison.n_test} rows held out; "
        f"{len(comparison.feature_names)} features."
    )
    lines += wrapped(
        f"Warm-up, which compiles in a fresh install: {comparison.warm_up_seconds:.2f} s, not counted below."
    )

    columns = "{:10} {:13} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8}"
    lines.append("")
    lines.append(columns.format("", "", "", "", "held-out", "relative", "seconds,", "seconds,"))
    lines.append(columns.format("", "", "alpha", "non-zero", "R²", "gap", "search", f"{N_ALPHAS} fits"))
    shown = None
    for fit in fits:
        lines.append(
            columns.format(
                "" if fit.model == shown else fit.model,
                fit.library,
                f"{fit.alpha:.4g}" + ("!" if fit.end_of_grid else ""),
                fit.non_zero,
                f"{fit.held_out_r2:.4f}" if fit.held_out_r2 > -10 else f"{fit.held_out_r2:.1e}",
                f"{fit.relative_gap:.0e}" + ("*" if fit.not_converged else " "),
                f"{fit.search_seconds:.2f}",
                f"{fit.path_seconds:.3f}",
            )
        )
        shown = fit.model
    if any(fit.not_converged for fit in fits):
        counts = [
            f"{f.library}'s {f.model} in {f.not_converged} of {f.fits}" for f in fits if f.not_converged
        ]
        lines += wrapped(f"* fits of the search that stopped before they had converged: {', '.join(counts)}.")
    if any(fit.end_of_grid for fit in fits):
        lines += wrapped("! at an end of the alphas tried; a better one may lie beyond.")

    lines.append("")
    features = leading_features(comparison)
    if not features:
        return "\n".join([*lines, "The Lasso uses no feature."])
    n_used = next(fit.non_zero for fit in fits if fit.model == "Lasso")
    shown = f"the {len(features)} largest of {n_used}" if n_used > len(features) else f"all {n_used}"
    lines += wrapped(f"What matters, by the Lasso ({shown}): the change of the prediction {problem.unit}.")
    libraries = list(features[0][1])
    row = "{:50}" + "  {:>13}" * len(libraries)
    lines.append(row.format("", *libraries).rstrip())
    lines += [
        row.format(fit_into(name, 50), *(f"{coefs[library]:+.4g}" for library in libraries))
        for name, coefs in features
    ]
    return "\n".join(lines)


def footer(seconds):
    """Return how to read the tables."""
    return "\n".join(
        [
            "",
            "-" * WIDTH,
            *wrapped(
                "Gap: the objective is above its minimum by at most this share of half the variance of the "
                "target (a duality gap in float64, by the same few lines for both). Seconds, search: "
                "scikit-learn's GridSearchCV with either estimator, preparation of each fold included. "
                f"Seconds, {N_ALPHAS} fits: the estimators alone, one fit per alpha on the training rows."
            ),
            f"Done in {seconds:.1f} s.",
        ]
    )


def wrapped(text):
    """Return text as lines for the terminal."""
    return textwrap.wrap(printable(text), WIDTH)


def printable(text):
    """Replace what would move the cursor rather than be seen."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def fit_into(text, width):
    """Shorten text in the middle, where names differ least."""
    text = printable(text)
    if len(text) <= width:
        return text
    head = (width - 2) // 2
    return text[:head] + ".." + text[len(text) - (width - 2 - head) :]


if __name__ == "__main__":
    sys.exit(main())
