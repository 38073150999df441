"""Downloads of models, against a server in this process."""

import hashlib
import http.server
import threading

import pytest

import sam_octa2
from sam_octa2 import InvalidArgument, SamOcta2Error
from sam_octa2._download import download

FILE = bytes(range(256)) * 400


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Range"]))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/file")
            self.end_headers()
            return
        if self.path == "/gone":
            self.send_error(404)
            return
        wanted, start = self.headers["Range"], 0
        if wanted and self.headers["If-Range"] in (None, '"one"'):
            start = int(wanted[len("bytes=") : -1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(FILE) - 1}/{len(FILE)}")
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(FILE) - start))
        self.end_headers()
        body = FILE[start:]
        self.wfile.write(body[: len(body) // 2] if self.path == "/cut" and not start else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def model(server, path, **more):
    url = f"http://127.0.0.1:{server.server_port}/{path}"
    return {"name": "mine", "file": "mine.pt", "url": url, "bytes": None, "sha256": None, **more}


def whole(folder):
    assert (folder / "mine.pt").read_bytes() == FILE
    assert sorted(path.name for path in folder.iterdir()) in (["mine.pt"], ["mine.pt", "mine.pt.sha256"])


def test_a_model_comes_whole_and_once(server, tmp_path):
    seen = []
    mine = model(server, "moved", sha256=hashlib.sha256(FILE).hexdigest(), bytes=len(FILE))
    path = download(mine, tmp_path, lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "mine.pt" and seen[-1] == (len(FILE), len(FILE))
    assert download(mine, tmp_path, None) == path
    assert len(server.asked) == 2  # the redirect and the file
    whole(tmp_path)


def test_a_digest_is_learnt(server, tmp_path):
    mine = model(server, "file")
    download(mine, tmp_path, None).unlink()
    assert (tmp_path / "mine.pt.sha256").read_text() == f"{hashlib.sha256(FILE).hexdigest()}  mine.pt\n"
    (tmp_path / "mine.pt.sha256").write_text("ab" * 32 + "  mine.pt\n")
    with pytest.raises(SamOcta2Error, match="not abab"):
        download(mine, tmp_path, None)
    assert not (tmp_path / "mine.pt").exists() and not (tmp_path / "mine.pt.part").exists()


def test_it_goes_on_after_a_break(server, tmp_path):
    download(model(server, "cut"), tmp_path, None)
    assert [wanted for _, wanted in server.asked] == [None, f"bytes={len(FILE) // 2}-"]
    whole(tmp_path)


def test_a_stopped_download_goes_on(server, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(model(server, "cut"), tmp_path, stop)
    assert (tmp_path / "mine.pt.part").exists()
    download(model(server, "cut"), tmp_path, None)
    assert server.asked[1][1] == f"bytes={len(FILE) // 2}-"
    whole(tmp_path)


def test_two_at_once(server, tmp_path):
    threads = [threading.Thread(target=download, args=(model(server, "file"), tmp_path, None)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1
    whole(tmp_path)


def test_what_is_wrong_is_said(server, tmp_path):
    with pytest.raises(SamOcta2Error, match="404"):
        download(model(server, "gone"), tmp_path, None)
    with pytest.raises(SamOcta2Error, match="the list says 5"):
        download(model(server, "file", bytes=5), tmp_path, None)
    with pytest.raises(InvalidArgument, match="no model is named"):
        sam_octa2.get_model("mien")
    with pytest.raises(InvalidArgument, match="cannot be used here"):
        sam_octa2.get_model("sam2-oct")
    assert {"licence", "terms", "sha256", "good_for"} <= set(sam_octa2.models()[0])
