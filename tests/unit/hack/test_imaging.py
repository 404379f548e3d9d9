"""Tags of images follow their content, and only that."""

from pathlib import Path

import pytest

from hack import imaging
from hack.imaging import Image


class FakeBuilder:
    base = "base:1"

    def __init__(self) -> None:
        self.built: dict[str, set[str]] = {}

    def has(self, ref: str) -> bool:
        return ref in self.built

    def build(self, ref: str, dockerfile: Path, context: Path, target: str = "") -> None:
        self.built[ref] = {str(path.relative_to(context)) for path in context.rglob("*") if path.is_file()}

    def save(self, ref: str, archive: Path) -> None:
        raise NotImplementedError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "app/Dockerfile": "ARG BASE=python:3.13-slim\nFROM ${BASE}\nCOPY app/src /src\n",
        "app/src/main.py": "print()\n",
        "app/src/__pycache__/main.pyc": "cache",
        "app/other.py": "not an input\n",
        "tests/images/odd/Dockerfile": "FROM scratch\nCOPY a /a\n",
        "tests/images/odd/a": "a",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def test_the_build_sees_only_inputs_and_happens_once(tree: Path) -> None:
    builder, image = FakeBuilder(), Image("app", "app/Dockerfile", inputs=("app/src",), root=tree)

    refs = {image.ensure(builder) for _ in range(2)}

    assert list(builder.built) == [*refs]
    assert builder.built[refs.pop()] == {"app/src/main.py"}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda tree: (tree / "app/other.py").write_text("x"), True),
        (lambda tree: (tree / "app/src/__pycache__/main.pyc").write_text("x"), True),
        (lambda tree: (tree / "app/src/main.py").touch(), True),
        (lambda tree: (tree / "app/src/main.py").write_text("x"), False),
        (lambda tree: (tree / "app/src/main.py").chmod(0o755), False),
        (lambda tree: (tree / "app/src/main.py").rename(tree / "app/src/start.py"), False),
        (lambda tree: (tree / "app/Dockerfile").write_text("FROM scratch"), False),
    ],
)
def test_the_tag_is_that_of_the_content(tree: Path, change, same: bool) -> None:
    image, builder = Image("app", "app/Dockerfile", inputs=("app/src",), root=tree), FakeBuilder()
    before = image.ref(builder)
    change(tree)
    assert (image.ref(builder) == before) is same


def test_target_and_base_belong_to_the_tag(tree: Path) -> None:
    builder, rebased = FakeBuilder(), FakeBuilder()
    rebased.base = "base:2"
    plain = Image("app", "app/Dockerfile", root=tree)
    targeted = Image("app", "app/Dockerfile", "user", root=tree)
    assert len({plain.ref(builder), plain.ref(rebased), targeted.ref(builder)}) == 3


def test_images_of_tests_are_found_and_rows_without_a_dockerfile_left_out(tree: Path) -> None:
    images = {image.name: image for image in imaging.table(tree)}
    assert set(images) == {"test-odd"}
    assert set(images["test-odd"].files()) == {"Dockerfile", "a"}
