"""Archiving sealed ranges of records: bundles go into one compressed file, are read from there, and come out again.

The archive of a segment (pdp.audit.archive_zip) is two files beside the tiles:

    archive/<segment>.zip      the bundles
    archive/<segment>.sha256   SHA-256 of the zip and of each bundle, as `sha256sum -c` reads it in the log folder

`archive_segment` makes them and removes the bundles, `restore_segment` puts the bundles back and removes them; hash
tiles stay as they are. `Archived` reads a log as if none of its segments were archived, one bundle at a time.

INVARIANT: at every moment, and after a power cut at any, each bundle stands in the log, or in an archive whose every
    bundle was read back from there and has the hashes of the tree. What differs from them is neither archived nor
    restored.
INVARIANT: an archive is a way of storing and never evidence: what is read from one is judged like any other bundle.

Decision: 2026-11-21. The digests stand beside the zip and stay when it is moved to another medium: so the log still
    says which file is to be brought back.
Decision: 2026-11-21. A bundle that stands in the log is read from there, even where an archive holds one too.
Decision: 2026-11-21. There is no verb for it: the sequencer archives, where the configuration says so
    (pdp.audit.archiving), since nobody else may change a log meanwhile. `unzip` in the log folder restores a segment.
"""

from __future__ import annotations

from hashlib import sha256

from pdp.audit.archive_zip import (
    MOST_BUNDLE_BYTES,
    SEGMENT_BUNDLES,
    Archive,
    archive_path,
    open_archive,
    pack,
    read_archived,
    segment_of,
    segment_refs,
)
from pdp.audit.checkpoint import Checkpoint
from pdp.audit.disk import Disk, Files, MemberError
from pdp.audit.merkle import HASH_BYTES, TILE_WIDTH, leaf_hashes
from pdp.audit.tiles import TileError, TileRef, encode_tile, index_path, parse_bundle

SEGMENT_RECORDS = SEGMENT_BUNDLES * TILE_WIDTH

_RESTORED_AT_ONCE = 16
_PIECE_BYTES = 1024 * 1024


class Archived:
    """`Files` of a log of which segments may be archived. It keeps the directory of the archive it read last."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._archive: Archive | None = None

    def read(self, path: str, most: int) -> bytes | None:
        """See `Files`. A bundle that is neither there nor in an archive is absent. MemberError for a broken archive."""
        segment = segment_of(path)
        data = self._files.read(path, most)
        if data is None and segment is not None:
            data = self._unpacked(segment, path, most)
            if data is None:  # it may have been restored between the two looks
                data = self._files.read(path, most)
        return data

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """See `Files`. An archived bundle is unpacked for each call."""
        if segment_of(path) is None or self._files.length(path) is not None:
            return self._files.read_at(path, offset, size)
        return (self.read(path, MOST_BUNDLE_BYTES) or b"")[offset : offset + size]

    def length(self, path: str) -> int | None:
        """See `Files`. An archived bundle is unpacked for each call."""
        length = self._files.length(path)
        if length is not None or segment_of(path) is None:
            return length
        data = self.read(path, MOST_BUNDLE_BYTES)
        return None if data is None else len(data)

    def names(self, folder: str) -> tuple[str, ...]:
        """See `Files`: the names that stand there themselves."""
        return self._files.names(folder)

    def _unpacked(self, segment: int, path: str, most: int) -> bytes | None:
        length = self._files.length(archive_path(segment))
        if length is None:
            return None
        try:
            if self._archive is None or (self._archive.segment, self._archive.length) != (segment, length):
                self._archive = open_archive(self._files, segment)
            return read_archived(self._files, self._archive, path, most)
        except MemberError:
            if self._files.length(archive_path(segment)) is None:
                return None
            raise


def digests_path(segment: int) -> str:
    """The digests of a segment's archive, relative to the log. ValueError for a negative one."""
    return f"archive/{index_path(segment)}.sha256"


def sealed_segments(size: int) -> range:
    """The segments that a checkpoint of `size` records covers whole: what can be archived."""
    return range(size // SEGMENT_RECORDS)


def missing_archive(files: Files, path: str) -> str | None:
    """The archive that holds a bundle, where its digests are there and it is not; else None. Errors: as `Files`."""
    segment = segment_of(path)
    if segment is None or files.length(digests_path(segment)) is None:
        return None
    return archive_path(segment) if files.length(archive_path(segment)) is None else None


def archive_segment(log: Disk, checkpoint: Checkpoint, segment: int) -> None:
    """Move the bundles of a segment into its archive; what an earlier call left undone is done.

    `checkpoint` is one of this log that was opened with its key.
    Errors: ValueError where the checkpoint does not cover the segment; TileError A621 where a record is not the one
        that was hashed, A622 and A623 for a broken or missing bundle, hash tile or archive, before anything is removed;
        OSError, after which the call can be made again.
    """
    if segment not in sealed_segments(checkpoint.size):
        raise ValueError(f"segment {segment} is not sealed by a checkpoint of {checkpoint.size} records")
    if log.length(archive_path(segment)) is None:
        log.replace(
            {archive_path(segment): pack(segment, ((ref.path, _raw(log, ref)) for ref in segment_refs(segment)))}
        )
    archive = open_archive(log, segment)
    digests = {archive_path(segment): _digest(log, archive)} | _read_back(log, archive)
    if log.length(digests_path(segment)) is None:
        lines = "".join(f"{digest}  {path}\n" for path, digest in digests.items())
        log.replace({digests_path(segment): lines.encode()})
    for ref in segment_refs(segment):
        log.remove(ref.path)


def restore_segment(log: Disk, segment: int) -> None:
    """Put the bundles of a segment back and remove its archive; what an earlier call left undone is done.

    Errors: TileError A621 where an archived record is not the one that was hashed, A622 for a broken hash tile, A623
        for a broken archive, or a missing one while a bundle is missing too; OSError, after which the call can be made
        again. Until all bundles are there and durable, nothing is removed.
    """
    refs = segment_refs(segment)
    if log.length(archive_path(segment)) is None:
        for ref in refs:
            _raw(log, ref)
    else:
        archive = open_archive(log, segment)
        _read_back(log, archive)
        for first in range(0, SEGMENT_BUNDLES, _RESTORED_AT_ONCE):
            paths = [ref.path for ref in refs[first : first + _RESTORED_AT_ONCE]]
            log.replace({path: read_archived(log, archive, path, MOST_BUNDLE_BYTES) for path in paths})
        log.remove(archive_path(segment))
    log.remove(digests_path(segment))


def _raw(log: Files, ref: TileRef) -> bytes:
    data = log.read(ref.path, MOST_BUNDLE_BYTES)
    if data is None:
        raise TileError("A623", f"{ref.path} is missing")
    _check_hashes(log, ref, data, ref.path)
    return data


def _check_hashes(log: Files, ref: TileRef, data: bytes, where: str) -> None:
    """Refuse a bundle whose records have other hashes than the tree."""
    tile = TileRef(0, ref.index, TILE_WIDTH)
    hashes = log.read(tile.path, TILE_WIDTH * HASH_BYTES)
    if hashes is None:
        raise TileError("A623", f"{tile.path} is missing")
    try:
        entries = parse_bundle(data, TILE_WIDTH)
    except TileError as error:
        raise TileError(error.code, f"{where}: {error.detail}; run `pdp audit verify`") from error
    if encode_tile(leaf_hashes(entries)) != hashes:
        raise TileError("A621", f"{where}: its records are not those of {tile.path}; run `pdp audit verify`")


def _read_back(log: Files, archive: Archive) -> dict[str, str]:
    """The digest of every bundle in the archive, after each was read and found to have the hashes of the tree."""
    digests: dict[str, str] = {}
    for ref in segment_refs(archive.segment):
        data = read_archived(log, archive, ref.path, MOST_BUNDLE_BYTES)
        _check_hashes(log, ref, data, f"{ref.path} in {archive_path(archive.segment)}")
        digests[ref.path] = sha256(data).hexdigest()
    return digests


def _digest(log: Files, archive: Archive) -> str:
    digest = sha256()
    for at in range(0, archive.length, _PIECE_BYTES):
        digest.update(log.read_at(archive_path(archive.segment), at, _PIECE_BYTES))
    return digest.hexdigest()
