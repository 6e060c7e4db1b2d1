"""Python as it is where TensorFlow is not installed; stands on PYTHONPATH."""

from importlib.machinery import PathFinder
from importlib.metadata import MetadataPathFinder

find_spec, find_distributions = PathFinder.find_spec, MetadataPathFinder.find_distributions


def find_other_spec(name, *arguments, **options):
    if name.partition(".")[0] == "tensorflow":
        return None
    return find_spec(name, *arguments, **options)


def find_other_distributions(*arguments, **options):
    for distribution in find_distributions(*arguments, **options):
        if distribution.metadata["Name"] != "tensorflow":
            yield distribution


PathFinder.find_spec = staticmethod(find_other_spec)
MetadataPathFinder.find_distributions = staticmethod(find_other_distributions)
