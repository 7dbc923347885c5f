"""The model card of a bundle: what it is, what it was measured to do, and what it is not.

After Mitchell et al., "Model cards for model reporting", FAT* 2019. Every figure comes from the
manifest, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.bundle import Manifest, Quality

__all__ = ["model_card"]


def model_card(manifest: Manifest) -> str:
    """Return a bundle's card as Markdown.

    Parameters
    ----------
    manifest
        Complete but for the card's own checksum.
    """
    parts = [_head(manifest), _data(manifest)]
    if manifest.quality is not None:
        parts.append(_quality(manifest.quality))
    parts += [_use(manifest), _limits(manifest), _making(manifest)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(manifest: Manifest) -> Iterator[str]:
    yield f"# {manifest.id}"
    yield ""
    yield f"Version {manifest.version}, made {manifest.created_at:%Y-%m-%d}."
    yield ""
    yield f"**{manifest.intended_use}**"
    yield ""
    yield "Finds a paediatric wrist and its bones in a PA radiograph and turns both into vectors,"
    yield "so that similar prior cases can be retrieved. It makes no diagnosis; no medical device."


def _data(manifest: Manifest) -> Iterator[str]:
    training = manifest.training
    yield "## What it has learnt from"
    yield ""
    yield training.summary
    yield ""
    yield from _table(
        ("part", "real images", "phantoms"),
        [
            (name, str(training.real_images.get(name, 0)), str(training.phantoms.get(name, 0)))
            for name in dict.fromkeys((*training.real_images, *training.phantoms))
        ],
    )
    yield ""
    yield f"Sources: {', '.join(training.data)}. {len(training.training_patients)} real patients;"
    yield f"{len(training.held_out_patients)} others were held out and are what is measured on."


def _quality(quality: Quality) -> Iterator[str]:
    yield "## What was measured"
    yield ""
    yield quality.measured_on
    yield ""
    yield from _table(
        ("boxes, intersection over union 0.5", "n", "recall", "precision"),
        [
            (_words(name), str(box.n), f"{box.recall:.2f}", f"{box.precision:.2f}")
            for name, box in quality.boxes.items()
        ],
    )
    yield ""
    views = quality.view
    yield from _table(
        ("view", "n", "recall"),
        [(name, str(views.n[name]), f"{value:.2f}") for name, value in views.recall.items()],
    )
    yield ""
    yield f"Balanced accuracy of the views: {views.balanced_accuracy:.2f}."
    yield ""
    retrieval = quality.retrieval
    ways: Mapping[str, Mapping[str, float]] = {
        "two-stage": retrieval.two_stage,
        "region only": retrieval.region_only,
        "global only": retrieval.global_only,
        **({} if retrieval.fused is None else {"fused": retrieval.fused}),
        "untrained": retrieval.untrained,
        "chance": retrieval.chance,
    }
    yield f"Share of the ten nearest with the query's own fracture state, {retrieval.queries}"
    yield f"queries in {retrieval.pool} exams; those with and without a fracture weigh the same:"
    yield ""
    bones = list(retrieval.two_stage)
    yield from _table(
        ("", *map(_words, bones)),
        [(way, *(f"{found[bone]:.2f}" for bone in bones)) for way, found in ways.items()],
    )


def _use(manifest: Manifest) -> Iterator[str]:
    yield "## How its answers are to be read"
    yield ""
    yield f"Candidates are ranked by `{manifest.mode}` where a request says nothing else. The"
    yield "similarity index is the share of exam pairs around that cosine with the same finding."
    yield "Below these cosines an answer says that nothing similar is known:"
    yield ""
    rows = []
    for name, calibration in manifest.calibration.items():
        error = calibration.abstention_error
        stated = "not measured" if error is None else f"{100 * error:.1f} %"
        rows.append((_words(name), f"{calibration.nothing_similar_below:.3f}", stated))
    yield from _table(("vector", "cosine", "exams told so wrongly"), rows)


def _limits(manifest: Manifest) -> Iterator[str]:
    yield "## What it is not"
    yield ""
    if manifest.demonstration_only:
        yield "- It is for demonstration only. Nothing here says how well it retrieves real"
        yield "  fractures: its encoder has seen drawn ones."
    yield "- It knows PA views of children's wrists. Other views, other bones and adults are"
    yield "  refused or flagged by the plugin, not by these models."
    yield "- A match is an image that looks alike; what its report says may be wrong or incomplete."


def _making(manifest: Manifest) -> Iterator[str]:
    yield "## How it was made"
    yield ""
    yield f"`{manifest.training.command}`, seed {manifest.training.seed}."
    yield ""
    yield from (f"- {what}: {licence}" for what, licence in manifest.licences.items())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _words(name: str) -> str:
    return name.replace("_", " ")
