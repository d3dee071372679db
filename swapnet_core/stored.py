"""The networks in a cache directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swapnet_core import blockfile
from swapnet_core.cache import default_cache_dir


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredNetwork:
    """One block file.

    Attributes:
        root: the cache directory.
        digest: names the content.
        size_bytes: of the data file.
    """

    root: Path
    digest: str
    size_bytes: int

    def verify(self) -> None:
        """Compare the whole file with its digests.

        Raises:
            BlockCorruptError: naming the file and the first damaged block.
            StorageError: it cannot be read.
        """
        blockfile.verify(blockfile.read_manifest(self.root, self.digest))


def list_stored(cache_dir: str | Path | None = None) -> list[StoredNetwork]:
    """List the networks in a cache directory, by default the one that runtimes use."""
    root = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    directories = sorted((root / "networks").glob("[0-9a-f]*"))
    return [
        StoredNetwork(
            root=root,
            digest=directory.name,
            size_bytes=sum(path.stat().st_size for path in directory.glob("*.safetensors")),
        )
        for directory in directories
        if directory.is_dir()
    ]
