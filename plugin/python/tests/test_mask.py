"""Results as arrays over the plugin's memory, DLPack, run lengths, files."""

import gc
import weakref

import numpy as np
import pytest
from conftest import DEMO, ROOT

from sam_octa2 import InvalidArgument, SamOcta2Error, Session, Volume, _memory


@pytest.fixture
def mask(session):
    return session.click(0, 131, 126)


@pytest.mark.parametrize("form, dtype", [("dense", "u1"), ("labels", "u2"), ("probability", "f4"), ("logits", "f4")])
def test_forms(mask, form, dtype):
    values = mask.numpy(form)
    assert values.dtype == dtype and values.shape == (256, 256)
    inside = {"dense": values == 1, "labels": values == 1, "probability": values > 0.5, "logits": values > 0}[form]
    np.testing.assert_array_equal(inside, mask.numpy() == 1)


@pytest.mark.parametrize("form", ["dense", "probability", "logits"])
def test_nothing_is_copied(mask, form):
    one, other = mask.numpy(form), mask.numpy(form)
    assert one.__array_interface__["data"][0] == other.__array_interface__["data"][0]
    assert np.shares_memory(one, other) and not one.flags.owndata
    with pytest.raises(ValueError):
        one[0, 0] = 1
    with pytest.raises(ValueError):
        one.flags.writeable = True


def test_the_memory_lives_as_long_as_an_array_over_it(mask, monkeypatch):
    released = []
    real = _memory.Block

    class Watched(real):
        def __init__(self, view):
            super().__init__(view)
            weakref.finalize(self, released.append, view.owner)

    monkeypatch.setattr(_memory, "Block", Watched)
    part = mask.numpy()[10:20, ::2]
    expected = part.copy()
    mask.close()
    gc.collect()
    assert released == []
    np.testing.assert_array_equal(part, expected)
    del part
    gc.collect()
    assert len(released) == 1


def test_numpy_takes_it_as_it_is(mask):
    assert np.shares_memory(np.asarray(mask), mask.numpy())
    assert np.array(mask, dtype=float).sum() == mask.area
    assert np.asarray(mask, dtype=np.uint16).dtype == np.uint16


def test_dlpack(mask):
    assert mask.__dlpack_device__() == (1, 0)
    copied = np.from_dlpack(mask)
    assert copied.sum() == mask.area and not np.shares_memory(copied, mask.numpy())
    if np.lib.NumpyVersion(np.__version__) < "2.1.0":
        return  # this numpy cannot say "read-only"
    taken = np.from_dlpack(mask, copy=False)
    assert np.shares_memory(taken, mask.numpy()) and not taken.flags.writeable
    logits = np.from_dlpack(mask.dlpack("logits"), copy=False)
    assert np.shares_memory(logits, mask.numpy("logits"))
    expected = mask.numpy("logits").copy()
    mask.close()
    np.testing.assert_array_equal(logits, expected)
    del taken, logits
    gc.collect()


def test_dlpack_for_consumers_of_other_versions(mask):
    assert "dltensor_versioned" in repr(mask.__dlpack__(max_version=(1, 0), copy=False))  # and freed, as nobody takes it
    assert '"dltensor"' in repr(mask.__dlpack__())
    with pytest.raises(BufferError, match="DLPack 1.0"):
        mask.__dlpack__(copy=False)
    with pytest.raises(BufferError, match="CPU"):
        mask.__dlpack__(max_version=(1, 0), dl_device=(2, 0))


class _Capsule:
    """What a consumer that passes over "read-only", such as torch, is given."""

    def __init__(self, capsule):
        self.capsule = capsule

    def __dlpack__(self, **wishes):
        return self.capsule

    def __dlpack_device__(self):
        return (1, 0)


@pytest.mark.parametrize("wishes", [{}, {"max_version": (1, 0)}, {"max_version": (1, 0), "copy": None}, {"copy": True}])
def test_what_a_consumer_writes_stays_its_own(mask, wishes):
    before = mask.numpy().copy()
    taken = np.from_dlpack(_Capsule(mask.__dlpack__(**wishes)))
    assert not np.shares_memory(taken, mask.numpy())
    if taken.flags.writeable:
        taken[:] = 1 - taken
    np.testing.assert_array_equal(mask.numpy(), before)
    np.testing.assert_array_equal(mask.numpy("logits") > 0, before == 1)


def test_run_lengths(mask):
    rle = mask.rle()
    assert rle["size"] == [256, 256]
    decoded = np.repeat(np.arange(len(rle["counts"])) % 2, rle["counts"]).reshape(256, 256, order="F")
    np.testing.assert_array_equal(decoded, mask.numpy())


def test_labels(session, tmp_path):
    session.click(0, 131, 126, object=5)
    labels = session.labels()
    assert labels.objects in ([], [5]) and labels.numpy().dtype == np.uint16
    assert np.shares_memory(labels.numpy(), np.asarray(labels))
    assert {rle["object"] for rle in labels.rle()} == set(labels.objects)
    labels.write(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(Volume.open(tmp_path / "labels.nii.gz")), labels)
    with pytest.raises(SamOcta2Error, match="no probabilities"):
        labels.numpy("logits")


def test_labels_refer_to_the_volume_that_was_opened(model, tmp_path):
    session = Session(Volume.open(DEMO), model)
    session.click(0, 131, 126)
    session.labels().write(tmp_path / "labels.nii.gz")
    np.testing.assert_allclose(Volume.open(tmp_path / "labels.nii.gz").affine, Volume.open(DEMO).affine)


def test_labels_of_dicom_become_a_segmentation(model, tmp_path):
    session = Session(Volume.open(ROOT / "tests/data/io/dicom/multiframe.dcm"), model)
    session.mask(0, np.ones(session.describe()["shape"][1:3], np.uint8))
    labels = session.labels()
    labels.write(tmp_path / "seg.dcm", properties=["vessel"], deterministic=True, description="Vessels", number=7)
    assert (tmp_path / "seg.dcm").read_bytes()[128:132] == b"DICM"
    with pytest.raises(InvalidArgument):
        labels.write(tmp_path / "seg.dcm", properties=["banana"])


def test_mistakes(mask):
    with pytest.raises(InvalidArgument, match='"sparse" is no form'):
        mask.numpy("sparse")
    mask.close()
    with pytest.raises(InvalidArgument, match="freed"):
        mask.numpy()
