"""Writes a registry with one package below ROOT/npm, as files: its document and its tarball."""

import base64
import hashlib
import io
import json
import os
import sys
import tarfile

root, base = sys.argv[1], sys.argv[2]


def member(archive, name, text):
    info = tarfile.TarInfo("package/" + name)
    info.size = len(text)
    archive.addfile(info, io.BytesIO(text.encode()))


packed = io.BytesIO()
manifest = {"name": "tinynode", "version": "1.0.0", "main": "index.js"}
with tarfile.open(fileobj=packed, mode="w:gz") as tar:
    member(tar, "package.json", json.dumps(manifest))
    member(tar, "index.js", "module.exports = 42;\n")
data = packed.getvalue()
os.makedirs(root + "/npm")
with open(root + "/npm/tinynode-1.0.0.tgz", "wb") as out:
    out.write(data)
integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
dist = {"tarball": base + "/tinynode-1.0.0.tgz", "integrity": integrity}
document = {"name": "tinynode", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {**manifest, "dist": dist}}}
with open(root + "/npm/tinynode", "w", encoding="utf-8") as out:
    json.dump(document, out)
