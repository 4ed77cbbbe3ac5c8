"""
Why the L1 penalty gives zeros
==============================

Two features of a data set, the curves of equal squared error, and the balls of three penalties.
"""

# %%
# As a ball grows, its solution moves from zero to that of least squares. The Lasso's has corners, which lie
# on the axes: it meets the curves there first, and one of the coefficients is zero. Ridge regression's is
# round.
from sklearn.datasets import load_diabetes

from sparse_linear import GeometryDisplay, Lasso

X, y = load_diabetes(return_X_y=True, as_frame=True)
model = Lasso(alpha=0.5).fit(X, y)
GeometryDisplay.from_estimator(model, X, y)
