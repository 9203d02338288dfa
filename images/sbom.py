# SPDX-License-Identifier: Apache-2.0
"""The bill of materials of an image: SPDX 2.3 as JSON."""

import hashlib
import re
import urllib.parse

from vlab import oci

NAMESPACE = "https://vfio-doorbell.io/spdx"
ORGANISATION = "Organization: vfio-doorbell"
# Names of licences in Debian's copyright files, in lower case, and what SPDX calls the same. What is not here is not guessed at.
SPDX_NAMES = {
    "0bsd": "0BSD", "apache-2.0": "Apache-2.0", "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause", "bsl-1.0": "BSL-1.0",
    "expat": "MIT", "gpl-2": "GPL-2.0-only", "gpl-2+": "GPL-2.0-or-later", "isc": "ISC", "lgpl-2.1+": "LGPL-2.1-or-later",
    "mit": "MIT", "mpl-2.0": "MPL-2.0", "zlib": "Zlib",
}


def document(image, architecture, version, digest, trees, packages, epoch):
    """What is in an image of one architecture.

    digest: of its manifest. trees: what its layers were made of, the lowest first. packages: by the name of the tree, the
    recipe.Package list of what is in it.
    """
    reference = f"SPDXRef-Image-{image.name}"
    files = _files(trees)
    program = next(file["SPDXID"] for file in files if file["fileName"] == f"./{image.name}")
    relationships = [_relationship("SPDXRef-DOCUMENT", "DESCRIBES", reference)]
    relationships += [_relationship(reference, "CONTAINS", file["SPDXID"]) for file in files]
    described = {}
    for tree in trees:
        for package in packages[tree.name]:
            described[_package_id(package)] = _package(package)
            if tree.name == image.name:
                relationships.append(_relationship(program, "STATIC_LINK", _package_id(package)))
            else:
                relationships.append(_relationship(reference, "CONTAINS", _package_id(package)))
    name = f"{image.name}-{version}-{architecture.name}"
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": name,
        "documentNamespace": f"{NAMESPACE}/{name}/{digest.removeprefix('sha256:')}",
        "creationInfo": {"created": oci.time_text(epoch), "creators": [ORGANISATION, "Tool: vfio-doorbell-images"]},
        "packages": [{
            "SPDXID": reference, "name": image.name, "versionInfo": version, "supplier": ORGANISATION,
            "primaryPackagePurpose": "CONTAINER", "description": image.description, "downloadLocation": "NOASSERTION",
            "filesAnalyzed": True, "packageVerificationCode": {"packageVerificationCodeValue": _verification_code(files)},
            "licenseConcluded": "NOASSERTION", "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION",
            "externalRefs": [_purl(f"pkg:oci/{image.name}@{urllib.parse.quote(digest, safe='')}?arch={architecture.name}&tag={version}")],
        }, *(described[key] for key in sorted(described))],
        "files": files,
        "relationships": relationships,
    }


def _files(trees):
    files = []
    for tree in trees:
        for path in sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()):
            data, name = path.read_bytes(), f"./{path.relative_to(tree)}"
            files.append({
                "SPDXID": f"SPDXRef-File-{hashlib.sha256(name.encode()).hexdigest()[:16]}", "fileName": name,
                "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(data, usedforsecurity=False).hexdigest()},
                              {"algorithm": "SHA256", "checksumValue": hashlib.sha256(data).hexdigest()}],
                "licenseConcluded": "NOASSERTION", "copyrightText": "NOASSERTION"})
    return files


def _verification_code(files):
    """SPDX 2.3, 7.9: the SHA1 of all SHA1s in order."""
    sums = sorted(file["checksums"][0]["checksumValue"] for file in files)
    return hashlib.sha1("".join(sums).encode(), usedforsecurity=False).hexdigest()


def _package_id(package):
    return "SPDXRef-Package-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{package.name.replace('+', 'plus')}-{package.architecture}")


def _package(package):
    declared, names = _licences(package.copyright)
    described = {
        "SPDXID": _package_id(package), "name": package.name, "versionInfo": package.version,
        "supplier": "Organization: Debian", "originator": _originator(package.maintainer), "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False, "sourceInfo": f"Debian source package {package.source} {package.source_version}",
        "licenseConcluded": "NOASSERTION", "licenseDeclared": declared,
        "licenseComments": f"usr/share/doc/{package.name}/copyright in the image has the text"
                           + (f"; of parts of the source it says: {', '.join(names)}" if names else ""),
        "copyrightText": "NOASSERTION",
        "externalRefs": [_purl(f"pkg:deb/debian/{urllib.parse.quote(package.name)}@{urllib.parse.quote(package.version)}"
                               f"?arch={package.architecture}&distro=debian-12")]}
    return described | ({"homepage": package.homepage} if package.homepage else {})


def _licences(text):
    """The licence of a package as a whole, and all that its copyright file names. Only the form of DEP 5 can be read."""
    if not re.match(r"Format(-Specification)?:.*(copyright-format|dep5)", text, re.I):
        return "NOASSERTION", []
    found = re.findall(r"^License:[ \t]*(\S.*)$", text, re.M)
    whole = re.search(r"^Files:[ \t]*\*\s*$(?:\n.+)*?\nLicense:[ \t]*(\S.*)$", text, re.M)
    declared = SPDX_NAMES.get(whole[1].strip().lower(), "NOASSERTION") if whole else "NOASSERTION"
    return declared, sorted({name.strip() for name in found})


def _originator(maintainer):
    name, _, address = maintainer.partition("<")
    return f"Organization: {name.strip()} ({address.rstrip('>')})" if address else f"Organization: {maintainer}"


def _purl(locator):
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}


def _relationship(one, kind, other):
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
