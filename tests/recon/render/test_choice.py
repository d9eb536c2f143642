"""Which renderer a name gives, and what a machine says that cannot run it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from recon.config import FitConfig
from recon.errors import ConfigInvalid
from recon.render import cpu, gsplat_kernels, reference
from recon.render.choice import choose

NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package gsplat without kernels, on a machine with CUDA, and an empty folder of built extensions."""
    loaded = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "gsplat"}
    folder = tmp_path / "site" / "gsplat"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "built"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    gsplat_kernels.load.cache_clear()
    yield folder
    gsplat_kernels.load.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "gsplat"]:
        del sys.modules[name]
    sys.modules.update(loaded)


def test_the_default_names_its_choices() -> None:
    assert FitConfig().renderer == "auto"
    assert choose("cpu") == (cpu.render, torch.device("cpu"))
    assert choose("reference") == (reference.render, torch.device("cpu"))


@NO_CUDA
def test_without_cuda_auto_is_cpu() -> None:
    assert choose("auto") == (cpu.render, torch.device("cpu"))


@pytest.mark.skipif(gsplat_kernels.find_spec("gsplat") is not None, reason="gsplat is installed")
def test_without_the_package_the_extra_and_the_command_are_named() -> None:
    with pytest.raises(ConfigInvalid, match=r"roadscribe\[gsplat\].*python -m recon\.render\.gsplat_kernels"):
        choose("gsplat")
    with pytest.raises(ConfigInvalid, match=r"roadscribe\[gsplat\]"):
        gsplat_kernels.build()


def test_without_cuda_gsplat_is_refused(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose("auto")[1] == torch.device("cpu")
    with pytest.raises(ConfigInvalid, match="no CUDA device"):
        choose("gsplat")


@pytest.mark.parametrize("name", ["auto", "gsplat"])
def test_kernels_that_are_not_built_are_refused_and_never_compiled(package: Path, name: str, tmp_path: Path) -> None:
    (package / "cuda").mkdir()
    (package / "cuda" / "_backend.py").write_text("raise AssertionError('a worker compiles')")
    with pytest.raises(ConfigInvalid, match=r"not built.*python -m recon\.render\.gsplat_kernels"):
        choose(name)  # type: ignore[arg-type]
    assert not [path for path in (tmp_path / "built").rglob("*") if path.is_file()]


def test_kernels_of_another_torch_are_named(package: Path, tmp_path: Path) -> None:
    library = tmp_path / "built" / "gsplat_cuda" / "gsplat_cuda.so"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"not a library")
    with pytest.raises(ConfigInvalid, match=r"do not load beside PyTorch.*Remove the file") as caught:
        choose("gsplat")
    assert caught.value.where == str(library)


def test_kernels_that_came_with_a_wheel_are_used(package: Path) -> None:
    (package / "csrc.py").write_text("")
    assert choose("gsplat")[1] == torch.device("cuda")


class TestBuilding:
    @pytest.fixture(autouse=True)
    def machine(self, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """PyTorch with CUDA, and a gsplat whose compiler is a line of Python."""
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setenv("MAX_JOBS", "1")
        (package / "cuda").mkdir()
        (package / "cuda" / "__init__.py").write_text("")

    def test_the_command_says_where_the_kernels_are(
        self, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        library = tmp_path / "built" / "gsplat_cuda" / "gsplat_cuda.so"
        compiler = (
            f"import pathlib; _C = 1; p = pathlib.Path({str(library)!r}); p.parent.mkdir(parents=True); p.touch()"
        )
        (package / "cuda" / "_backend.py").write_text(compiler)
        assert gsplat_kernels.main() == 0
        assert json.loads(capsys.readouterr().out)["kernels"] == str(library)

    @pytest.mark.parametrize(
        ("compiler", "words"),
        [("_C = None", "no CUDA toolkit"), ("raise RuntimeError('nvcc: no such header')", "no such header")],
    )
    def test_the_command_says_why_it_cannot_build(
        self, package: Path, compiler: str, words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (package / "cuda" / "_backend.py").write_text(compiler)
        assert gsplat_kernels.main() == 1
        assert words in capsys.readouterr().err

    def test_without_a_gpu_it_must_be_told_for_which(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
        with pytest.raises(ConfigInvalid, match="TORCH_CUDA_ARCH_LIST"):
            gsplat_kernels.build()

    def test_pytorch_without_cuda_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.version, "cuda", None)
        with pytest.raises(ConfigInvalid, match="built without CUDA"):
            gsplat_kernels.build()
