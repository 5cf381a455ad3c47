"""Data sets, readers and simulators for functional connectomics, without JAX or torch."""

from conn.data._version import __version__
from conn.data.atlas import load_schaefer, region_networks
from conn.data.catalogue import describe_dataset, list_datasets
from conn.data.errors import DataError, DataUnavailableError
from conn.data.msc import fetch_msc, verify_msc
from conn.data.provenance import Provenance
from conn.data.readers import read_1d, read_motion
from conn.data.scans import ScanSet
from conn.data.selection import parse_sessions
from conn.data.simulate import SimulatedCohort, simulate_cohort
from conn.data.storage import load_scans, save_scans

__all__ = [
    "DataError",
    "DataUnavailableError",
    "Provenance",
    "ScanSet",
    "SimulatedCohort",
    "__version__",
    "describe_dataset",
    "fetch_msc",
    "list_datasets",
    "load_scans",
    "load_schaefer",
    "parse_sessions",
    "read_1d",
    "read_motion",
    "region_networks",
    "save_scans",
    "simulate_cohort",
    "verify_msc",
]
