"""What was measured: tables for the terminal, JSON with the machine's facts, plots of gap against time."""

import json
import os
import platform
import sys
from pathlib import Path

import numpy as np

from .libraries import OURS

ROW = (
    "{library:<22}{time:>18}{fastest:>11}{ratio:>11}{gap:>9}{tol:>8}"
    "{start:>10}{memory:>18}{floors:>9}  {note}"
)
HEADER = ROW.format(
    library="library",
    time="time",
    fastest="fastest",
    ratio="to ours",
    gap="gap",
    tol="tol",
    start="start-up",
    memory="memory, of X",
    floors="floors",
    note="",
)


def machine():
    """Return the facts about this machine that a time depends on."""
    import scipy
    import threadpoolctl

    cpu = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            cpu = next(
                (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu
            )
    blas = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "blas": [
            f"{info['internal_api']} {info['version']} ({info.get('architecture', '?')})" for info in blas
        ],
    }


def describe(problem):
    """Return the facts about a problem that the report shows."""
    n, p = problem.X.shape
    sparse = not isinstance(problem.X, np.ndarray)
    size = (
        problem.X.data.nbytes + problem.X.indices.nbytes + problem.X.indptr.nbytes
        if sparse
        else problem.X.nbytes
    )
    facts = {
        "name": problem.name,
        "kind": problem.kind,
        "n": n,
        "p": p,
        "dtype": str(problem.X.dtype),
        "sparse": sparse,
    }
    facts["l1_ratios"] = int(np.size(problem.l1_ratio))
    return facts | {
        "bytes": size,
        "nnz": problem.X.nnz if sparse else n * p,
        "alphas": problem.alphas.shape[-1],
    }


def seconds(value):
    """Write a time with three digits."""
    if value is None:
        return ""
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 0.9995 or unit == "µs":
            return f"{value * factor:#.3g}".rstrip(".") + f" {unit}"
    raise AssertionError


def best_run(result):
    """Return the run that counts, or None."""
    return None if result["best"] is None else result["runs"][result["best"]]


def block(entry):
    """Return one problem's table as text, by time, then those that did not reach the target by their gap."""
    floor, own = entry["floor"], own_run(entry)
    shape = f"{entry['n']} x {entry['p']} {entry['dtype']}, " + (
        f"{entry['nnz']} stored" if entry["sparse"] else "dense"
    )
    alphas = {"path": f"{entry['alphas']} alphas", "single": "one alpha", "fit": "one fit, default settings"}[
        entry["kind"]
    ]
    title = f"{entry['name']}: {shape}; {alphas}; {_threads(entry)}"
    if floor:
        title += f"; floor {seconds(floor['seconds'])}"
        title += f" (passes {seconds(floor['passes'])}, Gram of {floor['support']} {seconds(floor['gram'])}"
        title += f", Cholesky {seconds(floor['cholesky'])})"
    lines = [title, HEADER]

    def key(result):
        run = best_run(result)
        order = np.inf if run is None else run["seconds"] if result["reached"] else run["gap"]
        return not result["reached"], run is None, order

    for result in sorted(entry["results"], key=key):
        run = best_run(result)
        cells = dict.fromkeys(("time", "fastest", "ratio", "gap", "tol", "memory", "floors"), "")
        cells["time"] = "-"
        if run is not None:
            cells["time"] = seconds(run["seconds"]) + ("" if result["reached"] else f" @{run['gap']:.0e}")
            cells["fastest"] = seconds(run["fastest"])
            cells["ratio"] = "" if own is None else f"{run['seconds'] / own['seconds']:.2f} x"
            cells["gap"] = f"{run['gap']:.0e}"
            cells["tol"] = "" if run["tol"] is None else f"{run['tol']:.0e}"
            if run["peak"] is not None:
                cells["memory"] = f"{run['peak'] / 2**20:.1f} MB {100 * run['peak'] / entry['bytes']:.0f} %"
            cells["floors"] = f"{run['seconds'] / floor['seconds']:.1f}" if floor else ""
        note = "" if result["reached"] else result["note"]
        lines.append(
            ROW.format(library=result["library"], start=seconds(result["start"]), note=note, **cells)
        )
    return "\n".join(line.rstrip() for line in lines)


def best_peer(entry):
    """Return the fastest peer that reached its target; if none did, the one that came nearest, or None."""
    peers = [result for result in entry["results"] if result["library"] != OURS and best_run(result)]
    on_time = [result for result in peers if result["reached"]]
    if on_time:
        return min(on_time, key=lambda result: best_run(result)["seconds"])
    return min(peers, key=lambda result: best_run(result)["gap"], default=None)


def summary(entries):
    """Return a line per problem: ours, the best peer, how many times faster ours is (below 1: slower)."""
    form = "{:<44}{:>8}{:>11}{:>8}  {:<22}{:>18}{:>11}"
    lines = [form.format("problem", "threads", "ours", "gap", "best peer", "its time", "ours is")]
    for entry in entries:
        own = next(
            (result for result in entry["results"] if result["library"] == OURS and best_run(result)), None
        )
        peer = best_peer(entry)
        cells = ["-", "", "", "-", ""]
        if own:
            run = best_run(own)
            cells[:2] = [seconds(run["seconds"]), f"{run['gap']:.0e}" + ("" if own["reached"] else "!")]
        if peer:
            run = best_run(peer)
            cells[2:4] = [
                peer["library"],
                seconds(run["seconds"]) + ("" if peer["reached"] else f" @{run['gap']:.0e}"),
            ]
        if own and peer:
            cells[4] = f"{best_run(peer)['seconds'] / best_run(own)['seconds']:.2f} x"
        lines.append(form.format(entry["name"], entry["threads"], *cells).rstrip())
    return "\n".join(
        [*lines, "@: the gap a library stopped at, its target not reached; !: the same for ours"]
    )


CHOICE_ROW = (
    "{library:<20}{time:>18}{fastest:>11}{ratio:>11}{gap:>9}{tol:>8}{alpha:>12}{error:>10}"
    "{path:>8}{gram:>9}{memory:>18}  {note}"
)
CHOICE_HEADER = CHOICE_ROW.format(
    library="library",
    time="time",
    fastest="fastest",
    ratio="to ours",
    gap="gap",
    tol="tol",
    alpha="alpha",
    error="mse error",
    path="paths",
    gram="X'X",
    memory="memory, of X",
    note="",
)


def choice_block(entry):
    """Return one problem of choosing as text, in the order of `crossval.LIBRARIES`.

    "mse error" is the largest relative error on the rows left out, against ours; "paths" and "X'X" are the
    time over that of our single path, and of one product.
    """
    own, costs = own_run(entry), entry["costs"] or {"path": None, "gram": None}
    shape = f"{entry['n']} x {entry['p']}, " + (f"{entry['nnz']} stored" if entry["sparse"] else "dense")
    what = "grid search" if entry["kind"] == "grid" else f"{entry['l1_ratios']} l1_ratio"
    title = f"{entry['name']}: {shape}; 5 folds, {entry['alphas']} alphas, {what}; {_threads(entry)}"
    title += "".join(f"; {name} {seconds(costs[name])}" for name in ("path", "gram") if costs[name])
    lines = [title, CHOICE_HEADER]
    for result in entry["results"]:
        run = best_run(result)
        names = ("time", "fastest", "ratio", "gap", "tol", "alpha", "error", "path", "gram", "memory")
        cells = dict.fromkeys(names, "")
        cells["time"] = "-"
        if run is not None:
            cells["time"] = seconds(run["seconds"]) + ("" if result["reached"] else f" @{run['gap']:.0e}")
            cells["fastest"] = seconds(run["fastest"])
            cells["ratio"] = f"{run['fastest'] / own['fastest']:.2f} x" if own else ""
            cells["gap"], cells["tol"] = f"{run['gap']:.0e}", f"{run['tol']:.0e}"
            cells["alpha"] = f"{run['alpha']:.4g}" + ("" if run["same"] in (None, True) else " !")
            cells["error"] = "" if run["mse_error"] is None else f"{run['mse_error']:.0e}"
            for name in ("path", "gram"):
                cells[name] = f"{run['fastest'] / costs[name]:.2f}" if costs[name] else ""
            if run["peak"] is not None:
                cells["memory"] = f"{run['peak'] / 2**20:.1f} MB {100 * run['peak'] / entry['bytes']:.0f} %"
        note = "" if result["reached"] and run is not None else result["note"]
        lines.append(CHOICE_ROW.format(library=result["library"], note=note, **cells))
    return "\n".join(line.rstrip() for line in lines)


def choice_summary(entries):
    """Return a line per problem: ours, and how many times longer the others take (below 1: shorter)."""
    names = list(dict.fromkeys(r["library"] for entry in entries for r in entry["results"]))
    names = [name for name in names if name != OURS]
    form = "{:<36}{:>10}{:>8}{:>9}{:>8}{:>8}" + "{:>20}" * len(names)
    lines = [form.format("problem", "ours", "gap", "memory", "paths", "X'X", *names)]
    for entry in entries:
        own, costs = own_run(entry), entry["costs"] or {"path": None, "gram": None}
        cells = ["-", "", "", "", ""]
        if own:
            cells = [seconds(own["fastest"]), f"{own['gap']:.0e}"]
            cells.append("" if own["peak"] is None else f"{100 * own['peak'] / entry['bytes']:.0f} %")
            cells += [
                f"{own['fastest'] / costs[name]:.2f}" if costs[name] else "" for name in ("path", "gram")
            ]
        found = {result["library"]: result for result in entry["results"]}
        for name in names:
            result = found.get(name)
            run = best_run(result) if result else None
            if run and own:
                ratio = f"{run['fastest'] / own['fastest']:.2f} x"
                cells.append(ratio + ("" if result["reached"] else f" @{run['gap']:.0e}"))
            else:
                cells.append("-")
        lines.append(form.format(entry["name"], *cells).rstrip())
    notes = "times: the fastest; @: the gap a library stopped at, its target not reached; !: another choice"
    return "\n".join([*lines, notes])


def own_run(entry):
    """Return the run of ours that counts, or None."""
    return next((best_run(result) for result in entry["results"] if result["library"] == OURS), None)


def save(document, path):
    """Write JSON; infinite gaps become null, which every reader understands."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, np.generic):
            value = value.item()
        return None if isinstance(value, float) and not np.isfinite(value) else value

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain(document), indent=1) + "\n", encoding="utf-8")


def plot(entry, path):
    """Draw gap against time, a line per library through its tolerances; target and floor are marked."""
    plt = _pyplot()
    if plt is None:
        return
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for result in entry["results"]:
        points = [
            (run["seconds"], max(run["gap"], 1e-17)) for run in result["runs"] if np.isfinite(run["gap"])
        ]
        if points:
            style = (
                {"color": "black", "linewidth": 2.5, "zorder": 3}
                if result["library"] == OURS
                else {"alpha": 0.8}
            )
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=result["library"], **style)
    for target in {result["target"] for result in entry["results"] if np.isfinite(result["target"])}:
        axes.axhline(target, color="grey", linewidth=0.8, linestyle=":")
    if entry["floor"]:
        axes.axvline(entry["floor"]["seconds"], color="grey", linewidth=0.8, linestyle="--", label="floor")
    axes.set(xscale="log", yscale="log", xlabel="seconds", ylabel="certified relative duality gap")
    axes.set_title(f"{entry['name']}: {entry['n']} x {entry['p']}, {_threads(entry)}")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_scaling(axes_measured, path):
    """Draw time against size, a panel per axis of growth, the fitted exponent in the legend."""
    plt = _pyplot()
    if plt is None:
        return
    figure, panels = plt.subplots(
        1, len(axes_measured), figsize=(4.2 * len(axes_measured), 4.2), layout="constrained", squeeze=False
    )
    for panel, (axis, measured) in zip(panels[0], axes_measured.items(), strict=True):
        for library, line in measured["lines"].items():
            if line["points"]:
                style = (
                    {"color": "black", "linewidth": 2.5, "zorder": 3} if library == OURS else {"alpha": 0.8}
                )
                label = library if line["exponent"] is None else f"{library}: {line['exponent']:.2f}"
                panel.plot(*zip(*line["points"], strict=True), marker="o", markersize=4, label=label, **style)
        panel.set(xscale="log", yscale="log", xlabel=axis, title=measured["title"])
        panel.set_xticks(measured["values"], [f"{value:g}" for value in measured["values"]])
        panel.minorticks_off()
        if panel.get_legend_handles_labels()[1]:
            panel.legend(fontsize=7)
    panels[0][0].set_ylabel("seconds to the target")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _threads(entry):
    return "1 thread" if entry["threads"] == 1 else f"{entry['threads']} threads"


def _pyplot():
    try:
        import matplotlib
    except ImportError:
        print("no plots: matplotlib is not installed", file=sys.stderr)
        return None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
