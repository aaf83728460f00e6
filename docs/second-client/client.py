#!/usr/bin/env python3
"""A second keyshell client, written from docs/protocol.md (version 2); "section N" below is a section of that document.

It registers, logs in, puts, gets, lists and audits. It verifies what the document tells a client to verify, but changes
no credentials and accepts no restored server: for those it says so and stops. It keeps no index, and so reads the whole
vault log at each login. Secrets are in ordinary Python objects, which nothing wipes from memory.

    KEYSHELL_PASSWORD=... ./client.py --server HOST:PORT --pin sha256:... --state DIR --account NAME COMMAND
"""

import argparse
import base64
import copy
import dataclasses
import getpass
import hashlib
import hmac
import http.client
import ipaddress
import json
import os
import ssl
import struct
import sys
import tempfile
import time
import unicodedata

import argon2.low_level
import msgpack
import nacl.bindings
import nacl.exceptions
import rbcl
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

SUITE = 1
MAX_BODY = 4 * 1024 * 1024
MAX_ENTRY = 3 * 1024
MAX_RECORD = 512
MAX_PAGE = 1000
MAX_SEEN = 64
MAX_EPOCH = 1000
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ZEROS = bytes(32)


class Lie(Exception):
    """The server's answer failed a verification: nothing is read or written any more."""


class Refused(Exception):
    """The server refused a request."""

    def __init__(self, refusal):
        super().__init__(f"the server refused: {refusal}")
        self.refusal = refusal


def verify(condition, what):
    if not condition:
        raise Lie(what)


# Conventions and primitives (section 1)


def u32(number):
    return struct.pack(">I", number)


def u64(number):
    return struct.pack(">Q", number)


def lp(*fields):
    return b"".join(u32(len(field)) + field for field in fields)


def sha256(data):
    return hashlib.sha256(data).digest()


def sha512(data):
    return hashlib.sha512(data).digest()


def hmac512(key, data):
    return hmac.digest(key, data, "sha512")


def expand(key, info, n):
    out, block = b"", b""
    for counter in range(1, -(-n // 64) + 1):
        block = hmac512(key, block + info + bytes([counter]))
        out += block
    return out[:n]


def kdf(ikm, label, *fields, n=32):
    return expand(hmac512(bytes(64), ikm), lp(label, *fields), n)


def seal(key, aad, plaintext):
    nonce = os.urandom(12)
    return nonce + AESGCMSIV(key).encrypt(nonce, plaintext, aad)


def unseal(key, aad, sealed):
    return AESGCMSIV(key).decrypt(sealed[:12], sealed[12:], aad)


def ed25519(seed):
    return Ed25519PrivateKey.from_private_bytes(seed)


def public(key):
    return key.public_key().public_bytes_raw()


def is_signed(key, message, signature):
    """libsodium refuses what "strictly" excludes: keys and R of small order, S that is not reduced."""
    try:
        nacl.bindings.crypto_sign_open(signature + message, key)
        return True
    except (nacl.exceptions.BadSignatureError, nacl.exceptions.ValueError):
        return False


# Encoding (section 2)


def encode(message):
    return msgpack.packb(message, use_bin_type=True)


def decode(data, limit):
    verify(len(data) <= limit, "a message is too long")
    try:
        message = msgpack.unpackb(data, raw=False, strict_map_key=True)
    except Exception as error:
        raise Lie(f"a message is malformed: {error}") from None
    verify(encode(message) == data and depth(message) <= 16, "a message is not canonical")
    return message


def depth(message):
    if not isinstance(message, (list, dict)):
        return 0
    parts = message.values() if isinstance(message, dict) else message
    return 1 + max(map(depth, parts), default=0)


def only(enumeration):
    """Name and content of an enumeration value."""
    if isinstance(enumeration, str):
        return enumeration, None
    ((name, content),) = enumeration.items()
    return name, content


# Transport (section 3)


class Api:
    def __init__(self, server, pin):
        host, _, port = server.removeprefix("https://").rpartition(":")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        # The pin is compared instead, before anything is sent.
        context.verify_mode = ssl.CERT_NONE
        self.pin = pin
        self.http = http.client.HTTPSConnection(host.strip("[]"), int(port), context=context, timeout=60)

    def connect(self):
        self.http.connect()
        certificate = x509.load_der_x509_certificate(self.http.sock.getpeercert(binary_form=True))
        der, info = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        shown = base64.b64encode(sha256(certificate.public_key().public_bytes(der, info))).decode()
        if self.pin != f"sha256:{shown}":
            self.http.close()
            raise Lie(f"the server's key is sha256:{shown}")

    def exchange(self, method, path, body=None):
        if self.http.sock is None:
            self.connect()
        try:
            self.http.request(method, path, body, {"Content-Type": "application/msgpack"})
            response = self.http.getresponse()
            data = response.read(MAX_BODY + 1)
        except (http.client.HTTPException, OSError):
            self.http.close()
            raise
        if response.status == 200:
            return decode(data, MAX_BODY)
        if response.status in (408, 415):
            raise Refused(response.status)
        raise Refused(decode(data, MAX_BODY))

    def post(self, path, message):
        return self.exchange("POST", "/v2/" + path, encode(message))

    def call(self, sealed):
        """Sends the same bytes again where the answer was lost (section 6)."""
        for pause in (0.1, 0.3, 0.9, None):
            try:
                return self.post("call", sealed)
            except Refused as refused:
                if refused.refusal not in ("busy", "unavailable", "internal"):
                    verify(refused.refusal in ("no_session", "too_large"), f"{refused} outside the channel")
                    raise
                error = refused
            except (http.client.HTTPException, OSError) as lost:
                error = lost
            if pause is None:
                raise error
            time.sleep(pause)


# OPAQUE-3DH (RFC 9807) over ristretto255 and SHA-512 (section 4)

OPRF = b"OPRFV1-\x00-ristretto255-SHA512"


def xmd(message, dst):
    """expand_message_xmd (RFC 9380) with SHA-512, 64 bytes: one block."""
    dst += bytes([len(dst)])
    first = sha512(bytes(128) + message + b"\x00\x40\x00" + dst)
    return sha512(first + b"\x01" + dst)


def random_scalar():
    return rbcl.crypto_core_ristretto255_scalar_random()


def multiply(scalar, point):
    verify(rbcl.crypto_core_ristretto255_is_valid_point(point), "a group element does not decode")
    return rbcl.crypto_scalarmult_ristretto255(scalar, point)


def key_pair(seed):
    """DeriveDiffieHellmanKeyPair (RFC 9807, section 6.4.1)."""
    info = b"OPAQUE-DeriveDiffieHellmanKeyPair"
    message = seed + struct.pack(">H", len(info)) + info + b"\x00"
    private = rbcl.crypto_core_ristretto255_scalar_reduce(xmd(message, b"DeriveKeyPair" + OPRF))
    return private, rbcl.crypto_scalarmult_ristretto255_base(private)


def i2osp2(field):
    return struct.pack(">H", len(field)) + field


@dataclasses.dataclass
class Credential:
    """Password, recovery code or device secret in one slot of one account on one server."""

    account: str
    server: bytes
    opaque_key: bytes
    slot: object
    secret: bytes

    def blind(self):
        self.scalar = random_scalar()
        element = rbcl.crypto_core_ristretto255_from_hash(xmd(self.secret, b"HashToGroup-" + OPRF))
        return multiply(self.scalar, element)

    def randomised(self, evaluated):
        unblinded = multiply(rbcl.crypto_core_ristretto255_scalar_invert(self.scalar), evaluated)
        output = sha512(i2osp2(self.secret) + i2osp2(unblinded) + b"Finalize")
        return hmac512(bytes(64), output + self.stretch(output))

    def stretch(self, output):
        if isinstance(self.slot, dict):
            return output
        names = (b"keyshell/2 stretching", self.server, self.account.encode(), slot_label(self.slot))
        salt = sha256(lp(*names))[:16]
        kind = argon2.low_level.Type.ID
        return argon2.low_level.hash_secret_raw(output, salt, 3, 64 * 1024, 4, 64, kind)

    def envelope(self, password, nonce):
        """Export key, client key pair, and authentication tag of an envelope (RFC 9807, section 4.1)."""
        tag_key = expand(password, nonce + b"AuthKey", 64)
        private, key = key_pair(expand(password, nonce + b"PrivateKey", 32))
        clear = self.opaque_key + i2osp2(self.server) + i2osp2(self.account.encode())
        return expand(password, nonce + b"ExportKey", 64), private, key, hmac512(tag_key, nonce + clear)

    def record(self, response):
        """The registration record (192 bytes) and the export key."""
        verify(len(response) == 64, "a registration response has another length")
        verify(response[32:] == self.opaque_key, "the server registers with another OPAQUE key")
        password = self.randomised(response[:32])
        nonce = os.urandom(32)
        export_key, _, key, tag = self.envelope(password, nonce)
        return key + expand(password, b"MaskingKey", 64) + nonce + tag, export_key

    def ke1(self):
        self.ephemeral, share = key_pair(os.urandom(32))
        self.first = self.blind() + os.urandom(32) + share
        return self.first

    def ke3(self, ke2):
        """KE3, session key and export key; `None` where the credential is wrong."""
        verify(len(ke2) == 320, "KE2 has another length")
        verify(ke2[:32] != self.first[:32], "the server sent the client's own message back")
        password = self.randomised(ke2[:32])
        pad = expand(expand(password, b"MaskingKey", 64), ke2[32:64] + b"CredentialResponsePad", 128)
        clear = bytes(a ^ b for a, b in zip(pad, ke2[64:192]))
        server_key, nonce, tag = clear[:32], clear[32:64], clear[64:]
        # The envelope authenticates the key; with the pinned one in its place the tag fails for another.
        export_key, private, _, expected = self.envelope(password, nonce)
        if server_key != self.opaque_key or not hmac.compare_digest(tag, expected):
            return None
        share = ke2[224:256]
        ikm = multiply(self.ephemeral, share) + multiply(self.ephemeral, server_key) + multiply(private, share)
        context = lp(b"keyshell", bytes([2, SUITE]), slot_label(self.slot))
        preamble = b"OPAQUEv1-" + i2osp2(context) + i2osp2(self.account.encode()) + self.first
        preamble += i2osp2(self.server) + ke2[:256]
        prk, transcript = hmac512(bytes(64), ikm), sha512(preamble)
        handshake = expand_label(prk, b"HandshakeSecret", transcript)
        mac = hmac512(expand_label(handshake, b"ServerMAC", b""), transcript)
        if not hmac.compare_digest(mac, ke2[256:]):
            return None
        proof = hmac512(expand_label(handshake, b"ClientMAC", b""), sha512(preamble + mac))
        return proof, expand_label(prk, b"SessionKey", transcript), export_key


def expand_label(secret, label, context):
    label = b"OPAQUE-" + label
    return expand(secret, b"\x00\x40" + bytes([len(label)]) + label + bytes([len(context)]) + context, 64)


def slot_label(slot):
    return b"device:" + slot["device"] if isinstance(slot, dict) else slot.encode()


def crockford(data):
    bits = int.from_bytes(data) << -len(data) * 8 % 5
    return "".join(CROCKFORD[bits >> shift & 31] for shift in range((len(data) * 8 - 1) // 5 * 5, -1, -5))


# Keys (section 5)


class AccountKeys:
    """The account keys of all epochs."""

    def __init__(self, account, keys):
        self.account, self.keys = account, keys

    @property
    def epoch(self):
        return len(self.keys)

    def derive(self, epoch, label, *fields):
        if not 1 <= epoch <= self.epoch:
            raise InvalidTag
        return kdf(self.keys[epoch - 1], label, self.account, *fields)

    def log_signing(self, epoch):
        return ed25519(self.derive(epoch, b"keyshell/2 log signing"))

    def metadata(self, epoch):
        return self.derive(epoch, b"keyshell/2 metadata", u32(epoch))

    def value(self, secret, version, epoch):
        return self.derive(epoch, b"keyshell/2 value", secret, u64(version), u32(epoch))


def wrap_parts(export_key, account, slot, generation, epoch):
    fields = (account, slot_label(slot), u64(generation), u32(epoch))
    both = kdf(export_key, b"keyshell/2 wrap", *fields, n=64)
    return both[:32], both[32:], lp(b"keyshell/2 wrapped account key", bytes([SUITE]), *fields)


def xwing(seed):
    """ML-KEM and X25519 keys of an X-Wing seed, and the public key."""
    expanded = hashlib.shake_256(seed).digest(96)
    ml_kem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    return ml_kem, x25519, public(ml_kem) + public(x25519)


def xwing_decapsulate(seed, ciphertext):
    ml_kem, x25519, _ = xwing(seed)
    shared = x25519.exchange(X25519PublicKey.from_public_bytes(ciphertext[1088:]))
    mixed = ml_kem.decapsulate(ciphertext[:1088]) + shared + ciphertext[1088:] + public(x25519)
    return hashlib.sha3_256(mixed + rb"\.//^" + b"\\").digest()


class SlotKeys:
    """The key pairs of a credential of `password` or `recovery`."""

    def __init__(self, export_key, account, slot, generation):
        self.fields = (account, slot_label(slot), u64(generation))
        self.slot, self.generation = slot, generation
        self.kem_seed = kdf(export_key, b"keyshell/2 slot kem", *self.fields)
        self.signing = ed25519(kdf(export_key, b"keyshell/2 slot signing", *self.fields))

    def open(self, slot_key):
        slot, generation, epoch, blob = slot_key
        verify((slot, generation) == (self.slot, self.generation), "a slot key is of another slot")
        secret = xwing_decapsulate(self.kem_seed, blob[:1120])
        key = kdf(secret, b"keyshell/2 slot key", *self.fields, u32(epoch))
        aad = lp(b"keyshell/2 slot key", bytes([SUITE]), *self.fields, u32(epoch))
        return AESGCMSIV(key).decrypt(bytes(12), blob[1120:], aad)


# Padding, values and metadata (section 7)


def padded_len(length):
    e = length.bit_length() - 1
    step = 1 << e - e.bit_length()
    return -(-length // step) * step


def pad(content, least):
    return (u32(len(content)) + content).ljust(max(least, padded_len(4 + len(content))), b"\x00")


def unpad(padded, least):
    length = int.from_bytes(padded[:4])
    if pad(padded[4 : 4 + length], least) != padded:
        raise InvalidTag
    return padded[4 : 4 + length]


def secret_aad(label, keys, secret, version, epoch):
    return lp(label, bytes([SUITE]), keys.account, secret, u64(version), u32(epoch))


def unique(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def decode_metadata(data):
    found = msgpack.unpackb(data, raw=False, strict_map_key=False, object_pairs_hook=unique)
    is_text = lambda key, default: isinstance(found.get(key, default), str)
    tags, created = found.get("tags", []), found.get("created", 0)
    is_well_formed = (
        all(isinstance(key, str) for key in found)
        and is_name(found["name"])
        and is_text("note", "")
        and is_text("type", "")
        and isinstance(tags, list)
        and all(isinstance(tag, str) for tag in tags)
        and type(created) is int
        and created >= 0
    )
    if not is_well_formed:
        raise ValueError("metadata are malformed")
    return found


def is_name(name):
    return (
        isinstance(name, str)
        and 1 <= len(name.encode()) <= 255
        and name == name.strip()
        and name == unicodedata.normalize("NFC", name)
        and not any(unicodedata.category(c) == "Cc" for c in name)
    )


# The Merkle tree (RFC 9162, section 2.1) and checkpoints (section 8)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


def tree_root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"")
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(tree_root(leaves[:split]), tree_root(leaves[split:]))


def is_consistent(old, new, proof):
    """RFC 9162, section 2.1.4.2; `old` and `new` are tree heads."""
    (size, root), (new_size, new_root) = old, new
    if size == new_size or size == 0:
        return proof == [] and (root == new_root if size else True) and size <= new_size
    if size > new_size:
        return False
    path = list(proof) if size & size - 1 else [root, *proof]
    if not path:
        return False
    node, last = size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_hash = new_hash = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old_hash, new_hash = node_hash(sibling, old_hash), node_hash(sibling, new_hash)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new_hash = node_hash(new_hash, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old_hash == root and new_hash == new_root


def tree_head(note, server, account, key):
    """The tree head in a checkpoint, whose one signature is verified."""
    origin = f"keyserver/{server.hex()}/{account.hex()}"
    verify(len(note.encode()) <= 1024, "a checkpoint is too long")
    text, _, signature = note.partition("\n\n")
    lines = text.split("\n")
    verify(len(lines) == 3 and lines[0] == origin, "a checkpoint is of another log")
    size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    key_id = sha256(origin.encode() + b"\n\x01" + key)[:4]
    prefix = f"\u2014 {origin} "
    verify(signature.startswith(prefix) and signature.endswith("\n"), "a checkpoint is malformed")
    encoded = signature[len(prefix) : -1]
    signed = base64.b64decode(encoded, validate=True)
    verify(note == f"{text}\n{prefix}{base64.b64encode(signed).decode()}\n", "a checkpoint is malformed")
    verify(len(root) == 32 and len(signed) == 68 and signed[:4] == key_id, "a checkpoint has another key id")
    verify(is_signed(key, text.encode(), signed[4:]), "a checkpoint is not signed by the server")
    return size, root


# The vault log (section 7)

NEEDS_AUTHORISATION = ("credential", "rekey", "acknowledge", "reseal")


def entry_hash(signed):
    return sha256(lp(b"keyshell/2 vault entry hash", *signed))


def sign_entry(keys, head, device, seen, op):
    entry = [2, keys.account, head[0] + 1, head[1], device, time.time_ns() // 10**6, seen, op, None]
    data = encode(entry)
    message = lp(b"keyshell/2 vault entry signature", keys.account, data)
    return [data, keys.log_signing(keys.epoch).sign(message)]


@dataclasses.dataclass
class Secret:
    """Replayed state of a secret. `versions`: epoch, value hash and position of each version that has a value."""

    metadata: dict | None
    versions: dict
    state: str = "live"


class Log:
    """Replays the vault log, and verifies each entry."""

    def __init__(self, keys):
        self.keys = keys
        self.head = (0, ZEROS)
        self.epoch, self.log_key = 1, None
        # Number of credential entries that must follow, since they belong to an installation.
        self.due = 0
        self.identity = None
        self.secrets, self.missing, self.seen = {}, {}, {}
        # Slot label to (generation, keys); (label, generation) to signing key; entry hash to that pair.
        self.slots, self.generations, self.set_by = {}, {}, {}
        self.entries = []
        self.unreadable = []

    def replay(self, logged):
        signed, content = logged
        data, signature = signed
        entry = decode(data, MAX_ENTRY)
        version, account, seq, previous, device, _, seen, op, authorisation = entry
        name, body = only(op)
        verify((name == "genesis") == (self.log_key is None), f"entry {seq} is genesis in the wrong place")
        key = body[3] if name == "genesis" else self.log_key
        message = lp(b"keyshell/2 vault entry signature", self.keys.account, data)
        verify(is_signed(key, message, signature), f"entry {seq} is not signed by the account's key")
        verify((version, account) == (2, self.keys.account), f"entry {seq} is of another account or format")
        verify((seq, previous) == (self.head[0] + 1, self.head[1]), f"entry {seq} does not continue the log")
        self.check_authorisation(entry)
        verify(not self.due or name == "credential", f"entry {seq} stands inside a change of credentials")
        digest = entry_hash(signed)
        signing_epoch = self.epoch
        if name == "genesis":
            self.identity, self.log_key = body, body[3]
            self.check_log_key()
        elif name == "rekey":
            verify(body[0] == self.epoch + 1 <= MAX_EPOCH, f"entry {seq} begins another epoch than the next")
            self.epoch, self.log_key, self.due = body
            self.check_log_key()
        elif name == "credential":
            self.set_credential(body, digest)
            self.due = max(self.due - 1, 0)
        elif name == "acknowledge":
            raise Lie("the server was restored from a backup, which this client cannot judge: use keyshell")
        elif name == "note":
            self.take_content(seq, ("note", seq), body, content)
        else:
            self.change(seq, name, body, content, signing_epoch)
        if name not in ("put", "reseal", "describe", "note"):
            verify(content is None, f"entry {seq} came with content that it does not name")
        self.entries.append((digest, device))
        self.head = (seq, digest)
        if seen is not None and seen[0] >= self.seen.get(device, (0, ZEROS))[0]:
            self.seen[device] = tuple(seen)

    def check_log_key(self):
        verify(self.epoch <= self.keys.epoch, "an epoch has begun since this login: log in again")
        expected = public(self.keys.log_signing(self.epoch))
        verify(self.log_key == expected, "the log names another signing key than the account's")

    def check_authorisation(self, entry):
        _, account, seq, previous, _, _, _, op, authorisation = entry
        name, body = only(op)
        needed = name in NEEDS_AUTHORISATION or name == "purge" and "secret" not in body
        if seq <= 3 or not needed:
            verify(authorisation is None, f"entry {seq} carries an authorisation that it does not need")
            return
        verify(authorisation is not None, f"entry {seq} is not authorised")
        slot, signature = authorisation
        is_own = name == "credential" and body[0] == slot and body[2] is not None
        verify(isinstance(slot, str) or is_own, f"entry {seq} is authorised by a device")
        _, keys = self.slots.get(slot_label(slot), (0, None))
        message = lp(b"keyshell/2 authorisation", account, u64(seq), previous, encode(op))
        is_valid = keys is not None and is_signed(keys[2], message, signature)
        verify(is_valid, f"entry {seq} is not authorised by a credential of the log")

    def set_credential(self, body, digest):
        slot, generation, keys, name = body
        label = slot_label(slot)
        before, _ = self.slots.get(label, (0, None))
        verify(generation == before + 1, "a credential is not the next generation of its slot")
        if isinstance(slot, dict) and keys is not None:
            verify(device_id(keys[2]) == slot["device"], "a device's slot has another key than its id names")
        else:
            verify(name is None and (slot, keys) != ("password", None), "a credential breaks the rules")
        verify(keys is None or len(keys[1]) == 1216, "a KEM key has another length")
        self.slots[label] = (generation, keys)
        self.generations[label, generation] = keys and keys[2]
        self.set_by[digest] = (label, generation)

    def take_content(self, seq, place, named, content):
        """Compares content with the hash in its entry; remembers what was not delivered."""
        if content is None:
            self.missing[place] = seq
            return None
        verify(sha256(content) == named, f"the content of entry {seq} is not the one that it names")
        return content

    def change(self, seq, name, body, content, epoch):
        if name == "purge":
            kind, what = only(body)
            if kind == "note":
                self.missing.pop(("note", what), None)
                return
            id, version = (what, None) if kind == "secret" else what
        else:
            id, version = body[:2]
        secret = self.secrets.get(id)
        state = secret.state if secret else None
        newest = max(secret.versions, default=0) if secret else 0
        contradicts = f"entry {seq} contradicts the entries before it"
        if name == "put":
            verify(state in (None, "live") and version == newest + 1, contradicts)
            secret = self.secrets.setdefault(id, Secret(None, {}))
        elif name == "reseal":
            verify(state in ("live", "removed") and version in secret.versions, contradicts)
        elif name == "purge" and kind == "versions":
            verify(state == "live" and version in secret.versions, contradicts)
        else:
            needed = {"describe": "live", "remove": "live", "restore": "removed", "purge": "removed"}[name]
            verify(state == needed and version in (newest, None), contradicts)
        if name in ("put", "reseal", "describe"):
            verify(body[2] == epoch, f"entry {seq} is of another epoch")
            if name == "reseal":
                self.missing.pop((id, version), None)
            sealed = self.take_content(seq, (id, version), body[-1], content)
            if sealed is not None and (name != "reseal" or version == newest):
                self.describe(seq, secret, id, version, epoch, sealed)
            if name != "describe":
                secret.versions[version] = (epoch, body[3], seq)
        elif name == "purge":
            gone = [v for v in secret.versions if version is None or v < version]
            for old in gone:
                del secret.versions[old]
            lost = [place for place in self.missing if place[0] == id and (version is None or place[1] < version)]
            for place in lost:
                del self.missing[place]
            secret.state = "purged" if version is None else "live"
        else:
            secret.state = {"remove": "removed", "restore": "live"}[name]

    def describe(self, seq, secret, id, version, epoch, sealed):
        """Metadata that do not open leave the earlier ones in place: their writer is at fault, not the server."""
        try:
            aad = secret_aad(b"keyshell/2 sealed metadata", self.keys, id, version, epoch)
            secret.metadata = decode_metadata(unpad(unseal(self.keys.metadata(epoch), aad, sealed), 256))
        except Exception:
            self.unreadable.append(seq)

    def named(self, name):
        """The live secret of this name; of several, the one with the lowest id."""
        live = ((id, s) for id, s in self.secrets.items() if s.state == "live" and s.metadata)
        found = sorted((id for id, s in live if s.metadata["name"] == name))
        return found[0] if found else None


def device_id(key):
    return sha256(lp(b"keyshell/2 device id", key))[:16]


# Sessions (section 6)


class Session:
    def __init__(self, api, device, session_key, welcome):
        self.api, self.device = api, device
        self.id = kdf(session_key, b"keyshell/2 session id", n=16)
        self.counter = 0
        names = (b"client to server", b"server to client")
        self.keys = {name: kdf(session_key, b"keyshell/2 channel", self.id, name) for name in names}
        self.welcome = self.open(welcome)
        self.opening, self.records = None, []

    def aad(self, direction):
        return lp(b"keyshell/2 channel", self.id, direction, u64(self.counter))

    def open(self, sealed):
        session, counter, body = sealed
        verify((session, counter) == (self.id, self.counter), "a sealed answer is out of order")
        direction = b"server to client"
        nonce = bytes(4) + u64(self.counter)
        plaintext = AESGCMSIV(self.keys[direction]).decrypt(nonce, body, self.aad(direction))
        return decode(plaintext, MAX_BODY)

    def ask(self, call, operations):
        """Signs and sends a call. `operations` are (name, secret or nothing, entry hash or nothing)."""
        self.counter += 1
        signatures = []
        for position, (operation, secret, entry) in enumerate(operations):
            place = (self.id, u64(self.counter), u32(position), operation.encode())
            message = lp(b"keyshell/2 request", self.account, *place, secret or b"", entry or b"")
            signatures.append(self.device.sign(message))
        direction = b"client to server"
        plaintext = encode([self.opening, signatures, call])
        nonce = bytes(4) + u64(self.counter)
        body = AESGCMSIV(self.keys[direction]).encrypt(nonce, plaintext, self.aad(direction))
        name, answer = only(self.open(self.api.call([self.id, self.counter, body])))
        if name == "refused":
            self.records.append(0)
            raise Refused(answer)
        verify(name == only(call)[0], "the answer belongs to another call")
        self.opening = None
        self.records.append(len(answer) if name == "fetch" else len(operations))
        return answer


# The state of a device (section 9)


class State:
    def __init__(self, folder, account):
        os.makedirs(folder, 0o700, exist_ok=True)
        self.path = os.path.join(folder, f"{sha256(account.encode()).hex()[:16]}.json")
        seed = os.path.join(folder, "device")
        if not os.path.exists(seed):
            write(seed, os.urandom(32))
        with open(seed, "rb") as file:
            self.device = ed25519(kdf(file.read(), b"keyshell/2 device signing"))
        self.device_key = public(self.device)
        self.device_id = device_id(self.device_key)
        self.pins = None
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                self.pins = json.load(file)

    def save(self):
        write(self.path, json.dumps(self.pins, indent=1).encode())

    def head(self, name):
        """A pinned head, (0, zeros) where there is none yet; `log` or `audit`."""
        position, digest = self.pins[name]
        return position, bytes.fromhex(digest)


def write(path, content):
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(path), delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)


# The client


class Client:
    def __init__(self, arguments):
        self.account = unicodedata.normalize("NFC", arguments.account)
        self.state = State(arguments.state, self.account)
        self.api = Api(arguments.server, arguments.pin)
        version, server, opaque_key, checkpoint_key, _ = self.api.exchange("GET", "/v2/hello")
        verify(version >= 2, "the server is too old")
        self.server, self.opaque_key, self.checkpoint_key = server, opaque_key, checkpoint_key
        if self.state.pins:
            self.check_server()

    def check_server(self):
        shown = [self.server.hex(), self.opaque_key.hex(), self.checkpoint_key.hex()]
        verify(self.state.pins["server"] == shown, "the server is another one than before")

    def credential(self, slot, secret):
        return Credential(self.account, self.server, self.opaque_key, slot, secret)

    def register(self, password, invite):
        """Creates the account; returns the recovery code."""
        if self.state.pins:
            raise SystemExit("this device knows the account already")
        code = crockford(os.urandom(20))
        slots = [self.credential("password", password), self.credential("recovery", code.encode())]
        requests = [[new.slot, new.blind()] for new in slots]
        start = [SUITE, self.account, invite, requests]
        pending, responses = self.api.post("register/start", start)
        verify(len(responses) == len(slots), "the answer lacks a slot")
        keys = AccountKeys(os.urandom(16), [os.urandom(32)])
        log_key = public(keys.log_signing(1))
        ops = [{"genesis": [self.server, self.opaque_key, self.checkpoint_key, log_key, SUITE]}]
        records = []
        for new, response in zip(slots, responses):
            record, export_key = new.record(response)
            key, commitment, aad = wrap_parts(export_key, keys.account, new.slot, 1, 1)
            blob = commitment + seal(key, aad, keys.keys[0])
            slot_keys = SlotKeys(export_key, keys.account, new.slot, 1)
            names = [sha256(blob), xwing(slot_keys.kem_seed)[2], public(slot_keys.signing)]
            ops.append({"credential": [new.slot, 1, names, None]})
            records.append([new.slot, record, [1, 1, blob], None])
        head, entries = (0, ZEROS), []
        for op in ops:
            entries.append(sign_entry(keys, head, self.state.device_id, None, op))
            head = (head[0] + 1, entry_hash(entries[-1]))
        self.api.post("register/finish", [pending, records, entries])
        # The first login must show this account, and nothing less.
        self.state.pins = self.new_pins(keys.account, 1, head)
        self.state.save()
        return code

    def new_pins(self, account, epoch, head):
        server = [self.server.hex(), self.opaque_key.hex(), self.checkpoint_key.hex()]
        log, none = [head[0], head[1].hex()], [0, sha256(b"").hex()]
        names = {"server": server, "account": account.hex(), "suite": SUITE, "epoch": epoch}
        return names | {"log": log, "audit": none, "generations": {}, "sent": None, "refused": []}

    def login(self, slot, secret):
        new = self.credential(slot, secret)
        pending, ke2 = self.api.post("login/start", [SUITE, self.account, slot, new.ke1()])
        proven = new.ke3(ke2)
        if proven is None:
            raise Refused("wrong password, or no such account")
        proof, session_key, export_key = proven
        sealed = self.api.post("login/finish", [pending, proof])
        self.session = Session(self.api, self.state.device, session_key, sealed)
        account, wrapped, slot_key, history, *_ = self.session.welcome
        self.session.account = account
        self.keys, slot_keys = self.open_keys(account, slot, export_key, wrapped, slot_key, history)
        generation, epoch, blob = wrapped
        if self.state.pins is None:
            self.state.pins = self.new_pins(account, self.keys.epoch, (0, ZEROS))
        pins = self.state.pins
        verify(pins["account"] == account.hex(), "the server answers with another account of the same name")
        verify(pins["epoch"] <= self.keys.epoch, "the account key is one that was replaced")
        verify(pins["generations"].get(slot, 0) <= generation, "the credential was rolled back")
        fields = (account, self.session.id, slot_label(slot), u64(generation), self.state.device_key)
        certificate = slot_keys.signing.sign(lp(b"keyshell/2 session", *fields))
        self.session.opening = [slot, generation, self.state.device_key, certificate]
        self.sync()
        shown, keys = self.log.slots[slot_label(slot)]
        is_named = shown == generation and keys is not None and keys[0] == sha256(blob)
        verify(is_named, "the credential is not the one that the log names")
        pins["generations"][slot] = generation
        pins["epoch"] = self.keys.epoch
        self.state.save()

    def open_keys(self, account, slot, export_key, wrapped, slot_key, history):
        """All account keys (section 5, "After a login")."""
        generation, first, blob = wrapped
        verify(1 <= first <= MAX_EPOCH, "the account key is of an epoch that does not exist")
        key, commitment, aad = wrap_parts(export_key, account, slot, generation, first)
        verify(hmac.compare_digest(blob[:32], commitment), "the wrapped account key does not open")
        current, epoch = unseal(key, aad, blob[32:]), first
        own = current
        slot_keys = SlotKeys(export_key, account, slot, generation)
        if slot_key is not None:
            verify(first < slot_key[2] <= MAX_EPOCH, "a slot key is of no later epoch")
            current, epoch = slot_keys.open(slot_key), slot_key[2]
        formers = []
        if history is not None:
            history_key = kdf(current, b"keyshell/2 key history", account, u32(epoch))
            aad = lp(b"keyshell/2 key history", bytes([SUITE]), account, u32(epoch))
            joined = unseal(history_key, aad, history)
            formers = [joined[at : at + 32] for at in range(0, len(joined), 32)]
        keys = AccountKeys(account, [*formers, current])
        is_complete = keys.epoch == epoch and all(len(key) == 32 for key in keys.keys)
        verify(is_complete and keys.keys[first - 1] == own, "the account keys do not lead to this login's")
        return keys, slot_keys

    # Sync (section 7)

    def sync(self):
        """Reads the log from its beginning."""
        log, pinned = Log(self.keys), self.state.head("log")
        audit = self.state.head("audit")
        refused = {tuple(head) for head in self.state.pins["refused"]}
        while True:
            answer = self.session.ask({"sync": [log.head[0], audit[0]]}, [("sync", None, None)])
            entries, head, note, proof, seen_proofs = answer
            verify(len(entries) <= MAX_PAGE and len(seen_proofs) <= MAX_SEEN, "a sync answer is too long")
            log.seen, size = {}, 0
            for logged in entries:
                log.replay(logged)
                size += sum(map(len, logged[0])) + len(logged[1] or b"")
                verify(log.head[0] != pinned[0] or log.head == pinned, "the vault log was forked")
                is_refused = (log.head[0], log.head[1].hex()) in refused
                verify(not is_refused, "the server stored an entry that it had refused")
            verify(head[0] >= pinned[0], "the vault log was rolled back")
            newer = self.checkpoint(note)
            verify(newer != audit and is_consistent(audit, newer, proof), "the audit log does not extend the known one")
            audit = newer
            self.check_seen(log, audit, seen_proofs)
            if log.head == tuple(head):
                break
            verify(log.head[0] < head[0], "the log does not lead to the head that the answer names")
            is_full = len(entries) == MAX_PAGE or size >= 1024 * 1024 or len(log.seen) == MAX_SEEN
            verify(is_full, "a page of the log is not full")
        identity = [self.server, self.opaque_key, self.checkpoint_key]
        verify(log.identity[:3] == identity and log.identity[4] == SUITE, "the log names another server or suite")
        verify(log.epoch == self.keys.epoch, "the log does not name the newest epoch")
        verify(not log.due, "the log ends in the middle of a change of credentials")
        verify(not log.missing, f"the server withholds content: {log.missing}")
        self.log = log
        self.settle()
        self.pin(log.head, audit)

    def settle(self):
        """An append whose answer was lost, and which the log does not have, counts as refused."""
        sent, self.state.pins["sent"] = self.state.pins["sent"], None
        if sent and all(entry.hex() != sent[1] for entry, _ in self.log.entries):
            self.state.pins["refused"].append(sent)

    def check_seen(self, log, ours, proofs):
        """The audit log that each device was shown must be a prefix of the one that is shown here."""
        theirs = sorted(set(log.seen.values()) - {ours})
        is_proven = (
            len(proofs) >= len(theirs)
            and len({size for size, _ in theirs} | {ours[0]}) == len(theirs) + 1
            and all(is_consistent(seen, ours, proof) for seen, proof in zip(theirs, proofs))
        )
        verify(is_proven, "another device was shown another audit log")

    def checkpoint(self, note):
        return tree_head(note, self.server, self.keys.account, self.checkpoint_key)

    def pin(self, head, audit):
        pins = self.state.pins
        pins["log"], pins["audit"] = [head[0], head[1].hex()], [audit[0], audit[1].hex()]
        pins["refused"] = [refused for refused in pins["refused"] if refused[0] > head[0]]
        self.state.save()

    # Writing and reading

    def put(self, name, value):
        """Stores a new secret, or a new version of the one with this name."""
        name = unicodedata.normalize("NFC", name)
        if not is_name(name):
            raise SystemExit("this is no name of a secret")
        if len(value) > 1024 * 1024:
            raise SystemExit("a value has at most 1 MiB")
        for _ in range(16):
            if self.try_put(name, value):
                return
            self.sync()
        raise SystemExit("other devices keep changing the vault")

    def try_put(self, name, value):
        keys, epoch = self.keys, self.keys.epoch
        id = self.log.named(name)
        known = self.log.secrets.get(id)
        metadata = dict(known.metadata) if known else {"name": name}
        # They describe the value that this one replaces.
        for key in ("created", "type"):
            metadata.pop(key, None)
        id, version = id or os.urandom(16), max(known.versions) + 1 if known else 1
        value_aad = secret_aad(b"keyshell/2 sealed value", keys, id, version, epoch)
        sealed = seal(keys.value(id, version, epoch), value_aad, pad(value, 64))
        encoded = encode(dict(sorted(metadata.items())))
        metadata_aad = secret_aad(b"keyshell/2 sealed metadata", keys, id, version, epoch)
        sealed_metadata = seal(keys.metadata(epoch), metadata_aad, pad(encoded, 256))
        op = {"put": [id, version, epoch, sha256(sealed), sha256(sealed_metadata)]}
        audit = self.state.head("audit")
        entry = sign_entry(keys, self.log.head, self.state.device_id, list(audit), op)
        # An entry that cannot be replayed would lock the vault for good.
        log = copy.deepcopy(self.log)
        log.replay([entry, sealed_metadata])
        after = log.head
        count = sum(position == after[0] for position, _ in self.state.pins["refused"])
        if count >= 64:
            raise SystemExit("the server refused 64 entries at this position: nothing more is signed there")
        self.state.pins["sent"] = [after[0], after[1].hex()]
        self.state.save()
        try:
            call = {"append": [[entry, sealed, sealed_metadata]]}
            shown = self.session.ask(call, [("put", id, after[1])])
        except Refused as refused:
            # The sync settles what becomes of the entry: the server has it with the owner's signature.
            if only(refused.refusal)[0] == "conflict":
                return False
            self.sync()
            raise
        verify(tuple(shown) == after, "the server stored something else")
        self.log = log
        self.state.pins["sent"] = None
        self.pin(after, audit)
        return True

    def get(self, name):
        id = self.log.named(unicodedata.normalize("NFC", name))
        if id is None:
            raise SystemExit("there is no such secret")
        version, (epoch, digest, seq) = max(self.log.secrets[id].versions.items())
        (sealed,) = self.session.ask({"fetch": [[id, version]]}, [("get", id, None)])
        if sealed is None or sha256(sealed) != digest:
            # Another device may have sealed it again, or destroyed it.
            self.sync()
            if version not in self.log.secrets[id].versions:
                raise SystemExit("another device has destroyed the value")
            epoch, digest, seq = self.log.secrets[id].versions[version]
        verify(sealed is not None, "the server withholds a value")
        verify(sha256(sealed) == digest, f"the value is not the one that entry {seq} names")
        aad = secret_aad(b"keyshell/2 sealed value", self.keys, id, version, epoch)
        return unpad(unseal(self.keys.value(id, version, epoch), aad, sealed), 64)

    # The audit log (section 8)

    def audit(self):
        """Verifies the whole audit log; returns its records, each with an attribution."""
        known = self.state.head("audit")
        size, first, leaves, records = None, None, [], []
        while first is None or len(leaves) < first[0]:
            range = {"audit": [len(leaves), MAX_PAGE, size, 0 if first else known[0], False]}
            page, note, proof, _ = self.session.ask(range, [("audit", None, None)])
            shown = self.checkpoint(note)
            if first is None:
                verify(is_consistent(known, shown, proof), "the audit log does not extend the known one")
                first, size = shown, shown[0]
                # The tree covers the records of all requests up to this one.
                checker = Checker(self.keys.account, self.log, self.session)
            verify(shown == first, "the audit log changed between two answers")
            verify(len(page) == min(MAX_PAGE, size - len(leaves)), "a page of the audit log is not full")
            for data in page:
                leaves.append(sha256(b"\x00" + data))
                records.append(checker.check(decode(data, MAX_RECORD)))
        verify(tree_root(leaves) == first[1], "the records are not those that the checkpoint covers")
        checker.check_complete()
        self.pin(self.log.head, first)
        if checker.withheld(self.log):
            self.sync()
            verify(not checker.withheld(self.log), "a recorded change is not in the vault log")
        return checker.finish(records)


@dataclasses.dataclass
class Progress:
    """The records of one session so far."""

    logged_in: bool = False
    device: bytes | None = None
    newest: tuple = (0, -1)


class Checker:
    """Verifies audit records in their order."""

    CHANGES = ("put", "reseal", "describe", "remove", "restore", "purge", "append", "slot", "rekey")
    UNSIGNED = ("register", "login_start", "login")
    OTHERS = ("logout", "sync", "get", "audit", "slots", "enrol", "delete")

    def __init__(self, account, log, session):
        self.account, self.log, self.session = account, log, session
        self.asked = list(session.records)
        self.own = [0] * len(self.asked)
        self.index = self.time = self.gaps = 0
        self.valid = {b"password": 1, b"recovery": 1}
        self.sessions, self.appended = {}, {}

    def check(self, record):
        verify(self.is_regular(record), f"audit record {self.index} is malformed")
        self.index, self.time = record[1] + 1, record[2]
        _, _, _, operation, _, outcome, session, counter, position, device, _, _, entry, opening, _ = record
        if operation == "login" and session:
            progress = self.sessions.setdefault(session, Progress())
            is_first = not progress.logged_in and progress.newest == (0, -1)
            progress.logged_in = True
            return record, "unconfirmed" if is_first else "FORGED"
        if operation in self.UNSIGNED:
            return record, "open"
        progress = self.sessions.setdefault(session, Progress())
        if opening is not None and self.is_certified(session, opening):
            progress.device = progress.device or opening[2]
        if outcome == "done" and entry in self.log.set_by:
            label, generation = self.log.set_by[entry]
            self.valid[label] = generation
        if not self.is_signed(record, progress):
            return record, "FORGED"
        verify(progress.logged_in, f"the session of record {record[1]} has no login")
        place = (counter, position)
        if progress.newest >= place:
            return record, "FORGED"
        last = progress.newest
        self.gaps += position - last[1] - 1 if last[0] == counter else counter - last[0] - 1 + position
        progress.newest = place
        if session == self.session.id and counter <= len(self.own):
            self.own[counter - 1] += 1
        if outcome == "done" and entry is not None:
            if entry in self.appended:
                return record, "FORGED"
            self.appended[entry] = device
        return record, "own"

    def is_regular(self, record):
        format, index, time_ms, operation, secret, outcome, session, counter, position, *rest = record
        device, remote, signature, entry, opening, count = rest
        may_count = operation == "login_start" or (operation, outcome) == ("login", "refused")
        if operation == "register":
            is_possible = outcome == "done" and session is None
        elif may_count:
            is_possible = outcome in ("done", "refused") and session is None
        elif outcome == "not_found":
            is_possible = operation == "get" and session is not None
        elif outcome == "conflict":
            is_possible = operation in self.CHANGES and session is not None
        else:
            known = operation in self.CHANGES or operation in self.OTHERS or operation == "login"
            fits = outcome == "done" or outcome == "refused" and operation != "login"
            is_possible = known and fits and session is not None
        is_bare = (secret, counter, position, device, signature, entry, opening) == (None, 0, 0, None, None, None, None)
        return (
            (format, index) == (2, self.index)
            and time_ms >= self.time
            and (index == 0) == (operation == "register")
            and (count == 1 or may_count and count > 0)
            and (is_address(remote) or may_count and remote == "others")
            and is_possible
            and (is_bare or operation not in self.UNSIGNED)
        )

    def is_certified(self, session, opening):
        slot, generation, device, certificate = opening
        label = slot_label(slot)
        key = self.log.generations.get((label, generation))
        if key is None or self.valid.get(label) != generation:
            return False
        if isinstance(slot, dict) and device_id(device) != slot["device"]:
            return False
        fields = (self.account, session, label, u64(generation), device)
        return is_signed(key, lp(b"keyshell/2 session", *fields), certificate)

    def is_signed(self, record, progress):
        _, _, _, operation, secret, _, session, counter, position, device, _, signature, entry, _, _ = record
        if progress.device is None or signature is None or counter == 0 or device != device_id(progress.device):
            return False
        place = (session, u64(counter), u32(position), operation.encode())
        message = lp(b"keyshell/2 request", self.account, *place, secret or b"", entry or b"")
        return is_signed(progress.device, message, signature)

    def check_complete(self):
        for number, (expected, found) in enumerate(zip(self.asked, self.own), 1):
            verify(found >= expected, f"request {number} of this session has no record")
        for seq, (entry, device) in enumerate(self.log.entries, 1):
            is_recorded = seq <= 3 or self.appended.get(entry) == device
            verify(is_recorded, f"entry {seq} of the vault log has no record")

    def withheld(self, log):
        known = {entry for entry, _ in log.entries}
        return any(entry not in known for entry in self.appended)

    def finish(self, records):
        """A login is the owner's where its session has a record with a valid signature."""

        def final(record, attribution):
            session = self.sessions.get(record[6])
            is_confirmed = session is not None and session.newest != (0, -1)
            return "own" if attribution == "unconfirmed" and is_confirmed else attribution

        return [(record, final(record, attribution)) for record, attribution in records]


def is_address(text):
    try:
        ipaddress.ip_address(text)
        return "%" not in text
    except ValueError:
        return False


# The command line


def password():
    typed = os.environ.get("KEYSHELL_PASSWORD") or getpass.getpass()
    normalised = unicodedata.normalize("NFC", typed).encode()
    if not 1 <= len(normalised) <= 1024:
        raise SystemExit("a password has 1 to 1024 bytes")
    return normalised


def with_check(code):
    check = crockford(sha256(b"keyshell/2 recovery check" + code.encode())[:4])[:4]
    text = code + check
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def run(arguments):
    client = Client(arguments)
    if arguments.command == "register":
        print(with_check(client.register(password(), arguments.invite)))
        return 0
    client.login("password", password())
    for seq in client.log.unreadable:
        print(f"log entry {seq} cannot be read: the device that signed it is broken or stolen", file=sys.stderr)
    if arguments.command == "put":
        client.put(arguments.name, sys.stdin.buffer.read())
    elif arguments.command == "get":
        sys.stdout.buffer.write(client.get(arguments.name))
    elif arguments.command == "ls":
        live = [s.metadata for s in client.log.secrets.values() if s.state == "live" and s.metadata]
        for name in sorted(metadata["name"] for metadata in live):
            print(json.dumps(name))
    elif arguments.command == "audit":
        records = client.audit()
        for record, attribution in records:
            device, remote = record[9].hex()[:8] if record[9] else "-", record[10]
            print(record[1], record[2], record[3], record[5], device, remote, record[14], attribution)
        if any(attribution == "FORGED" for _, attribution in records):
            raise Lie("records claim to come from the owner's devices but have no valid signature")
    client.session.ask({"logout": [False]}, [("logout", None, None)])
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", required=True, help="HOST:PORT")
    parser.add_argument("--pin", required=True, help="sha256:BASE64, as `keyserver pin` prints it")
    parser.add_argument("--state", required=True, help="folder of the device key and the pins")
    parser.add_argument("--account", required=True)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("register").add_argument("--invite")
    for name in ("login", "ls", "audit"):
        commands.add_parser(name)
    for name in ("put", "get"):
        commands.add_parser(name).add_argument("name")
    try:
        return run(parser.parse_args())
    except Lie as lie:
        print(f"verification failed: {lie}", file=sys.stderr)
        return 7
    except (InvalidTag, KeyError, IndexError, TypeError, ValueError) as error:
        print(f"verification failed: an answer is malformed or does not open ({error!r})", file=sys.stderr)
        return 7
    except (Refused, OSError, http.client.HTTPException) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
