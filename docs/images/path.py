"""Draw the picture at the top of README.md: ``python docs/images/path.py``."""

from pathlib import Path

import matplotlib
from sklearn.datasets import load_diabetes

from sparse_linear import LassoCV, PathDisplay

matplotlib.use("svg")
matplotlib.rc("svg", hashsalt="sparse_linear")  # the same bytes each time
matplotlib.rc("figure", figsize=(6.4, 3.6))

X, y = load_diabetes(return_X_y=True, as_frame=True)
display = PathDisplay.from_estimator(LassoCV(criterion="1se").fit(X, y))
display.figure_.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})
