"""Every word that the picture board draws and `pipeline.wording` does not know."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BOARD_WORDS", "BoardWords"]


@dataclass(frozen=True)
class BoardWords:
    """The board's own words; braces name what is put there.

    A word of a narrow place (`query`, `bone`, `wrist`, `mirrored`) may have some twelve letters;
    the others are broken into lines.
    """

    title: str = "Similar prior wrists"
    asked: str = "Query: {wrist}, {view} view"
    compared: str = "{number} priors compared"
    compared_one: str = "1 prior compared"
    wanted: str = "wanted: {wanted}"
    query: str = "Query"
    age_unknown: str = "age unknown"
    whole_wrist: str = "Wrist as a whole"
    left: str = "L"
    right: str = "R"
    side_unknown: str = "side ?"
    mirrored: str = "mirrored"
    mirrored_means: str = (
        "Mirrored: a wrist of the other side, turned left for right so that it can be compared. "
        "Letters in it read backwards."
    )
    nothing: str = "No sufficiently similar case"
    nothing_means: str = "None of the priors that were compared comes close enough."
    nothing_to_compare: str = "No prior could be compared."
    nearest: str = "the nearest are shown all the same"
    some_of: str = "the first {shown} of {found}; the others stand in the report"
    bone: str = "bone"
    wrist: str = "wrist"
    wrist_score: str = "whole wrist"
    not_compared: str = "not compared"
    not_located: str = "bone not located"
    not_located_named: str = "{bone}: not located"
    not_shared: str = "picture not shared"
    no_report: str = "no report yet"
    millimetres: str = "{length} mm"
    scale_unknown: str = "scale unknown"
    others: str = (
        "Matches are other patients; the findings beneath them are theirs, not this patient's. "
        "No diagnosis."
    )
    no_diagnosis: str = "That nothing similar was found says nothing about a diagnosis."
    score_means: str = "The similarity index (0 to 100) ranks likeness; it is no probability."
    one_scale: str = "The crops of a row are drawn to one scale."
    one_scale_by_wrist: str = (
        "The crops of a row are drawn to one scale; where it is unknown, the wrists are taken to "
        "be equally wide."
    )


BOARD_WORDS = BoardWords()
"""The words in English."""
