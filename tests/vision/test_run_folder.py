import errno

import pytest

from vision.errors import InputError
from vision.run_folder import check_vacant, write_file


def full_disk(file):
    file.write(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


def full_disk_as_torch_tells_it(file):
    file.write(b"half")
    raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos")


@pytest.mark.parametrize(
    ("write", "reason"),
    [(full_disk, "No space left on device"), (full_disk_as_torch_tells_it, "the disk may be full")],
)
def test_what_has_no_room_is_told_and_leaves_what_was_there(write, reason, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"before")
    with pytest.raises(
        InputError, match=rf"Can't write .*model\.safetensors: {reason}\. Make room"
    ):
        write_file(path, write)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(path.name, b"before")]


def test_a_readme_keeps_a_model_away(tmp_path):
    check_vacant(tmp_path)
    (tmp_path / "README.md").touch()
    with pytest.raises(InputError, match=r"its README\.md would be lost"):
        check_vacant(tmp_path)
