from __future__ import annotations

import pytest
from mined import mine

from pipeline.findings import Alignment, collapse_others
from pipeline.region import Laterality


@pytest.mark.parametrize(
    ("words", "other"),
    [
        ("A cast is in place.", ("cast_or_splint",)),
        ("The cast has been removed.", ()),
        ("Imaged without a cast.", ()),
        ("K-wires are in situ.", ("hardware",)),
        ("Volar plate and screws.", ("hardware",)),
        ("The growth plate is open.", ()),
        ("No hardware.", ()),
        ("Soft tissue swelling.", ("soft_tissue_swelling",)),
        ("No soft tissue swelling.", ()),
        ("Undisplaced fracture of the scaphoid waist.", ("scaphoid_fracture",)),
        ("Fracture of the fifth metacarpal.", ("other_fracture",)),
        ("Possible scaphoid fracture.", ()),
        ("Disuse osteopenia.", ("osteopenia",)),
        ("Dislocation of the distal radioulnar joint.", ("dislocation",)),
        ("No foreign body.", ()),
        ("Lytic lesion of the distal radius.", ("bone_lesion",)),
    ],
)
def test_other_findings_are_read_with_their_denials(words, other):
    assert collapse_others(mine(f"Left wrist. {words}")) == other


def test_alignment_is_read():
    def aligned(words):
        return mine(f"Left wrist. {words}").sides[Laterality.LEFT].alignment

    assert aligned("Anatomic alignment.") is Alignment.NORMAL
    assert aligned("There is malalignment of the fracture.") is Alignment.ABNORMAL
    assert aligned("There is a fracture.") is None


@pytest.mark.parametrize(
    ("words", "other"),
    [
        ("Cast off.", ()),
        ("Backslab has been discarded.", ()),
        ("Cast removed today.", ()),
        ("Plaster now off.", ()),
        ("Mild osteopenia, expected after immobilisation.", ("osteopenia",)),
        ("Wires have been removed and a new cast applied.", ("cast_or_splint",)),
        ("In BEC.", ("cast_or_splint",)),
        ("POP backslab.", ("cast_or_splint",)),
        ("Dorsal plate on the distal radius, unchanged.", ("hardware",)),
        ("The nail tracks are sclerosed.", ()),
        ("STS dorsally.", ("soft_tissue_swelling",)),
        ("No STS.", ()),
        ("Glass FB in the soft tissues.", ("foreign_body",)),
    ],
)
def test_other_findings_are_read_in_short_and_gone_ones_left_out(words, other):
    assert collapse_others(mine(f"Left wrist. {words}")) == other


@pytest.mark.parametrize(
    ("words", "other"),
    [
        ("Thumb spica splint recommended.", ()),
        ("Listed for K-wire fixation.", ()),
        ("Two wires cross the physis.", ("hardware",)),
        ("The soft tissue swelling has resolved.", ()),
        ("Swelling? No. Foreign body? Yes, 3 mm.", ("foreign_body",)),
        ("Considerable soft tissue swelling.", ("soft_tissue_swelling",)),
        ("A density in the thenar is retained glass.", ("foreign_body",)),
        ("Sclerotic focus, a bone island.", ("bone_lesion",)),
    ],
)
def test_what_is_only_planned_or_gone_is_left_out_of_the_other_findings(words, other):
    assert collapse_others(mine(f"Left wrist. {words}")) == other


@pytest.mark.parametrize(
    ("words", "other"),
    [
        ("Plaster cast was removed before the exposure.", ()),
        ("He came in a plaster cast. I had the plaster taken off before exposing.", ()),
        ("Plaster-free control.", ()),
        ("Splint and see in 10 days.", ()),
        ("Immobilize and reimage in 10 days.", ()),
        ("The slab is still on and may come off.", ("cast_or_splint",)),
        ("A scratch on the plate.", ()),
        ("A plate on the distal radius.", ("hardware",)),
        ("Compact island of 4 mm in the epiphysis.", ("bone_lesion",)),
        ("# neck of 5th MC.", ("other_fracture",)),
    ],
)
def test_what_was_on_before_or_will_be_is_left_out(words, other):
    assert collapse_others(mine(f"Left wrist. {words}")) == other
