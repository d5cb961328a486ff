"""What the tests of whole programs stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.programs import processes_of


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A program's temporary folder, by which its processes and what it leaves behind are known."""
    folder = tmp_path_factory.mktemp("demo")
    # Postgres runs as another user when the test runs as root.
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    folder.chmod(0o777)
    yield folder
    for process in processes_of(folder):
        process.kill()
