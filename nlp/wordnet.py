"""Fetch WordNet's data for NLTK's lemmatizer, once, when setting up."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from nlp.errors import InputError
from nlp.text import has_wordnet

DEBIAN_PACKAGES: Final = ("wordnet-base", "wordnet-sense-index")

# Lexicographer files, lexnames(5): Debian leaves the list out, and NLTK wants it.
_NOUNS = """Tops act animal artifact attribute body cognition communication event feeling food group
location motive object person phenomenon plant possession process quantity relation shape state
substance time""".split()
_VERBS = """body change cognition communication competition consumption contact creation emotion
motion perception possession social stative weather""".split()
_LEXNAMES: Final = (
    ("adj.all", 3),
    ("adj.pert", 3),
    ("adv.all", 4),
    *((f"noun.{name}", 1) for name in _NOUNS),
    *((f"verb.{name}", 2) for name in _VERBS),
    ("adj.ppl", 3),
)


def install_wordnet() -> str:
    """Put WordNet where NLTK finds it in this Python environment; return where it came from.

    Tries NLTK's own downloader, then Debian's packages (no root needed where apt's lists exist).

    Raises:
        InputError: If neither can be reached; mining then falls back to lemminflect.
    """
    folder = Path(sys.prefix) / "nltk_data"
    if has_wordnet():
        return "already there"
    if _from_nltk(folder):
        return "NLTK's downloader"
    if _from_debian(folder):
        return "Debian's packages " + " and ".join(DEBIAN_PACKAGES)
    raise InputError(
        "WordNet can't be fetched: neither NLTK's downloader nor Debian's package index answers. "
        "Mining works without it (lemmatizer lemminflect); to add it later, run 'lesionary setup' "
        f"where one can be reached, or copy NLTK's corpora/wordnet into {folder}."
    )


def _from_nltk(folder: Path) -> bool:
    import nltk

    with contextlib.suppress(OSError, ValueError):
        # Where it can't be reached, the next way is tried; its complaint would only worry.
        nltk.download("wordnet", str(folder), quiet=True, print_error_to=io.StringIO())
    return has_wordnet()


def _from_debian(folder: Path) -> bool:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return False
    target = folder / "corpora" / "wordnet"
    with tempfile.TemporaryDirectory() as scratch:
        if not (_download(scratch) or (_update() and _download(scratch))):
            return False
        for package in Path(scratch).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), scratch], check=True)
        target.mkdir(parents=True, exist_ok=True)
        for file in (Path(scratch) / "usr/share/wordnet").iterdir():
            shutil.copy(file, target)
    lines = (f"{i:02d}\t{name}\t{part}\n" for i, (name, part) in enumerate(_LEXNAMES))
    (target / "lexnames").write_text("".join(lines), encoding="ascii")
    return has_wordnet()


def _download(folder: str) -> bool:
    command = ["apt-get", "download", "-q", *DEBIAN_PACKAGES]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def _update() -> bool:
    """Fetch apt's lists; needs root, and a new machine has none."""
    command = ["apt-get", "update", "-q"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
