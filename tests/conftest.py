"""What many tests share: the shipped ontology, the spaCy pipeline, reports, Prefect's server."""

import csv
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

import flows.settings  # noqa: F401  (offline, before Prefect and Hugging Face libraries)

settings.register_profile(
    "lesionary",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("lesionary")


@pytest.fixture(scope="session")
def ontology():
    from nlp.ontology import Ontology

    return Ontology.from_csv()


@pytest.fixture(scope="session")
def pipeline():
    from nlp.components import load_pipeline

    return load_pipeline()


@pytest.fixture(scope="session")
def prefect_server():
    """Prefect's own throw-away server; it takes a while to start, so there is one a run."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def write_reports(tmp_path):
    """Write (report_id, patient_id, text) as JSON Lines and return the path."""

    def write(*reports, name="reports.jsonl"):
        path = tmp_path / name
        fields = ("report_id", "patient_id", "text")
        lines = [json.dumps(dict(zip(fields, report, strict=True))) for report in reports]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_slices(tmp_path):
    """Write 16-bit slices in DeepLesion's way: 200 x 200 px, air around a square of soft tissue."""

    def write(series, numbers, images="Images_png", name="{series}/{number:03}.png"):
        for number in numbers:
            hu = np.full((200, 200), -1000)
            hu[20:180, 20:180] = 40 + number
            path = tmp_path / images / name.format(series=series, number=number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((hu + 32768).astype(np.uint16)).save(path)
        return tmp_path / images

    return write


@pytest.fixture
def write_dl_info(tmp_path):
    """Write a DL_info.csv: for each row its file name, and whatever else than the defaults."""

    def write(*rows, name="DL_info.csv", **more):
        table = []
        for file_name, cells in rows:
            patient, study, series, number = file_name.removesuffix(".png").split("_")
            table.append(
                {
                    "File_name": file_name,
                    "Patient_index": int(patient),
                    "Study_index": int(study),
                    "Series_ID": int(series),
                    "Key_slice_index": int(number),
                    "Bounding_boxes": "81.5, 91, 121.25, 111",
                    "Spacing_mm_px_": "0.8, 0.8, 2",
                    "Possibly_noisy": 0,
                    "Train_Val_Test": 1,
                    **more,
                    **cells,
                }
            )
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, table[0])
            writer.writeheader()
            writer.writerows(table)
        return path

    return write


@pytest.fixture
def write_published_labels(tmp_path, ontology):
    """Write a label file: for each split a list of (row, relevant, uncertain, irrelevant)."""

    def write(names=None, **splits):
        names = list(ontology.labels if names is None else names)
        content = {"term_list": names}
        for prefix in ("train", "val", "test"):
            rows = splits.get(prefix, ())
            content[f"{prefix}_lesion_idxs"] = [row for row, *_ in rows]
            for which, key in enumerate(("relevant", "uncertain", "irrelevant"), start=1):
                lists = [[names.index(n) for n in row[which]] for row in rows]
                content[f"{prefix}_{key}_labels"] = lists
        for prefix in ("val", "test"):
            del content[f"{prefix}_irrelevant_labels"]
        path = tmp_path / "published.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write
