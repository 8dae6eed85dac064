"""The zip of a sealed range of records: its name, how it is packed, and how one bundle of it is read.

A segment is 65,536 records, 256 full bundles. `archive/<segment>.zip` holds them, deflated, each under its own path,
`tile/entries/<index>`, and nothing else.

SECURITY: an archive may be anybody's. Nothing of one is unpacked beyond the largest bundle, and what is not as we write
    it is an error that names it.
Specification: C2SP tlog-tiles ("Log entries"); APPNOTE of the ZIP format, 4.3.7, 4.3.12, 4.3.16.

Decision: 2026-11-21. Deflate in a zip, in every installation. What takes the room of a record is its sealed box, which
    no method makes smaller: the others gain below 5 %, and take three to ten times as long to read. `unzip` in the log
    folder restores a segment without us, in as many years as are wanted.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping

from msgspec import Struct

from pdp.audit.disk import Files, MemberError
from pdp.audit.merkle import TILE_WIDTH
from pdp.audit.tiles import ENTRIES, MAX_ENTRY_BYTES, TileError, TileRef, index_path

SEGMENT_BUNDLES = TILE_WIDTH

MOST_ARCHIVE_BYTES = 1 << 30
"""A larger zip is neither made nor read: ours have some thirty million bytes."""

MOST_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)

_MOST_DIRECTORY_BYTES = 64 * 1024
_LEVEL = 6
_BUNDLE = re.compile(rf"tile/{ENTRIES}/((?:x[0-9]{{3}}/)*[0-9]{{3}})\Z")
_END = struct.Struct("<4s4H2IH")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")


class Member(Struct, frozen=True):
    """Where a bundle stands in a zip: its local header, its deflated and its own length, its CRC-32."""

    at: int
    packed: int
    size: int
    crc: int


class Archive(Struct, frozen=True):
    """The directory of an archive of that many bytes."""

    segment: int
    length: int
    members: Mapping[str, Member]


def archive_path(segment: int) -> str:
    """The zip of a segment, relative to the log. ValueError for a negative one."""
    return f"archive/{index_path(segment)}.zip"


def segment_refs(segment: int) -> list[TileRef]:
    """The bundles of a segment."""
    first = segment * SEGMENT_BUNDLES
    return [TileRef(ENTRIES, index, TILE_WIDTH) for index in range(first, first + SEGMENT_BUNDLES)]


def segment_of(path: str) -> int | None:
    """The segment of the full bundle that has this path; None for any other path."""
    match = _BUNDLE.match(path)
    return None if match is None else int(match[1].replace("x", "").replace("/", "")) // SEGMENT_BUNDLES


def pack(segment: int, bundles: Iterable[tuple[str, bytes]], most: int = MOST_ARCHIVE_BYTES) -> bytes:
    """The zip of a segment's bundles, each after its path; the same bundles make the same zip.

    Errors: TileError A623 where it would have more than `most` bytes; whatever `bundles` raises.
    """
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, allowZip64=False) as packing:
        for path, data in bundles:
            about = zipfile.ZipInfo(path)
            about.compress_type = zipfile.ZIP_DEFLATED
            about.external_attr = 0o100600 << 16
            packing.writestr(about, data, compresslevel=_LEVEL)
            if held.tell() > most - _MOST_DIRECTORY_BYTES:
                text = "would be larger than an archive may be: leave the segment as it is"
                raise TileError("A623", f"{archive_path(segment)} {text}")
    return held.getvalue()


def open_archive(files: Files, segment: int) -> Archive:
    """The directory of an archive. Errors: MemberError unless it is one of ours, whole, with the segment's bundles."""
    path = archive_path(segment)
    length = files.length(path) or 0
    if not _END.size <= length <= MOST_ARCHIVE_BYTES:
        raise MemberError(path, f"it has {length} bytes, no archive of ours has so many")
    end = files.read_at(path, length - _END.size, _END.size)
    if len(end) != _END.size:
        raise MemberError(path, "it is being changed")
    magic, disk, first_disk, here, count, size, at, comment = _END.unpack(end)
    if magic != b"PK\5\6" or disk or first_disk or comment or here != count or at + size + _END.size != length:
        raise MemberError(path, "it is not an archive of ours, or was cut")
    if size > _MOST_DIRECTORY_BYTES:
        raise MemberError(path, f"its directory has {size} bytes, one of ours has at most {_MOST_DIRECTORY_BYTES}")
    members = _members(path, files.read_at(path, at, size))
    if members.keys() != {ref.path for ref in segment_refs(segment)}:
        raise MemberError(path, "it does not hold the bundles of its segment, or others besides")
    return Archive(segment, length, members)


def read_archived(files: Files, archive: Archive, name: str, most: int) -> bytes:
    """One bundle. Errors: MemberError where it is not whole, or larger than `most`."""
    path = archive_path(archive.segment)
    member = archive.members[name]
    head = files.read_at(path, member.at, _LOCAL.size)
    if len(head) != _LOCAL.size or not head.startswith(b"PK\3\4"):
        raise MemberError(path, f"{name} in it is broken")
    name_bytes, extra = _LOCAL.unpack(head)[9:11]
    if member.size > most or member.packed > member.size + member.size // 1000 + 64:  # deflate adds no more
        raise MemberError(path, f"{name} in it has more than {most} bytes, no file of ours in its place has so many")
    packed = files.read_at(path, member.at + _LOCAL.size + name_bytes + extra, member.packed)
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = unpacking.decompress(packed, member.size + 1)
    except zlib.error as error:
        raise MemberError(path, f"{name} in it is broken: {error}") from error
    if len(data) != member.size or not unpacking.eof or unpacking.unused_data or zlib.crc32(data) != member.crc:
        raise MemberError(path, f"{name} in it is broken")
    return data


def _members(path: str, directory: bytes) -> dict[str, Member]:
    members: dict[str, Member] = {}
    at = 0
    while at < len(directory):
        head = directory[at : at + _CENTRAL.size]
        if len(head) != _CENTRAL.size or not head.startswith(b"PK\1\2"):
            raise MemberError(path, "its directory is broken")
        fields = _CENTRAL.unpack(head)
        flags, method, crc, packed, size, name_bytes, extra, comment, start = (*fields[3:5], *fields[7:13], fields[16])
        name = directory[at + len(head) : at + len(head) + name_bytes].decode("ascii", "replace")
        if flags or method != zipfile.ZIP_DEFLATED or name in members:
            raise MemberError(path, f"{name!a} in it is packed in a way of no archive of ours")
        members[name] = Member(start, packed, size, crc)
        at += len(head) + name_bytes + extra + comment
    return members
