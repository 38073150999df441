"""Downloads of models: the same files beside the checkpoint, and the same rules, as ``host-demo models get``.

``NAME.part`` holds the bytes so far and is locked while one process writes it, ``NAME.part.source`` says where they came from,
``NAME.sha256`` holds a digest that the list does not know and that the first download learnt.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Iterator, Optional
from urllib.parse import urlsplit

from ._errors import SamOcta2Error

Progress = Callable[[int, Optional[int]], Any]

_PIECE = 1 << 20
_BREAKS = 20
_SECONDS = 60


def download(model: Dict[str, Any], folder: Path, progress: Optional[Progress]) -> Path:
    """The checkpoint of ``model`` (an entry of the list) in ``folder``; what is there already is checked."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / model["file"]
    expected = model["sha256"] or _learnt(target)
    with _part(target) as part:
        if not target.exists():
            _fetch(model, expected is not None, part, target, progress)
            found = _digest(Path(part.name))
            if expected not in (None, found):
                _discard(Path(part.name))
                raise SamOcta2Error(f"{model['url']}: what came has SHA-256 {found}, not {expected}: it was removed")
            os.fsync(part.fileno())
            os.replace(part.name, target)
            _discard(Path(part.name))
        else:
            found = _digest(target)
            if expected not in (None, found):
                raise SamOcta2Error(f"{target} is there and has SHA-256 {found}, not {expected}: move it away")
            if os.path.getsize(part.name) == 0:
                _discard(Path(part.name))
    if expected is None:
        _replace(target.with_name(target.name + ".sha256"), f"{found}  {target.name}\n")
    return target


def _learnt(target: Path) -> Optional[str]:
    with contextlib.suppress(FileNotFoundError):
        return target.with_name(target.name + ".sha256").read_text().split()[0].lower()
    return None


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text)
    os.replace(unfinished, path)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".source")


def _discard(part: Path) -> None:
    for path in (_note(part), part):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


@contextlib.contextmanager
def _part(target: Path) -> Iterator[BinaryIO]:
    """The unfinished file, for this process alone; waits while another one has it."""
    path = target.with_name(target.name + ".part")
    while True:
        with path.open("ab+") as part:
            fcntl.flock(part, fcntl.LOCK_EX)
            if _is_at(part, path):  # the one before may have renamed or removed it in the meantime
                yield part
                return


def _is_at(part: BinaryIO, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(part.fileno()), path.stat())
    return False


def _fetch(model: Dict[str, Any], checked: bool, part: BinaryIO, target: Path, progress: Optional[Progress]) -> None:
    url, listed = model["url"], model["bytes"]
    for attempt in range(_BREAKS):
        before = os.fstat(part.fileno()).st_size
        if checked and before == listed:
            return
        try:
            total = _receive(url, listed, checked, part, target, progress)
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            _unless_more(part, before, attempt, f"{url}: {error}")
            continue
        now = os.fstat(part.fileno()).st_size
        if total is None or now == total:
            return
        _unless_more(part, before, attempt, f"{url}: the connection ended early")


def _unless_more(part: BinaryIO, before: int, attempt: int, what: str) -> None:
    """Fails, unless this connection brought bytes: then another one may bring the rest."""
    now = os.fstat(part.fileno()).st_size
    if now <= before or attempt == _BREAKS - 1:
        kept = f" ({now} bytes are kept, the same call goes on from there)" if now else ""
        raise SamOcta2Error(what + kept)


def _receive(
    url: str, listed: Optional[int], checked: bool, part: BinaryIO, target: Path, progress: Optional[Progress]
) -> Optional[int]:
    """Bytes until the connection ends; how many there are in all, if the server says so."""
    with _ask(url, checked, part) as answer:
        start = os.fstat(part.fileno()).st_size
        length = answer.headers["Content-Length"]
        total = start + int(length) if length else listed
        if listed is not None and total != listed:
            raise SamOcta2Error(f"{url}: the server has {total} bytes, the list says {listed}: the file has changed")
        if total is not None and shutil.disk_usage(target.parent).free < total - start:
            raise SamOcta2Error(f"{target.parent}: the disk is full: {total - start} bytes are needed")
        done = start
        while piece := answer.read(_PIECE):
            try:
                part.write(piece)
                part.flush()
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise SamOcta2Error(f"{target}: the disk is full; {done} bytes are kept") from error
                raise
            done += len(piece)
            if progress is not None:
                progress(done, total)
    return total


def _ask(url: str, checked: bool, part: BinaryIO) -> Any:
    """Asks for what is missing. A part that may not be the beginning of the same file is begun anew."""
    have, path = os.fstat(part.fileno()).st_size, Path(part.name)
    source: Dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        source = json.loads(_note(path).read_text())
    version = source.get("version") if source.get("url") == url else None
    headers = {"User-Agent": "sam-octa2-python", "Accept-Encoding": "identity"}
    if have and source.get("url") == url and (version or checked):
        headers["Range"] = f"bytes={have}-"
        if version:
            headers["If-Range"] = version
    try:
        answer = _open(url, headers)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise SamOcta2Error(f"{url}: the server answers {error.code} ({error.reason})") from error
        headers.pop("Range")
        answer = _open(url, headers)
    if answer.status != 206 or not str(answer.headers["Content-Range"]).startswith(f"bytes {have}-"):
        part.truncate(0)
        tag = answer.headers["ETag"] or answer.headers["Last-Modified"]
        tag = None if tag and tag.startswith("W/") else tag
        _note(path).write_text(json.dumps({"url": url, "version": tag}))
    return answer


def _open(url: str, headers: Dict[str, str]) -> Any:
    answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_SECONDS)
    if urlsplit(url).scheme == "https" and urlsplit(answer.geturl()).scheme != "https":
        answer.close()
        raise SamOcta2Error(f"{url}: leads to {answer.geturl()}, which is not https")
    return answer
