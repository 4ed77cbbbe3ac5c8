"""How time grows with the work: n, p, density, support size and number of alphas, each doubled several times,
ours and the peers'.
"""

import functools
import tempfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import measure, problems, report


class Axis(NamedTuple):
    """One way for a problem to grow."""

    title: str
    values: tuple
    spec: Callable  # value -> problems.Spec


def _dense(n=500, p=2000, support=30, n_alphas=100):
    read = functools.partial(problems.simulate_dense, n, p, support)
    return problems.Spec("scaling", read, ratio=0.05, n_alphas=n_alphas)


def _sparse(density):
    read = functools.partial(problems.simulate_sparse, 5000, 5000, density)
    return problems.Spec("scaling", read, ratio=0.05)


AXES = {
    "n": Axis("rows, p = 500", (1000, 2000, 4000, 8000, 16000), lambda n: _dense(n=n, p=500)),
    "p": Axis("columns, n = 500", (1000, 2000, 4000, 8000, 16000), lambda p: _dense(p=p)),
    "density": Axis("density, 5000 x 5000 sparse", (0.001, 0.002, 0.004, 0.008, 0.016), _sparse),
    "support": Axis("true support, 1000 x 4000", (10, 20, 40, 80, 160), lambda k: _dense(1000, 4000, k)),
    "alphas": Axis("alphas, 500 x 2000", (25, 50, 100, 200, 400), lambda count: _dense(n_alphas=count)),
}


def run(axes, libraries, targets, settings):
    """Measure every library along every axis.

    Parameters
    ----------
    axes, libraries : list of str
        Keys of `AXES` and of `libraries.LIBRARIES`. A library that failed to reach the target in time is not
        tried at larger sizes.
    targets : callable
        (library, dtype) -> relative gap to reach.
    settings : callable
        library -> the keyword arguments of `measure.measure`.

    Returns
    -------
    dict
        axis -> title, values and lines: per library its points (value, seconds), the exponent fitted to the
        last three, and why there are no more.
    """
    measured = {}
    libraries = list(libraries)
    for name in axes:
        axis = AXES[name]
        lines = {library: {"points": [], "exponent": None, "note": ""} for library in libraries}
        for value in axis.values:
            with tempfile.TemporaryDirectory(prefix="benchmarks") as folder:
                problems.save(problems.build(axis.spec(value)), folder)
                for library in list(libraries):
                    line = lines[library]
                    if line["note"]:
                        continue
                    target = targets(library, "float64")
                    result = measure.measure(folder, library, target, **settings(library))
                    if result["reached"]:
                        line["points"].append((value, report.best_run(result)["seconds"]))
                    else:
                        run = report.best_run(result)
                        line["note"] = f"at {value}: {result['note']}" + (
                            f" @{run['gap']:.0e}" if run else ""
                        )
                    if result.get("missing"):
                        libraries.remove(library)
        for line in lines.values():
            line["exponent"] = exponent(line["points"])
        measured[name] = {"title": axis.title, "values": axis.values, "lines": lines}
        print(table(name, measured[name]) + "\n", flush=True)
    return measured


def exponent(points, last=3):
    """Return the slope of log seconds against log size over the last points; None for fewer than two."""
    if len(points) < 2:
        return None
    size, seconds = np.log(np.array(points[-last:], dtype=np.float64)).T
    return float(np.polyfit(size, seconds, 1)[0])


def table(name, measured):
    """Return the times along one axis as text."""
    values = measured["values"]
    form = "{:<22}" + "{:>10}" * len(values) + "{:>10}  {}"
    lines = [f"{name}: {measured['title']}", form.format("library", *map(str, values), "exponent", "")]
    for library, line in measured["lines"].items():
        times = dict(line["points"])
        cells = [report.seconds(times.get(value)) or "-" for value in values]
        slope = "-" if line["exponent"] is None else f"{line['exponent']:.2f}"
        lines.append(form.format(library, *cells, slope, line["note"]).rstrip())
    return "\n".join(lines)
