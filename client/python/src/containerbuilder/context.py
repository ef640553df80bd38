"""A folder as a tree of contents, so that only what the service lacks is sent."""

import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from google.protobuf.timestamp_pb2 import Timestamp

from containerbuilder.v1 import container_builder_pb2 as pb

PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Upload:
    """What Client.upload did."""

    digest: str  # for BuildSpec.context_digest
    blobs: int  # different contents in the folder: files, and the folders themselves
    uploaded_blobs: int
    uploaded_bytes: int


class Context:
    """Reads a folder: each file once, to know its digest. `.dockerignore` is the service's to apply."""

    def __init__(self, folder: str | os.PathLike[str]):
        #: By digest: a file's path or a folder's serialized Directory.
        self._sources: dict[str, Path | bytes] = {}
        self._blobs: dict[str, pb.BlobDigest] = {}
        self.digest = self._add_folder(Path(folder)).digest

    def find_requests(self) -> Iterator[pb.FindMissingBlobsRequest]:
        """To ask for all contents, at most 10,000 a call."""
        blobs = list(self._blobs.values())
        for at in range(0, len(blobs), 10_000):
            yield pb.FindMissingBlobsRequest(blobs=blobs[at : at + 10_000])

    def upload_of(self, missing: Sequence[pb.FindMissingBlobsResponse.MissingBlob]) -> Upload:
        """What it takes to send these."""
        size = sum(m.blob.size_bytes - m.committed_bytes for m in missing)
        return Upload(self.digest, len(self._blobs), len(missing), size)

    def pieces(self, missing: Iterable[pb.FindMissingBlobsResponse.MissingBlob]) -> Iterator[pb.UploadBlobsRequest]:
        """These contents, each from where the service has it, at most 1 MiB at a time."""
        for content in missing:
            with self._open(content.blob.digest) as file:
                offset = file.seek(content.committed_bytes)
                data = file.read(PIECE_BYTES)
                # The first piece says which content it is; that of an empty one is all there is.
                yield pb.UploadBlobsRequest(blob=content.blob, offset=offset, data=data)
                while data:
                    offset += len(data)
                    data = file.read(PIECE_BYTES)
                    if data:
                        yield pb.UploadBlobsRequest(offset=offset, data=data)

    def _open(self, digest: str) -> BinaryIO:
        source = self._sources[digest]
        return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")

    def _add_folder(self, folder: Path) -> pb.BlobDigest:
        directory = pb.Directory()
        # Sorted by the bytes of their names, so that the same folder is the same Directory.
        for entry in sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name)):
            name, path, status = os.fsencode(entry.name), Path(entry), entry.stat(follow_symlinks=False)
            mode = status.st_mode & 0o777
            time = Timestamp()
            time.FromNanoseconds(status.st_mtime_ns)
            if stat.S_ISREG(status.st_mode):
                directory.files.add(name=name, blob=self._add_file(path), mode=mode, modify_time=time)
            elif stat.S_ISDIR(status.st_mode):
                directory.directories.add(name=name, blob=self._add_folder(path), mode=mode, modify_time=time)
            elif stat.S_ISLNK(status.st_mode):
                directory.symlinks.add(name=name, target=os.fsencode(os.readlink(path)), modify_time=time)
            # Sockets and the like are no part of a context, as for BuildKit.
        content = directory.SerializeToString(deterministic=True)
        return self._add(hashlib.sha256(content).hexdigest(), len(content), content)

    def _add_file(self, path: Path) -> pb.BlobDigest:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return self._add(digest, file.tell(), path)

    def _add(self, sha256: str, size: int, source: Path | bytes) -> pb.BlobDigest:
        blob = pb.BlobDigest(digest=f"sha256:{sha256}", size_bytes=size)
        self._sources[blob.digest] = source
        self._blobs[blob.digest] = blob
        return blob
