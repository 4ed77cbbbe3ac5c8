"""Fitted estimators of this version, for later ones to load: ``python -m tests.pickles`` writes them here.

``tests/test_pickles.py`` loads the files of all versions. The file of a release is written once, with the
release; that of a version under development may be written again. It takes the oldest supported dependencies
(``pip install -e . -c .ci/lowest.txt``), since NumPy 1.26.0 cannot read what NumPy 2 has pickled.
"""

import pickle
import pickletools
import sys
from pathlib import Path

import numpy as np

import sparse_linear as sl

FOLDER = Path(__file__).parent


def fitted():
    """X, and fitted estimators of every class and kind, with what they predict for it."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((16, 4))
    Y = X[:, :2] @ [[2.0, -1.0], [0.0, 1.0]] + 0.1 * rng.standard_normal((16, 2))
    y = Y[:, 0]
    models = [
        sl.Lasso(0.1, standardize=True).fit(X, y),
        sl.Lasso(0.1).partial_fit(X, y),
        sl.ElasticNet(0.1, bounds=(-1.0, 1.0)).fit(X, Y),
        sl.Ridge().fit(X, y),
        sl.Ridge([0.5, 2.0], solver="svd").fit(X, Y),
        sl.Ridge().fit(X[:3], y[:3]),  # fewer rows than columns
        sl.RidgeCV().fit(X, y),
        sl.RidgeCV(cv=3, alpha_per_target=True).fit(X, Y),
        sl.LassoCV(alphas=5, cv=3).fit(X, y),
        sl.ElasticNetCV(l1_ratio=[0.5, 1.0], alphas=5, cv=3, relax=[0.0, 1.0], alpha_per_target=True).fit(
            X, Y
        ),
        sl.LassoIC().fit(X, y),
        sl.ElasticNetIC("bic", alphas=5).fit(X, y),
    ]
    return X, [(model, model.predict(X)) for model in models]


if __name__ == "__main__":
    if not np.__version__.startswith("1."):
        sys.exit(f"NumPy 1 cannot read what NumPy {np.__version__} pickles; use the oldest dependencies.")
    content = pickletools.optimize(pickle.dumps(fitted(), protocol=4))
    path = FOLDER / f"{sl.__version__}.pickle"
    path.write_bytes(content)
    print(f"{path.name}: {len(content)} bytes")  # noqa: T201
