"""The pages, asked over a socket: who sees what, what is told, and what is never shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audit_parts import ACCESSED, QUERIED, kind, objects, queries, trail, who_asked
from invented_exams import invented_exam
from PIL import Image, ImageDraw, ImageFont
from plugin import STUDIES, free_port
from pydicom import Dataset, dcmread
from site_rig import PASSWORD, Visit, accounts, site_of, with_web
from station import eventually

from deploy.folder import index_folder
from deploy.settings import Settings, parse
from deploy.state import key_of_site, open_answers, open_feedback
from deploy.web.users import Role
from listener.job import JobState
from listener.ledger import Ledger
from listener.milestone import Placement
from pipeline.answer_record import AnswerRecord, Shown
from pipeline.deidentify import library_study_uid
from pipeline.exam import Exam, RegionFindings
from pipeline.reference import PriorReference
from pipeline.region import Laterality, Region
from pipeline.request import Answer, Match, RegionAnswer, Request
from pipeline.result_language import Language
from pipeline.uid import KeyedUids
from pipeline.wording import BundleWords

QUERY, CLEAN, BURNED, OTHER = "TEST-0018-1", "TEST-0001-1", "TEST-0008-1", "TEST-0002-1"
WRITTEN = ("TEST-0009-1", "TEST-0011-1")
pytestmark = pytest.mark.slow
VIEWER = "https://ohif.example.org/viewer?StudyInstanceUIDs={studies}&hangingprotocolId=x"
RESULT = "answer-1-1-INVENTED"
HERE = f"/results/{RESULT}"
POOL = "answer-2-1-INVENTED"
THERE = f"/results/{POOL}"
EARLIER = "answer-0-1-INVENTED"
BEFORE = f"/results/{EARLIER}"
WORDS = BundleWords("wristmir-test-1", "demonstration only", demonstration=True)
PLANTED = ("PLANTED^NAME", "PLANTED-ID", "20110203", "20240506", "PLANTED-ACC", "PLANTED-HOUSE")


@dataclass(frozen=True)
class Site:
    """An installation with one answer, its pages, and its audit trail."""

    settings: Settings
    address: str
    record: AnswerRecord
    pool: AnswerRecord
    audit: Path
    cookies: dict[str, str] = field(default_factory=dict)

    def visit(self, name: str = "") -> Visit:
        """Return somebody's browser, signed in where there is a name: once, for it takes long."""
        if name and name not in self.cookies:
            self.cookies[name] = self.fresh(name).cookie
        return Visit(self.address, self.cookies.get(name, ""))

    def fresh(self, name: str) -> Visit:
        """Return a browser that has just been signed in."""
        browser = Visit(self.address)
        assert browser.sign_in(name).status == 303
        return browser

    def told(self, least: int) -> list[Any]:
        """Return the messages of the audit trail, once there are so many."""
        assert eventually(lambda: self.audit.exists() and len(trail(self.audit)) >= least)
        return trail(self.audit)


def image_of(folder: str) -> Path:
    return next(f for f in sorted((STUDIES / folder).glob("*.dcm")) if "image" in f.name)


def planted(source: Path, into: Path, **changes: Any) -> Dataset:
    """Copy a study's image with another patient's planted identity; return its header."""
    image = dcmread(source)
    names = ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber")
    for name, value in zip((*names, "InstitutionName"), PLANTED, strict=True):
        setattr(image, name, value)
    for name, value in changes.items():
        setattr(image, name, value)
    into.mkdir()
    image.save_as(into / "1.dcm", enforce_file_format=True)
    return image


def written(source: Path, into: Path) -> Dataset:
    """Copy a study's image with a name burned in, of which its file says nothing."""
    image = planted(source, into)
    pixels = Image.fromarray(image.pixel_array.astype(np.int32))
    draw, size = ImageDraw.Draw(pixels), image.Rows // 25
    font = ImageFont.load_default(size)
    draw.rectangle((0, 0, image.Columns, 2 * size), int(image.pixel_array.min()))
    draw.text((size, size // 2), "MUSTERMANN ERIKA", int(image.pixel_array.max()), font)
    image.PixelData = np.asarray(pixels).astype(image.pixel_array.dtype).tobytes()
    image.save_as(into / "1.dcm", enforce_file_format=True)
    return image


def exam_of(number: int, image: Dataset, **changes: Any) -> Exam:
    wide, high = float(image.Columns), float(image.Rows)
    boxes = {
        "wrist": (0.0, 0.0, wide, high),
        "distal_radius": (0.3 * wide, 0.5 * high, 0.6 * wide, 0.8 * high),
        "distal_ulna": (0.6 * wide, 0.5 * high, 0.8 * wide, 0.8 * high),
    }
    return invented_exam(
        number,
        study_instance_uid=str(image.StudyInstanceUID),
        sop_instance_uid=str(image.SOPInstanceUID),
        boxes=boxes,
        spacing_mm=(0.14, 0.14),
        **{"laterality": Laterality.LEFT, "age_years": 9.7, **changes},
    )


def answered(query: Exam, priors: list[Exam]) -> AnswerRecord:
    scores = [(60.0, 90.0), (80.0, 20.0), (50.0, 15.0)]
    matches = tuple(
        Match(rank, prior, 0.9, 0.8, whole, bone, prior.laterality is Laterality.RIGHT)
        for rank, (prior, (whole, bone)) in enumerate(zip(priors, scores, strict=True), 1)
    )
    parts = (RegionAnswer(Region.DISTAL_RADIUS, matches), RegionAnswer(Region.DISTAL_ULNA, ()))
    found = Answer(query, Request(), parts, 34, WORDS.id, datetime.now(UTC))
    shown = {query.sop_instance_uid: Shown(1, pictured=True)}
    for number, prior in enumerate(priors, 1):
        reference = PriorReference(
            prior, "1", f"2.25.{number}1", f"2.25.{number}2", f"2.25.{number}"
        )
        # the third prior's file was already gone; of the second the worker is taken to have erred
        if number < 3:
            shown[prior.sop_instance_uid] = Shown(1, pictured=True, reference=reference)
    return AnswerRecord.of(RESULT, found, shown, WORDS, "same side")


def pooled(name: str, query: Exam, prior: Exam, behind: list[Exam]) -> AnswerRecord:
    """Return an answer of one match, and of candidates that are more alike as a whole."""

    def match(rank: int, exam: Exam, whole: float, bone: float) -> Match:
        return Match(rank, exam, 0.9, 0.8, whole, bone, exam.laterality is Laterality.RIGHT)

    further = tuple(
        match(rank, exam, 70 + 5.0 * rank, 60 - 5.0 * rank) for rank, exam in enumerate(behind, 2)
    )
    part = RegionAnswer(Region.DISTAL_RADIUS, (match(1, prior, 50, 90),), further=further)
    found = Answer(query, Request(), (part,), 34, WORDS.id, datetime.now(UTC))
    shown = {
        query.sop_instance_uid: Shown(1, pictured=True),
        prior.sop_instance_uid: Shown(1, pictured=True),
    }
    return AnswerRecord.of(name, found, shown, WORDS, "same side")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with installed(tmp_path_factory.mktemp("site")) as there:
        yield there


@contextmanager
def installed(folder: Path) -> Iterator[Site]:
    """Receive a query and priors, keep an answer about them, serve the pages."""
    audit = folder / "audit.xml"
    port = free_port()
    settings = with_web(
        parse(
            {
                "state_dir": str(folder / "state"),
                "listener": {
                    "host": "127.0.0.1",
                    "port": port,
                    "watermark_bytes": 0,
                    "peers": [{"ae_title": "PACS", "addresses": ["127.0.0.1"]}],
                    "destinations": [
                        {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
                    ],
                    "audit": {
                        "destinations": [{"name": "log", "kind": "file", "path": str(audit)}]
                    },
                },
                "pipeline": {"destination": "pacs"},
            }
        ),
        viewer_url=VIEWER,
    )
    studies = folder / "studies"
    studies.mkdir()
    query = dcmread(image_of(QUERY))
    query.PatientName, query.PatientID = "Asked^Anna", "QUERY-ID"
    (studies / "query").mkdir()
    query.save_as(studies / "query" / "1.dcm", enforce_file_format=True)
    clean = planted(image_of(CLEAN), studies / "clean")
    burned = planted(image_of(BURNED), studies / "burned", BurnedInAnnotation="YES")
    other = planted(image_of(OTHER), studies / "other", BurnedInAnnotation="NO")
    named = [written(image_of(one), studies / f"written-{one}") for one in WRITTEN]
    index_folder(settings, studies)
    broken = {Region.DISTAL_RADIUS: RegionFindings("present", "buckle", "acute")}
    gone = invented_exam(
        7, study_instance_uid="1.2.3.7", laterality=Laterality.LEFT, findings_known=False
    )
    priors = [
        exam_of(2, clean, findings=broken, findings_known=True, laterality=Laterality.RIGHT),
        exam_of(3, burned, findings={}, findings_known=False),
        gone,
    ]
    record = answered(exam_of(1, query), priors)
    unseen = exam_of(4, other, findings=broken, findings_known=True)
    pool = pooled(POOL, exam_of(1, query), priors[0], [unseen, priors[1], gone])
    # a release that did not look for text has answered it
    earlier = pooled(EARLIER, exam_of(1, query), exam_of(5, named[0]), [exam_of(6, named[1])])
    with closing(open_answers(settings)) as answers:
        answers.keep(earlier)
        answers.keep(pool.model_copy(update={"asked_at": record.asked_at + timedelta(seconds=1)}))
        answers.keep(record.model_copy(update={"asked_at": record.asked_at + timedelta(seconds=2)}))
    accounts(
        settings,
        reader=(Role.RADIOLOGIST,),
        second=(Role.RADIOLOGIST,),
        admin=(Role.IT,),
        shut=(Role.IT,),
    )
    with Ledger(settings.ledger_url) as ledger:
        ledger.indices.serve("wristmir-test-1")
        images = [str(one.SOPInstanceUID) for one in (clean, other)]
        placed = [Placement(image, 1, {"used_as": "exam"}) for image in images]
        ledger.indices.note_placements("wristmir-test-1", placed)
    audit.unlink(missing_ok=True)  # what was received is not of interest here
    with site_of(settings) as address:
        yield Site(settings, address, record, pool, audit)


# -- who may see what -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/results", HERE, "/status", f"{HERE}/pictures/0/wrist-small.png"]
)
def test_who_is_not_signed_in_is_sent_to_sign_in_and_comes_back(site: Site, path: str) -> None:
    browser = site.visit()
    asked = browser.get(path)
    assert asked.status == 303
    assert asked.headers["location"].startswith("/login?next=%2F")
    assert browser.get(asked.headers["location"]).status == 200
    assert browser.sign_in("reader", wanted=path).headers["location"] == path


@pytest.mark.parametrize(
    "wanted", ["https://elsewhere.example", "//elsewhere.example", "/\\elsewhere", "x"]
)
def test_signing_in_leads_to_no_other_site(site: Site, wanted: str) -> None:
    assert site.visit().sign_in("reader", wanted=wanted).headers["location"] == "/results"


def test_each_role_sees_its_own_pages(site: Site) -> None:
    reader, admin = site.visit("reader"), site.visit("admin")
    assert [reader.get(path).status for path in ("/results", HERE, "/status")] == [200, 200, 403]
    assert [admin.get(path).status for path in ("/results", HERE, "/status")] == [403, 403, 200]
    picture = f"{HERE}/pictures/1/wrist-small.png"
    assert (reader.get(picture).status, admin.get(picture).status) == (200, 403)
    assert site.visit().sign_in("admin").headers["location"] == "/status"
    form = {"csrf": reader.token(HERE)}
    assert reader.post("/status/jobs", form).status == 403
    form = {"csrf": admin.token("/status"), "relevance": "3"}
    assert admin.post(f"{HERE}/distal_radius/cases/1", form).status == 403


def test_a_wrong_password_says_no_more_than_an_unknown_name(site: Site) -> None:
    browser = site.visit()
    wrong, unknown = browser.sign_in("reader", "wrong"), browser.sign_in("nobody", "wrong")
    assert (wrong.status, unknown.status, browser.cookie) == (401, 401, "")
    assert wrong.text.replace("reader", "") == unknown.text.replace("nobody", "")


def test_who_fails_often_is_shut_out_even_with_the_right_password(site: Site) -> None:
    browser = site.visit()
    tries = [browser.sign_in("shut", "wrong").status for _ in range(6)]
    assert tries == [401] * 6
    assert browser.sign_in("shut").status == 429
    assert site.visit("admin").get("/status").status == 200


def test_signing_out_ends_the_session(site: Site) -> None:
    browser = site.fresh("reader")
    cookie = browser.cookie
    assert browser.post("/logout", {"csrf": browser.token("/results")}).status == 303
    browser.cookie = cookie
    assert browser.get("/results").status == 303


# -- what another site can do -----------------------------------------------------------------


def test_every_answer_bears_the_headers_that_keep_others_out(site: Site) -> None:
    reader = site.visit("reader")
    paths = ("/results", HERE, "/static/site.css", "/nothing", f"{HERE}/pictures/0/wrist-small.png")
    for answer in (*map(reader.get, paths), site.visit().get("/login")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"


def test_no_page_has_a_script_or_a_style_of_its_own(site: Site) -> None:
    reader, admin = site.visit("reader"), site.visit("admin")
    pages = [reader.get(path) for path in ("/results", HERE, f"{HERE}/distal_radius/cases/1")]
    for page in (*pages, admin.get("/status"), site.visit().get("/login")):
        assert re.findall(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", page.text) == []
        assert re.findall(r'(?:src|href)="(?:https?:)?//(?!ohif\.example)', page.text) == []


def test_a_cookie_is_kept_from_scripts_and_from_other_sites_forms(site: Site) -> None:
    (cookie,) = site.visit().sign_in("reader").cookies
    said = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= said


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", ""])
def test_what_another_site_sends_changes_nothing(site: Site, origin: str) -> None:
    reader = site.visit("reader")
    form = {"csrf": reader.token(HERE), "relevance": "5"}
    path = f"{HERE}/distal_radius/cases/1"
    assert reader.post(path, form, Origin=origin).status == 403
    assert (
        site.visit().post("/login", {"name": "reader", "password": PASSWORD}, Origin=origin).status
        == 403
    )
    assert 'aria-pressed="true"' not in reader.get(HERE).text


def test_a_form_without_the_sessions_token_changes_nothing(site: Site) -> None:
    reader, second = site.visit("reader"), site.visit("second")
    path = f"{HERE}/distal_radius/cases/1"
    for token in ("", "wrong", second.token(HERE), "\u00e9"):
        assert reader.post(path, {"csrf": token, "relevance": "5"}).status == 403


def test_another_hosts_name_is_not_served(site: Site) -> None:
    assert site.visit().get("/login", Host="elsewhere.example").status == 421
    assert site.visit().get("/login", X_Forwarded_Host="elsewhere.example").status == 200


# -- what a result shows ----------------------------------------------------------------------


def test_a_result_shows_the_query_by_name_and_the_matches_by_number(site: Site) -> None:
    text = site.visit("reader").get(HERE).text
    assert "Asked Anna" in text
    assert "QUERY-ID" in text
    assert "buckle fracture, acute" in text
    assert "other patients" in text
    assert "Demonstration only" in text
    assert [text.index(f'id="case-{n}"') for n in (1, 2, 3)] == sorted(
        text.index(f'id="case-{n}"') for n in (1, 2, 3)
    )


def test_no_other_patients_identity_stands_on_any_page(site: Site) -> None:
    reader, admin = site.visit("reader"), site.visit("admin")
    paths = ("/results", HERE, f"{HERE}?bone=distal_ulna", f"{HERE}/distal_radius/cases/1")
    pages = [*map(reader.get, paths), admin.get("/status")]
    for page in pages:
        assert page.status == 200
        for word in (*PLANTED, "2011-02-03", "2024-05-06", "PLANTED", "9.7"):
            assert word not in page.text
    originals = [
        uid for case in site.record.cases for uid in (case.study_uid, case.sop_instance_uid)
    ]
    for page in pages:
        assert [uid for uid in originals if uid in page.text] == []


def test_it_sees_no_identifier_of_the_query_either(site: Site) -> None:
    with Ledger(site.settings.ledger_url) as ledger:
        ledger.enqueue("index", site.record.study_uid)
    text = site.visit("admin").get("/status").text
    assert "index" in text
    for word in (site.record.study_uid, "Asked", "QUERY-ID"):
        assert word not in text
    assert re.search(r"study [A-Z2-7]{8}\b", text)


def test_pictures_are_drawn_from_the_received_files(site: Site) -> None:
    reader = site.visit("reader")
    for what, size in (("wrist", (480, 600)), ("distal_radius", (480, 384))):
        answer = reader.get(f"{HERE}/pictures/1/{what}-small.png")
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
        picture = Image.open(BytesIO(answer.body))
        assert picture.size == size
        assert np.asarray(picture).std() > 10
    assert Image.open(BytesIO(reader.get(f"{HERE}/pictures/0/wrist-large.png").body)).width == 1200


def test_a_prior_in_which_text_is_found_is_shown_in_no_answer_however_old(site: Site) -> None:
    reader = site.visit("reader")
    for case in (1, 2):  # a match, and a candidate behind it
        picture = reader.get(f"{BEFORE}/pictures/{case}/wrist-small.png")
        assert (picture.status, picture.text) == (404, "picture not shared")
        page = reader.get(f"{BEFORE}/distal_radius/cases/{case}").text
        assert "picture not shared" in page
        assert f"/pictures/{case}/" not in page
    assert shown_in(reader.get(f"{BEFORE}?pictured=on").text) == []


def test_a_match_of_the_other_side_is_mirrored(site: Site) -> None:
    reader = site.visit("reader")
    drawn = np.asarray(Image.open(BytesIO(reader.get(f"{HERE}/pictures/1/wrist-small.png").body)))
    stored = dcmread(image_of(CLEAN)).pixel_array.astype(float)
    resized = np.asarray(Image.fromarray(stored).resize(drawn.shape[::-1]), float)
    straight, mirrored = (
        np.corrcoef(drawn.ravel(), one.ravel())[0, 1] for one in (resized, resized[:, ::-1])
    )
    assert mirrored > straight


@pytest.mark.parametrize(
    "name",
    [
        "2/wrist-small",
        "3/wrist-small",
        "9/wrist-small",
        "1/ulnar_styloid-small",
        "1/wrist-huge",
        "1/x-small",
    ],
)
def test_what_may_not_be_shown_or_is_gone_is_not_there(site: Site, name: str) -> None:
    assert site.visit("reader").get(f"{HERE}/pictures/{name}.png").status == 404


def test_a_prior_that_is_rejected_is_shown_no_more(site: Site) -> None:
    reader, picture = site.visit("reader"), f"{HERE}/pictures/1/wrist-small.png"
    uid = site.record.cases[0].sop_instance_uid
    assert reader.get(picture).status == 200
    with Ledger(site.settings.ledger_url) as ledger:
        rejected = Placement(uid, 1, {"reason": "a rejection note withdraws it"})
        ledger.indices.note_placements("wristmir-test-1", [rejected])
        assert reader.get(picture).status == 404
        ledger.indices.note_placements("wristmir-test-1", [Placement(uid, 1, {"used_as": "exam"})])
    assert reader.get(picture).status == 200


def test_weights_and_filters_work_without_a_script(site: Site) -> None:
    reader = site.visit("reader")

    def places(query: str) -> list[str]:
        return re.findall(r'id="case-(\d)"[^>]*(?<!hidden)>\n', reader.get(f"{HERE}?{query}").text)

    assert places("bone=distal_radius") == ["1", "2", "3"]
    assert places("bone=distal_radius&weight=0") == ["2", "1", "3"]
    assert places("finding=fracture") == ["1"]
    assert places("same_side=on") == ["2", "3"]


def test_a_link_opens_the_query_and_a_priors_copy_in_the_viewer(site: Site) -> None:
    links = re.findall(r'href="(https://ohif[^"]+)"', site.visit("reader").get(HERE).text)
    query, prior = site.record.study_uid, site.record.cases[0].study_uid
    copy = library_study_uid(KeyedUids(key_of_site(site.settings)), prior)
    opened = f"https://ohif.example.org/viewer?StudyInstanceUIDs={query},{copy}&amp;"
    assert f"{opened}hangingprotocolId=x" in links
    assert not any(prior in link for link in links)
    assert not any("1.2.3.7" in link for link in links)  # nothing refers to the third


def test_a_study_leads_to_its_latest_result(site: Site) -> None:
    reader = site.visit("reader")
    assert reader.get(f"/studies/{site.record.study_uid}").headers["location"] == HERE
    assert reader.get("/studies/1.2.3.4.5").status == 404
    assert reader.get("/studies/nonsense").status == 404


@pytest.mark.parametrize(
    "path",
    ["/results/none", f"{HERE}/distal_radius/cases/9", f"{HERE}/x/cases/1", "/results?page=x"],
)
def test_an_address_that_names_nothing_harms_nothing(site: Site, path: str) -> None:
    assert site.visit("reader").get(path).status == (200 if "page" in path else 404)


def test_a_page_that_fails_tells_nothing_of_why(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    reader, users = site.visit("reader"), site.settings.users_file
    text = users.read_bytes()
    try:
        users.write_text("no accounts\n", encoding="ascii")
        answer = reader.get("/results")
    finally:
        users.write_bytes(text)
    assert (answer.status, answer.text) == (500, "That did not work.")
    assert answer.headers["cache-control"] == "no-store"
    assert "a page failed: ConfigurationError" in caplog.text
    assert reader.get("/results").status == 200


def test_a_radiologists_pages_are_in_the_hospitals_language_and_its_ones_in_english(
    site: Site,
) -> None:
    results = site.settings.pipeline.results.model_copy(update={"language": Language.GERMAN})
    pipeline = site.settings.pipeline.model_copy(update={"results": results})
    with site_of(site.settings.model_copy(update={"pipeline": pipeline})) as address:
        reader, admin = Visit(address), Visit(address)
        login = reader.get("/login").text
        reader.sign_in("reader")
        admin.sign_in("admin")
        pages = [
            reader.get(path).text for path in ("/results", HERE, f"{HERE}/distal_radius/cases/1")
        ]
        pages += [reader.get(f"{HERE}/matches").text, reader.get("/nothing").text, login]
        status = admin.get("/status").text
    for text in (*pages[:3], *pages[4:]):
        assert '<html lang="de">' in text
    assert "Wulstfraktur, frisch" in pages[1]
    assert "Gips oder Schiene" in pages[2]
    assert "Bild nicht geteilt" in pages[3]
    seen = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", "".join(pages))
    for english in (
        "Matches",
        "Results",
        "picture",
        "wrist",
        "Report",
        "sign",
        "Zoom in",
        "answer",
    ):
        assert not re.search(rf"\b{english}\b", seen), english
    assert '<html lang="en">' in status
    assert "Dead jobs" in status


# -- other weights ----------------------------------------------------------------------------


def shown_in(text: str) -> list[str]:
    return re.findall(r'<li class="card[^>]* id="case-(\d)"', text)


def test_another_weight_brings_in_candidates_behind_the_matches(site: Site) -> None:
    reader = site.visit("reader")
    assert shown_in(reader.get(THERE).text) == ["1"]
    page = reader.get(f"{THERE}?weight=0").text
    assert shown_in(page) == ["4"]
    assert "beyond the answer" in page
    assert shown_in(reader.get(f"{THERE}?weight=100").text) == ["1"]
    assert shown_in(reader.get(f"{THERE}?finding=unknown").text) == ["3"]
    for query in ("?weight=0", "?finding=unknown", "?weight=0&pictured=on"):
        alone = reader.get(f"{THERE}/matches{query}").text
        assert shown_in(alone) == shown_in(reader.get(THERE + query).text)
        assert "<html" not in alone


def test_a_candidates_picture_is_made_when_it_is_wanted_and_its_absence_is_said(site: Site) -> None:
    reader = site.visit("reader")
    assert shown_in(reader.get(f"{THERE}?weight=0&pictured=on").text) == ["2"]
    for what in ("wrist-small", "distal_radius-large"):
        answer = reader.get(f"{THERE}/pictures/2/{what}.png")
        assert answer.status == 200
        assert np.asarray(Image.open(BytesIO(answer.body))).std() > 10
    for case, lack in ((3, "picture not shared"), (4, "picture no longer kept")):
        assert reader.get(f"{THERE}/pictures/{case}/wrist-small.png").status == 404
        assert lack in reader.get(f"{THERE}/distal_radius/cases/{case}").text


def test_a_candidate_that_is_rejected_or_came_later_has_no_picture(site: Site) -> None:
    reader, picture = site.visit("reader"), f"{THERE}/pictures/2/wrist-small.png"
    uid = site.pool.cases[1].sop_instance_uid
    with Ledger(site.settings.ledger_url) as ledger:
        rejected = Placement(uid, 1, {"reason": "a rejection note withdraws it"})
        ledger.indices.note_placements("wristmir-test-1", [rejected])
        assert reader.get(picture).status == 404
        ledger.indices.note_placements("wristmir-test-1", [Placement(uid, 1, {"used_as": "exam"})])
    assert reader.get(picture).status == 200
    before = site.pool.model_copy(
        update={"result_id": "answer-3", "asked_at": site.pool.asked_at - timedelta(days=1)}
    )
    with closing(open_answers(site.settings)) as answers:
        answers.keep(before)  # another content came since: boxes would be of another picture
    assert reader.get("/results/answer-3/pictures/2/wrist-small.png").status == 404


def test_a_candidate_is_not_in_the_viewer_for_no_copy_is_made_of_it(site: Site) -> None:
    page = site.visit("reader").get(f"{THERE}/distal_radius/cases/2").text
    assert "https://ohif" not in page


def test_a_candidate_is_judged_like_a_match(site: Site) -> None:
    second, path = site.visit("second"), f"{THERE}/distal_radius/cases/2"
    form = {"csrf": second.token(THERE), "relevance": "3"}
    assert second.post(path, form, Accept="application/json").status == 200
    assert 'value="3"' in second.get(path).text
    with closing(open_feedback(site.settings)) as feedback:
        (kept,) = [one for one in feedback.all() if one.result_id == POOL]
    assert (kept.prior_uid, kept.rank) == (site.pool.cases[1].sop_instance_uid, 2)
    assert second.post(path, {**form, "relevance": "0"}, Accept="application/json").status == 200


def test_who_is_shown_by_another_weight_is_told_once(site: Site) -> None:
    reader = site.fresh("reader")
    before = len(site.told(1))
    reader.get(f"{THERE}/matches?weight=0&pictured=on")
    (told,) = site.told(before + 1)[before:]
    assert objects(told, "110180") == [site.pool.cases[1].study_uid]
    reader.get(f"{THERE}/matches?weight=0&pictured=on")
    reader.get(f"{THERE}/pictures/2/wrist-small.png")
    reader.get("/results")
    assert kind(site.told(before + 2)[before + 1]) == QUERIED


# -- feedback ---------------------------------------------------------------------------------


def test_relevance_is_kept_by_rater_changed_and_taken_back(site: Site) -> None:
    reader, second = site.visit("reader"), site.visit("second")
    path = f"{HERE}/distal_radius/cases/2"

    def judge(visit: Visit, relevance: int) -> int:
        form = {"csrf": visit.token(HERE), "relevance": str(relevance)}
        return visit.post(path, form, Accept="application/json").status

    def kept() -> dict[str, int]:
        with closing(open_feedback(site.settings)) as feedback:
            return {one.rater: one.relevance for one in feedback.all()}

    assert (judge(reader, 4), judge(second, 2)) == (200, 200)
    assert kept() == {"reader": 4, "second": 2}
    assert "kept: relevant" in reader.get(HERE).text
    assert judge(reader, 5) == 200
    assert kept()["reader"] == 5
    assert judge(reader, 6) == 422
    assert (judge(reader, 0), judge(second, 0)) == (200, 200)
    assert kept() == {}


def test_relevance_without_a_script_comes_back_to_the_match(site: Site) -> None:
    reader = site.visit("reader")
    form = {"csrf": reader.token(HERE), "relevance": "3", "back": "result"}
    answer = reader.post(f"{HERE}/distal_radius/cases/1?weight=30", form)
    assert (answer.status, answer.headers["location"]) == (303, f"{HERE}?weight=30#case-1")
    reader.post(f"{HERE}/distal_radius/cases/1", {**form, "relevance": "0"})


# -- the audit trail --------------------------------------------------------------------------


def test_every_view_is_told_with_who_saw_whose_images(site: Site) -> None:
    reader = site.visit("reader")
    before = len(site.told(1))
    reader.get(HERE)
    told = [one for one in site.told(before + 3)[before:] if kind(one) == ACCESSED]
    assert {uid for one in told for uid in objects(one, "110180")} == {
        site.record.study_uid,
        *(case.study_uid for case in site.record.cases),
    }
    assert {name for one in told for name in who_asked(one)} == {"reader"}
    with Ledger(site.settings.ledger_url) as ledger:
        keys = {row.patient_key for row in ledger.receipts()}
    assert keys <= {key for one in told for key in objects(one, "2")}


def test_a_match_beside_the_query_is_told_with_the_query_each_time(site: Site) -> None:
    reader = site.visit("reader")
    for _ in range(2):
        before = len(site.told(1))
        reader.get(f"{HERE}/distal_radius/cases/1")
        told = site.told(before + 2)[before:]
        assert {uid for one in told for uid in objects(one, "110180")} == {
            site.record.study_uid,
            site.record.cases[0].study_uid,
        }


def test_a_picture_is_told_where_its_page_was_not_seen(site: Site) -> None:
    reader = site.fresh("reader")
    before = len(site.told(1))
    picture = f"{HERE}/pictures/1/wrist-small.png"
    reader.get(picture)
    told = site.told(before + 1)[before:]
    assert [objects(one, "110180") for one in told] == [[site.record.cases[0].study_uid]]
    first = before + len(told)
    reader.get(picture)
    reader.get("/results")
    later = site.told(first + 1)[first:]
    assert kind(later[0]) == QUERIED  # the second picture of a result told nothing new
    assert queries(later[0]) == [b"web results"]


def test_signing_in_is_told_and_no_name_that_no_account_has(site: Site) -> None:
    before = len(site.told(1))
    site.visit().sign_in("my-secret-typed-here", "wrong")
    site.fresh("admin").get("/status")
    told = site.told(before + 3)[before:]
    assert [kind(one) for one in told[:2]] == [("110114", "110122")] * 2
    assert [who_asked(one) for one in told[:2]] == [["unknown"], ["admin"]]
    assert queries(told[2]) == [b"web status"]
    assert "my-secret-typed-here" not in site.audit.read_text(encoding="ascii")


# -- status -----------------------------------------------------------------------------------


def test_a_dead_job_is_retried_by_hand(site: Site) -> None:
    with Ledger(site.settings.ledger_url) as ledger:
        number = ledger.enqueue("answer", "1.2.3.99")
        job = ledger.lease(("answer",), 60)
        assert job is not None
        ledger.fail(job, "The request cannot be answered.", retry=False)
        admin = site.visit("admin")
        page = admin.get("/status").text
        assert "The request cannot be answered." in page
        form = {"csrf": admin.token("/status")}
        assert admin.post(f"/status/jobs/{number}", form).status == 303
        assert ledger.job(number).state is JobState.READY
        assert admin.post(f"/status/jobs/{number}", form).status == 409
        job = ledger.lease(("answer",), 60)
        assert job is not None
        ledger.fail(job, "The request cannot be answered.", retry=False)
        assert admin.post("/status/jobs", form).status == 303
        assert ledger.job(number).state is JobState.READY


def test_the_status_tells_of_index_bundle_and_destinations(site: Site) -> None:
    text = site.visit("admin").get("/status").text
    assert "<b>2</b> exams indexed" in text
    assert "wristmir-demonstration-4" in text
    assert "wristmir-test-1" in text
    assert "PACS at 127.0.0.1:104" in text
