"""Several threads, calls within calls, cancelling, Ctrl-C, and memory that stays flat."""

import gc
import os
import signal
import threading
import time

import numpy as np
import pytest

import sam_octa2
from sam_octa2 import Busy, Cancel, Cancelled, Session, Volume, _calls, _memory


def in_threads(*works):
    errors = []

    def guarded(work):
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if errors:
        raise errors[0]


def test_a_busy_session_says_so(session):
    session.click(0, 131, 126)
    refused = []

    def on_slice(slice):
        with pytest.raises(Busy, match="at work"):
            session.click(0, 1, 1)
        refused.append(slice.frame)

    assert session.propagate(on_slice=on_slice) == 4 and refused == [0, 1, 2, 3]
    for slice in session.follow():
        if slice.done < slice.total:
            with pytest.raises(Busy):
                session.describe()
        break


def test_another_thread_cancels():
    token = Cancel()
    timer = threading.Timer(0.2, token.trigger)
    timer.start()
    with pytest.raises(Cancelled), _calls.calling(cancel=token) as call:
        sam_octa2.load().call("selftest", b"sleep", call.host)  # comes to its end after a minute
    timer.join()


def test_calls_do_not_hold_python_up():
    token, turns = Cancel(), 0

    def sleep():
        with pytest.raises(Cancelled), _calls.calling(cancel=token) as call:
            sam_octa2.load().call("selftest", b"sleep", call.host)

    thread = threading.Thread(target=sleep)
    thread.start()
    while turns < 10:
        turns += 1
        time.sleep(0.001)
    still = thread.is_alive()
    token.trigger()
    thread.join()
    assert still, "this thread stood still until the other one was done"


def test_two_sessions_in_two_threads(demo, model):
    def segment(answers, array):
        session = Session(Volume.from_array(array), model)
        session.click(0, 131, 126)
        session.propagate()
        answers.append(np.array(session.labels()))

    alone, one, two = [], [], []
    segment(alone, demo[:3])
    in_threads(lambda: segment(one, demo[:3]), lambda: segment(two, demo[:3][:, ::-1]))
    np.testing.assert_array_equal(one[0], alone[0])
    assert two[0].shape == alone[0].shape


def test_a_session_may_move_between_threads(session):
    in_threads(lambda: session.click(0, 131, 126))
    in_threads(lambda: session.propagate())
    assert session.labels().shape == (4, 256, 256)


def test_ctrl_c_stops_a_call_and_comes_out(session):
    session.click(0, 131, 126)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as for everything that a shell runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        session.propagate(on_slice=lambda slice: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt), _calls.calling() as call:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        sam_octa2.load().call("selftest", b"sleep", call.host)
    with pytest.raises(KeyboardInterrupt):
        for slice in session.follow():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is before and not _calls._running
    assert session.propagate() == 4


def test_a_process_may_end_while_a_call_runs(elsewhere):
    code = """
import threading, time, sam_octa2
from sam_octa2 import _calls
def work():
    with _calls.calling() as call: sam_octa2.load().call("selftest", b"sleep", call.host)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.5)
print("end")
"""
    began = time.monotonic()
    assert elsewhere(code) == "end"
    assert time.monotonic() - began < 20


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_memory_stays_flat_over_a_hundred_sessions(demo, model):
    gc.collect()
    lent = _memory.lent_count()

    def once():
        with Session(Volume.from_array(demo[:1]), model) as session:
            session.click(0, 131, 126).numpy("logits")
            session.propagate(on_slice=lambda slice: None)
            session.labels().numpy()

    [once() for _ in range(10)]
    gc.collect()
    before = resident()
    [once() for _ in range(100)]
    gc.collect()
    grown = resident() - before
    print(f"grown by {grown:.1f} MB")
    assert grown < 30
    assert _memory.lent_count() == lent and not _calls._running
