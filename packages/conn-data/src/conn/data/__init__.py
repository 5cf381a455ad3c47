"""Data sets, readers and simulators for functional connectomics, without JAX or torch."""

from conn.data._version import __version__
from conn.data.atlas import load_schaefer, region_networks
from conn.data.catalogue import describe_dataset, list_datasets, load_dataset, verify_dataset
from conn.data.cifti import CiftiAtlas, RegionSeries, parcellate_cifti, read_dlabel
from conn.data.confound_expressions import confound_columns
from conn.data.derivatives import (
    CONFOUND_STRATEGIES,
    DerivativeRun,
    find_derivative_runs,
    load_confounds,
    read_relmat,
    read_timeseries,
    write_relmat,
)
from conn.data.errors import DataError, DataUnavailableError
from conn.data.expression_record import RegionalExpression, write_regional_expression
from conn.data.gene_expression import load_gene_expression_ahba
from conn.data.gene_lists import (
    GeneList,
    differential_stability,
    list_gene_lists,
    load_gene_list,
    read_gene_list,
    stable_genes,
)
from conn.data.geneex2conn import load_geneex2conn_connectomes, read_geneex2conn
from conn.data.genome import genome_order, read_gene_positions
from conn.data.hcp import find_hcp_runs, load_hcp, read_hcp_behaviour, read_subject_list
from conn.data.hcp_samples import load_hcp_aal2, load_hcp_schaefer100, load_hcp_schaefer200
from conn.data.hemispheres import homologues
from conn.data.joined_runs import join_runs
from conn.data.lemon import load_lemon, load_lemon_eeg, read_lemon_participants
from conn.data.maps import RegionMaps, load_hcp_schaefer100_group, load_receptor_maps
from conn.data.missing_expression import fill_expression, incomplete_regions
from conn.data.msc import fetch_msc, verify_msc
from conn.data.pain import load_pain_task, load_rpn_pain_rest
from conn.data.parcellation import (
    SurfaceParcellation,
    load_schaefer_surface,
    parcel_adjacency,
    parcels_to_vertices,
    vertices_to_parcels,
)
from conn.data.provenance import Provenance
from conn.data.psychosis import load_stages_fep
from conn.data.readers import read_1d, read_motion
from conn.data.region_dataset import RegionDataset, assemble_regions, load_region_dataset, save_region_dataset
from conn.data.region_files import assemble_region_files
from conn.data.region_tables import read_connectome, read_expression, read_region_table
from conn.data.regional_expression import regional_expression
from conn.data.scans import ScanSet
from conn.data.selection import parse_sessions
from conn.data.simulate import SimulatedCohort, simulate_cohort
from conn.data.stimulus import load_eeg_visual, load_haxby2001, load_nitime_events, load_nitime_rest
from conn.data.storage import load_scans, save_scans
from conn.data.surfaces import Surface, SurfaceSet, VertexLabels, load_conte69, load_fsaverage5, load_fslr32k
from conn.data.tables import write_tables
from conn.data.volumes import parcellate_volume

__all__ = [
    "CONFOUND_STRATEGIES",
    "CiftiAtlas",
    "DataError",
    "DataUnavailableError",
    "DerivativeRun",
    "GeneList",
    "Provenance",
    "RegionDataset",
    "RegionMaps",
    "RegionSeries",
    "RegionalExpression",
    "ScanSet",
    "SimulatedCohort",
    "Surface",
    "SurfaceParcellation",
    "SurfaceSet",
    "VertexLabels",
    "__version__",
    "assemble_region_files",
    "assemble_regions",
    "confound_columns",
    "describe_dataset",
    "differential_stability",
    "fetch_msc",
    "fill_expression",
    "find_derivative_runs",
    "find_hcp_runs",
    "genome_order",
    "homologues",
    "incomplete_regions",
    "join_runs",
    "list_datasets",
    "list_gene_lists",
    "load_confounds",
    "load_conte69",
    "load_dataset",
    "load_eeg_visual",
    "load_fsaverage5",
    "load_fslr32k",
    "load_gene_expression_ahba",
    "load_gene_list",
    "load_geneex2conn_connectomes",
    "load_haxby2001",
    "load_hcp",
    "load_hcp_aal2",
    "load_hcp_schaefer100",
    "load_hcp_schaefer100_group",
    "load_hcp_schaefer200",
    "load_lemon",
    "load_lemon_eeg",
    "load_nitime_events",
    "load_nitime_rest",
    "load_pain_task",
    "load_receptor_maps",
    "load_region_dataset",
    "load_rpn_pain_rest",
    "load_scans",
    "load_schaefer",
    "load_schaefer_surface",
    "load_stages_fep",
    "parcel_adjacency",
    "parcellate_cifti",
    "parcellate_volume",
    "parcels_to_vertices",
    "parse_sessions",
    "read_1d",
    "read_connectome",
    "read_dlabel",
    "read_expression",
    "read_gene_list",
    "read_gene_positions",
    "read_geneex2conn",
    "read_hcp_behaviour",
    "read_lemon_participants",
    "read_motion",
    "read_region_table",
    "read_relmat",
    "read_subject_list",
    "read_timeseries",
    "region_networks",
    "regional_expression",
    "save_region_dataset",
    "save_scans",
    "simulate_cohort",
    "stable_genes",
    "verify_dataset",
    "verify_msc",
    "vertices_to_parcels",
    "write_regional_expression",
    "write_relmat",
    "write_tables",
]
