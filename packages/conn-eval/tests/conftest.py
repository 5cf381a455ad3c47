"""Simulated cohorts, and the real scans where they are staged."""

import numpy as np
import pytest


@pytest.fixture
def cohort():
    """Make connectomes of people who differ: (connectomes, subjects, sessions)."""

    def make(n_subjects=6, n_sessions=2, n_regions=12, *, identity=1.0, n_frames=60, rng=0):
        generator = np.random.default_rng(rng)
        shape = (n_subjects, n_sessions, n_regions, n_frames)
        mixing = identity * generator.standard_normal((n_subjects, 1, n_regions, n_regions))
        series = (np.eye(n_regions) + mixing) @ generator.standard_normal(shape)
        connectomes = np.stack([np.corrcoef(scan) for scan in series.reshape(-1, *shape[2:])])
        subjects = [f"sub-{i:02d}" for i in range(n_subjects) for _ in range(n_sessions)]
        sessions = [f"ses-{i}" for _ in range(n_subjects) for i in range(n_sessions)]
        return connectomes, subjects, sessions

    return make


@pytest.fixture(scope="session")
def midnight_scan_club(real_data):
    """Connectomes, subjects, sessions and time series of the 30 staged resting scans."""
    with np.load(real_data("miniMSC") / "rest_ses-func01-03.npz", allow_pickle=False) as content:
        series = content["time_series"]
        subjects, sessions = content["subject"].tolist(), content["session"].tolist()
    connectomes = np.stack([np.corrcoef(scan) for scan in series])
    return connectomes, subjects, sessions, series
