"""Compares the second client with the vectors of docs/vectors: vectors.py CLIENT_FOLDER VECTORS_FOLDER. Prints their number."""

import json
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import client as c  # noqa: E402

FOLDER = Path(sys.argv[2])
SUITE = bytes([c.SUITE])
unhex = bytes.fromhex
count = 0


def check(name, found, expected):
    global count
    found = found.hex() if isinstance(found, bytes) else found
    assert found == expected, f"{name}: {found} is not {expected}"
    count += 1


def read(name):
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def opaque(vector):
    """One registration and login, with the randomness of the vector."""
    inputs, outputs = vector["inputs"], vector["outputs"]
    label = unhex(vector["slot_label"])
    slot = {"device": label[7:]} if label.startswith(b"device:") else label.decode()
    server_key = unhex(outputs["server_public_key"])
    new = c.Credential(vector["account"], unhex(inputs["server_identity"]), server_key, slot, unhex(inputs["password"]))
    c.random_scalar = lambda: unhex(inputs["blind_registration"])
    check("registration request", new.blind(), outputs["registration_request"])
    c.os.urandom = lambda _: unhex(inputs["envelope_nonce"])
    record, export_key = new.record(unhex(outputs["registration_response"]))
    check("registration record", record, outputs["registration_upload"])
    check("export key", export_key, outputs["export_key"])
    random = iter([unhex(inputs["client_keyshare_seed"]), unhex(inputs["client_nonce"])])
    c.random_scalar = lambda: unhex(inputs["blind_login"])
    c.os.urandom = lambda _: next(random)
    check("KE1", new.ke1(), outputs["ke1"])
    ke3, session_key, export_key = new.ke3(unhex(outputs["ke2"]))
    check("KE3", ke3, outputs["ke3"])
    check("session key", session_key, outputs["session_key"])
    check("export key of the login", export_key, outputs["export_key"])


def formats(vector):
    inputs, recorded = vector["inputs"], vector["recorded"]
    account, secret, export_key = (unhex(inputs[name]) for name in ("account", "secret", "export_key"))
    version, epoch, generation = inputs["version"], inputs["epoch"], inputs["generation"]
    keys = c.AccountKeys(account, [unhex(inputs["account_key"]), unhex(inputs["next_account_key"])])
    device = c.ed25519(c.kdf(unhex(inputs["device_seed"]), b"keyshell/2 device signing"))
    device_id = c.device_id(c.public(device))
    derived = vector["keys"]
    check("log key", c.public(keys.log_signing(1)), derived["log_public_key"])
    check("next log key", c.public(keys.log_signing(2)), derived["next_log_public_key"])
    check("metadata key", keys.metadata(epoch), derived["metadata"])
    check("value key", keys.value(secret, version, epoch), derived["value"])
    check("local-store key", keys.derive(epoch, b"keyshell/2 local store"), derived["local_store"])
    check("device cache key", keys.derive(epoch, b"keyshell/2 device cache", device_id), derived["device_cache"])
    check("device id", device_id, vector["device"]["id"])
    session_key = unhex(inputs["session_key"])
    check("session id", c.kdf(session_key, b"keyshell/2 session id", n=16), vector["channel"]["session_id"])
    for name, slot in vector["slots"].items():
        if name == "device":
            both = c.lp(keys.keys[0], unhex(inputs["device_seed"]))
            label = b"device:" + device_id
            seed = c.kdf(both, b"keyshell/2 slot kem", account, label, c.u64(generation))
            signing = device
        else:
            slot_keys = c.SlotKeys(export_key, account, name, generation)
            label, seed, signing = name.encode(), slot_keys.kem_seed, slot_keys.signing
        check("slot label", label, slot["label"])
        check("KEM seed", seed, slot["kem_seed"])
        check("KEM key", c.xwing(seed)[2], slot["kem_public_key"])
        check("slot signing key", c.public(signing), slot["signing_public_key"])
    for name, entry in vector["entries"].items():
        signed = c.decode(unhex(entry["signed_entry"]), c.MAX_BODY)
        decoded = c.decode(signed[0], c.MAX_ENTRY)
        check(f"hash of {name}", c.entry_hash(signed), entry["hash"])
        if entry["authorisation"]:
            message = c.lp(b"keyshell/2 authorisation", account, c.u64(decoded[2]), decoded[3], c.encode(decoded[7]))
            check(f"authorisation of {name}", c.sha256(message), entry["authorised_message_sha256"])
    session, request = unhex(inputs["session"]), vector["request"]
    fields = (account, session, b"password", c.u64(generation), c.public(device))
    signing = c.SlotKeys(export_key, account, "password", generation).signing
    check("certificate", signing.sign(c.lp(b"keyshell/2 session", *fields)), request["certificate"])
    for operation, entry in (("put", unhex(inputs["previous"])), ("get", b"")):
        place = (session, c.u64(3), c.u32(0), operation.encode())
        message = c.lp(b"keyshell/2 request", account, *place, secret, entry)
        check(f"message of {operation}", message, request[operation]["message"])
        check(f"signature of {operation}", device.sign(message), request[operation]["signature"])
    key, commitment, aad = c.wrap_parts(export_key, account, "password", generation, epoch)
    blob = unhex(recorded["wrapped_account_key"])
    check("commitment", commitment, blob[:32].hex())
    check("wrapped key", c.unseal(key, aad, blob[32:]), inputs["account_key"])
    names = (keys, secret, version, epoch)
    value_aad = c.secret_aad(b"keyshell/2 sealed value", *names)
    value = c.unseal(keys.value(secret, version, epoch), value_aad, unhex(recorded["sealed_value"]))
    check("value", c.unpad(value, 64), inputs["value"])
    metadata_aad = c.secret_aad(b"keyshell/2 sealed metadata", *names)
    metadata = c.unseal(keys.metadata(epoch), metadata_aad, unhex(recorded["sealed_metadata"]))
    check("metadata", c.unpad(metadata, 256), inputs["metadata"])
    history_key = c.kdf(keys.keys[1], b"keyshell/2 key history", account, c.u32(2))
    history_aad = c.lp(b"keyshell/2 key history", SUITE, account, c.u32(2))
    check("key history", c.unseal(history_key, history_aad, unhex(recorded["key_history"])), inputs["account_key"])
    _, (_, _, (slot_keys, _)) = c.only(c.decode(unhex(recorded["install"]), c.MAX_BODY))
    for slot_key in slot_keys:
        if isinstance(slot_key[0], str):
            opened = c.SlotKeys(export_key, account, slot_key[0], slot_key[1]).open(slot_key)
            check(f"slot key of {slot_key[0]}", opened, inputs["next_account_key"])
    audit = vector["audit"]
    leaf = c.sha256(b"\x00" + unhex(audit["record"]))
    check("leaf hash", leaf, audit["leaf_hash"])
    head = c.tree_head(audit["checkpoint"], unhex(inputs["server"]), account, unhex(audit["checkpoint_key"]))
    check("checkpoint", head[1], leaf.hex())


for vector in read("opaque.json"):
    opaque(vector)
formats(read("formats.json"))
print(count)
