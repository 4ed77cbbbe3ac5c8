"""Estimators that earlier versions have fitted and pickled: the same predictions, and a word of warning."""

import inspect
import pickle

import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, clone

import sparse_linear as sl
from tests.pickles.__main__ import FOLDER, fitted

every_version = pytest.mark.parametrize("path", sorted(FOLDER.glob("*.pickle")), ids=lambda path: path.stem)
CLASSES = {
    kind.__name__
    for kind in (getattr(sl, name) for name in sl.__all__)
    if inspect.isclass(kind) and issubclass(kind, BaseEstimator)
}


@every_version
def test_what_was_pickled_predicts_and_can_be_fitted_again(path, monkeypatch):
    monkeypatch.setattr(sl, "__version__", path.stem)  # without a warning
    X, models = pickle.loads(path.read_bytes())
    for model, expected in models:
        assert_allclose(model.predict(X), expected, rtol=1e-13)
        assert_allclose(model.to_sklearn().predict(X), expected, rtol=1e-13)
        assert str(sl.summary(model))
        if hasattr(model, "condition_number_"):
            assert model.rank_ in (-1, 2, 4)
        assert clone(model).get_params().keys() == type(model)().get_params().keys()


@every_version
def test_another_version_warns(path, monkeypatch):
    monkeypatch.setattr(sl, "__version__", "1000.0")
    with pytest.warns(
        UserWarning, match=rf"pickled by sparse_linear {path.stem} and is loaded by 1000.0"
    ) as said:
        _, models = pickle.loads(path.read_bytes())
    assert len(said) == len(models)


def test_this_version_has_its_file():
    """As the rules for a release in CONTRIBUTING.md ask for; of every class, with what they predict now."""
    _, models = pickle.loads((FOLDER / f"{sl.__version__}.pickle").read_bytes())
    assert {type(model).__name__ for model, _ in models} == CLASSES
    for (old, expected), (new, found) in zip(models, fitted()[1], strict=True):
        assert vars(old).keys() == vars(new).keys(), type(old).__name__
        assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
