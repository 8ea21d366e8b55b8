"""Phantom bodies: organs at their places, lesions that look as their labels say."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.errors import InputError
from vision.phantom.body import spine_y
from vision.phantom.cases import Case, PhantomConfig, make_case, make_cases
from vision.phantom.drawing import Grid, correlated_noise, draw_slice
from vision.phantom.lesions import measure
from vision.phantom.organs import make_body
from vision.phantom.reports import write_report
from vision.phantom.sites import COMMONEST, SITES

CONFIG = PhantomConfig(lesions=60, size_px=192, seed=5)
HU_RANGES = {
    "liver": (55, 125),
    "spleen": (75, 145),
    "right kidney": (120, 220),
    "left kidney": (120, 220),
    "right lung": (-920, -700),
    "left lung": (-920, -700),
    "abdominal aorta": (110, 230),
    "urinary bladder": (-15, 25),
    "heart": (80, 140),
    "trachea": (-1020, -900),
}


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(make_cases(CONFIG))


def draw(body, z_mm):
    grid = Grid(size_px=192, spacing_mm=2.1)
    return draw_slice(body, grid, z_mm, [], np.random.default_rng(0)), grid


def median_at(body, point, *, reach=2):
    x, y, z = body.to_world(point)
    hu, grid = draw(body, z)
    column, row = (round(c) for c in grid.to_px(x, y))
    return float(np.median(hu[row - reach : row + reach + 1, column - reach : column + reach + 1]))


@pytest.mark.parametrize("organ", HU_RANGES)
@pytest.mark.parametrize("seed", range(3))
def test_organs_have_their_density(organ, seed):
    body = make_body(np.random.default_rng(seed))
    x, y, z = body.shape(organ).centre
    side = np.sign(x) * 18 if "kidney" in organ or "lung" in organ else 0  # beside hilum and sinus
    z = 60 if "lung" in organ or organ == "trachea" else z
    z = 460 if organ == "abdominal aorta" else z
    low, high = HU_RANGES[organ]
    assert low <= median_at(body, (x + side, y, z), reach=1) <= high


@pytest.mark.parametrize("seed", range(3))
def test_vertebrae_are_bone_and_lie_behind(seed):
    body = make_body(np.random.default_rng(seed))
    z = 10.4 * 33
    assert 140 <= median_at(body, (0, spine_y(z), z)) <= 260
    assert body.to_world((0, spine_y(z), z))[1] > 20


def test_the_liver_is_on_the_left_of_the_picture_and_the_table_below():
    body = make_body(np.random.default_rng(1))
    hu, grid = draw(body, body.to_world(body.shape("liver").centre)[2])
    liver = (hu > 60) & (hu < 130)
    left, right = np.array_split(liver, 2, axis=1)
    assert left.sum() > 1.4 * right.sum()
    bone = np.argwhere(hu > 300)
    assert np.median(bone[:, 0]) > grid.size_px / 2


def test_noise_has_unit_variance_and_is_smooth():
    noise = correlated_noise((300, 300), np.random.default_rng(0))
    assert noise.std() == pytest.approx(1, abs=0.02)
    neighbours = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
    assert neighbours == pytest.approx(2 / 3, abs=0.02)  # of 1 2 1: (1*2 + 2*1) / 6


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16), name=st.sampled_from(sorted(SITES)))
def test_boxes_hold_their_lesions(seed, name):
    case = make_case(1, [SITES[name]], "train", PhantomConfig(size_px=192, seed=seed))
    (finding,) = case.findings
    z = case.z_mm(finding.slice_index)
    with_lesion, without = (
        draw_slice(case.body, case.grid, z, lesions, np.random.default_rng(0))
        for lesions in ([finding.lesion], [])
    )
    changed = np.abs(with_lesion - without) > 15
    x0, y0, x1, y1 = (round(c) for c in finding.box_px)
    inside = changed[y0 : y1 + 1, x0 : x1 + 1].sum()
    assert inside > 0
    spikes = 0.8 if "spiculated" in finding.lesion.labels else 0.97
    assert inside >= spikes * changed.sum()


def test_the_density_of_a_lesion_follows_its_labels():
    found = set()
    for case in make_cases(PhantomConfig(lesions=120, size_px=256, seed=2)):
        for finding in case.findings:
            lesion = finding.lesion
            if not (
                wanted := {"cyst", "ground-glass opacity", "sclerotic", "cavitary"} & lesion.labels
            ):
                continue
            hu = case.draw(finding.slice_index)
            column, row = (round(c) for c in case.grid.to_px(*lesion.centre[:2]))
            centre = float(np.median(hu[row - 1 : row + 2, column - 1 : column + 2]))
            low, high = {
                "cyst": (-25, 40), "ground-glass opacity": (-720, -400), "sclerotic": (500, 1050),
                "cavitary": (-1050, -700),
            }[min(wanted)]  # fmt: skip
            assert low <= centre <= high, lesion.labels
            found |= wanted
    assert len(found) == 4


def test_size_labels_follow_the_measurement(cases):
    for finding in (f for case in cases for f in case.findings):
        longest = measure(finding.lesion).lengths[0]
        assert ("subcentimeter" in finding.lesion.labels) == (longest < 10)
        assert ("large" in finding.lesion.labels) == (longest >= 50)
        assert finding.lengths_mm[0] >= finding.lengths_mm[1] > 0


def test_a_measured_circle_has_its_diameter_twice(cases):
    from dataclasses import replace

    lesion = replace(cases[0].findings[0].lesion, radii=(7.0, 7.0, 7.0), waves=())
    assert measure(lesion).lengths == pytest.approx((14, 14), rel=0.01)


def test_every_label_is_one_of_the_ontology(ontology, cases):
    labels = {name for case in cases for f in case.findings for name in f.lesion.labels}
    looks = {name for site in SITES.values() for look in site.looks for name in look.labels}
    sites = {name for site in SITES.values() for name in site.labels}
    assert labels | looks | sites <= set(ontology.label_index)


def test_true_labels_do_not_exclude_each_other(ontology, cases):
    for finding in (f for case in cases for f in case.findings):
        assert not ontology.conflicts(ontology.expand(finding.lesion.labels))


def test_lesion_numbers_count_on_each_slice(cases):
    ids = [case.lesion_id(f) for case in cases for f in case.findings]
    assert len(ids) == len(set(ids)) == CONFIG.lesions
    shared = [f for case in cases for f in case.findings if f.number == 1]
    assert shared, "no slice with two lesions"
    for case in cases:
        assert {f.slice_index for f in case.findings} <= set(case.slices)


def test_neighbouring_slices_cover_the_patch(cases):
    for case in cases:
        for finding in case.findings:
            steps = {i - finding.slice_index for i in case.slices}
            need = int(np.ceil(2 / case.interval_mm))
            assert set(range(-need, need + 1)) <= steps


def test_patients_do_not_depend_on_how_many_follow(cases):
    fewer = next(make_cases(CONFIG))
    np.testing.assert_array_equal(fewer.draw(fewer.slices[0]), cases[0].draw(cases[0].slices[0]))


def test_bookmarks_are_the_lesions(cases):
    import collections

    from nlp.bookmarks import BookmarkConfig
    from nlp.passages import find_passages
    from nlp.records import Report

    for case in cases:
        report = write_report(case)
        ids = tuple(case.lesion_id(f) for f in report.findings)
        record = Report(report_id="R", patient_id=case.patient_id, text=report.text, lesion_ids=ids)
        passages = list(find_passages([record], BookmarkConfig(), collections.Counter()))
        joined = [name for p in passages for b in p.bookmarks if (name := p.lesion_ids.get(b.id))]
        assert joined == list(ids), report.text


def test_measured_sizes_are_those_of_the_lesions(cases):
    from nlp.bookmarks import find_bookmarks

    for case in cases:
        report = write_report(case)
        if "BOOKMARK" in report.text:
            continue
        found = [b for b in find_bookmarks(report.text) if b.kind == "measurement"]
        for bookmark, finding in zip(found, report.findings, strict=True):
            assert bookmark.sizes_mm[0] == pytest.approx(finding.lengths_mm[0], abs=0.51)


@pytest.mark.parametrize(
    "options", [{"lesions": 0}, {"size_px": 8}, {"omitted": 1.5}, {"distracted": -1}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(InputError):
        PhantomConfig(**options)


def deal(**options):
    """How many lesions each site and each label has."""
    lesions = [
        finding.lesion
        for case in make_cases(PhantomConfig(lesions=600, size_px=128, **options))
        for finding in case.findings
    ]
    labels = Counter(name for lesion in lesions for name in lesion.labels)
    return Counter(lesion.site.name for lesion in lesions), labels


def test_a_tail_makes_a_few_labels_frequent_and_many_rare():
    flat, long = deal(), deal(tail=2.0)
    for even, uneven in zip(flat, long, strict=True):
        assert max(uneven.values()) > 1.5 * max(even.values())
        assert min(uneven.values()) < min(even.values()) / 3
    first, second, *_, last = (long[0][name] for name in COMMONEST)
    assert first > second > last
    rare = [sum(n <= 3 for n in labels.values()) for _, labels in (flat, long)]
    assert rare[0] == 0
    assert rare[1] >= 8


def test_every_site_has_a_rank():
    assert set(COMMONEST) == set(SITES)


@pytest.mark.parametrize("tail", [-0.1, 3.1])
def test_a_tail_that_makes_no_sense_is_told(tail):
    with pytest.raises(InputError, match="'tail' lies between 0 and 3"):
        PhantomConfig(tail=tail)
