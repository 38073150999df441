"""Marking, following, taking back, saving."""

import numpy as np
import pytest
from conftest import DEMO

from sam_octa2 import Cancel, Cancelled, InvalidArgument, SamOcta2Error, Session, Volume


def test_a_click_and_what_it_answers(session):
    mask = session.click(0, 131.2, 126.3)
    assert (mask.frame, mask.object, mask.shape) == (0, 1, (256, 256))
    assert 0 <= mask.iou <= 1 and mask.area == int(mask.numpy().sum())
    again = session.mask_of(0)
    np.testing.assert_array_equal(again.numpy("logits"), mask.numpy("logits"))


def test_all_ways_to_mark(session):
    session.points(0, [[130, 120], [20, 20]], [1, 0], object=2)
    session.box(1, [100, 100, 160, 150], object=2)
    drawn = np.zeros((256, 256), bool)
    drawn[100:150, 100:160] = True
    session.mask(2, drawn, object=3)
    session.mask(1, session.mask_of(2, 3), object=3)
    session.mask(3, drawn.astype(np.float32)[::-1], object=3)
    session.prompt(3, object=4, points=[(130, 120)], box=[100, 100, 160, 150], mask=drawn)
    session.prompt(3, object=4, points=np.array([130.0, 120.0]), replace=True)
    objects = {each["id"]: each for each in session.describe()["objects"]}
    assert list(objects) == [2, 3, 4]
    assert objects[2]["prompts"][0]["points"] == [[130, 120], [20, 20]] and objects[2]["prompts"][0]["labels"] == [1, 0]
    assert objects[2]["prompts"][1]["box"] == [100, 100, 160, 150]
    assert objects[3]["prompted_frames"] == [1, 2, 3] and objects[3]["prompts"][0]["mask"]
    assert [p["replace"] for p in objects[4]["prompts"]] == [False, True]


def test_millimetres_mean_the_same_as_pixels(session, volume):
    pixels = session.click(2, 130, 120)
    place = volume.to_patient((130, 120, 2))
    millimetres = session.points(None, [place], object=2, patient=True)
    assert millimetres.frame == 2
    np.testing.assert_array_equal(pixels.numpy("logits"), millimetres.numpy("logits"))
    corners = [volume.to_patient((100, 100, 1)), volume.to_patient((160, 150, 1))]
    assert session.box(None, corners, object=3, patient=True).frame == 1


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda s: s.click(4, 1, 1), "slice 4"),
        (lambda s: s.click(-1, 1, 1), "slices count from 0"),
        (lambda s: s.click(0, 1, 1, object=0), "object 0 does not exist; it is 1 to 65535"),
        (lambda s: s.click(0, 1, 1, object=1 << 32), "does not exist"),
        (lambda s: s.click(0, float("nan"), 1), "(?i)nan|finite|number"),
        (lambda s: s.points(0, [[1, 2, 3]]), "3 numbers, but every place has 2"),
        (lambda s: s.points(0, [[1, 2]], [1, 0]), "1 points, but 2 labels"),
        (lambda s: s.box(0, [1, 2]), "a box has 4 numbers, not 2"),
        (lambda s: s.points(None, [[1, 2]]), "which slice"),
        (lambda s: s.points(None, [[1e6, 0, 0]], patient=True), "outside of the volume"),
        (lambda s: s.mask(0, np.ones((2, 2, 2), bool)), "3 dimensions"),
        (lambda s: s.prompt(0), "(?i)prompt|nothing|mark|point"),
        (lambda s: s.propagate("sideways"), "sideways"),
    ],
)
def test_mistakes_are_one_sentence(session, wrong, message):
    with pytest.raises(InvalidArgument, match=message) as caught:
        wrong(session)
    assert "\n" not in str(caught.value) and caught.value.code == "invalid_argument"


def test_following(session):
    session.click(1, 131, 126)
    heard, steps = [], []
    count = session.propagate(
        "both", on_slice=heard.append, progress=lambda stage, done, total: steps.append((stage, done, total))
    )
    assert count == len(heard) == heard[-1].done == heard[-1].total
    assert {slice.frame for slice in heard} == {0, 1, 2, 3}
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)
    labels = session.labels()
    assert labels.shape == (4, 256, 256)
    for slice in heard:  # masks live on after the callback
        (mask,) = slice.masks
        np.testing.assert_array_equal(labels.numpy()[slice.frame] == 1, mask.numpy() == 1)


def test_following_as_a_loop(session):
    session.click(0, 131, 126)
    assert [slice.frame for slice in session.follow()] == [0, 1, 2, 3]
    for slice in session.follow(max_frames=2):
        break
    session.click(1, 20, 20)  # free again
    with pytest.raises(InvalidArgument, match="sideways"):
        list(session.follow("sideways"))


def test_enough_is_no_error_and_keeps_what_is_done(session):
    session.click(0, 131, 126)
    assert session.propagate(on_slice=lambda slice: slice.frame < 1) == 2
    assert session.describe()["objects"][0]["frames"] == [0, 1]


def test_cancelling(session):
    session.click(0, 131, 126)
    with pytest.raises(Cancelled):
        session.propagate(progress=lambda *_: False)
    token = Cancel()
    seen = []
    with pytest.raises(Cancelled):
        for slice in session.follow(cancel=token):
            seen.append(slice.frame)
            token.trigger()
    assert token.triggered and seen[0] == 0
    session.click(0, 20, 20)
    with pytest.raises(Cancelled):
        session.prompt(0, points=[[1, 1]], cancel=token)


def test_an_exception_of_a_callback_comes_out(session):
    session.click(0, 131, 126)
    with pytest.raises(ZeroDivisionError):
        session.propagate(on_slice=lambda slice: 1 / 0)
    with pytest.raises(KeyError):
        session.propagate(progress=lambda *_: {}["nothing"])
    assert session.propagate() == 4


def test_taking_back(session):
    first = session.click(0, 131, 126).numpy("logits")
    session.click(0, 20, 20, positive=False)
    session.remove_prompt(0)
    np.testing.assert_array_equal(session.mask_of(0).numpy("logits"), first)
    session.click(0, 20, 20, positive=False)
    session.remove_prompt(0, 1)
    np.testing.assert_array_equal(session.mask_of(0).numpy("logits"), first)
    session.clear(0)
    with pytest.raises(SamOcta2Error) as caught:
        session.mask_of(0)
    assert caught.value.code == "not_found"
    session.click(0, 131, 126, object=7)
    session.remove_object(7)
    assert 7 not in [each["id"] for each in session.describe()["objects"]]
    session.click(0, 131, 126, object=7)
    session.reset()
    assert session.describe()["objects"] == []


def test_steps_are_undone_and_redone(session, volume, model):
    assert session.history() == {"done": [], "undo": 0, "undone": [], "record": []}
    with pytest.raises(InvalidArgument, match="nothing to undo"):
        session.undo()
    session.click(0, 131, 126)
    session.propagate(max_frames=2)
    labels = session.labels().numpy().copy()
    assert session.undo()["op"] == "propagate"
    assert session.undo()["points"] == [[131, 126]]
    assert session.describe()["objects"] == [] and session.describe()["redo"] == 2
    session.redo()
    assert session.redo()["text"] == "propagation forward"
    np.testing.assert_array_equal(session.labels().numpy(), labels)
    session.remove_prompt(0)
    assert session.history()["done"][-1]["op"] == "remove_prompt"
    session.undo()
    other = Session.restore(volume, model, session.save())
    assert other.history() == session.history()
    assert other.script() == session.script() and "session.propagate(" in other.script()


def test_save_and_restore(session, volume, model):
    session.click(0, 131, 126)
    session.propagate(max_frames=2)
    state = session.save()
    assert isinstance(state, bytes)
    again = Session.restore(volume, model, state)
    np.testing.assert_array_equal(again.labels(), session.labels())
    assert again.propagate() == session.propagate()
    np.testing.assert_array_equal(again.mask_of(3).numpy("logits"), session.mask_of(3).numpy("logits"))
    for broken in (b"", b"no session", state[:-20]):
        with pytest.raises(SamOcta2Error) as caught:
            Session.restore(volume, model, broken)
        assert "\n" not in str(caught.value)


def test_options(volume, model):
    session = Session(volume, model, window="0,255", compat="reference", feature_cache_bytes=1 << 20, state_bytes=1 << 24)
    assert session.describe()["compat"] == "reference"
    with pytest.raises(InvalidArgument, match="window"):
        Session(volume, model, window="wide open")


def test_features_are_kept(volume, model, tmp_path):
    first, second = (Session(volume, model, features=tmp_path / "kept", features_bytes=1 << 27) for _ in range(2))
    a, b = (session.click(0, 131, 126).numpy("logits") for session in (first, second))
    assert [session.describe()["encoded_slices"] for session in (first, second)] == [1, 0]
    assert second.describe()["features"]["read"] == 1
    np.testing.assert_array_equal(a, b)


def test_encoding_ahead(session):
    session.encode(2)
    assert session.describe()["encoded_slices"] == 1
    session.free_caches()


def test_everything_may_be_freed_in_any_order(model):
    volume = Volume.open(DEMO)
    session = Session(volume, model)
    mask = session.click(0, 131, 126)
    values = mask.numpy("probability")
    volume.close(), session.close(), mask.close()
    assert 0 <= values.min() and values.max() <= 1


def test_notices_say_what_the_masks_are(session):
    """Whatever random weights answer: an empty mask, a missed click and a lost object are said, and nothing else is."""
    mask = session.click(1, 130, 120)
    inside = mask.area > 0 and mask.numpy()[120, 130] > 0
    assert [each["kind"] for each in session.notices()] == ([] if inside else ["missed_click" if mask.area else "empty"])
    for _ in session.follow("forward"):
        pass
    lost = {frame for each in session.notices() if each["kind"] == "lost" for frame in range(each["first"], each["last"] + 1)}
    frames = [each for each in session.describe()["objects"] if each["id"] == 1][0]["frames"]
    assert lost == {frame for frame in frames if frame != 1 and session.mask_of(frame).area == 0}
    assert all(each["text"].startswith("object 1: ") for each in session.notices())


def test_objects_have_names_and_locks(session):
    session.click(2, 128, 100)
    session.set_object(1, name="FAZ", colour=(255, 128, 0), property="faz", locked=True)
    told = session.object(1)
    assert (told["name"], told["colour"], told["locked"], told["visible"]) == ("FAZ", "#ff8000", True, True)
    with pytest.raises(InvalidArgument, match="locked"):
        session.click(2, 5, 5)
    session.set_object(1, name="", locked=False)
    assert session.object(1)["name"] is None and session.object(1)["property"] == "faz"
    session.set_object(2, name="empty")
    assert session.undo()["op"] == "set_object"
    for wrong in ({"colour": "red"}, {"property": "vesel"}, {"name": "x" * 65}):
        with pytest.raises(InvalidArgument):
            session.set_object(1, **wrong)


def test_chosen_objects_are_followed_while_they_are_there(session):
    session.click(2, 128, 100)
    session.click(2, 100, 100, object=2)
    seen = {}
    done = session.propagate(objects=[2], patience=1, threshold=1000.0, on_slice=lambda s: seen.update({s.frame: [m.object for m in s.masks]}))
    assert done == 2 and seen == {2: [2], 3: [2]}
    assert any(told["kind"] == "lost" and told["object"] == 2 for told in session.notices())
    with pytest.raises(InvalidArgument):
        session.propagate(objects=[])


def test_a_preview_shows_the_choices_and_changes_nothing(session):
    before = session.save()
    answer, choices = session.preview(2, points=[(128, 100)])
    assert session.save() == before and len(choices) == 3
    np.testing.assert_array_equal(session.click(2, 128, 100).numpy("logits"), answer.numpy("logits"))
    session.undo()
    chosen = session.prompt(2, points=[(128, 100)], choice=2)
    np.testing.assert_array_equal(chosen.numpy("logits"), choices[1].numpy("logits"))
    session.scribble(3, [(100, 90), (120, 90)], object=2, width=10)
    assert session.object(2)["prompts"][0]["points"] == [[100, 90], [110, 90], [120, 90]]
    square = session.polygon(3, [(20, 20), (40, 20), (40, 40), (20, 40)], object=3)
    assert square.numpy()[30, 30] == 1 and square.numpy()[60, 60] == 0
    with pytest.raises(InvalidArgument):
        session.prompt(2, points=[(1, 1)], choice=4)
