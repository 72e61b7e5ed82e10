"""What each section of the page shows, as the template needs it: charts, tables and sentences."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...data.arrays import Float32, Int64
from ...data.figures import Interval, PairedTest
from ...data.metrics import Metrics
from ...data.wording import counted, figure, number, percent
from ..evaluate.paper_table import different_pairs, same_class_pairs
from .answer import is_learnt
from .charts import Axes, Line, Whisker, histogram, line_chart, matrix, whiskers
from .inputs import Extraction, ReportInputs, Sweep
from .neighbours import SpaceVectors

Section = dict[str, Any]
MOST_CLASSES = 24  # in the confusion picture
MOST_POINTS = 400  # of a training curve
MOST_LISTED = 20  # failures, pairs
OF_STEPS = ("loss", "cosine", "contrast", "forecast", "pretext")  # figures of the log that are drawn
WATCHED = {  # and those that are taken now and then, by where they stand
    "effective rank": ("health", "effective_rank"),
    "alignment of adjoining clips": ("alignment",),
    "forecast skill": ("forecast", "all", "skill"),
    "InfoNCE, nats": ("info_nce",),
}


def headline(metrics: Metrics) -> Section:
    """The learnt rows and the bars that they must beat."""
    best = metrics.protocol.best_trivial
    wanted = [*(name for name in metrics.retrieval if is_learnt(name) and "+" not in name)]
    wanted = [name for name in wanted if name != "persistence"]
    bars = dict.fromkeys([*([best] if best else []), *_bars(metrics)])
    rows, dots = [], []
    for name in (*wanted, *bars):
        row = metrics.retrieval[name]
        found, tested = row.recalls, row.against_best_trivial
        widest = row.intervals.mean_ap.widest
        rows.append(
            {
                "name": name,
                "what": metrics.protocol.rows.get(name, ""),
                "learnt": is_learnt(name),
                "best": name == best,
                "R@1": percent(found.r_at_1),
                "R@5": percent(found.r_at_5),
                "mAP": percent(found.mean_ap),
                "interval": _interval(widest),
                "probe": percent(row.probe.accuracy if row.probe else None),
                "verdict": _verdict(tested.mean_ap if tested else None),
            }
        )
        if found.mean_ap is not None:
            dots.append(Whisker(name, found.mean_ap, widest, is_learnt(name)))
    measured = bool(dots)
    return {
        "rows": rows if measured else [],
        "chart": whiskers("mAP and its 95 % interval", dots, "mAP, %"),
        "over": "recordings" if measured and _by_group(metrics) else "videos",
        "best": best,
    }


def _bars(metrics: Metrics) -> list[str]:
    """The rows that cost no training, the highest first; those with mutual proximity are left to the other tables."""
    names = [name for name in metrics.retrieval if not is_learnt(name) and "+" not in name]
    return sorted(names, key=lambda name: -(metrics.retrieval[name].recalls.mean_ap or 0.0))


def similarity(inputs: ReportInputs, spaces: Sequence[SpaceVectors]) -> Section:
    """Cosines of pairs of videos, as their networks make them, beside the paper's numbers."""
    metrics = inputs.metrics
    chosen = [row for row, source in enumerate(inputs.sources) if inputs.split.role(source.video.id) == "test"]
    chosen = chosen or list(range(len(inputs.sources)))
    videos = [inputs.sources[row].video for row in chosen]
    classes = metrics.protocol.classes > 0
    different_P2 = different_pairs(videos, 10_000, metrics.protocol.seed)
    same_P2 = same_class_pairs(videos, 10_000, metrics.protocol.seed)
    paper = metrics.table2.rows()
    marks = {
        f"paper, {name.replace('_', ' ')}": value
        for name in ("same_class", "different_class")
        if classes and (value := paper[name].paper) is not None
    }
    charts = []
    for space in spaces:
        vectors_VE = space.unit_VE[chosen]
        different = _cosines(vectors_VE, different_P2)
        of_classes = {"same class": _cosines(vectors_VE, same_P2), "different class": different}
        samples = of_classes if classes else {"different videos": different}
        title = f"Cosines of pairs of videos, {space.name}"
        charts.append(histogram(title, samples, "cosine, not centred", marks if space.name == "mofore" else None))
    rows = [
        [
            name.replace("_", " "),
            number(row.mean, 4),
            number(row.sd, 4),
            f"{row.n:,}",
            number(row.paper if classes or name != "different_class" else None, 4),
        ]
        for name, row in paper.items()
        if row.n
    ]
    return {"charts": [chart for chart in charts if chart], "rows": rows}


def classes(inputs: ReportInputs, space: SpaceVectors | None) -> Section:
    """R@1 by class, and which classes are taken for which by the nearest video."""
    labels = [source.video.label for source in inputs.sources]
    found = [] if space is None or not space.near_VK.shape[1] else space.near_VK[:, 0].tolist()
    asked = [
        row
        for row, nearest in enumerate(found)
        if nearest >= 0 and labels[row] and inputs.split.role(inputs.sources[row].video.id) == "test"
    ]
    pairs = Counter((str(labels[row]), labels[found[row]] or "(no class)") for row in asked)
    wrong = Counter[str]()
    for (true, taken), count in pairs.items():
        if true != taken:
            wrong.update({true: count, taken: count})
    names = sorted({name for pair in pairs for name in pair})
    if len(names) > MOST_CLASSES:
        names = sorted(name for name, _ in wrong.most_common(MOST_CLASSES))
    counts = [[float(pairs[row, column]) for column in names] for row in names]
    several = inputs.metrics.left_out is not None
    title = "Class of the query (rows) and of its nearest video (columns)"
    all_classes = len({label for label in labels if label})
    return {
        "chart": "" if several or len(names) < 2 else matrix(title, names, counts),
        "some": f"the {len(names)} of {all_classes} classes that are mixed up most" if len(names) < all_classes else "",
        "rows": _class_rows(inputs.metrics),
        "confusions": [
            [pair.label, pair.taken_for, f"{pair.queries:g} of {pair.of}"]
            for pair in inputs.metrics.confusions.get("mofore", ())[:10]
        ],
    }


def _class_rows(metrics: Metrics) -> list[dict[str, Any]]:
    """Of each class the figure of mofore and of the raw features; the largest losses first."""
    rows = []
    for name, figures in metrics.per_class.items():
        mine, raw = figures.r_at_1.get("mofore"), figures.r_at_1.get("raw_mean_pool")
        if mine is not None and raw is not None:
            rows.append({"name": name, "queries": figures.queries, "mofore": mine, "raw": raw, "gain": mine - raw})
    return sorted(rows, key=lambda row: (row["gain"], row["name"]))


def forecast(metrics: Metrics) -> Section:
    """Skill by gap: how much less is missed than by saying that nothing changes."""
    gaps = metrics.forecast.skill.gaps
    x = [float(gap) for gap in gaps]
    trivial = list(dict.fromkeys(name for row in gaps.values() for name in row.skills() if name != "persistence"))
    lines = [Line("mofore", x, [row.skill for row in gaps.values()])]
    lines += [Line(name, x, [row.skills().get(name) for row in gaps.values()]) for name in trivial]
    unit = metrics.forecast.unit
    whole = metrics.forecast.skill.whole
    rows = [
        [
            gap,
            *(figure(value) for value in (row.mse, row.persistence.mse, row.climatology.mse, row.chance.mse)),
            f"{row.n:,}",
        ]
        for gap, row in {**gaps, **({"all": whole} if whole else {})}.items()
    ]
    return {
        "chart": line_chart(
            "Skill by gap (0: as good as saying that nothing changes)", lines, Axes(f"gap, {unit}", "skill", zero=True)
        ),
        "rows": rows,
        "unit": unit,
    }


def training(folder: Path) -> Section:
    """The curves of the fit, and what alarmed it."""
    log, looks = _json_lines(folder / "log.jsonl"), _json_lines(folder / "validation.jsonl")
    alarms = [(int(look["step"]), str(text)) for look in looks for text in look.get("alarms", ())]
    axes = Axes("step", "", marks=tuple(sorted({float(step) for step, _ in alarms})))
    charts = [_curve(f"{name}, of each step", log, (name,), axes) for name in OF_STEPS]
    charts += [_curve(f"{name}, watched", looks, path, axes) for name, path in WATCHED.items()]
    watched = ""
    if looks:
        which = "some of those trained on" if looks[-1].get("seen") else "held out"
        watched = f"{counted(int(looks[-1]['videos']), 'video')}, {which}"
    return {"charts": [chart for chart in charts if chart], "alarms": alarms, "watched": watched}


def _curve(title: str, rows: Sequence[Mapping[str, Any]], path: Sequence[str], axes: Axes) -> str:
    """A figure of the rows of a log, where it stands in each; empty with fewer than two points."""
    points = []
    for row in rows:
        value: Any = row
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, int | float):
            points.append((float(row["step"]), float(value)))
    if len(points) < 2:
        return ""
    points = _thinned(points)
    return line_chart(title, [Line(title, [x for x, _ in points], [y for _, y in points])], axes)


def extraction(found: Extraction) -> Section:
    """How many, how fast, what failed, how long."""
    frames, videos = int(found.frames_V.sum()), len(found.frames_V)
    facts = [("videos", f"{videos:,}"), ("frames", f"{frames:,}")]
    if found.seconds and not found.imported:
        facts.append(("latest extraction", f"{found.seconds:,.1f} s"))
        facts.append(("frames a second, if it read all of them", f"{frames / found.seconds:,.1f}"))
    facts.append(("could not be read", f"{len(found.failures):,}"))
    reasons = Counter(reason for _, reason in found.failures)
    long_V = found.duration_V > 0
    rates = (found.frames_V[long_V] - 1) / found.duration_V[long_V]
    return {
        "facts": facts,
        "charts": [
            chart
            for chart in (
                histogram("Length of the videos", {"length": found.duration_V.tolist()}, "seconds"),
                histogram("Frames stored of a video", {"frames": found.frames_V.tolist()}, "frames"),
                histogram("Frames a second, as stored", {"rate": rates.tolist()}, "frames a second"),
            )
            if chart
        ],
        "reasons": reasons.most_common(8),
        "failures": found.failures[:MOST_LISTED],
        "more": max(0, len(found.failures) - MOST_LISTED),
        "imported": found.imported,
    }


def duplicates(inputs: ReportInputs, raw: SpaceVectors | None) -> Section:
    """What is on both sides of the split: near-duplicates, or, without clips, the most similar videos."""
    split = next(iter(inputs.metrics.protocols.splits.values()), None)
    row = split.rows.get("raw_mean_pool") if split else None
    leak = row.nearest_of_same_group if row else None
    place = {source.video.id: number for number, source in enumerate(inputs.sources)}
    found = inputs.duplicates
    section: Section = {"leak": percent(leak) if leak is not None else "", "found": found, "pairs": [], "suspects": []}
    if found is not None:
        section["pairs"] = [
            {**pair, "row": place.get(pair["video"], -1), "other_row": place.get(pair["other"], -1)}
            for pair in found.pairs[:MOST_LISTED]
        ]
        section["more"] = max(0, len(found.pairs) - MOST_LISTED)
    elif raw is not None and raw.near_VK.shape[1]:
        asked = [n for n, source in enumerate(inputs.sources) if inputs.split.role(source.video.id) == "test"]
        asked = sorted(asked, key=lambda n: -float(raw.similarity_VK[n, 0]))[:8]
        section["suspects"] = [
            {
                "video": inputs.sources[n].video.id,
                "row": n,
                "other": inputs.sources[int(raw.near_VK[n, 0])].video.id,
                "other_row": int(raw.near_VK[n, 0]),
                "similarity": float(raw.similarity_VK[n, 0]),
            }
            for n in asked
            if raw.near_VK[n, 0] >= 0
        ]
    return section


def sweep(found: Sweep) -> Section:
    """The runs of a sweep, their mAP and what it is against the first, and the best row without training of each."""
    rows, dots = [], []
    for run in found.table["runs"]:
        figures, first = run.get("figures"), run.get("against_first")
        if figures is None:
            rows.append([run["name"], "", "", "", "", "", run.get("failed", "")])
            continue
        interval = figures.get("mAP_interval")
        if figures["mAP"] is not None:
            dots.append(Whisker(run["name"], figures["mAP"], Interval(*interval) if interval else None))
        rows.append(
            [
                run["name"],
                percent(figures["R@1"]),
                percent(figures["mAP"]),
                percent(figures.get("probe")),
                number(figures.get("skill"), 3),
                "first" if first is None else _of_sweep(first),
                _of_sweep(run.get("against_trivial")),
            ]
        )
    return {"key": found.key, "rows": rows, "chart": whiskers("mAP of each run", dots, "mAP, %")}


def _of_sweep(difference: Mapping[str, Any] | None) -> str:
    tested = (difference or {}).get("mAP") or {}
    return f"{tested['difference']:+.1f} {tested['verdict']}" if tested.get("verdict") else "-"


def _by_group(metrics: Metrics) -> bool:
    return next(iter(metrics.retrieval.values())).intervals.mean_ap.interval_by_group is not None


def _cosines(vectors_VE: Float32, pairs_P2: Int64) -> list[float]:
    found: list[float] = (vectors_VE[pairs_P2[:, 0]] * vectors_VE[pairs_P2[:, 1]]).sum(axis=1).tolist()
    return found


def _json_lines(path: Path) -> list[Mapping[str, Any]]:
    """Rows of a log; none where there is no log, and without what was torn."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of neighbouring points, where there are more than a chart has room for."""
    if len(points) <= MOST_POINTS:
        return points
    parts = np.array_split(np.array(points, np.float64), MOST_POINTS)
    return [(float(part[-1, 0]), float(part[:, 1].mean())) for part in parts]


def _verdict(tested: PairedTest | None) -> tuple[str, str]:
    """What the test says, in words, and the sign to show with it."""
    if tested is None or tested.verdict is None or tested.difference is None:
        return "", ""
    signs = {"better": "▲", "worse": "▼", "no difference": "="}
    return f"{tested.difference:+.1f} {tested.verdict}", signs[tested.verdict]


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.1f} to {interval.high:.1f}"
