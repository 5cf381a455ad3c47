"""
From scans to evidence
======================

Thirty resting scans of ten people (the Midnight Scan Club, three sessions each) become connectomes; communities are
learned that all scans share; people are recognised across days; and one page, ``report.html``, tells what came out.
Without the scans and without a network the same is done on a simulated cohort, and everything written says so.
"""

# %%
# The packages come in the order of the day's work: data, primitives, models, evaluation.

import argparse
import sys
import time
from pathlib import Path

import pandas as pd

import conn.eval as ev
from conn.data import DataUnavailableError, ScanSet, fetch_msc, parse_sessions, simulate_cohort
from conn.functional import corr
from conn.models import DynamicCommunityModel


def options(arguments: list[str]) -> argparse.Namespace:
    style = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser("demo", description="From resting scans to a report.", formatter_class=style)
    parser.add_argument("--out", type=Path, default=Path("conn-demo"), help="folder for report.html and tables")
    parser.add_argument("--sessions", default="1-3", help="sessions of the Midnight Scan Club, such as 1-3 or 1,4")
    parser.add_argument("--epochs", type=int, default=45, help="steps of the community model")
    parser.add_argument("--communities", type=int, default=10, help="number of communities")
    parser.add_argument("--learning-rate", type=float, default=0.2, help="of the community model")
    parser.add_argument("--permutations", type=int, default=2000, help="of the null of identification")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    parser.add_argument("--simulate", action="store_true", help="use a simulated cohort even where scans are at hand")
    parser.add_argument("--offline", action="store_true", help="never ask the network")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(arguments)


def load(choice: argparse.Namespace) -> ScanSet:
    sessions = parse_sessions(choice.sessions)
    if not choice.simulate:
        try:
            return fetch_msc(sessions=sessions, offline=choice.offline)
        except DataUnavailableError as reason:
            print(f"the real scans are out of reach ({reason}); going on with a SIMULATED cohort")
    return simulate_cohort(n_sessions=len(sessions), rng=choice.seed)


# %%
# Each step is a public function with plain arrays on both sides: enter or leave anywhere with data of your own.


def run(choice: argparse.Namespace) -> dict:
    ev.check_output_folder(choice.out)  # an unwritable folder is an error now, not in five minutes
    seconds, start = {}, time.perf_counter()

    def took(step: str) -> None:
        nonlocal start
        seconds[step], start = round(time.perf_counter() - start, 2), time.perf_counter()
        print(f"{step}: {seconds[step]:.1f} s", flush=True)

    scans = load(choice)
    print(scans.describe())
    took("scans")

    connectomes = corr(scans.time_series, mask=scans.mask)
    group = ev.group_connectome(connectomes)
    took("connectomes")

    subjects, sessions = scans.table["subject"], scans.table["session"]
    people = ev.fingerprint(connectomes, subjects, sessions)
    null = ev.identification_null(people, n_permutations=choice.permutations, rng=choice.seed)
    simpler = ev.fingerprint_baselines(connectomes, subjects, sessions, time_series=scans.time_series, mask=scans.mask)
    comparison = ev.compare_fingerprints({"connectome": people, **simpler})
    took("identification")

    model = DynamicCommunityModel(
        choice.communities,
        objective="rectified",
        n_epochs=choice.epochs,
        learning_rate=choice.learning_rate,
        seed=choice.seed,
    ).fit(scans.time_series, mask=scans.mask)
    networks, first = scans.networks, model.dynamics_[0]
    agreement = ev.partition_agreement(model.labels_, networks).to_frame()
    regions = pd.DataFrame(
        {"region": scans.region_labels, "network": networks, "community": model.labels_ + 1}
        | {f"affiliation_{number}": values for number, values in enumerate(model.affiliation_.T, start=1)}
    )
    took("communities")

    parts = [
        ("Group connectome", ev.plot_connectome(group, groups=networks), "Mean over scans (Fisher z), by network."),
        ("Similarity of scans", ev.plot_similarity(people), "Correlation between the edges of every two scans."),
        ("Null of identification", ev.plot_null(null), "Subjects are permuted within sessions; regions never move."),
        ("Learned communities", ev.plot_communities(model.affiliation_, groups=networks), "Common to all scans."),
        ("Activity in the first scan", ev.plot_dynamics(first, scans.repetition_time), "Weights, not decoded states."),
        ("Training", ev.plot_training(model.history_), "Terms of the objective, strength included, before each step."),
    ]
    numbers = {
        "identification accuracy": (people.accuracy, *people.accuracy_interval),
        "chance": people.chance,
        "p value (permuted subjects)": null.p_value,
        "similarity to oneself (r)": (people.self_similarity, *people.self_interval),
        "similarity to others (r)": (people.other_similarity, *people.other_interval),
    }
    report = ev.Report("From scans to evidence", simulated=scans.simulated, subtitle=scans.provenance.dataset)
    facts = [line.split("  ", 1) for line in scans.describe().splitlines()[1:]]
    report.add_text("Data", scans.describe().splitlines()[0])
    report.add_table("Data", pd.DataFrame([(name, value.strip()) for name, value in facts], columns=["what", "is"]))
    report.add_numbers("Identification", numbers, "With 95 % intervals over subjects.")
    report.add_table(
        "Identification", comparison, "Where simpler descriptions do as well, identity says little of edges."
    )
    report.add_table("Identification", people.pairs, "Every ordered pair of sessions.")
    report.add_table("Communities", agreement, f"Agreement with the {len(set(networks))} networks of the labels.")
    for name, figure, caption in parts:
        report.add_figure(name, figure, caption, alt=f"{name}. {caption}")
    versions = ev.environment_versions()
    report.add_numbers("Timings", {f"{step} (s)": value for step, value in seconds.items()})
    report.add_numbers("Versions", versions)
    results = {
        "data": scans.provenance.describe(),
        "identification": numbers,
        "communities": {"agreement": agreement.to_dict("records"), "seconds_per_epoch": model.seconds_per_epoch_},
        "settings": vars(choice) | {"out": choice.out.name},
        "seconds": seconds,
        "versions": versions,
    }
    training = pd.DataFrame(model.history_).rename_axis("epoch").reset_index()
    tables = {"identification": people.pairs, "targets": people.targets, "baselines": comparison}
    tables |= {"communities": regions, "training": training, "null": pd.DataFrame({"accuracy": null.null})}
    written = ev.write_results(choice.out, results, tables, simulated=scans.simulated)
    page = report.write(choice.out / "report.html")
    print(f"identified {people.accuracy:.0%} of targets (chance {people.chance:.0%}, p = {null.p_value:.4f})")
    print("\n".join(f"wrote {path}" for path in [page, *written.values()]))
    return {name: figure for name, figure, _ in parts}


# %%
# From a shell: ``hatch run demo -- --epochs 500 --out DIR``; ``--help`` tells the rest.

if __name__ == "__main__":
    choice = options(sys.argv[1:])
    try:
        figures = run(choice)
    except (ValueError, OSError) as error:
        if choice.debug:
            raise
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(2)
