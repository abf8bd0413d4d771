"""Measured rates of the processor, and the file that keeps them."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from st_spark import hardware

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder for the rates, and nothing measured yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    hardware.gemm_rates.cache_clear()
    yield tmp_path
    hardware.gemm_rates.cache_clear()


def test_flags_of_this_processor_are_read() -> None:
    """Every x86-64 processor has sse2, every Arm processor asimd."""
    assert not hardware.cpu_flags().isdisjoint({"sse2", "asimd"})


def test_rates_are_positive_and_measured_once_for_a_host(folder: Path) -> None:
    rates = hardware.gemm_rates()
    assert rates["float32"] > 0.1
    (kept,) = folder.glob("*.json")
    kept.write_text('{"float32": 1, "int8": 8}')
    assert hardware.gemm_rates() == rates
    hardware.gemm_rates.cache_clear()
    assert hardware.gemm_rates() == {"float32": 1.0, "int8": 8.0}
    assert hardware.fastest(CPU) is torch.int8


@pytest.mark.parametrize("content", ["", "{", "[1]", "{}", '{"float32": 0}', '{"float32": "fast"}', '{"float32": NaN}'])
def test_a_broken_file_of_rates_is_measured_again(folder: Path, content: str) -> None:
    hardware.gemm_rates()
    (kept,) = folder.glob("*.json")
    kept.write_text(content)
    hardware.gemm_rates.cache_clear()
    rates = hardware.gemm_rates()
    assert rates["float32"] > 0.1
    assert json.loads(kept.read_text()) == rates


def test_a_folder_that_cannot_be_written_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    hardware.gemm_rates.cache_clear()
    assert hardware.gemm_rates()["float32"] > 0.1
    hardware.gemm_rates.cache_clear()


@pytest.mark.slow
def test_processes_that_start_together_choose_alike(tmp_path: Path) -> None:
    """Also while others keep the processor busy, as here."""
    code = "import torch; from st_spark.hardware import *; print(fastest(torch.device('cpu')), gemm_rates())"
    command = [sys.executable, "-c", code]
    environment = {"TMPDIR": str(tmp_path), "PATH": "", "OMP_NUM_THREADS": "1"}
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    chosen = {process.communicate()[0].split(" ")[0] for process in processes}
    assert len(chosen) == 1
    assert chosen <= {"torch.int8", "torch.float32"}


@pytest.mark.parametrize(("int8", "expected"), [(400.0, torch.int8), (110.0, torch.float32), (0.0, torch.float32)])
def test_another_format_must_be_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, int8: float, expected: torch.dtype
) -> None:
    monkeypatch.setattr(hardware, "gemm_rates", lambda: {"float32": 100.0, "int8": int8})
    assert hardware.fastest(CPU) is expected
