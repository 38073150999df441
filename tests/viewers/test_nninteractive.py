"""Drives `host-demo serve` with the real client of nnInteractive 2 (PyPI `nninteractive-client`), as SlicerNNInteractive and
napari-nninteractive do. Skips with a message where the client is missing.

    pip install pytest numpy nninteractive-client==2.6.0
    pytest tests/viewers/test_nninteractive.py
"""

import pytest

np = pytest.importorskip("numpy", reason="numpy is not installed")
pytest.importorskip("nnInteractive.inference.remote", reason="nninteractive-client is not installed: pip install nninteractive-client")
from nnInteractive.inference.remote.remote_session import (  # noqa: E402
    ServerAtCapacityError,
    SessionExpiredError,
    nnInteractiveRemoteInferenceSession,
)

ARGUMENTS = ["--follow", "2", "--max-sessions", "3"]
CLICK = (6, 126, 131)


def Remote(address, **options):
    """A client that waits as long as it takes: the machine may be busy."""
    return nnInteractiveRemoteInferenceSession(address, read_timeout=900, write_timeout=900, connect_timeout=300, **options)


@pytest.fixture
def volume(voxels):
    """The demo's volume as the viewers send it: [1, slices, rows, columns], float32."""
    return voxels[None].astype("float32")


@pytest.fixture
def session(served, volume):
    with Remote(served) as session:
        session.set_image(volume, {"spacing": [0.02, 0.01, 0.01]})
        session.set_target_buffer(np.zeros(volume.shape[1:], "uint8"))
        yield session


def test_a_click_is_followed_and_undone(session, volume):
    assert session.original_image_shape == volume.shape and session.supports_undo
    bbox = session.add_point_interaction(CLICK, include_interaction=True)
    mask = session.target_buffer.copy()
    assert mask[CLICK] == 1 and set(np.unique(mask)) == {0, 1}
    assert (mask.any(axis=(1, 2)).sum()) > 1, "the object is followed to other slices"
    where = np.argwhere(mask)
    assert all(lo <= w.min() and w.max() < hi for (lo, hi), w in zip(bbox, where.T))
    session.add_point_interaction((CLICK[0], CLICK[1] + 40, CLICK[2] + 40), include_interaction=True)
    assert session.undo()
    assert (session.target_buffer == mask).all(), "the second click is gone"
    assert session.undo() and not session.target_buffer.any()
    assert not session.undo()


def test_reset_and_waiting_interactions(session):
    session.add_point_interaction(CLICK, include_interaction=True)
    mask = session.target_buffer.copy()
    session.reset_interactions()
    assert not session.target_buffer.any()
    assert session.add_point_interaction(CLICK, include_interaction=True, run_prediction=False) is None
    assert not session.target_buffer.any()
    session._predict()
    assert (session.target_buffer == mask).all()


def test_scribble_lasso_box_and_initial_mask(session, volume):
    shape = volume.shape[1:]
    scribble = np.zeros(shape, "uint8")
    scribble[6, 126, 120:140] = 1
    session.add_scribble_interaction(scribble, include_interaction=True)
    whole = session.target_buffer.copy()
    assert whole.any()
    session.reset_interactions()
    crop = [[6, 7], [126, 127], [120, 140]]
    session.add_scribble_interaction(np.ones((1, 1, 20), "uint8"), include_interaction=True, interaction_bbox=crop)
    assert (session.target_buffer == whole).all(), "a crop in its place is the same stroke"
    session.reset_interactions()
    lasso = np.zeros(shape, "uint8")
    lasso[6, 100:120, 60:90] = 1
    session.add_lasso_interaction(lasso, include_interaction=True)
    assert (session.target_buffer[6] == lasso[6]).all()
    session.reset_interactions()
    session.add_bbox_interaction([[6, 7], [110, 150], [100, 150]], include_interaction=True)
    session.add_initial_seg_interaction(lasso)
    assert (session.target_buffer == lasso).all()
    assert session.undo() and not session.target_buffer.any()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
def test_types_of_images_give_one_mask(served, volume, dtype):
    masks = []
    for kind in ("uint8", dtype):
        with Remote(served) as session:
            session.set_image(volume[:, 5:8].astype(kind))
            session.set_target_buffer(np.zeros((3, *volume.shape[2:]), "uint8"))
            session.add_point_interaction((1, *CLICK[1:]), include_interaction=True)
            masks.append(session.target_buffer)
    if dtype in ("uint8", "float32"):  # other types are windowed, 8 bits are not
        assert (masks[0] == masks[1]).all()
    assert masks[1].any()


def test_large_and_packed_arrays_arrive_whole(served):
    """Random values do not pack, smooth ones do, and several blocks and threads come into play."""
    random = np.random.default_rng(1)
    smooth = np.add.outer(np.arange(40), np.add.outer(np.arange(300), np.arange(200)))[None].astype("float32")
    for image in (random.normal(size=(1, 4, 300, 200)).astype("float32"), smooth, np.zeros((1, 3, 50, 60), "float32")):
        with Remote(served) as session:
            session.set_image(image)
            assert session.original_image_shape == image.shape


def test_errors_are_the_client_s_own(served, volume):
    import httpx

    with Remote(served) as session:
        with pytest.raises(httpx.HTTPStatusError) as error:
            session.add_point_interaction(CLICK, include_interaction=True)
        assert error.value.response.status_code == 409 and "no image" in error.value.response.json()["detail"]
        session.set_image(volume)
        with pytest.raises(httpx.HTTPStatusError) as error:
            session.set_target_buffer(np.zeros((1, 2, 3), "uint8"))
        assert error.value.response.status_code == 400
        with pytest.raises(httpx.HTTPStatusError) as error:
            session.add_point_interaction((99, 0, 0), include_interaction=True)
        assert "outside" in error.value.response.json()["detail"]
        assert session.ping() and session.heartbeat() > 0 and session.lease_status()["remaining_seconds"] > 0
        session._http.headers["X-Lease-Token"] = "gone"
        with pytest.raises(SessionExpiredError):
            session.add_point_interaction(CLICK, include_interaction=True)


def test_a_full_server_says_so(served):
    sessions = [Remote(served) for _ in range(3)]
    with pytest.raises(ServerAtCapacityError):
        Remote(served)
    for session in sessions:
        session.close()
    Remote(served).close()


def test_the_key_is_the_token():
    from conftest import start

    process, address = start("--token", "0123456789abcdef")
    try:
        import httpx

        with pytest.raises(httpx.HTTPStatusError):
            Remote(address)
        Remote(address, api_key="0123456789abcdef").close()
    finally:
        process.kill()
        process.wait()
