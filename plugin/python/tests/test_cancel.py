"""Long calls end at the very step at which they are asked to. Steps are counted, not seconds: an eager library reports each of them."""

import asyncio
import threading

import numpy as np
import pytest
from conftest import CONFIG, DEMO, MODEL

import sam_octa2
from sam_octa2 import Busy, Cancel, Cancelled, Model, Script, Session, Volume, _calls, run_async


def eager(on=True):
    with _calls.calling() as call:
        sam_octa2.load().call("selftest", b"eager" if on else b"patient", call.host)


@pytest.fixture(autouse=True)
def every_step():
    eager()
    yield
    eager(False)


class Steps:
    """Counts the steps, and stops at one by a token or by its answer."""

    def __init__(self, stop_at=None, token=None):
        self.stop_at, self.token, self.heard = stop_at, token, 0

    def __call__(self, stage, done, total):
        self.heard += 1
        if self.heard == self.stop_at:
            if self.token is None:
                return False
            self.token.trigger()
        return True


def stops(call, least):
    """`call(progress=..., cancel=...)` stops at any of its steps."""
    whole = Steps()
    call(progress=whole, cancel=Cancel())
    assert whole.heard >= least
    for stop_at in (1, whole.heard // 4, whole.heard // 2):
        for token in (None, Cancel()):
            steps = Steps(max(stop_at, 1), token)
            with pytest.raises(Cancelled):
                call(progress=steps, cancel=token or Cancel())
            assert steps.heard == steps.stop_at, "it went on"
    assert not _calls._running


def test_every_long_call(session, volume, model, tmp_path):
    def prompt(**how):
        session.free_caches()
        session.prompt(1, object=2, points=[(131, 126)], **how)
        session.remove_prompt(1, object=2)

    def encode(**how):
        session.free_caches()
        session.encode(2, **how)

    stops(prompt, 20)
    stops(encode, 15)
    session.click(0, 131, 126)
    stops(lambda **how: session.propagate(max_frames=2, **how), 30)
    for verb in (session.labels, session.save, session.script, session.labels().rle):
        stops(verb, 2)
    state = session.save()
    stops(lambda **how: Session.restore(volume, model, state, **how), 2)
    stops(lambda **how: Model.load(MODEL, CONFIG, device="cpu", **how), 20)
    stops(lambda **how: Volume.open(DEMO, **how), 2)
    stops(lambda **how: Volume.open(DEMO).write(tmp_path / "copy.nii.gz", **how), 2)
    source = 'let volume = open_volume(arg("input")); volume.range; for i in 0..2000 { let x = i; }'
    stops(lambda **how: Script().run(source, args={"input": str(DEMO)}, **how), 10)
    request = {"model": str(MODEL), "model_config": str(CONFIG), "device": "cpu", "output": str(tmp_path / "tiny.pt")}
    stops(lambda **how: sam_octa2.task("export", request, **how), 20)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".sam")] == []


def test_one_token_stops_several_calls_and_those_to_come(session, volume, model):
    token, started, errors = Cancel(), threading.Barrier(3), []

    def work():
        other = Session(volume, model)
        other.click(0, 131, 126)
        met = []

        def hear(*_):
            if not met:
                met.append(started.wait())

        try:
            while True:
                other.propagate(progress=hear, cancel=token)
        except Cancelled as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    [thread.start() for thread in threads]
    started.wait()
    token.trigger()
    [thread.join() for thread in threads]
    assert len(errors) == 2
    with pytest.raises(Cancelled):
        session.encode(0, cancel=token)
    session.encode(0, cancel=Cancel())


def test_a_cancelled_task_leaves_a_usable_session(session):
    session.click(0, 131, 126)
    expected = session.click(1, 131, 126, object=2).numpy("logits").copy()
    session.undo()

    async def main():
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()
        steps = Steps()

        def hear(*step):
            loop.call_soon_threadsafe(begun.set)
            return steps(*step)

        def endless():
            while True:
                session.propagate(progress=hear)

        task = asyncio.create_task(run_async(endless))
        await begun.wait()
        with pytest.raises(Busy):
            session.describe()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # at once: the call has left the session
        heard = steps.heard
        answer = await run_async(session.click, 1, 131, 126, object=2)
        assert steps.heard == heard
        with pytest.raises(sam_octa2.InvalidArgument):
            await run_async(session.click, 99, 0, 0)
        return answer.numpy("logits")

    np.testing.assert_array_equal(asyncio.run(main()), expected)
    assert session.propagate() == 4 and not _calls._running
