"""The codes that results use: public ones where they exist, else scheme 99WRISTMIR."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from pipeline.region import Region

__all__ = [
    "ALGORITHM_NAME",
    "ALGORITHM_VERSION",
    "ANSWERED_AT",
    "AP_VIEW",
    "ARTIFICIAL_INTELLIGENCE",
    "BONES",
    "FALLBACK",
    "GLOBAL_INDEX",
    "INTENDED_USE",
    "JUDGED_RESULT",
    "LIBRARY",
    "LOCATED_BONES",
    "LOGIN_NAME",
    "MATCH",
    "MATCHES",
    "NOT_JUDGED",
    "OBSERVER_TYPE",
    "OUTCOME",
    "PATIENT",
    "PA_VIEW",
    "PERCENT",
    "PERSON",
    "PERSON_NAME",
    "POINTS",
    "PRIOR_IMAGE",
    "PROCEDURE",
    "PROVENANCE",
    "QUERY",
    "QUERY_IMAGE",
    "RANK",
    "RANKS",
    "REGION_INDEX",
    "RELEVANCE",
    "RELEVANCE_TITLE",
    "SCHEME",
    "SCHEME_NAME",
    "SCORE_MEANING",
    "SIMILAR_CASES",
    "SUBJECT_CLASS",
    "SUBJECT_ID",
    "TITLE",
    "WARNING",
    "WRIST",
]

SCHEME: Final = "99WRISTMIR"
SCHEME_NAME: Final = "WristMIR result terms"


def _own(value: str, meaning: str) -> Code:
    return Code(value, SCHEME, meaning)


# DICOM has no code for similarity, rank or retrieved case: these are the plugin's own
TITLE: Final = _own("WM001", "Similar prior wrist radiographs")
INTENDED_USE: Final = _own("WM002", "Intended use")
WARNING: Final = _own("WM003", "Warning")
QUERY: Final = _own("WM010", "Query")
QUERY_IMAGE: Final = _own("WM011", "Query image")
LOCATED_BONES: Final = _own("WM012", "Bones located in the query image")
SIMILAR_CASES: Final = MappingProxyType(
    {
        None: _own("WM020", "Wrist as a whole: similar prior cases"),
        Region.DISTAL_RADIUS: _own("WM021", "Distal radius: similar prior cases"),
        Region.DISTAL_ULNA: _own("WM022", "Distal ulna: similar prior cases"),
        Region.ULNAR_STYLOID: _own("WM023", "Ulnar styloid: similar prior cases"),
    }
)
FALLBACK: Final = _own("WM030", "How the search was relaxed")
OUTCOME: Final = _own("WM031", "Outcome")
MATCHES: Final = _own("WM032", "Findings of other patients")
MATCH: Final = _own("WM033", "Matched prior case")
PRIOR_IMAGE: Final = _own("WM034", "Image of the prior case")
PROVENANCE: Final = _own("WM040", "How this was made")
SCORE_MEANING: Final = _own("WM041", "Meaning of the similarity index")
LIBRARY: Final = _own("WM042", "Library searched")
ANSWERED_AT: Final = _own("WM043", "Answered at")
RANK: Final = _own("WM051", "Rank")
REGION_INDEX: Final = _own("WM052", "Similarity index of the bone")
GLOBAL_INDEX: Final = _own("WM053", "Similarity index of the whole wrist")

# a document by which a reader returns how relevant matches are (WM060 to WM062 are of requests)
RELEVANCE_TITLE: Final = _own("WM070", "Relevance of similar prior cases")
JUDGED_RESULT: Final = _own("WM071", "Result that is judged")
RELEVANCE: Final = _own("WM072", "Relevance")
NOT_JUDGED: Final = _own("WM080", "Not judged")
POINTS: Final = MappingProxyType(
    {
        1: _own("WM081", "1: not relevant"),
        2: _own("WM082", "2: slightly relevant"),
        3: _own("WM083", "3: moderately relevant"),
        4: _own("WM084", "4: relevant"),
        5: _own("WM085", "5: highly relevant"),
    }
)

# PS3.16: TID 1002 and 1003 (observer)
OBSERVER_TYPE: Final = Code("121005", "DCM", "Observer Type")
PERSON: Final = Code("121006", "DCM", "Person")
PERSON_NAME: Final = Code("121008", "DCM", "Person Observer Name")
LOGIN_NAME: Final = Code("128774", "DCM", "Person Observer's Login Name")
# PS3.16: TID 1006 and 1007 (subject context), TID 1204 (language), TID 4019 (algorithm)
SUBJECT_CLASS: Final = Code("121024", "DCM", "Subject Class")
PATIENT: Final = Code("121025", "DCM", "Patient")
SUBJECT_ID: Final = Code("121030", "DCM", "Subject ID")
ALGORITHM_NAME: Final = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION: Final = Code("111003", "DCM", "Algorithm Version")
ARTIFICIAL_INTELLIGENCE: Final = Code("123110", "DCM", "Artificial Intelligence")
PROCEDURE: Final = codes.cid100.ImagingProcedure
PERCENT: Final = Code("%", "UCUM", "Percent")
RANKS: Final = Code("{rank}", "UCUM", "rank")

# SNOMED CT, as DICOM may use it (PS3.16 section 8.1.1); views from CID 4010
WRIST: Final = Code("74670003", "SCT", "Wrist joint")
BONES: Final = MappingProxyType(
    {
        None: WRIST,
        Region.DISTAL_RADIUS: Code("75129005", "SCT", "Distal radius"),
        Region.DISTAL_ULNA: Code("91238003", "SCT", "Distal ulna"),
        Region.ULNAR_STYLOID: Code("91361004", "SCT", "Styloid process of ulna"),
    }
)
PA_VIEW: Final = Code("272479007", "SCT", "postero-anterior")
AP_VIEW: Final = Code("399348003", "SCT", "antero-posterior")
