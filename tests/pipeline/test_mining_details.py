from __future__ import annotations

import pytest
from mined import ALL_ABSENT, RADIUS, STYLOID, ULNA, mine, radius, read

from pipeline.findings import collapse, collapse_others
from pipeline.region import Laterality, View


@pytest.mark.parametrize(
    ("spelling", "number"),
    [
        ("Salter-Harris I", 1),
        ("Salter-Harris type II", 2),
        ("Salter Harris 2", 2),
        ("SALTER HARRIS TYPE III", 3),
        ("Salter–Harris IV", 4),
        ("salter harris type 5", 5),
        ("SH2", 2),
        ("SH II", 2),
        ("S-H III", 3),
        ("Salter II", 2),
        ("Slater-Harris II", 2),
        ("Salter-Harris class 1", 1),
        ("type IV Salter-Harris", 4),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        "{} fracture of the distal radius",
        "{} distal radius fracture",
        "Distal radius: {} fracture",
        "Fracture of the distal radius, {}",
    ],
)
def test_salter_harris_is_read_in_every_spelling(form, spelling, number):
    assert radius(f"Left wrist. {form.format(spelling)}.").type == f"salter_harris_{number}"


def test_salter_harris_without_one_number_is_unspecified():
    for words in ("Salter-Harris fracture", "Salter-Harris I or II fracture", "physeal fracture"):
        found = radius(f"Left wrist. {words} of the distal radius.")
        assert found.type == "salter_harris_unspecified"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("torus fracture", "buckle"),
        ("buckle fracture", "buckle"),
        ("greenstick fracture", "greenstick"),
        ("transverse fracture", "transverse"),
        ("spiral fracture", "oblique"),
        ("comminuted fracture", "comminuted"),
        ("avulsion fracture", "avulsion"),
        ("plastic bowing", "plastic_bowing"),
        ("fracture", "unspecified"),
    ],
)
def test_types_are_read_by_their_names(words, kind):
    assert radius(f"Right wrist. There is a {words} of the distal radius.").type == kind


def test_an_oblique_view_is_no_oblique_fracture():
    text = "PA, lateral and oblique views of the left wrist show a fracture of the distal radius."
    assert radius(text).type == "unspecified"
    assert set(mine(text).views) == {View.PA, View.LATERAL, View.OBLIQUE}


def test_several_bones_in_one_sentence_keep_their_own_fractures():
    text = (
        "Left wrist. Transverse fracture of the distal radius with 15 degrees of angulation and an "
        "associated minimally displaced avulsion fracture of the ulnar styloid; the ulna is intact."
    )
    found = collapse(mine(text))
    assert (found[RADIUS].type, found[RADIUS].angulation_deg) == ("transverse", 15)
    assert found[RADIUS].displacement is None
    assert (found[STYLOID].type, found[STYLOID].displacement) == ("avulsion", "mild")
    assert found[ULNA].fracture == "absent"


@pytest.mark.parametrize(
    "text",
    [
        "Both bone forearm fracture.",
        "Fractures of the distal radius and ulna.",
        "Distal radial and ulnar metaphyseal fractures.",
        "Distal radius & ulna #s.",
        "The distal radius and distal ulna are fractured.",
    ],
)
def test_both_bones_are_broken_together(text):
    assert read(f"Left wrist. {text}") == {RADIUS: "present", ULNA: "present"}


@pytest.mark.parametrize(
    "words",
    [
        "ulna styloid",
        "ulnar styloid process",
        "styloid process of the ulna",
        "tip of the ulnar styloid",
    ],
)
def test_the_ulnar_styloid_is_one_bone_under_all_its_names(words):
    assert read(f"Left wrist. Fracture of the {words}.") == {STYLOID: "present"}


def test_directions_are_no_bones():
    text = "Left wrist. Distal radius fracture with ulnar deviation and ulnar positive variance."
    assert read(text) == {RADIUS: "present"}


def test_the_radial_styloid_is_the_radius_and_a_shaft_is_elsewhere():
    assert read("Left wrist. Radial styloid fracture.") == {RADIUS: "present"}
    shaft = mine("Left wrist. Greenstick fracture of the radial shaft.")
    assert collapse_others(shaft) == ("other_fracture",)
    assert read("Left wrist. Greenstick fracture of the radial shaft.") == {}


@pytest.mark.parametrize(
    ("words", "degree"),
    [
        ("Nondisplaced", "none"),
        ("Undisplaced", "none"),
        ("Minimally displaced", "mild"),
        ("Moderately displaced", "moderate"),
        ("Displaced", "moderate"),
        ("Severely displaced", "severe"),
        ("Off-ended", "severe"),
    ],
)
def test_displacement_is_read_by_degree(words, degree):
    assert radius(f"Left wrist. {words} fracture of the distal radius.").displacement == degree


@pytest.mark.parametrize(
    ("size", "degree"),
    [
        ("1 mm", "mild"),
        ("4 mm", "moderate"),
        ("8 mm", "severe"),
        ("100%", "severe"),
        ("50%", "moderate"),
    ],
)
def test_displacement_is_read_by_measure(size, degree):
    text = f"Left wrist. Distal radius fracture, dorsally displaced by {size}."
    assert radius(text).displacement == degree


@pytest.mark.parametrize(
    ("words", "degrees"),
    [
        ("15 degrees of dorsal angulation", 15),
        ("dorsal angulation of 15°", 15),
        ("angulated 12.5 deg", 12.5),
        ("volar angulation of 10-15 degrees", 12.5),
        ("dorsal angulation of 5 degrees (previously 20 degrees)", 5),
        ("radial inclination of 22 degrees", None),
    ],
)
def test_angulation_is_read_in_degrees(words, degrees):
    assert radius(f"Left wrist. Distal radius fracture with {words}.").angulation_deg == degrees


@pytest.mark.parametrize(
    ("words", "stage"),
    [
        ("Healing fracture of the distal radius", "healing"),
        ("Distal radius fracture with callus formation", "healing"),
        ("Distal radius fracture with periosteal reaction", "healing"),
        ("Partially healed distal radius fracture", "healing"),
        ("Distal radius fracture, not yet healed", "healing"),
        ("Healed distal radius fracture", "healed"),
        ("Old fracture of the distal radius", "healed"),
        ("Acute fracture of the distal radius", "acute"),
        ("Fracture of the distal radius in an 8 year old", None),
    ],
)
def test_healing_is_read_where_it_is_stated(words, stage):
    assert radius(f"Left wrist. {words}.").healing == stage


def test_a_remark_in_the_next_sentence_belongs_to_the_fracture_before():
    text = (
        "Left wrist. There is a distal radius fracture. Callus is seen. Mild dorsal displacement."
    )
    assert (radius(text).healing, radius(text).displacement) == ("healing", "mild")


def test_physis_and_joint_are_read_with_their_denials():
    def involved(words):
        (found,) = mine(f"Left wrist. {words}.").sides[Laterality.LEFT].regions[RADIUS]
        return found.physeal, found.intra_articular

    assert involved("Distal radius fracture") == (None, None)
    assert involved("Distal radius fracture extending to the physis") == (True, None)
    assert involved("Salter-Harris III intra-articular distal radius fracture") == (True, True)
    denied = "Extra-articular distal radius fracture without physeal involvement"
    assert involved(denied) == (False, False)


@pytest.mark.parametrize(
    "text",
    [
        "Buckle fracture of the distal radius and avulsion of the ulnar styloid, both undisplaced.",
        "Buckle fracture of the distal radius. Avulsion of the styloid. Neither is displaced.",
        "Torus fracture of the distal radius; avulsion of the styloid. Both remain undisplaced.",
    ],
)
def test_a_word_on_both_is_of_every_fracture(text):
    found = collapse(mine(f"Left wrist. {text}"))
    assert (found[RADIUS].displacement, found[STYLOID].displacement) == ("none", "none")


@pytest.mark.parametrize(
    ("text", "angles"),
    [
        ("The radius is angulated 13 degrees and the ulna 7 degrees at their fractures.", (13, 7)),
        ("Both bone fracture of the distal third: rad 12° volar, callus; uln 5°.", (12, 5)),
        ("Distal forearm fractures, radius angulated by 20 degrees, ulna by 8 degrees.", (20, 8)),
        ("Fractures of the distal radius and ulna with 15 degrees of angulation.", (15, 15)),
        ("Distal radius and ulna fractures, angulated 12 and 8 degrees respectively.", (12, 8)),
        ("Fracture of the distal radius, now 6° (from 32 to 6 degrees); ulna fracture.", (6, None)),
    ],
)
def test_each_bone_keeps_its_own_angle(text, angles):
    found = collapse(mine(f"Left wrist. {text}"))
    assert (found[RADIUS].fracture, found[ULNA].fracture) == ("present", "present")
    assert (found[RADIUS].angulation_deg, found[ULNA].angulation_deg) == angles


def test_each_bone_keeps_its_own_displacement():
    text = "Fractures of both forearm bones distally, radius displaced 80%, ulna undisplaced."
    found = collapse(mine(f"Left wrist. {text}"))
    assert (found[RADIUS].displacement, found[ULNA].displacement) == ("severe", "none")


@pytest.mark.parametrize(
    ("words", "degree"),
    [
        ("in anatomic position", "none"),
        ("no displ", "none"),
        ("nondisp", "none"),
        ("displacement nil", "none"),
        ("in near-anatomic position", None),
        ("shifted by 20 % of its width", "mild"),
        ("displaced slightly", "mild"),
        ("min displ", "mild"),
        ("displacement, formerly complete, is now minimal", "mild"),
        ("1/3 dorsal displacement", "moderate"),
        ("displaced by two thirds of its width", "severe"),
        ("displaced a quarter of its width", "mild"),
        ("45 % dorsal displacement", "moderate"),
        ("displaced (60%)", "severe"),
    ],
)
def test_displacement_is_read_in_short_and_in_parts_of_the_width(words, degree):
    assert radius(f"Left wrist. Distal radius fracture, {words}.").displacement == degree


@pytest.mark.parametrize(
    ("words", "degrees"),
    [
        ("improved from 32 to 6 degrees of angulation", 6),
        ("angulated twenty-two degrees", 22),
        ("12-degree angulation", 12),
        ("ang 10° dorsal", 10),
        ("a scapholunate angle of 45 degrees", None),
    ],
)
def test_angulation_is_read_in_words_and_as_it_changed(words, degrees):
    assert radius(f"Left wrist. Distal radius fracture, {words}.").angulation_deg == degrees


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("Old nonunion of a distal radius fracture", None),
        ("Distal radius fracture. Callus has not formed", None),
        ("Distal radius fracture bridged by callus", "healing"),
        ("No change in alignment of the healing distal radius fracture", "healing"),
        ("The distal radius fracture is united by callus and in the healing phase", "healing"),
        ("The distal radius fracture cannot be made out any more", "healed"),
        ("Previous DR fx line gone", "healed"),
        ("Distal radius fracture, acute in appearance", "acute"),
        ("Plate bridging a distal radius fracture", None),
    ],
)
def test_healing_is_read_through_denials_and_nonunion(text, stage):
    assert radius(f"Left wrist. {text}.").healing == stage


def test_a_bone_that_heals_was_broken():
    text = "Left wrist, 12 weeks after a fracture. DR: healed. DU: healing, callus. Styloid NAD."
    assert read(text) == {RADIUS: "present", ULNA: "present", STYLOID: "absent"}


def test_a_fracture_without_a_bone_is_of_the_bone_beside_it():
    plate = "Left wrist. Plate over the distal radius; the comminuted fracture is healing."
    assert (radius(plate).type, radius(plate).healing) == ("comminuted", "healing")
    placed = "Left wrist. Torus fracture. It involves the distal radial metaphysis."
    assert radius(placed).type == "buckle"
    early = "Left wrist. Displacement is mild.\nIMPRESSION: Fracture of the distal radius."
    assert radius(early).displacement == "mild"


@pytest.mark.parametrize(
    "text",
    [
        "BB # distal third.",
        "# DR + # DU.",
        "Distal forearm fracture.",
        "Dist rad & uln #s.",
        "Torus fractures, distal radius and distal ulna.",
    ],
)
def test_both_bones_are_broken_in_short(text):
    assert read(f"L wrist. {text}") == {RADIUS: "present", ULNA: "present"}


def test_a_mid_shaft_fracture_is_elsewhere_in_both_bones():
    text = "Mid-shaft fractures of the right radius and ulna. At the wrist there is no fracture."
    assert read(text) == ALL_ABSENT
    assert collapse_others(mine(text)) == ("other_fracture",)


@pytest.mark.parametrize(
    ("text", "displacement", "degrees"),
    [
        ("off-ended on the injury films, now shows slight residual displacement", "mild", None),
        ("(off-ended in ED) now has 30% residual displacement", "moderate", None),
        ("minimally displaced, completely displaced before reduction", "mild", None),
        ("angulated 12 degrees, previously 20 degrees", None, 12),
        ("with a residual tilt of 4-6 degrees (28 degrees last week)", None, 5),
        ("angulated fourteen degrees, no, make that sixteen degrees", None, 16),
        ("angulated 15 to 20 degrees", None, 17.5),
    ],
)
def test_a_fracture_is_as_it_is_now_not_as_it_was(text, displacement, degrees):
    found = radius(f"Left wrist. Distal radius fracture, {text}.")
    assert (found.displacement, found.angulation_deg) == (displacement, degrees)


def test_displaced_without_a_degree_yields_to_one_that_has():
    text = "EXAM: Left wrist\nFINDINGS: Off-ended radius fracture.\nIMPRESSION: Displaced radius "
    assert radius(text + "fracture.").displacement == "severe"


@pytest.mark.parametrize(
    "text",
    [
        "Fracture of the middle third of the ulna.",
        "Midshaft fractures of radius and ulna.",
        "Fracture at the junction of the proximal and middle thirds of the radius.",
        "Radius: transverse fracture in the middle third.",
        "Ulna, middle third: greenstick fracture.",
        "Supracondylar fracture. Upper end of radius and ulna normal.",
    ],
)
def test_a_fracture_above_the_distal_third_is_elsewhere(text):
    assert read(f"Left forearm. {text}") == {}


@pytest.mark.parametrize(
    "text",
    [
        "Fracture of the distal third of the radius.",
        "Fracture of the radius in its distal third.",
        "Distal third fractures of the radius and ulna.",
        (
            "Fracture at the junction of the middle and distal thirds of the radius. "
            "Fracture of the distal radius too."
        ),
    ],
)
def test_a_fracture_of_the_distal_third_is_of_the_region(text):
    assert radius(f"Left forearm. {text}").fracture == "present"


@pytest.mark.parametrize(
    ("words", "degree"),
    [
        ("more than 50 % dorsal displacement", "severe"),
        ("displaced by over 50%", "severe"),
        ("displaced more than half the shaft width", "severe"),
        ("displacement exceeding 25 %", "moderate"),
        ("up to 50% displacement", "moderate"),
        ("displaced less than 50 %", "moderate"),
    ],
)
def test_what_is_over_a_limit_is_of_the_next_degree(words, degree):
    assert radius(f"Left wrist. Distal radius fracture with {words}.").displacement == degree


def test_a_fracture_is_not_where_it_was_looked_for():
    text = "Left wrist. The fracture is not at the radius, but in the neck of the fifth metacarpal."
    assert read(text) == {}
    assert collapse_others(mine(text)) == ("other_fracture",)


def test_an_angle_may_stand_before_its_bone():
    text = "Left wrist. Fractures of radius and ulna, 20 degrees in radius and 15 degrees in ulna."
    found = collapse(mine(text))
    assert (found[RADIUS].angulation_deg, found[ULNA].angulation_deg) == (20, 15)


def test_beginning_callus_is_no_part_of_a_denial():
    text = "Left wrist. Fracture of the distal radius without displacement, beginning callus."
    assert radius(text).healing == "healing"
