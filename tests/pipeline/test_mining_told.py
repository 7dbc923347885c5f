from __future__ import annotations

import pytest
from mined import ALL_ABSENT, RADIUS, STYLOID, ULNA, mine, radius, read

from pipeline.region import Laterality


@pytest.mark.parametrize(
    "heading", ["INDICATION", "Clinical history", "Reason for exam", "COMPARISON"]
)
def test_an_indication_or_a_comparison_is_no_finding(heading):
    text = f"EXAM: Left wrist\n{heading}: Distal radius fracture.\nFINDINGS: Ulna intact."
    assert read(text) == {ULNA: "absent"}


def test_a_question_before_the_findings_is_no_finding():
    assert read("Fell off bike, ?distal radius fracture.\nLeft wrist: no fracture.") == ALL_ABSENT


def test_a_recommendation_is_no_finding():
    advice = "Repeat films if pain persists to exclude occult distal radius fracture."
    text = f"Left wrist. No fracture. {advice}"
    assert read(text) == ALL_ABSENT


def test_the_impression_outranks_the_findings_and_an_addendum_both():
    findings = "EXAM: Left wrist\nFINDINGS: Fracture of the distal radius.\n"
    impression = findings + "IMPRESSION: No fracture.\n"
    addendum = impression + "ADDENDUM: There is a buckle fracture of the distal radius.\n"
    assert radius(findings).fracture == "present"
    assert radius(impression).fracture == "absent"
    assert radius(addendum) == radius("Left wrist: buckle fracture of the distal radius.")


def test_what_sections_contradict_is_kept_as_disputed():
    report = mine("EXAM: Left wrist\nFINDINGS: Distal radius fracture.\nIMPRESSION: No fracture.")
    (dispute,) = report.disputed
    assert (dispute.side, dispute.region, dispute.field) == (Laterality.LEFT, RADIUS, "fracture")
    assert dispute.readings == ("absent", "present")
    assert dispute.evidence == ("No fracture.", "Distal radius fracture.")


def test_an_impression_is_completed_by_the_findings():
    found = radius(
        "EXAM: Left wrist\nFINDINGS: Distal radius fracture with 15 degrees of dorsal angulation."
        "\nIMPRESSION: Buckle fracture."
    )
    assert (found.type, found.angulation_deg) == ("buckle", 15)


def test_no_acute_fracture_does_not_unmake_an_old_one():
    text = (
        "EXAM: Left wrist\nFINDINGS: Healed distal radius fracture.\nIMPRESSION: No acute fracture."
    )
    assert radius(text).healing == "healed"
    assert radius(text).fracture == "present"


def test_an_addendum_outranks_a_doubt_and_a_fracture_and_corrects_an_angle():
    doubted = "Left wrist: suspected buckle fracture of the distal radius.\n"
    denial = "ADDENDUM (second reader): There is no fracture of the left wrist."
    assert read(doubted + denial) == ALL_ABSENT
    assert read("Left wrist: buckle fracture of the distal radius.\n" + denial) == ALL_ABSENT
    angled = "Left wrist. Distal radius fracture with 12 degrees of dorsal angulation.\n"
    assert radius(angled + "ADDENDUM: The angle amounts to 17 degrees.").angulation_deg == 17


def test_a_known_fracture_of_the_past_yields_to_a_normal_wrist():
    past = "Left wrist. Known previous fracture of the distal radius, treated elsewhere. "
    assert read(past + "The wrist is normal.") == ALL_ABSENT
    assert radius(past + "It is again seen. No acute fracture.").fracture == "present"


def test_an_indication_on_the_same_line_ends_where_the_findings_begin():
    text = "Clinical history: radius fracture last year. Views of the left wrist show no fracture."
    assert read(text) == ALL_ABSENT


@pytest.mark.parametrize(
    "prior",
    [
        'Last report (12/03): "Displaced fracture of the left distal radius. Styloid avulsed."\n',
        "PRIOR IMPRESSION (copied): Fracture of the distal radius. Ulna fractured.\nCURRENT: ",
        "The only earlier study on file is of the right wrist, which showed a radial fracture. ",
        "Previous imaging (May): buckle fracture, right distal radius. ",
        "Prior study of the right wrist from 2019 showed a healed fracture of the radius. ",
        "He had a greenstick fracture of the left radius as a toddler. ",
    ],
)
def test_what_an_earlier_study_showed_is_no_finding(prior):
    text = f"{prior}Today the left wrist is normal. No fracture."
    assert read(text) == ALL_ABSENT
    assert mine(text).laterality is Laterality.LEFT


def test_what_an_earlier_study_showed_counts_where_it_is_still_there():
    prior = 'Prior report: "Salter-Harris II fracture of the right distal radius, displaced."\n'
    found = radius(prior + "Today: The Salter-Harris II fracture is again noted, callus is seen.")
    assert (found.fracture, found.type, found.healing) == ("present", "salter_harris_2", "healing")
    healed = radius("Left wrist. The last film showed a radius fracture. It is healed now.")
    assert (healed.fracture, healed.healing) == ("present", "healed")


@pytest.mark.parametrize(
    "text",
    [
        "Buckle fractures of the distal radius are common and may be managed in a splint.",
        "Advice: Greenstick and Salter-Harris fractures should be discussed with orthopaedics.",
        "A Salter-Harris I fracture of the distal radius is a clinical diagnosis.",
        "Please note that fractures of the radius can be occult at first.",
        "Remember that ulnar styloid fractures often accompany distal radius fractures.",
        "A normal radiograph does not exclude a fracture of the distal radius.",
    ],
)
def test_what_is_taught_of_fractures_in_general_is_no_finding(text):
    assert read(f"Left wrist: normal appearances. {text}") == ALL_ABSENT


@pytest.mark.parametrize(
    "text",
    [
        (
            "The casualty officer had called a fracture of the radius. I cannot confirm "
            "this. Wrist normal."
        ),
        "Sent from clinic as a radius fracture. It is none. Normal wrist.",
        (
            "Outside films had been reported as showing a buckle fracture of the distal "
            "radius. Our films show an intact wrist."
        ),
        (
            "A fracture of the distal radius had been diagnosed elsewhere. It does not "
            "exist. All bones normal."
        ),
        "Transferred with the diagnosis of distal radius fracture. No fracture is present.",
        (
            "Reportedly a distal radius fracture in the outside hospital. No fracture is "
            "seen on the present films."
        ),
        (
            "According to the parents a radius fracture was treated last year in Spain. The "
            "wrist is normal today."
        ),
        'The "torus fracture, distal radius" of the note is not reproduced. No fracture.',
        "The fracture of the radius diagnosed in A&E is imaginary. The wrist is normal.",
        "The registrar is convinced of a radius fracture. I see no fracture.",
        "A fracture of the radius would show by now. The pictures are those of a healthy wrist.",
        "Bruising spoke for a broken radius. Bony contours are uninterrupted.",
        "Sent with a diagnosis of greenstick fracture of the radius; none present.",
        "Presumed fracture of the distal radius. No fracture is demonstrated on today's films.",
        (
            "Please note the distal radius fracture reported this morning under this number "
            "belongs to another child. This child's wrist is normal."
        ),
        (
            "The line in the radius that was thought to be a fracture is a nutrient canal. "
            "No fracture of the wrist."
        ),
        (
            "The right wrist, in plaster for a radius fracture, has not been x-rayed. No "
            "fracture on the left."
        ),
        (
            "Suspicion of fracture of the distal radius at first glance, not confirmed on "
            "the additional views. No fracture."
        ),
        (
            "At first sight a buckle fracture of the distal radius; on the repeat film the "
            "cortex is smooth. Normal wrist."
        ),
    ],
)
def test_a_fracture_that_is_only_told_of_is_none(text):
    assert read(f"Left wrist. {text}") == ALL_ABSENT


@pytest.mark.parametrize(
    "text",
    [
        "The ED called a sprain; this is a buckle fracture of the distal radius.",
        "As suspected clinically there is a torus fracture of the distal radius.",
        "The suspected fracture of the distal radius is confirmed.",
        "Known distal radius fracture, in unchanged position.",
        (
            "Follow-up of known fracture of the distal radius. Alignment is maintained. "
            "Callus is forming."
        ),
        "Previously reported buckle fracture of the distal radius is again demonstrated.",
        (
            "Status post closed reduction of distal radius fracture, now 5 degrees of "
            "residual angulation."
        ),
        "S/p distal radius fracture with callus formation.",
        "Distal radius fracture, phoned to the ED at 14:20.",
        (
            "Buckle fracture of the distal radius. Findings discussed with the mother who "
            "asked about the fracture."
        ),
        "The mother was told of the fracture of the distal radius.",
        "There is a fracture of the distal radius which the outside report missed.",
        "The distal radius fracture can be seen on the lateral only.",
        "Message to referrer: fracture of the distal radius.",
        "The surgeon asked for the angle: distal radius fracture tilted by 20 degrees.",
        "Referred with distal radius fracture. Position is satisfactory.",
        "Dr Smith was informed of the distal radius fracture.",
        "Notes state no fracture; however there is a buckle fracture of the distal radius.",
        "Not a sprain but a buckle fracture of the distal radius.",
        "Request asks for fracture check. Distal radius fracture in good position.",
        "Distal radius fracture, not mentioned in the preliminary report.",
        "The outside report describes a fracture of the distal radius and I agree.",
    ],
)
def test_what_others_knew_or_asked_is_stated_where_the_reader_agrees(text):
    assert radius(f"Left wrist. {text}").fracture == "present"


@pytest.mark.parametrize(
    "text",
    [
        (
            "Buckle of the dorsal cortex of the radius on the lateral, likely projectional. "
            "Repeat view normal. There is no fracture."
        ),
        "Differential for wrist pain: torus fracture, ligament sprain. There is no fracture. ",
        "A radius fracture was suspected. The wrist can be regarded as free of fracture.",
    ],
)
def test_a_sum_of_the_whole_wrist_outranks_what_was_said_before_it(text):
    assert read(f"Left wrist. {text}") == ALL_ABSENT


@pytest.mark.parametrize(
    "text",
    [
        "Fracture of the distal radius. No dislocation. Normal wrist joint.",
        "Fracture of the distal radius. No intra-articular fracture.",
        "Fracture of the distal radius. No scaphoid fracture. No fracture of the hand.",
        "Fracture of the distal radius. Bones are normally mineralised.",
        "Fracture of the distal radius. No pathological fracture.",
        "Fracture of the distal radius. No fracture at the elbow.",
        "Fracture of the distal radius. The examination is otherwise normal.",
        "Healing distal radius fracture. No fracture line visible anymore.",
        "Distal radius fracture. No fracture fragment in the joint.",
        "Distal radius fracture. No fracture of the metacarpals.",
        "Distal radius fracture. No fracture through the physis.",
        "Distal radius fracture. No open fracture.",
        "Distal radius fracture. Carpal bones: no fracture.",
        "Distal radius fracture. There is no displaced fracture.",
        "Distal radius fracture. Otherwise a normal wrist.",
        "Apart from a fracture of the radius the wrist is normal.",
        "Except for a fracture of the distal radius, normal study.",
        "Distal radius fracture.\nLeft forearm: no fracture.",
        "Distal radius fracture. Normal radiograph of the elbow.",
    ],
)
def test_a_denial_with_a_limit_leaves_the_fracture(text):
    assert radius(f"Left wrist. {text}").fracture == "present"


def test_a_quotation_is_no_statement():
    quoted = 'Left wrist. The card says "fracture of the distal radius". The bones are normal.'
    assert read(quoted) == ALL_ABSENT
    own = 'Left wrist. "Buckle fracture of the distal radius."'
    assert radius(own).fracture == "present"
    split = (
        'The report on the disc states: "Left wrist. Fracture of the distal radius." It belongs to '
        "someone else. Our own films show an unfractured left wrist."
    )
    assert read(split) == ALL_ABSENT


def test_advice_ends_where_bones_are_described_again():
    text = "Left wrist. Buckle fracture of the distal radius. Adv: review. Ulna and styloid normal."
    assert read(text) == {RADIUS: "present", ULNA: "absent", STYLOID: "absent"}


@pytest.mark.parametrize(
    "text",
    [
        "The question of a buckle fracture of the distal radius remains open.",
        "We suspect an undisplaced fracture of the distal radius.",
        "Subtle irregularity of the distal radius raises the question of a fracture.",
        "A fracture of the distal radius may be present.",
    ],
)
def test_what_the_reader_asks_himself_is_a_doubt(text):
    assert radius(f"Left wrist. {text}").fracture == "possible"
