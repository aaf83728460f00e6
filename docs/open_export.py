#!/usr/bin/env python3
"""Reads what `keyshell export --all` writes, written from docs/export.md alone. Needs Python 3.9 and `cryptography`.

  open_export.py FILE PASSPHRASE_FILE                 lists names and numbers of versions
  open_export.py FILE PASSPHRASE_FILE NAME [VERSION]  writes the value's bytes to standard output
"""
import base64
import hashlib
import hmac
import json
import sys

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"age-encryption.org/v1\n"
CHUNK = 64 * 1024
TAG = 16


def unpadded(text):
    return base64.b64decode(text + b"=" * (-len(text) % 4))


def hkdf(key, salt, info):
    return HKDF(SHA256(), 32, salt, info).derive(key)


def file_key(stanza, passphrase):
    """age: the scrypt recipient stanza."""
    arguments, body = stanza
    kind, salt, work = arguments.split(b" ")
    if kind != b"scrypt" or not 1 <= int(work) <= 20:
        raise ValueError("not sealed with a passphrase, or with too much work")
    n = 1 << int(work)
    salt = b"age-encryption.org/v1/scrypt" + unpadded(salt)
    wrap = hashlib.scrypt(passphrase, salt=salt, n=n, r=8, p=1, dklen=32, maxmem=n * 1024 + (1 << 20))
    return ChaCha20Poly1305(wrap).decrypt(bytes(12), unpadded(body), None)


def open_age(sealed, passphrase):
    """age: header, its MAC, and the payload in chunks of 64 KiB."""
    end = sealed.index(b"\n--- ") + len(b"\n---")
    mac, payload = sealed[end + 1 :].split(b"\n", 1)
    lines = sealed[len(MAGIC) : end - len(b"\n---")].split(b"\n")
    stanza = lines[0].removeprefix(b"-> "), b"".join(lines[1:])
    key = file_key(stanza, passphrase)
    expected = hmac.digest(hkdf(key, b"", b"header"), sealed[:end], "sha256")
    if not hmac.compare_digest(expected, unpadded(mac)):
        raise ValueError("the header was altered")
    nonce, payload = payload[:16], payload[16:]
    cipher = ChaCha20Poly1305(hkdf(key, nonce, b"payload"))
    step = CHUNK + TAG
    count = max(1, -(-len(payload) // step))
    pieces = []
    for number in range(count):
        is_last = number == count - 1
        nonce = number.to_bytes(11, "big") + bytes([is_last])
        pieces.append(cipher.decrypt(nonce, payload[number * step : (number + 1) * step], None))
    return b"".join(pieces)


def secrets(content):
    document = json.loads(content)
    if (document["format"], document["version"]) != ("keyshell-vault", 1):
        raise ValueError("not a keyshell-vault of version 1")
    return {secret["name"]: secret for secret in document["secrets"]}


def main(path, passphrase_file, name=None, version=None):
    with open(passphrase_file, "rb") as file:
        passphrase = file.readline().rstrip(b"\r\n")
    with open(path, "rb") as file:
        content = file.read()
    if content.startswith(MAGIC):
        content = open_age(content, passphrase)
    found = secrets(content)
    if name is None:
        for name, secret in sorted(found.items()):
            print(f"{name}\t{len(secret['versions'])}")
        return
    versions = {entry["version"]: entry["value"] for entry in found[name]["versions"]}
    value = versions[int(version or max(versions))]
    sys.stdout.buffer.write(base64.b64decode(value, validate=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
