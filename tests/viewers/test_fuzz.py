"""Every route of `host-demo serve` with what it does not expect: each answer is a status and one sentence, no path of this computer is in it, and
the server goes on. Needs nothing but a built host.

    pytest tests/viewers/test_fuzz.py
"""

import gzip
import http.client
import json
import os
import random
import re
import socket
import struct
import threading
from pathlib import Path

import pytest
from conftest import ROOT, VOLUME, start

ARGUMENTS = [str(VOLUME), "--follow", "0", "--max-volume", "64", "--max-sessions", "40"]
SOURCES = ROOT / "host-demo/src/serve"
# longer than any answer needs on a busy machine
PATIENCE = 300


def routes():
    """(method, path) of every route in the sources."""
    found = []
    for file in sorted(SOURCES.glob("*.rs")):
        for path, rest in re.findall(r'\.route\(\s*"([^"]+)",\s*([^\n]+)', file.read_text()):
            found += [(verb.upper(), path) for verb in ("get", "post", "put", "delete") if re.search(rf"\b{verb}\(", rest)]
    assert len(found) > 40, found
    return found


def ask(address, method, path, body=None, headers=()):
    """Status and body."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=PATIENCE)
    try:
        connection.request(method, path, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (BrokenPipeError, ConnectionResetError):
        return 413, b'{"detail": "the connection was ended while the body was sent"}'
    finally:
        connection.close()


def check(status, body, what):
    """No success that is none, one sentence, nothing of this computer."""
    assert 200 <= status < 600 and status != 500, (what, status, body[:300])
    if status >= 400:
        text = body.decode(errors="replace")
        assert len(text) < 2000 and "panicked" not in text and "/root" not in text and "/tmp" not in text and "/work" not in text, (what, status, text)


def alive(address):
    status, body = ask(address, "GET", "/api/status")
    assert status == 200 and json.loads(body)["files"] == ["volume.nii.gz"]


def claim(address):
    """A session of each protocol: what stands for the path's `{...}`, and the headers that name it."""
    snap = json.loads(ask(address, "GET", "/start_session")[1])["session_id"]
    page = json.loads(ask(address, "POST", "/api/cases", b'{"file": 0}', {"Content-Type": "application/json"})[1])["id"]
    return {"session": snap, "case": page, "frame": "6", "model": "nano"}


BODIES = {
    "nothing": b"",
    "half JSON": b'{"object": 1, "points": [[1,',
    "a list": b"[]",
    "a number": b"1e999",
    "wrong types": b'{"object": "x", "frame": -1, "points": {"a": 1}, "labels": "yes", "file": "0", "box": [null]}',
    "huge numbers": b'{"object": 18446744073709551615, "frame": 1e300, "points": [[1e308, -1e308]], "labels": [9223372036854775807], "file": 99999999999}',
    "deep": b"[" * 20000 + b"]" * 20000,
    "not UTF-8": b"\xff\xfe\x00" * 50,
    "noise": bytes(random.Random(1).randrange(256) for _ in range(5000)),
    "a form without an end": b'--cut\r\nContent-Disposition: form-data; name="file"; filename="../../x"\r\n\r\nabc',
}
TYPES = ["application/json", "multipart/form-data; boundary=cut", "application/octet-stream", ""]


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_make_no_sense(served, name):
    filled = claim(served)
    for method, path in routes():
        for kind in TYPES:
            whole = re.sub(r"\{(\w+)\}", lambda match: filled[match.group(1)], path)
            if "end_session" in whole or method == "DELETE":
                continue  # what is asked after it would ask nobody
            check(*ask(served, method, whole, BODIES[name], {"Content-Type": kind} if kind else {}), (method, path, name, kind))
    alive(served)
    ask(served, "GET", f"/end_session/{filled['session']}")
    ask(served, "DELETE", f"/api/cases/{filled['case']}")


def test_paths_that_lead_elsewhere(served):
    odd = ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "%ff", "a" * 5000, "%252e%252e", "C:%5Cwindows", "-1", "18446744073709551616", "'", "{}"]
    for method, path in routes():
        if "{" not in path:
            continue
        for word in odd:
            status, body = ask(served, method, re.sub(r"\{\w+\}", word, path), b"{}", {"Content-Type": "application/json"})
            check(status, body, (method, path, word))
            assert status >= 400 or word == "..", (method, path, word, status)
    for query in ["/datastore/image?image=../../../etc/passwd", "/datastore/label?image=..%2f..%2fx&label=../y", "/api/upload?name=../../../etc/cron.d/x.nii"]:
        for method in ("GET", "PUT", "POST"):
            check(*ask(served, method, query, b"x"), query)
    alive(served)


def npy(shape, data, kind="|u1"):
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00\x76\x00" + head.encode() + data


def nifti(dimensions, data, code=2):
    head = bytearray(352)
    struct.pack_into("<i8h", head, 0, 348, 0, 0, 0, 0, 0, 0, 0, 0)
    struct.pack_into("<8h", head, 40, len(dimensions), *dimensions, *[1] * (7 - len(dimensions)))
    struct.pack_into("<2h", head, 70, code, 8)
    struct.pack_into("<f", head, 108, 352.0)
    head[344:348] = b"n+1\0"
    return bytes(head) + data


def test_files_that_lie(served):
    bomb = gzip.compress(bytes(400 << 20), 9)  # 400 MB of nothing in 0.4 MB
    whole = VOLUME.read_bytes()
    files = {
        "shape beyond the data.npy": npy((1000000, 1000000, 1000000), b"x"),
        "overflow.npy": npy((2**62, 8, 8), b""),
        "negative.npy": npy((-1, 8, 8), bytes(64)),
        "objects.npy": npy((2,), b"x" * 16, "|O"),
        "text.npy": npy((2,), b"x" * 16, "<U2"),
        "short.npy": npy((4, 16, 16), bytes(10)),
        "empty.npy": b"",
        "large.nii": nifti((32767, 32767, 32767), b""),
        "type.nii": nifti((4, 4, 4), bytes(64), 9999),
        "flat.nii": nifti((4, 0, 4), b""),
        "bomb.nii.gz": gzip.compress(nifti((32000, 32000, 100), b"")[:352]) + bomb,
        "bomb.npy.gz": bomb,
        "cut.nii.gz": whole[: len(whole) // 2],
        "elsewhere.mhd": b"NDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementDataFile = /etc/passwd\n",
        "elsewhere.mha": b"NDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementDataFile = /etc/passwd\n",
        "elsewhere.nrrd": b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw\ndata file: /etc/passwd\n\n",
        "large.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 0, 0, 0, 0) + b"\0\0\0\0",
        "x.exe": b"MZ",
        "noise.dcm": random.Random(2).randbytes(4000),
        "noise.tif": b"II*\0" + random.Random(3).randbytes(4000),
    }
    for name, content in files.items():
        for method, path in [("POST", f"/api/upload?name={name.replace(' ', '%20')}")]:
            status, body = ask(served, method, path, content)
            check(status, body, name)
            assert 400 <= status < 500, (name, status, body[:200])
    alive(served)


def test_bodies_beyond_the_limit(served):
    for path in ["/api/upload?name=a.npy", "/set_image", "/upload_image"]:
        status, body = ask(served, "POST", path, npy((1, 10000, 10000), bytes(100_000_000)))
        check(status, body, path)
        assert status >= 400, (path, status)
    # a length that is promised and never comes
    host, port = served.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as line:
        line.sendall(b"POST /api/upload?name=a.npy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n\r\nabc")
        alive(served)
    alive(served)


def test_slow_clients_keep_nobody_waiting(served):
    host, port = served.removeprefix("http://").split(":")
    lines = [socket.create_connection((host, int(port)), timeout=PATIENCE) for _ in range(60)]
    for at, line in enumerate(lines):
        line.sendall(b"GET /api/sta" if at % 2 else b"POST /api/cases HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{")
    alive(served)
    for line in lines:
        line.close()
    alive(served)


def test_a_thousand_sessions(served):
    """More than there may be are refused; those that are ended make room."""
    opened, refused = [], 0
    for _ in range(1000):
        status, body = ask(served, "GET", "/start_session")
        if status == 200:
            opened.append(json.loads(body)["session_id"])
        else:
            assert status == 503 and b"sessions" in body, (status, body)
            refused += 1
    assert 0 < len(opened) <= 40 and refused >= 960
    for session in opened:
        assert ask(served, "GET", f"/end_session/{session}")[0] == 200
    assert ask(served, "GET", "/start_session")[0] == 200
    alive(served)


def test_clients_that_leave_in_the_middle(served):
    """Answers that nobody reads, and sessions ended while they are asked."""
    def leave(number):
        case = json.loads(ask(served, "POST", "/api/cases", b'{"file": 0}', {"Content-Type": "application/json"})[1]).get("id")
        if case is None:
            return
        body = json.dumps({"object": 1, "frame": 6, "points": [[131, 126]], "labels": [1]}).encode()
        host, port = served.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as line:
            line.sendall(f"POST /api/cases/{case}/prompt HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        check(*ask(served, "DELETE", f"/api/cases/{case}"), "the end of a session at work")

    threads = [threading.Thread(target=leave, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    alive(served)


def test_a_server_that_was_started_anew_knows_nobody():
    process, address = start(str(VOLUME))
    case = json.loads(ask(address, "POST", "/api/cases", b'{"file": 0}', {"Content-Type": "application/json"})[1])["id"]
    process.kill()
    process.wait()
    process, again = start(str(VOLUME))
    try:
        status, body = ask(again, "GET", f"/api/cases/{case}")
        assert status == 404 and json.loads(body)["detail"], body
    finally:
        process.kill()
        process.wait()


def test_nothing_is_left(tmp_path, monkeypatch):
    """Volumes that were sent lie in the temporary folder as long as their session, and nowhere else."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    process, address = start()
    try:
        status, body = ask(address, "POST", "/api/upload?name=..%2F..%2Fscan.nii.gz", VOLUME.read_bytes())
        assert status == 200, body
        case = json.loads(body)["id"]
        assert {Path(folder).resolve() for folder, _, files in os.walk(tmp_path) if files} <= {path.resolve() for path in tmp_path.rglob("*")}
        ask(address, "DELETE", f"/api/cases/{case}")
        for _ in range(600):
            left = [path for path in tmp_path.rglob("*") if path.is_file()]
            if not left:
                break
            threading.Event().wait(0.1)
        assert not left, left
    finally:
        process.kill()
        process.wait()
