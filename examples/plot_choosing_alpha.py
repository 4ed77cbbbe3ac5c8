"""
Choosing alpha, in pictures
===========================

Ten measurements of 442 diabetes patients, and how the illness progressed in a year.
"""

# %%
# Cross-validation of 100 alphas. The curve is flat near its minimum; the one-standard-error rule takes the
# sparsest model that is about as good. The numbers along the top are those of the features in use.
from sklearn.datasets import load_diabetes

from sparse_linear import CoefficientDisplay, CVDisplay, LassoCV, PathDisplay, RidgeCV, summary

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
model = LassoCV(standardize=True, criterion="1se").fit(X, y)
CVDisplay.from_estimator(model)

# %%
# Each line is a coefficient. Features enter from the left, as the penalty becomes smaller; the dashed line is
# the choice.
PathDisplay.from_estimator(model)

# %%
# What was selected, beside ridge regression, which uses everything.
CoefficientDisplay.from_estimator(model, RidgeCV(alphas=50, standardize=True).fit(X, y))

# %%
# The same in words.
print(summary(model, X, y))
