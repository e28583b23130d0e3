"""What several smoke tests use."""

import hashlib
from pathlib import Path


def tree_digest(folder: Path) -> dict[str, str]:
    """Relative path to digest of every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
