"""Sends a folder as a client does that was written from the proto alone: a Merkle tree of Directories."""

import hashlib
import os
from pathlib import Path

from containerbuilder.v1 import container_builder_pb2 as pb

PIECE_BYTES = 256 * 1024


def digest_of(content: bytes) -> pb.BlobDigest:
    return pb.BlobDigest(digest="sha256:" + hashlib.sha256(content).hexdigest(), size_bytes=len(content))


class Tree:
    """A folder's contents by digest, and that of its root."""

    def __init__(self, folder=None):
        self.blobs = {}
        self.root = self._add_folder(Path(folder)) if folder else None

    def add(self, content: bytes) -> pb.BlobDigest:
        blob = digest_of(content)
        self.blobs[blob.digest] = content
        return blob

    def add_directory(self, directory: pb.Directory) -> pb.BlobDigest:
        return self.add(directory.SerializeToString())

    def _add_folder(self, folder: Path) -> pb.BlobDigest:
        directory = pb.Directory()
        for entry in sorted(os.scandir(os.fsencode(folder)), key=lambda entry: entry.name):
            info = entry.stat(follow_symlinks=False)
            if entry.is_symlink():
                added = directory.symlinks.add(name=entry.name, target=os.readlink(entry.path))
            elif entry.is_dir():
                blob = self._add_folder(Path(os.fsdecode(entry.path)))
                added = directory.directories.add(name=entry.name, blob=blob, mode=info.st_mode & 0o777)
            else:
                blob = self.add(Path(os.fsdecode(entry.path)).read_bytes())
                added = directory.files.add(name=entry.name, blob=blob, mode=info.st_mode & 0o777)
            added.modify_time.FromNanoseconds(info.st_mtime_ns)
        return self.add_directory(directory)


def pieces(blobs, offsets=None):
    """The messages of a call that sends these contents, each from its offset on."""
    for content in blobs:
        blob = digest_of(content)
        offset = (offsets or {}).get(blob.digest, 0)
        yield pb.UploadBlobsRequest(blob=blob, offset=offset, data=content[offset : offset + PIECE_BYTES])
        for start in range(offset + PIECE_BYTES, len(content), PIECE_BYTES):
            yield pb.UploadBlobsRequest(offset=start, data=content[start : start + PIECE_BYTES])


def missing(stub, tree: Tree):
    """What the service lacks of a tree: MissingBlobs."""
    request = pb.FindMissingBlobsRequest(blobs=[digest_of(content) for content in tree.blobs.values()])
    return list(stub.FindMissingBlobs(request).missing_blobs)


def upload(stub, tree: Tree) -> int:
    """Sends what the service lacks of a tree; answers how many contents that were."""
    lacking = missing(stub, tree)
    offsets = {item.blob.digest: item.committed_bytes for item in lacking}
    answer = stub.UploadBlobs(pieces([tree.blobs[digest] for digest in offsets], offsets))
    assert answer.committed_blobs == len(lacking)
    return len(lacking)


def download(stub, artifact: pb.Artifact, offset: int = 0) -> bytes:
    """An artifact's content from an offset on."""
    content = b""
    for piece in stub.DownloadArtifact(pb.DownloadArtifactRequest(name=artifact.name, offset=offset)):
        assert piece.offset == offset + len(content)
        content += piece.data
    if offset == 0:
        assert digest_of(content) == pb.BlobDigest(digest=artifact.digest, size_bytes=artifact.size_bytes)
    return content
