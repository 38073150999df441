"""Volumes from files, and arrays lent in any layout without a copy."""

import gc
import os
import weakref

import numpy as np
import pytest
from conftest import DEMO

from sam_octa2 import InvalidArgument, SamOcta2Error, Session, Volume, _abi, _memory, load

STACK = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)

LAYOUTS = {
    "c": STACK,
    "fortran": np.asfortranarray(STACK),
    "transposed": np.ascontiguousarray(STACK.T).T,
    "strided": np.repeat(np.repeat(STACK, 2, 1), 3, 2)[:, ::2, ::3],
    "flipped": np.ascontiguousarray(STACK[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
    "repeated": np.broadcast_to(STACK[:1], (3, 4, 5)),
    "read-only": np.frombuffer(STACK.tobytes(), np.int16).reshape(3, 4, 5),
    "unaligned": np.frombuffer(b"." + STACK.tobytes(), np.int16, offset=1).reshape(3, 4, 5),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_array_in_any_layout_is_read_in_place(layout):
    array = LAYOUTS[layout]
    view = _memory.describe(array)
    assert view.data == array.__array_interface__["data"][0]
    assert tuple(view.strides[:3]) == array.strides
    volume = Volume.from_array(array)
    assert volume.shape == (3, 4, 5) and volume.info["format"] == "lent"
    np.testing.assert_array_equal(np.asarray(volume), array)


@pytest.mark.parametrize("dtype", "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 bool".split())
def test_types(dtype):
    array = (STACK % 2).astype(dtype)
    volume = Volume.from_array(array)
    assert volume.dtype == {"bool": "uint8", "float16": "float32"}.get(dtype, dtype)
    np.testing.assert_array_equal(volume.frame(1), array[1])


def test_colour():
    array = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    volume = Volume.from_array(array)
    assert volume.shape == (2, 4, 5, 3)
    np.testing.assert_array_equal(volume[1], array[1])


@pytest.mark.parametrize(
    "array, message",
    [
        (STACK.astype(">i2"), "byte order"),
        (STACK.astype(np.complex64), "complex64 are not understood"),
        (STACK.astype(object), "object are not understood"),
        (STACK[0], "3 dimensions"),
        (np.zeros((1, 1, 1, 1, 1)), "5 dimensions"),
        (np.zeros((2, 2, 2, 2)), "channels"),
        (STACK[:0], "at least 1"),
    ],
)
def test_what_cannot_be_lent_says_so(array, message):
    before = _memory.lent_count()
    with pytest.raises(InvalidArgument, match=message) as caught:
        Volume.from_array(array)
    assert "\n" not in str(caught.value)
    assert _memory.lent_count() == before, "released although the call failed"


def test_the_array_lives_until_the_last_user_is_gone(model):
    before = _memory.lent_count()
    array = np.zeros((2, 64, 64), np.uint8)
    array[:, 20:40, 20:40] = 200
    gone = []
    weakref.finalize(array, gone.append, True)
    volume = Volume.from_array(array[:, :, ::-1])
    session = Session(volume, model)
    del array
    volume.close()
    gc.collect()
    assert _memory.lent_count() == before + 1 and not gone, "the session still reads it"
    session.click(0, 30, 30)
    session.close()
    gc.collect()
    assert _memory.lent_count() == before and gone == [True], "released once"


def test_release_is_called_exactly_once():
    owners = []
    release = _abi.RELEASE(owners.append)
    good, bad = _memory.describe(STACK), _memory.describe(STACK)
    good.owner, bad.owner, bad.dimensions, good.release, bad.release = 1, 2, 7, release, release
    with pytest.raises(InvalidArgument):
        load().handle("volume_lend", bad)
    assert owners == [2]
    volume = Volume._of(load().handle("volume_lend", good))
    kept = volume.frame(0)
    assert owners == [2]
    volume.close()
    volume.close()
    del volume
    gc.collect()
    assert owners == [2, 1] and kept[1, 1] == STACK[0, 1, 1], "a slice is read, not lent on"


def test_nothing_is_copied(elsewhere):
    """A gigabyte is lent, one slice is read: the process does not grow by it."""
    code = """
import resource, numpy as np
from sam_octa2 import Volume, start
start()
array = np.zeros((1024, 1024, 1024), np.uint8); array.fill(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
volume = Volume.from_array(array); assert volume.frame(500).sum() == 1 << 20
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    if os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < 3 << 30:
        pytest.skip("needs 3 GB of free memory")
    grown = int(elsewhere(code))
    print(f"grown by {grown} MB")
    assert grown < 50


def test_files():
    volume = Volume.open(DEMO)
    assert volume.shape == (12, 256, 256) and volume.dtype == np.uint8 and len(volume) == 12
    cropped = Volume.open(DEMO, crop="10,20,30,40", axis="z")
    np.testing.assert_array_equal(np.asarray(cropped), np.asarray(volume)[:, 20:60, 10:40])


def test_slices_are_shared_and_read_only():
    frame = Volume.from_array(STACK).frame(2)  # the volume is gone already
    with pytest.raises(ValueError):
        frame[0, 0] = 1
    with pytest.raises(ValueError):
        frame.flags.writeable = True
    np.testing.assert_array_equal(frame, STACK[2])


@pytest.mark.parametrize("index", [0, -1, (1, 2), (1, slice(1, 3)), slice(None, None, 2), (slice(0, 2), 1), (Ellipsis, 0), slice(0, 0)])
def test_it_is_indexed_like_an_array(index):
    np.testing.assert_array_equal(Volume.from_array(STACK)[index], STACK[index])


def test_places():
    affine = [[0, 2, 0, 5], [3, 0, 0, -1], [0, 0, -4, 7], [0, 0, 0, 1]]
    volume = Volume.from_array(STACK, affine)
    np.testing.assert_array_equal(volume.affine, affine)
    assert volume.spacing == (3, 2, 4)
    assert volume.to_patient((1, 2, 1)) == (9, 2, 3)
    assert volume.to_index((9, 2, 3)) == (1, 2, 1)
    with pytest.raises(InvalidArgument, match="three numbers, not 2"):
        volume.to_index((1, 2))
    with pytest.raises(InvalidArgument, match="4 x 4"):
        Volume.from_array(STACK, np.eye(3))
    with pytest.raises(SamOcta2Error):
        Volume.from_array(STACK, np.full((4, 4), np.nan))


def test_writing(tmp_path):
    Volume.from_array(STACK, np.diag([1.0, 2.0, 3.0, 1.0])).write(tmp_path / "a.nii.gz")
    again = Volume.open(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(again), STACK)
    assert again.spacing == (1, 2, 3)


def test_a_closed_volume_is_an_error(model):
    volume = Volume.from_array(STACK)
    volume.close()
    volume.close()
    for use in (lambda: volume.shape, lambda: volume.frame(0), lambda: Session(volume, model)):
        with pytest.raises(InvalidArgument, match="freed"):
            use()
    with pytest.raises(InvalidArgument, match="slice -1 does not exist"):
        volume.frame(-1)
