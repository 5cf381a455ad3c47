"""Metrics, nulls, fingerprinting and reports for functional connectomics."""

from conn.eval._version import __version__
from conn.eval.baselines import compare_fingerprints, fingerprint_baselines
from conn.eval.connectome_runs import ConnectomeSettings, write_connectomes
from conn.eval.connectomes import connectome_edges, connectome_strength, group_connectome
from conn.eval.errors import MissingExtraError, OutputError
from conn.eval.figures import (
    plot_communities,
    plot_connectome,
    plot_dynamics,
    plot_null,
    plot_similarity,
    plot_training,
)
from conn.eval.files import check_output_folder
from conn.eval.fingerprinting import Fingerprint, fingerprint, fingerprint_features
from conn.eval.intervals import wilson_interval
from conn.eval.nulls import IdentificationNull, identification_null
from conn.eval.partitions import PartitionAgreement, match_communities, partition_agreement
from conn.eval.quality_control import QCFC, qc_fc
from conn.eval.report import Report
from conn.eval.results import environment_versions, write_results

__all__ = [
    "QCFC",
    "ConnectomeSettings",
    "Fingerprint",
    "IdentificationNull",
    "MissingExtraError",
    "OutputError",
    "PartitionAgreement",
    "Report",
    "__version__",
    "check_output_folder",
    "compare_fingerprints",
    "connectome_edges",
    "connectome_strength",
    "environment_versions",
    "fingerprint",
    "fingerprint_baselines",
    "fingerprint_features",
    "group_connectome",
    "identification_null",
    "match_communities",
    "partition_agreement",
    "plot_communities",
    "plot_connectome",
    "plot_dynamics",
    "plot_null",
    "plot_similarity",
    "plot_training",
    "qc_fc",
    "wilson_interval",
    "write_connectomes",
    "write_results",
]
