"""What is kept alive, for how long, and what cannot leave its process."""

import copy
import gc
import pickle

import numpy as np
import pytest
from conftest import CONFIG, DEMO, MODEL

import sam_octa2
from sam_octa2 import Cancel, Script, Session, Volume, _memory


@pytest.fixture
def lent():
    """How many arrays more than before the plugin holds."""
    gc.collect()
    before = _memory.lent_count()

    def count():
        gc.collect()
        return _memory.lent_count() - before

    return count


def lend(demo):
    return Volume.from_array(demo[:2].copy())


def test_a_long_lived_script_keeps_no_volume_of_the_runs_before(demo, lent):
    script = Script()
    for _ in range(50):
        assert script.run('arg("volume").frames', args={"volume": lend(demo)}) == 2
    assert lent() == 0
    volume = lend(demo)
    for _ in range(3):  # a volume that the program keeps may be shared again
        assert script.run('arg("volume").frames', args={"volume": volume}) == 2
    volume.close()
    assert lent() == 0


def test_what_a_function_gives_to_a_script_lives_for_the_run(demo, lent):
    script = Script()

    @script.function
    def give() -> Volume:
        return lend(demo)

    assert script.run("let v = viewer::give(); let again = v; v.range; again.frames") == 2
    assert lent() == 0


def test_a_run_that_fails_keeps_nothing(demo, lent):
    script = Script()
    with pytest.raises(sam_octa2.ScriptError):
        script.run('arg("volume").nothing', args={"volume": lend(demo)})
    with pytest.raises(sam_octa2.InvalidArgument):
        script.run("1", args={"volume": lend(demo)}, limits={"sekonds": 1})
    assert lent() == 0


def test_labels_do_not_keep_the_volume(demo, model, lent, tmp_path):
    with Session(lend(demo), model) as session:
        session.click(0, 131, 126)
        labels = session.labels()
    assert lent() == 0
    labels.write(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(Volume.open(tmp_path / "labels.nii.gz")), labels)
    script = Script()
    assert script.run('arg("labels").count(1)', args={"labels": labels}) == int((labels.numpy() == 1).sum())


def test_labels_of_a_script_do_not_keep_the_volume(demo, lent):
    script, volume = Script(), lend(demo)
    source = f"""
        let session = new_session(arg("volume"), load_model({str(MODEL)!r}.to_string(), #{{config: {str(CONFIG)!r}.to_string()}}));
        session.click(0, 131, 126);
        session.labels()""".replace("'", '"')
    labels = script.run(source, args={"volume": volume})
    # as long as the volume is there, its voxels can be looked at through the labels
    assert script.run('arg("labels").frames', args={"labels": labels}) == 2
    volume.close()
    assert lent() == 0 and labels.shape == (2, 256, 256)


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy, lambda thing: pickle.dumps([thing], protocol=2)])
def test_nothing_of_the_plugin_leaves_its_process(session, volume, model, leave):
    mask = session.click(0, 131, 126)
    for thing, instead in [
        (model, "path"),
        (session, "save"),
        (volume, "path"),
        (mask, "numpy"),
        (session.labels(), "numpy"),
        (Script(), "text"),
        (Cancel(), "another"),
    ]:
        with pytest.raises(TypeError, match=f"cannot be pickled or copied; .*{instead}") as caught:
            leave(thing)
        assert "\n" not in str(caught.value)
    assert pickle.loads(pickle.dumps(mask.numpy())).sum() == mask.area  # values do


def test_errors_leave_their_process(session):
    with pytest.raises(sam_octa2.InvalidArgument) as caught:
        session.click(1, -9, 1, object=3)
    same = pickle.loads(pickle.dumps(caught.value))
    assert (str(same), same.code, same.detail) == (str(caught.value), "invalid_argument", {"frame": 1, "object": 3})


WORK = f"""
import sys
from sam_octa2 import Model, SamOcta2Error, Session, Volume, set_threads
def work(_=None):
    try:
        model = Model.load({str(MODEL)!r}, {str(CONFIG)!r}, device="cpu", precision="f32")
        return Session(Volume.open({str(DEMO)!r}), model).click(0, 131, 126).area
    except SamOcta2Error as error:
        return f"{{error.code}}: {{error}}"
"""


def test_a_fork_gets_an_error(elsewhere):
    code = WORK + """
import multiprocessing, os
set_threads(2)
assert work() > 0
child = os.fork()
if child == 0:
    answer = work()
    import sam_octa2
    assert sam_octa2.task("info", {"input": %r})["report"]["format"] == "nifti"  # needs no libtorch
    print(answer, flush=True)
    sys.exit(0)  # and it ends
assert os.waitpid(child, 0)[1] == 0
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.map(work, [1])[0])
assert work() > 0  # the parent goes on
""" % str(DEMO)
    lines = elsewhere(code).splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("unsupported: this process is a fork") and "spawn" in line, line


def test_a_fork_before_the_first_call_works(elsewhere):
    code = WORK + """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    areas = pool.map(work, [1, 2])
print(areas[0] == areas[1] == work() != 0)
"""
    assert elsewhere(code) == "True"


def test_tasks_without_a_model_open_no_libtorch(elsewhere, tmp_path):
    code = f"""
import sam_octa2
from pathlib import Path
tree, out = {str(DEMO.parents[1] / 'measure/tree.png')!r}, {str(tmp_path)!r}
sam_octa2.task("phantom", {{"out": out + "/p.npy", "options": {{"size": 64, "slices": 2}}}})
sam_octa2.task("vessels", {{"map": tree, "output": out + "/v.nii.gz"}})
sam_octa2.task("measure", {{"labels": out + "/v.nii.gz", "options": {{"spacing": [0.01, 0.01, 0.01], "eye": "right"}}}})
sam_octa2.task("convert", {{"input": tree, "output": out + "/c.npy"}})
sam_octa2.task("info", {{"input": tree}})
for name in ("magic", "export_octa500"):
    try: sam_octa2.task(name, {{}})
    except sam_octa2.SamOcta2Error: pass
print("libtorch" in Path("/proc/self/maps").read_text())
sam_octa2.task("models", {{}})
print("libtorch" in Path("/proc/self/maps").read_text())
"""
    assert elsewhere(code).splitlines() == ["False", "True"]
