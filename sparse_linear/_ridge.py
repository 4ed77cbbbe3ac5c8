"""Closed-form solutions of the quadratic problem: no l1 penalty, no bounds.

With ``D = lambda diag(l2)`` the minimiser solves ``(Z^T Z + D) v = Z^T y``.  Which form of it is solved is
decided in `_solve.select_solver`:

``cholesky``   the (p, p) normal equations, from `Moments`, for tall data;
``dual``       the (n, n) system ``(Z_P D_P^{-1} Z_P^T + I) a = y``, ``v = D^{-1} Z^T a``, for wide data;
``svd``        singular values of Z, for ``lambda = 0``;
``qr``         an orthogonal factorisation of Z and D^(1/2), where the normal equations have lost the answer;
``lsmr``       Krylov iterations (Fong and Saunders 2011) for large sparse X, with the centring implicit.

The first two refine: the gradient is computed anew from the data and the same factor gives the correction,
so that the error is that of the data (cond(X) eps), not that of the normal equations (cond(X)^2 eps) (Björck
1987, on the corrected seminormal equations).
"""

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, lsmr

# Corrections are made until the last one is below this share of the solution, at most REFINEMENTS times.
ACCURATE = 1e-14
REFINEMENTS = 4
# Singular values below this share of the largest are rounding: the columns, of unit length, are dependent.
DEPENDENT = 1e-12
# Below this reciprocal condition number a factor of the normal equations cannot be refined.
SINGULAR = 1e-13


class SingularError(Exception):
    """The normal equations are singular to working precision."""


def _factor(matrix):
    """Cholesky factor of a symmetric matrix (overwritten); raises if it is nearly singular."""
    norm = np.abs(matrix).sum(axis=0).max(initial=0.0)
    if not np.isfinite(norm):
        raise SingularError
    try:
        factor = linalg.cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    except linalg.LinAlgError as error:
        raise SingularError from error
    rcond, _ = linalg.lapack.dpocon(factor, norm, uplo="L")
    if not rcond >= SINGULAR:
        raise SingularError
    return factor


def basis(columns):
    """Orthonormal basis of the span of some columns, given as rows (k, n)."""
    left, values, _ = linalg.svd(columns.T, full_matrices=False, check_finite=False)
    rank = np.count_nonzero(values > DEPENDENT * values.max(initial=0.0))
    return left[:, :rank]


def _refined(solve, gradient, start):
    """Apply `solve` to the gradient until the correction no longer matters; returns solution and steps."""
    solution = start
    before = np.inf
    for step in range(REFINEMENTS):
        correction = solve(gradient(solution))
        size = np.abs(correction).max(initial=0.0)
        if not size < 0.5 * before:
            return solution, step + 1  # rounding: no longer getting smaller
        solution = solution + correction
        if size <= ACCURATE * np.abs(solution).max(initial=0.0):
            return solution, step + 1
        before = size
    return solution, REFINEMENTS


def cholesky(gram, gradient, diagonal, n_targets):
    """Normal equations ``(gram + diag(diagonal)) v = gradient(0)``.

    Parameters
    ----------
    gram : ndarray of shape (p, p)
    gradient : callable
        Maps coefficients (q, p) to ``Z^T (y - Z v) - diagonal * v``, (q, p).
    diagonal : ndarray of shape (p,)
    n_targets : int

    Returns
    -------
    coefs : ndarray of shape (q, p)
    n_iter : int
        Number of solves.
    """
    # Unknowns are scaled to a unit diagonal: penalties of different size do not make the system singular.
    scale = 1.0 / np.sqrt(np.diag(gram) + diagonal)
    matrix = gram * scale
    matrix *= scale[:, None]
    matrix[np.diag_indices_from(matrix)] = 1.0
    factor = _factor(matrix)

    def solve(right):
        return linalg.cho_solve((factor, True), right.T, check_finite=False).T

    start = np.zeros((n_targets, len(diagonal)))
    solution, steps = _refined(solve, lambda unknowns: scale * gradient(scale * unknowns), start)
    return scale * solution, steps


def dual(design, targets, diagonal, gradient):
    """The (n, n) system for wide data; columns without penalty are projected out exactly.

    Parameters
    ----------
    design : DenseDesign or SparseDesign
    targets : ndarray of shape (q, n)
    diagonal : ndarray of shape (p,)
        Ridge penalties; zero for columns without one. Excluded columns are infinite.
    gradient : callable
        As in `cholesky`.
    """
    penalised = diagonal > 0.0
    with np.errstate(divide="ignore"):
        inverse = np.where(penalised, 1.0 / diagonal, 0.0)
    kernel = design.outer_gram(inverse)
    free = np.flatnonzero(~penalised)
    columns = design.block()
    if len(free):
        columns.extend(free)
        loose = columns.combine(np.eye(len(free)))
        explained = basis(loose)
        # P K P with P = I - Q Q^T: what the unpenalised columns explain is nobody else's.
        half = kernel - explained @ (explained.T @ kernel)
        kernel = half - (half @ explained) @ explained.T
    kernel[np.diag_indices_from(kernel)] += 1.0
    factor = _factor(kernel)

    def project(rows):
        return rows - (rows @ explained) @ explained.T if len(free) else rows

    def respond(rows):
        """Coefficients that fit targets (q, n)."""
        shares = project(linalg.cho_solve((factor, True), project(rows).T, check_finite=False).T)
        coefs = design.correlate(shares) * inverse
        if len(free):
            rest = rows - design.apply(coefs)
            coefs[:, free] = linalg.lstsq(loose.T, rest.T, cond=DEPENDENT, check_finite=False)[0].T
        return coefs

    def solve(right):
        # Woodbury: (Z^T Z + D)^{-1} = D^{-1} - D^{-1} Z^T (Z D^{-1} Z^T + I)^{-1} Z D^{-1}.
        direct = right * inverse
        return direct - respond(design.apply(direct))

    return _refined(solve, gradient, respond(targets))


def svd(design, targets, diagonal, norm):
    """Singular values of the data itself; the minimum-norm answer where there are many.

    The data are copied once (n p elements).  Columns are weighed so that the penalty is the identity; without
    any penalty, the norm that is minimal is that of the coefficients on the scale of X.
    """
    columns = design.take(np.arange(design.p))
    coefs = np.zeros((len(targets), design.p))
    penalised = diagonal > 0.0
    free = np.flatnonzero(~penalised)
    held = np.flatnonzero(penalised & np.isfinite(diagonal))
    rest = targets
    if len(held):
        block = columns[held] / np.sqrt(diagonal[held])[:, None]
        if len(free):
            explained = basis(columns[free])
            block = block - (block @ explained) @ explained.T
        left, values, right = linalg.svd(block.T, full_matrices=False, check_finite=False)
        shrunk = (targets @ left) * (values / (values * values + 1.0))
        coefs[:, held] = (shrunk @ right) / np.sqrt(diagonal[held])
        rest = targets - coefs[:, held] @ columns[held]
    if len(free):
        solution, _, rank, _ = linalg.lstsq(columns[free].T, rest.T, cond=DEPENDENT, check_finite=False)
        if rank < len(free):
            # Many answers: the shortest one on the scale of X.
            scaled = columns[free] * norm[free][:, None]
            solution = linalg.lstsq(scaled.T, rest.T, cond=DEPENDENT, check_finite=False)[0]
            solution *= norm[free][:, None]
        coefs[:, free] = solution.T
    return coefs, 1


def qr(design, targets, diagonal):
    """Orthogonal factorisation of ``[Z; D^(1/2)]``, where the normal equations are singular.

    Rows are sorted by size and columns pivoted, so that the answer is accurate row by row however different
    the penalties of the columns are (Cox and Higham 1998, BIT 38). Takes ``(n + p) p`` elements of memory.
    """
    used = np.flatnonzero(np.isfinite(diagonal))
    root = np.sqrt(diagonal[used])
    scale = 1.0 / np.sqrt(1.0 + diagonal[used])  # to columns of unit length
    matrix = np.vstack([design.take(used).T * scale, np.diag(root * scale)])
    right = np.zeros((len(matrix), len(targets)))
    right[: design.n] = targets.T
    order = np.argsort(-np.abs(matrix).max(axis=1, initial=0.0), kind="stable")
    solution = linalg.lstsq(
        matrix[order], right[order], cond=DEPENDENT, lapack_driver="gelsy", check_finite=False
    )[0]
    coefs = np.zeros((len(targets), design.p))
    coefs[:, used] = solution.T * scale
    return coefs, 1


def iterate(design, targets, diagonal, norm, max_iter):
    """LSMR on ``[Z; D^(1/2)] v = [y; 0]``, columns scaled to unit length, restarted until it no longer gains.

    Without any penalty the unknowns are the coefficients on the scale of X, so that the answer is the
    shortest one.
    """
    n, p = design.n, design.p
    used = np.isfinite(diagonal)
    root = np.sqrt(np.where(used, diagonal, 0.0))
    scale = np.where(used, 1.0 / np.sqrt(1.0 + root * root) if root.any() else norm, 0.0)

    def matvec(v):
        v = scale * np.ravel(v)
        return np.concatenate([design.apply(v[None])[0], root * v])

    def rmatvec(u):
        u = np.ravel(u)
        return scale * (design.correlate(u[None, :n])[0] + root * u[n:])

    operator = LinearOperator((n + p, p), matvec=matvec, rmatvec=rmatvec, dtype=np.float64)
    eps = np.finfo(np.float64).eps
    coefs = np.zeros((len(targets), p))
    iterations = np.zeros(len(targets), dtype=np.int64)
    for row, target in enumerate(targets):
        right = np.concatenate([target, np.zeros(p)])
        solution = np.zeros(p)
        for _ in range(REFINEMENTS):
            correction, _, spent, *_ = lsmr(
                operator,
                right - matvec(solution),
                atol=eps,
                btol=eps,
                conlim=0.0,
                maxiter=max_iter - iterations[row],
            )
            solution += correction
            iterations[row] += spent
            small = np.abs(correction).max() <= ACCURATE * np.abs(solution).max()
            if small or iterations[row] >= max_iter:
                break
        coefs[row] = solution * scale
    return coefs, iterations
