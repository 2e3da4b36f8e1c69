"""The examples in docstrings print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import mmer_tf

MODULES = sorted(m.name for m in pkgutil.walk_packages(mmer_tf.__path__, "mmer_tf."))
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert result.failed == 0


def test_some_modules_have_examples():
    finder = doctest.DocTestFinder()
    found = [
        e for name in MODULES for e in finder.find(importlib.import_module(name)) if e.examples
    ]
    assert len(found) >= 5
