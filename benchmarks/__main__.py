"""Time to a certified relative duality gap, ours against every peer that is installed.

Every library runs at the loosest of its tolerances with which the gap, computed here in float64 and the worst
over the path, reaches the target; gaps are relative to half the variance of y. A library that does not get
there in time is shown with its best effort, ``time @ gap``. ``floors`` is the time over the floor of the
problem: one pass over X per ten alphas, the Gram matrix of the last support and one Cholesky factorisation of
it. A peer may live in another environment: --python adelie=/path/to/python.

``python -m benchmarks scaling`` doubles n, p, density, support and number of alphas, and fits exponents.

``python -m benchmarks cv`` races choosing alpha: 5 folds x 100 alphas through each library's own
cross-validation, and grid search. scikit-learn runs at its default tolerance and at 1e-7; every fit of every
fold is certified, its errors on the rows left out are compared with ours, and our times with that of a single
path and of one X'X. The ratios there are of the fastest runs.

``python -m benchmarks ridge`` is about closed forms: one fit, leave-one-out, folds and many targets.

``python -m benchmarks stream`` cross-validates rows that do not fit into memory, under a hard limit of it:
time over that of reading and multiplying them once, memory, exactness, and scikit-learn's SGDRegressor.
"""

import argparse
import fnmatch
import math
import sys
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from . import crossval, measure, problems, report, ridge, scaling, stream
from .libraries import LIBRARIES, OURS


def arguments(words=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "command",
        nargs="?",
        choices=["gaps", "scaling", "cv", "ridge", "stream"],
        default="gaps",
        help="what to measure (default: gaps)",
    )
    add(
        "--data",
        type=Path,
        help="folder of NPZ files (y, and X or CSR data, indices, indptr, shape) and svmlight files",
    )
    add("--openml", action="append", default=[], metavar="NAME[:VERSION]", help="a data set of OpenML")
    add(
        "--libsvm",
        action="append",
        default=[],
        metavar="NAME",
        help="a data set of LIBSVM's collection (needs libsvmdata)",
    )
    names = "table, more, other, openml, libsvm, a file's name (default: table,more,openml,libsvm; cv: all)"
    add(
        "--problems",
        metavar="GLOBS",
        help=f"comma-separated globs of names or tags: {names}; for scaling: {', '.join(scaling.AXES)}",
    )
    add("--libraries", default="*", metavar="GLOBS", help=f"comma-separated globs of {', '.join(LIBRARIES)}")
    add("--python", action="append", default=[], metavar="GLOB=EXE", help="the interpreter of some libraries")
    add(
        "--threads",
        help="comma-separated numbers of threads (default: 1 and all cores; scaling: 1; cv, stream: all)",
    )
    add("--target", type=float, default=1e-6, help="relative gap that peers must reach (default: 1e-6)")
    add("--our-target", type=float, default=1e-9, help="the same for ours (default: 1e-9; float32: 1e-6)")
    add("--limit", type=float, default=60.0, help="seconds per library and problem, all tolerances (60)")
    add("--repeats", type=int, default=3, help="timings of a run that reached the target, unless long (3)")
    add(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu suits a busy machine, one thread (wall)"
    )
    add("--rows", type=float, default=2e6, help="stream: rows of 128 columns, 1 KB each (2e6)")
    add("--memory", type=float, default=1.5, help="stream: GB that may be allocated (1.5)")
    add("--mapped", action="store_true", help="stream: write the rows to a temporary folder, and map them")
    add("--output", type=Path, default=Path("benchmark-results"), help="folder for JSON and plots")
    add("--no-plots", action="store_true")
    add("--list", action="store_true", help="list the problems and stop")
    chosen = parser.parse_args(words)
    cores = report.machine()["cores"]
    default = {"scaling": [1], "cv": [cores], "stream": [cores]}.get(chosen.command) or sorted({1, cores})
    chosen.threads = [int(number) for number in chosen.threads.split(",")] if chosen.threads else default
    return chosen


def main(words=None):
    """Run the benchmark."""
    chosen = arguments(words)
    choosing = chosen.command == "cv"
    known = crossval.LIBRARIES if choosing else LIBRARIES
    libraries = [name for name in known if _matches(name, chosen.libraries)]
    interpreters = [entry.rpartition("=")[::2] for entry in chosen.python]

    def target(library, dtype):
        if library != OURS:
            return chosen.target
        return max(chosen.our_target, 1e-6) if dtype == "float32" else chosen.our_target

    def settings(library, threads=chosen.threads[0], patience=1.0):
        python = next((python for glob, python in interpreters if _matches(library, glob)), sys.executable)
        more = {"repeats": chosen.repeats, "python": python, "clock": chosen.clock}
        return {"threads": threads, "limit": chosen.limit * patience} | more

    document = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "machine": report.machine()}
    kept = ("target", "our_target", "limit", "repeats", "clock", "threads")
    document["settings"] = {name: getattr(chosen, name) for name in kept}
    if chosen.command == "scaling":
        axes = [name for name in scaling.AXES if _matches(name, chosen.problems or "*")]
        document["axes"] = scaling.run(axes, libraries, target, settings)
        report.save(document, chosen.output / "scaling.json")
        if not chosen.no_plots:
            report.plot_scaling(document["axes"], chosen.output / "scaling.png")
        return
    if chosen.command == "ridge":
        found = ridge.specs(chosen.data)
        found = {name: spec for name, spec in found.items() if _matches(name, chosen.problems or "*")}
        names = [name for name in ridge.LIBRARIES if _matches(name, chosen.libraries)]
        document["problems"] = ridge.run(found, names, settings)
        report.save(document, chosen.output / "ridge.json")
        return
    if chosen.command == "stream":
        document["streams"] = [
            stream.run(int(chosen.rows), chosen.memory, chosen.mapped, threads, chosen.repeats, chosen.clock)
            for threads in chosen.threads
        ]
        report.save(document, chosen.output / "stream.json")
        return
    recipes = problems.specs(chosen.data, chosen.openml, chosen.libsvm)
    patterns = chosen.problems or ("cv" if choosing else "table,more,openml,libsvm")
    recipes = problems.choose(recipes, patterns.split(","))
    recipes = [recipe for recipe in recipes if (recipe.kind in problems.CHOICES) == choosing]
    if chosen.list:
        print("\n".join(f"{recipe.name:<48}{', '.join(recipe.tags)}" for recipe in recipes))
        return
    print(" | ".join(f"{key}: {value}" for key, value in document["machine"].items()) + "\n", flush=True)
    document["problems"] = []
    for recipe in recipes:
        try:
            problem = problems.build(recipe)
        except problems.Unavailable as reason:
            print(f"{recipe.name}: skipped, {reason}\n", flush=True)
            continue
        for threads in chosen.threads:
            entry = race(
                problem, libraries, target, partial(settings, threads=threads, patience=recipe.patience)
            )
            document["problems"].append(entry)
            print((report.choice_block if choosing else report.block)(entry) + "\n", flush=True)
            name = "cv.json" if choosing else "results.json"
            report.save(document, chosen.output / name)  # now: a long run may be ended early
            if not choosing and not chosen.no_plots:
                report.plot(entry, chosen.output / f"{recipe.name}-{threads}.png")
    if document["problems"]:
        print((report.choice_summary if choosing else report.summary)(document["problems"]))


def race(problem, libraries, target, settings):
    """Measure every library on one problem, and its floor; those that are not installed leave the list.

    Of a problem of choosing, the costs to compare with are measured instead of the floor.
    """
    entry = report.describe(problem) | {"threads": settings(OURS)["threads"], "results": []}
    with tempfile.TemporaryDirectory(prefix="benchmarks") as folder:
        problems.save(problem, folder)
        for library in list(libraries):
            goal = math.inf if problem.kind == "fit" else target(library, entry["dtype"])
            result = measure.measure(folder, library, goal, **settings(library))
            if result.get("missing"):
                libraries.remove(library)
                print(f"{library}: skipped, {result['note']}", flush=True)
            elif not result.get("unsupported"):
                entry["results"].append(result)
        if problem.kind in problems.CHOICES:
            single = problem.kind == "cv"  # a grid search does not follow a path
            how = entry["threads"], settings(OURS)["clock"]
            entry["costs"] = measure.measure_costs(folder, *how) if single else None
        else:
            entry["floor"] = measure.measure_floor(folder, entry["threads"])
    return entry


def _matches(name, globs):
    return any(fnmatch.fnmatch(name, glob) for glob in globs.split(","))


if __name__ == "__main__":
    main()
