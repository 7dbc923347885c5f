"""The names of the UPS service: SOP classes, attributes, and the codes of a request."""

from __future__ import annotations

from collections.abc import Mapping

from listener.elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE

__all__ = [
    "BONES",
    "BONE_CONCEPT",
    "COUNT_CONCEPT",
    "EVENT",
    "FILTERED_GLOBAL",
    "GLOBAL",
    "INCOMPLETE",
    "MOST_BYTES",
    "NOT_SUPPORTED",
    "PULL",
    "PUSH",
    "QUERY",
    "SOP_CLASSES",
    "STATION",
    "TRANSFER_SYNTAXES",
    "UNSPECIFIED",
    "WATCH",
    "WORKITEM",
    "Coded",
]

Coded = tuple[str, str, str]
"""Code value, coding scheme designator, code meaning."""

PUSH = "1.2.840.10008.5.1.4.34.6.1"
WATCH = "1.2.840.10008.5.1.4.34.6.2"
PULL = "1.2.840.10008.5.1.4.34.6.3"
EVENT = "1.2.840.10008.5.1.4.34.6.4"
QUERY = "1.2.840.10008.5.1.4.34.6.5"
SOP_CLASSES = (PUSH, WATCH, PULL, EVENT, QUERY)
"""PS3.4 table CC.2-1; every instance is one of UPS Push."""

GLOBAL = "1.2.840.10008.5.1.4.34.5"
FILTERED_GLOBAL = "1.2.840.10008.5.1.4.34.5.1"
"""The well-known instances of global subscriptions (PS3.4 section CC.2.3.1)."""

TRANSFER_SYNTAXES = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
MOST_BYTES = 64 * 1024
"""Of one data set; longer ones are not read."""

# PS3.16 CID 9231 has image processing, detection, interpretation and the like, but no retrieval
WORKITEM: Coded = ("WM060", "99WRISTMIR", "Retrieval of similar prior cases")
STATION: Coded = ("WM061", "99WRISTMIR", "WristMIR")
COUNT_CONCEPT: Coded = ("WM062", "99WRISTMIR", "Number of similar cases")
# content items of Scheduled Processing Parameters: what TID 1500 calls the place of a finding
BONE_CONCEPT: Coded = ("363698007", "SCT", "Finding Site")
BONES: Mapping[tuple[str, str], str] = {
    ("75129005", "SCT"): "distal_radius",
    ("91238003", "SCT"): "distal_ulna",
    ("91361004", "SCT"): "ulnar_styloid",
}
"""What a job is told of a bone's code; the same codes as in results."""

# PS3.16 CID 9300: why a step was discontinued
INCOMPLETE: Coded = ("110523", "DCM", "Object Set incomplete")
NOT_SUPPORTED: Coded = ("110522", "DCM", "Object Types not supported")
UNSPECIFIED: Coded = ("110513", "DCM", "Discontinued for unspecified reason")
