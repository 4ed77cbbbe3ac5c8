r"""All compiled code of the package, with its derivations.

Everything here works on the *reduced problem*

.. math::

    \min_w \tfrac12 w^T G w - c^T w + \sum_j \lambda f_j |w_j| + \tfrac12 \lambda g_j w_j^2,
    \qquad \ell_j \le w_j \le u_j ,

where ``G`` is the Gram matrix of some columns (the working set), ``c`` their correlations with the
target, and the pair ``(f, g)`` are the penalty factors of the features.  Columns and target have unit
norm (`_design.Units`), so every quantity below is of order one and tolerances mean the same on
every data set.

The rooms
---------
Each carries the derivation that belongs to it. In reading order, in which none needs a later one:

``leaves``
    how code is compiled, what all rooms share, and the loops over memory
``optimality``
    what a coordinate is: its step, its face, its threshold; and the certificate, the duality gap
``factor``
    the Cholesky factor of the free columns, and how they join and leave it
``rounds``
    how one ``lambda`` is solved exactly (`solve_sequence`), and why it ends
``dense``, ``sparse``
    X in either kind of storage: moments, products, columns, their Gram matrix
``screening``
    how good solutions are on all features, without all the correlations
``path``
    one ``lambda`` after another: batches, newcomers, the way back (`follow`)
``large``
    supports too large for a factor: coordinate descent, and equations between the rows
``little``
    little work, for which every call of NumPy would take longer

A compiled function contains the code of those that it calls, whichever room they are in. Kept code is
therefore good only as long as no file of this folder changes: see `_cache.Cache`.

Conventions
-----------
``grad`` is minus the gradient of the quadratic part, ``c - G w``: the correlation of each column with
the residual.  Functions that change an array say so.  The number of columns in use is ``m``, the
number of free ones ``k``; arrays are larger (capacity), so that they can grow without moving.
"""

from sparse_linear._cache import keep
from sparse_linear._kernels.dense import (
    Dense,
    Lines,
    few_correlations,
    moments_by_columns,
    moments_by_rows,
    take_columns,
)
from sparse_linear._kernels.factor import Working
from sparse_linear._kernels.large import Centred, Equations, Rows, descend, solve_between_rows
from sparse_linear._kernels.leaves import EPS, LANES, LARGEST, NOISE, STRIP
from sparse_linear._kernels.little import (
    centre,
    correct,
    far_from_zero,
    leave_out,
    mean_and_spread,
    norms,
    penalty_in_units,
    restore,
    ridge,
    row_sums,
    slack_of,
    survey,
)
from sparse_linear._kernels.optimality import (
    EXACT,
    KKT,
    NEGLIGIBLE,
    REFINEMENTS,
    coordinate_step,
    doubt,
    duality_gaps,
    face,
    first_threshold,
    is_free,
    outline,
    proposals,
    slope,
)
from sparse_linear._kernels.path import Progress, batch_end, follow, inspect, moved, outlook
from sparse_linear._kernels.rounds import enter, restart, solve_sequence
from sparse_linear._kernels.screening import (
    CLOSE,
    KNOWN,
    NEW,
    Directions,
    Gathered,
    Judgement,
    Limits,
    Screen,
    Sparse,
    Trail,
    assemble,
    first_failure,
    verify,
)
from sparse_linear._kernels.sparse import (
    CSC,
    CSR,
    Columns,
    add_curve,
    are_below,
    are_increasing,
    column_gram,
    column_products,
    combine_columns,
    complete_gram,
    copy_columns,
    correlations,
    entry_combination,
    entry_moments,
    entry_product,
    row_and_column,
    row_gram,
)

__all__ = [
    "CLOSE",
    "CSC",
    "CSR",
    "EPS",
    "EXACT",
    "KKT",
    "KNOWN",
    "LANES",
    "LARGEST",
    "NEGLIGIBLE",
    "NEW",
    "NOISE",
    "REFINEMENTS",
    "STRIP",
    "Centred",
    "Columns",
    "Dense",
    "Directions",
    "Equations",
    "Gathered",
    "Judgement",
    "Limits",
    "Lines",
    "Progress",
    "Rows",
    "Screen",
    "Sparse",
    "Trail",
    "Working",
    "add_curve",
    "are_below",
    "are_increasing",
    "assemble",
    "batch_end",
    "centre",
    "column_gram",
    "column_products",
    "combine_columns",
    "complete_gram",
    "coordinate_step",
    "copy_columns",
    "correct",
    "correlations",
    "descend",
    "doubt",
    "duality_gaps",
    "enter",
    "entry_combination",
    "entry_moments",
    "entry_product",
    "face",
    "far_from_zero",
    "few_correlations",
    "first_failure",
    "first_threshold",
    "follow",
    "inspect",
    "is_free",
    "leave_out",
    "mean_and_spread",
    "moments_by_columns",
    "moments_by_rows",
    "moved",
    "norms",
    "outline",
    "outlook",
    "penalty_in_units",
    "proposals",
    "restart",
    "restore",
    "ridge",
    "row_and_column",
    "row_gram",
    "row_sums",
    "slack_of",
    "slope",
    "solve_between_rows",
    "solve_sequence",
    "survey",
    "take_columns",
    "verify",
]

keep(__name__)
