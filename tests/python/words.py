"""What other programs make of words and keystores: words.py WHAT ARGUMENTS... prints one line, or a line a share."""

import json
import sys
from pathlib import Path

from eth_account import Account
from mnemonic import Mnemonic
from shamir_mnemonic import combine_mnemonics, generate_mnemonics

what, *rest = sys.argv[1:]
if what == "mnemonic":
    print(Mnemonic("english").to_mnemonic(bytes.fromhex(rest[0])))
elif what == "entropy":
    print(Mnemonic("english").to_entropy(Path(rest[0]).read_text().strip()).hex())
elif what == "share":
    threshold, count, secret, passphrase = rest
    groups = [(int(threshold), int(count))]
    (shares,) = generate_mnemonics(1, groups, bytes.fromhex(secret), passphrase.encode())
    print("\n".join(shares))
elif what == "combine":
    passphrase, *files = rest
    print(combine_mnemonics([Path(file).read_text() for file in files], passphrase.encode()).hex())
elif what == "language":
    print(Mnemonic(rest[0]).to_mnemonic(bytes.fromhex(rest[1])))
elif what == "seal":
    key, passphrase, kdf = rest
    print(json.dumps(Account.encrypt(bytes.fromhex(key), passphrase, kdf=kdf)))
elif what == "open":
    print(bytes(Account.decrypt(Path(rest[0]).read_text(), rest[1])).hex())
else:
    sys.exit(f"unknown: {what}")
