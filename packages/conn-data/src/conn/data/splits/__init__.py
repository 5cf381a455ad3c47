"""Which items are learned from and which are judged on: folds of regions, subjects and frames.

Every function gives `Folds`, which follow scikit-learn's splitter protocol, and which `save_folds` and
`load_folds` keep in a file bound to the labels.
"""

from conn.data.splits.folds import Folds, nested_folds
from conn.data.splits.frames import time_folds
from conn.data.splits.pairs import RegionPairs, region_pairs
from conn.data.splits.regions import community_folds, homologous_groups, label_folds, random_folds
from conn.data.splits.spatial import spatial_folds
from conn.data.splits.stored import load_folds, save_folds
from conn.data.splits.subjects import subject_folds

__all__ = [
    "Folds",
    "RegionPairs",
    "community_folds",
    "homologous_groups",
    "label_folds",
    "load_folds",
    "nested_folds",
    "random_folds",
    "region_pairs",
    "save_folds",
    "spatial_folds",
    "subject_folds",
    "time_folds",
]
