"""Another commit of this repository, to run next to this one."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parents[1]


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """The PYTHONPATH folder for the code of `commit`, with this checkout's built files and packages."""
    folder = Path(tempfile.mkdtemp(prefix="area-against-"))
    folder.chmod(0o755)  # as root, the embedded PostgreSQL runs as another user
    tree = folder / "tree"
    git = ["git", "-C", str(HERE), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
    try:
        ignored = ["git", "-C", str(HERE), "ls-files", "--others", "--ignored", "--exclude-standard", "src"]
        for name in subprocess.run(ignored, check=True, capture_output=True, text=True).stdout.splitlines():
            if "__pycache__" not in name:
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(HERE / name, tree / name)
        yield tree / "src"
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)
        shutil.rmtree(folder, ignore_errors=True)
