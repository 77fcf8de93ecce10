#!/usr/bin/env python3
"""Verifies an export of `callboard audit export` without any of Callboard's code: chain, tree, signatures.

verify_audit.py FILE [VKEY]      needs python3; for signatures, python3-cryptography too
"""
import base64, hashlib, json, sys

def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()

def check(holds, what):
    if not holds: sys.exit(f"{sys.argv[1]}: {what}")

def note(data, key):
    """The text of a signed note; `key` is a name, an id and what verifies a signature."""
    text, _, signatures = data.rpartition(b"\n\n")
    text += b"\n"
    if key:
        lines = [it.split(b" ") for it in signatures.splitlines()]
        raw = [base64.b64decode(it[2]) for it in lines if it[1].decode() == key[0]]
        signed = [it[4:] for it in raw if it[:4] == key[1]]
        check(signed, "no signature by this key")
        for it in signed: key[2](it, text)  # raises if it is not of this text
    return text

def trusted(vkey):
    name, _, encoded = vkey.split("+", 2)
    public = base64.b64decode(encoded)
    try: from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as Key
    except ImportError: check(False, "signatures cannot be verified: python3-cryptography is missing")
    return name, sha(name.encode(), b"\n", public)[:4], Key.from_public_bytes(public[1:]).verify

def attributes(event):
    """The attributes of an event, in order, and its value: each is a length and so many bytes."""
    at, parts = len(b"callboard-v1"), []
    while at < len(event):
        end = at + 4 + int.from_bytes(event[at:at + 4], "big")
        parts.append(event[at + 4:end]); at = end
    return parts

def push(peaks, leaf, size):
    while size & 1: leaf, size = sha(b"\1", peaks.pop(), leaf), size >> 1
    peaks.append(leaf)

def root(peaks):
    tree = peaks[-1] if peaks else sha()
    for left in reversed(peaks[:-1]): tree = sha(b"\1", left, tree)
    return tree

def main(path, vkey=None):
    key, file, header = vkey and trusted(vkey), open(path, "rb"), None
    check(file.readline() == b"callboard-audit-export-v1\n", "this is no export")
    while kind := file.read(1):
        body = file.read(int.from_bytes(file.read(4), "big"))
        if kind == b"H" and header is None:
            text = note(body, key)
            header = json.loads(text)
            check(not key or header["origin"] == key[0], "this is of somebody else than the key")
            check(header["origin"].endswith(header["tenant"]), "the header contradicts itself")
            is_filtered = "actor" in header["asked"] or "types" in header["asked"]
            size, chain = header["first"] - 1, bytes.fromhex(header["chain"])
            peaks = [bytes.fromhex(it) for it in header["frontier"]]
            confirmed, gap, gaps, shown = None, None, bytes(32), 0
            continue
        check(header, "there is no header")
        due = size % 4096 == 0 and size >= header["first"] and confirmed != size
        check(kind == b"C" or not due, f"after {size}: no checkpoint")
        check(is_filtered or kind not in b"GL", f"at {size + 1}: an event was left out later")
        if kind in b"EG":
            check((kind == b"G") == (gap is not None), f"at {size + 1}: misplaced")
            if kind == b"G": chain, body = body[:32], body[32:]
            if gap is not None: gaps, gap = sha(gaps, gap.to_bytes(8, "big"), size.to_bytes(8, "big")), None
            link, event = body[:32], body[32:]
            tenant, sequence = (attributes(event)[it].decode() for it in (8, 9))
            check((tenant, sequence) == (header["tenant"], str(size + 1)), f"at {size + 1}: {sequence} of {tenant}")
            check(sha(chain, event) == link, f"at {size + 1}: the chain is broken")
            push(peaks, sha(b"\0", event), size); chain = link; size += 1; shown += 1
        elif kind == b"L":
            for at in range(0, len(body), 32):
                check(at == 0 or size % 4096, f"after {size}: no checkpoint")
                gap = size + 1 if gap is None else gap
                push(peaks, body[at:at + 32], size); size += 1
        elif kind == b"C":
            said = note(body, key).decode().splitlines()
            check(said == [header["origin"], str(size), base64.b64encode(root(peaks)).decode()], f"up to {size}: another tree")
            confirmed = size
        else:
            check(kind == b"Z" and not file.read(1), f"after {size}: misplaced")
            check(confirmed == size, f"after {size}: no checkpoint")
            if gap is not None: gaps = sha(gaps, gap.to_bytes(8, "big"), size.to_bytes(8, "big"))
            end = json.loads(note(body, key))
            check((end["last"], end["header"]) == (size, sha(text).hex()), "another end")
            check(end["left_out"] == gaps.hex(), "other events are left out than were when it was exported")
            return print(f"verified: {json.dumps(header['asked'])} at {end['at']}: events up to {size}, {shown} shown, root {root(peaks).hex()}")
    check(False, "it breaks off")

main(*sys.argv[1:])
