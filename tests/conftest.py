"""What many tests share: the shipped ontology, the spaCy pipeline, reports, Prefect's server."""

import json

import pytest
from hypothesis import HealthCheck, settings

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
