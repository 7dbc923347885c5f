"""The paper's own figures (Sonmezer et al., WristMIR, MIDL 2026), to stand beside ours."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "BINARY",
    "BOXES",
    "CLASS",
    "DIAGNOSIS",
    "MULTI_POSITIVE",
    "RADIOLOGIST",
    "RANKS",
    "RECALLS",
    "REPRESENTATION",
    "SECONDS",
]

Row = tuple[str, ...]

REPRESENTATION: Mapping[str, Row] = {
    "MedCLIP": ("0.13", "0.32", "1.11", "2.31", "0.827", "0.800", "0.758"),
    "PMC-CLIP": ("0.44", "0.92", "3.71", "7.73", "0.891", "0.890", "0.822"),
    "BioMedCLIP": ("0.82", "1.14", "5.01", "10.17", "0.862", "0.853", "0.791"),
    "Global-only FT": ("5.83", "9.41", "21.71", "28.91", "0.898", "0.913", "0.815"),
    "WristMIR": ("9.35", "15.28", "38.13", "52.84", "0.949", "0.953", "0.867"),
}
"""Table 1: Recall@5, 10, 50, 100 in percent; AUROC, AUPRC, F1."""

MULTI_POSITIVE: Mapping[str, Row] = {
    "without the multi-positive loss": (
        "9.22", "15.12", "38.03", "53.38", "0.949", "0.953", "0.866",
    ),
    "with it": REPRESENTATION["WristMIR"],
}  # fmt: skip
"""Table 4: the columns of Table 1."""

RANKS: Mapping[str, Row] = {
    "MedCLIP": ("0.24 [0.15, 0.34]", "1801.14 [1770.97, 1831.02]", "1874 [1838, 1910]"),
    "PMC-CLIP": ("0.65 [0.52, 0.80]", "886.54 [862.24, 911.27]", "700 [658, 734]"),
    "BioMedCLIP": ("0.89 [0.70, 1.11]", "914.68 [888.34, 940.80]", "759 [723, 806]"),
    "Global-only FT": ("4.41 [3.90, 4.91]", "812.56 [782.37, 843.32]", "473 [439, 512]"),
    "WristMIR": ("7.34 [6.69, 7.96]", "141.82 [136.70, 147.58]", "89 [83, 97]"),
}
"""Table 5: mAP in percent, mean and median rank."""

RECALLS: Mapping[str, Row] = {
    "MedCLIP": ("0.13 [0.00, 0.25]", "0.32 [0.13, 0.54]", "1.11 [0.73, 1.52]", "2.31 [1.81, 2.85]"),
    "PMC-CLIP": (
        "0.44 [0.22, 0.70]", "0.92 [0.60, 1.27]", "3.71 [3.04, 4.41]", "7.73 [6.85, 8.68]",
    ),
    "BioMedCLIP": (
        "0.82 [0.54, 1.14]", "1.14 [0.79, 1.55]", "5.01 [4.34, 5.86]", "10.17 [9.16, 11.28]",
    ),
    "Global-only FT": (
        "5.83 [5.04, 6.59]", "9.41 [8.34, 10.43]", "21.71 [20.25, 23.14]", "28.91 [27.16, 30.49]",
    ),
    "WristMIR": (
        "9.35 [8.34, 10.30]", "15.28 [14.01, 16.51]", "38.13 [36.35, 39.84]",
        "52.84 [51.09, 54.58]",
    ),
}  # fmt: skip
"""Table 6: Recall@5, 10, 50, 100 in percent."""

BINARY: Mapping[str, Row] = {
    "global_only": ("0.824", "0.458", "0.374"),
    "region_only": ("0.892", "0.670", "0.516"),
    "two_stage": ("0.864", "0.666", "0.522"),
}
"""Tables 2 and 7, binary fracture matching: radius, ulna, styloid."""

CLASS: Mapping[str, Row] = {
    "global_only": ("0.534", "0.372", "0.344"),
    "region_only": ("0.592", "0.522", "0.344"),
    "two_stage": ("0.578", "0.542", "0.468"),
}
"""Tables 2 and 7, fracture classification matching."""

DIAGNOSIS: Mapping[str, Row] = {
    "global_only": ("0.897", "0.574", "0.233"),
    "two_stage": ("0.934", "0.771", "0.554"),
}
"""Table 2, retrieval-based fracture diagnosis, F1."""

RADIOLOGIST: Mapping[str, Row] = {
    "global_only": ("3.47", "3.45", "3.16"),
    "two_stage": ("4.22", "4.42", "4.41"),
}
"""Table 2, a radiologist's rating from 1 to 5."""

SECONDS: Row = ("7.81", "40.39", "74.94")
"""Table 7, mean seconds to retrieve from pools of 100, 500 and 1000 without stored vectors."""

BOXES: Mapping[str, Row] = {
    "distal_radius": ("0.977", "1.000", "0.988", "0.995"),
    "distal_ulna": ("0.933", "1.000", "0.967", "0.995"),
    "ulnar_styloid": ("0.933", "1.000", "0.967", "0.995"),
    "overall": ("0.947", "1.000", "0.973", "0.995"),
}
"""Table 8: precision, recall, F1, mAP@50."""
