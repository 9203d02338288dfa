# SPDX-License-Identifier: Apache-2.0
"""Container images as files: layers, and archives that containerd, Podman, skopeo and Docker load.

The same trees, configuration and time give the same bytes, whoever packs them and where.
"""

import dataclasses
import datetime
import gzip
import hashlib
import io
import json
import pathlib
import shutil
import tarfile
import tempfile

_TYPE = "application/vnd.oci.image."


@dataclasses.dataclass(frozen=True)
class Layer:
    """A packed tree."""

    path: pathlib.Path   # gzip, or plain tar
    media_type: str
    diff_id: str         # sha256 of the tar itself


@dataclasses.dataclass(frozen=True)
class Platform:
    """An image for one architecture, written into an archive by write_archive()."""

    architecture: str    # as Debian and Go call it
    layers: list[Layer]
    config: dict         # Entrypoint, User, ..., as the image specification has it
    history: list[str]   # what made each layer


@dataclasses.dataclass(frozen=True)
class Written:
    """What has been written of one architecture."""

    digest: str          # of its manifest
    compressed_bytes: int


def layer(tree, path, epoch, compressed=True):
    """Packs everything below the directory `tree` into `path`.

    Owner, order and times are always the same; modes are those of the tree.
    """
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        out = gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) if compressed else file
        with tarfile.open(fileobj=_Tee(out, digest), mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for item in sorted(tree.rglob("*"), key=lambda item: item.relative_to(tree).parts):
                tar.add(item, item.relative_to(tree), recursive=False, filter=lambda member: _plain(member, epoch))
        if compressed:
            out.close()
    return Layer(path, f"{_TYPE}layer.v1.tar{'+gzip' if compressed else ''}", f"sha256:{digest.hexdigest()}")


def write_archive(path, name, platforms, epoch, annotations=None):
    """Writes an OCI layout as a tar file: an index with one manifest for each of `platforms`.

    name: with registry, repository and tag, "docker.io/library/pause:1". It also carries the manifest.json of `docker save`, without
    which a Docker that has no containerd image store loads nothing. That one knows no index: there an architecture is a suffix of the tag.
    Returns the digest of the index and, by architecture, what was Written.
    """
    created = time_text(epoch)
    annotations = {"org.opencontainers.image.created": created, **(annotations or {})}
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".layout-") as folder:
        blobs = pathlib.Path(folder) / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        manifests, legacy, written = [], [], {}
        for platform in platforms:
            layers = [_keep_file(blobs, item) for item in platform.layers]
            config = _keep(blobs, f"{_TYPE}config.v1+json", {
                "architecture": platform.architecture, "os": "linux", "created": created, "config": platform.config,
                "rootfs": {"type": "layers", "diff_ids": [item.diff_id for item in platform.layers]},
                "history": [{"created": created, "created_by": line} for line in platform.history]})
            manifest = _keep(blobs, f"{_TYPE}manifest.v1+json", {
                "schemaVersion": 2, "mediaType": f"{_TYPE}manifest.v1+json", "config": config, "layers": layers,
                "annotations": annotations})
            manifests.append(manifest | {"platform": {"architecture": platform.architecture, "os": "linux"}})
            legacy.append({"Config": _blob(config), "RepoTags": [f"{name}-{platform.architecture}"],
                           "Layers": [_blob(item) for item in layers]})
            written[platform.architecture] = Written(manifest["digest"], sum(item["size"] for item in [config, *layers]))
        index = _keep(blobs, f"{_TYPE}index.v1+json", {
            "schemaVersion": 2, "mediaType": f"{_TYPE}index.v1+json", "manifests": manifests, "annotations": annotations})
        top = index | {"annotations": {"io.containerd.image.name": name,
                                       "org.opencontainers.image.ref.name": name.rpartition(":")[2]}}
        documents = {"oci-layout": {"imageLayoutVersion": "1.0.0"},
                     "index.json": {"schemaVersion": 2, "mediaType": f"{_TYPE}index.v1+json", "manifests": [top]},
                     "manifest.json": legacy}
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as out:
            for file, document in documents.items():
                data = _json(document)
                _add(out, file, io.BytesIO(data), len(data), epoch)
            for blob in sorted(blobs.iterdir()):
                with open(blob, "rb") as data:
                    _add(out, f"blobs/sha256/{blob.name}", data, blob.stat().st_size, epoch)
    return index["digest"], written


def time_text(epoch):
    """Seconds since 1970 as images and SPDX write a time."""
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Tee:
    """A file to write to that also feeds a digest."""

    def __init__(self, file, digest):
        self._file = file
        self._digest = digest

    def write(self, data):
        self._digest.update(data)
        return self._file.write(data)


def _plain(member, epoch):
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = epoch
    return member


def _add(archive, name, data, size, epoch):
    member = tarfile.TarInfo(name)
    member.size = size
    archive.addfile(_plain(member, epoch), data)


def _json(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _keep(blobs, media_type, document):
    data = _json(document)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _keep_file(blobs, item):
    with open(item.path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    shutil.copyfile(item.path, blobs / digest)
    return {"mediaType": item.media_type, "digest": f"sha256:{digest}", "size": item.path.stat().st_size}


def _blob(descriptor):
    return f"blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}"
