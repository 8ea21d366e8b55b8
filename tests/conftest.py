"""What many tests share: the shipped ontology, the spaCy pipeline, reports, Prefect's server."""

import asyncio
import csv
import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from nibabel.orientations import axcodes2ornt, ornt_transform
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

import flows.settings  # noqa: F401  (offline, before Prefect and Hugging Face libraries)

SPACING_MM = (0.7, 0.8, 2.5)

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
def stored_by_prefect(prefect_server):
    """Read what the server holds once a message has arrived; logs are sent now and then."""
    from prefect.client.orchestration import get_client

    async def read(message):
        async with get_client() as client:
            for _ in range(50):
                if any(message in log.message for log in await client.read_logs()):
                    break
                await asyncio.sleep(0.2)
            return (
                await client.read_flow_runs(),
                await client.read_task_runs(),
                await client.read_artifacts(),
                await client.read_logs(),
            )

    return lambda message: asyncio.run(read(message))


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
        path = tmp_path / "published.json"
        path.write_text(json.dumps(published_labels(names, splits)), encoding="utf-8")
        return path

    return write


def published_labels(names, splits):
    """The content of the label file published with LesaNet."""
    content = {"term_list": names}
    for prefix in ("train", "val", "test"):
        rows = splits.get(prefix, ())
        content[f"{prefix}_lesion_idxs"] = [row for row, *_ in rows]
        for which, key in enumerate(("relevant", "uncertain", "irrelevant"), start=1):
            lists = [[names.index(n) for n in row[which]] for row in rows]
            content[f"{prefix}_{key}_labels"] = lists
    for prefix in ("val", "test"):
        del content[f"{prefix}_irrelevant_labels"]
    return content


@pytest.fixture(scope="session")
def import_phantom(tmp_path_factory, ontology):
    """Make a lesion dataset of 16 phantom lesions, with what the label file says of each."""
    from pipelines.lesions import ImportConfig, import_deeplesion
    from pipelines.phantom import PhantomConfig, write_phantom

    source = tmp_path_factory.mktemp("phantom") / "phantom"
    write_phantom(PhantomConfig(lesions=16, size_px=128), source, say=lambda _: None)

    def make(out, **splits):
        names = list(ontology.labels)
        labels = out.with_name(f"{out.name}.json")
        labels.write_text(json.dumps(published_labels(names, splits)), encoding="utf-8")
        config = ImportConfig(
            images=source / "Images_png", dl_info=source / "DL_info.csv", labels=labels, out=out
        )
        import_deeplesion(config, lambda _: None)
        return out

    return make


LABELS = (["lung", "nodule"], [], ["liver"]), (["liver", "cyst"], ["large"], [])


@pytest.fixture(scope="session")
def lesion_dataset(import_phantom, tmp_path_factory):
    """Lesions said to be lung nodules and liver cysts in turn: eight to learn from, 4 + 4."""
    rows = [(row, *LABELS[row % 2]) for row in range(16)]
    out = tmp_path_factory.mktemp("lesions") / "lesions"
    return import_phantom(out, train=rows[:8], val=rows[8:12], test=rows[12:])


@pytest.fixture(scope="session")
def trained_lesanet(lesion_dataset, tmp_path_factory):
    """A network that has seen the lesions of `lesion_dataset` twice, and what was said of it."""
    from pipelines.lesanet import TrainConfig, TrainLesanetConfig, train_lesanet

    said = []
    config = TrainLesanetConfig(
        dataset=lesion_dataset,
        out=tmp_path_factory.mktemp("models") / "lesanet",
        training=TrainConfig(epochs=2, batch_size=4, backbone="resnet10"),
    )
    result = train_lesanet(config, say=said.append)
    return SimpleNamespace(folder=config.out, config=config, result=result, said=said)


@pytest.fixture(scope="session")
def truth():
    """HU from head to feet, front to back, the patient's right to left. Shape: (4, 32, 40)."""
    rng = np.random.default_rng(4)
    return rng.permutation(np.linspace(-1000, 3000, 4 * 32 * 40).astype(np.int16)).reshape(
        4, 32, 40
    )


@pytest.fixture
def write_png(tmp_path, truth):
    def write(pattern="000001_01_01/{:03}.png", first=101):
        """Write the slices; return the path of the second."""
        for number, picture in enumerate(truth, first):
            path = tmp_path / pattern.format(number)
            path.parent.mkdir(exist_ok=True)
            Image.fromarray((picture.astype(np.int32) + 32768).astype(np.uint16)).save(path)
        return tmp_path / pattern.format(first + 1)

    return write


@pytest.fixture
def write_nifti(tmp_path, truth):
    def write(axes="RAS", name="ct.nii.gz", dtype=np.int16):
        """Write the volume, its axes running towards the three sides of the patient."""
        affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], -SPACING_MM[2], 1])
        stored = truth.transpose(2, 1, 0).astype(dtype)
        image = nib.Nifti1Image(stored, affine).as_reoriented(
            ornt_transform(axcodes2ornt("LPI"), axcodes2ornt(axes))
        )
        nib.save(image, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def write_dicom(tmp_path, truth):
    def write(folder="series", **options):
        """Write one file for each slice; return the folder."""
        (tmp_path / folder).mkdir(exist_ok=True)
        series = generate_uid()
        for k in range(len(truth)):
            dataset = ct_slice(truth, k, series, **options)
            path = tmp_path / folder / f"{generate_uid()}"  # the order of the names says nothing
            dataset.save_as(path, enforce_file_format=True)
        return tmp_path / folder

    return write


def ct_slice(
    truth,
    k,
    series,
    *,
    turned=(1, 1),
    transposed=False,
    intercept=-1024,
    compression=None,
    numbers=lambda k: k + 11,
    change=lambda dataset, k: None,
):
    """Slice k, stored with its rows and columns turned around, then transposed."""
    x_mm, y_mm, z_mm = SPACING_MM
    rows, columns = turned
    stored = (truth[k].astype(np.int32) - intercept)[::rows, ::columns]
    height, width = stored.shape
    corner = [0 if columns > 0 else (width - 1) * x_mm, 0 if rows > 0 else (height - 1) * y_mm]
    directions, pixel = ([columns, 0, 0], [0, rows, 0]), [y_mm, x_mm]
    if transposed:
        stored, directions, pixel = stored.T, directions[::-1], pixel[::-1]

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
    dataset.Modality, dataset.SeriesInstanceUID, dataset.SeriesNumber = "CT", series, 3
    dataset.InstanceNumber = numbers(k)
    dataset.ImagePositionPatient = [*corner, -k * z_mm]
    dataset.ImageOrientationPatient = [*directions[0], *directions[1]]
    dataset.PixelSpacing, dataset.SliceThickness = pixel, 5
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, intercept
    kind = np.int16 if intercept == 0 else np.uint16
    dataset.set_pixel_data(np.ascontiguousarray(stored.astype(kind)), "MONOCHROME2", 16)
    if compression:
        dataset.compress(compression, generate_instance_uid=False)
    change(dataset, k)
    return dataset
