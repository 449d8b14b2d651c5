"""Size of a core installation in a new virtual environment, and every dependency above 50 MB.

    python benchmarks/install_size.py

Installs the checkout it lies in (without extras) into a temporary environment, so it needs the package index.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tables import print_table

LARGE_MB = 50


def megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
    return sum(file.stat().st_size for file in files) / 1e6


def main() -> None:
    project = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as name:
        environment = Path(name) / "venv"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        python = environment / "bin" / "python"
        started = perf_counter()
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", str(project)], check=True
        )
        seconds = perf_counter() - started
        subprocess.run([str(python), "-c", "import marrowscope.report"], check=True)
        packages = next(environment.glob("lib/python*/site-packages"))
        sizes = sorted(((megabytes(path), path.name) for path in packages.iterdir()), reverse=True)
        print_table(
            ("part of the core installation", "MB"),
            [(part, f"{size:.0f}") for size, part in sizes if size >= LARGE_MB / 5]
            + [("everything", f"{megabytes(environment):.0f}")],
        )
        print(f"Installed in {seconds:.0f} s; torch present: {(packages / 'torch').exists()}.")


if __name__ == "__main__":
    main()
