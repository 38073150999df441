"""Scripts, and Python functions that they call."""

import gc
from typing import List, Optional

import numpy as np
import pytest
from conftest import DEMO

from sam_octa2 import Busy, Cancelled, InvalidArgument, Labels, SamOcta2Error, Script, ScriptError, Session, Volume, script as scripts


@pytest.fixture
def script():
    with Script() as script:
        yield script


def test_values_go_both_ways(script, tmp_path):
    args = {"n": 3, "x": 0.5, "list": [1, "two", None, True], "map": {"kind": "volume", "b": np.int64(4)}}
    assert script.run("[arg(`n`), arg(`x`), arg(`list`), arg(`map`)]", args=args) == [
        3,
        0.5,
        [1, "two", None, True],
        {"kind": "volume", "b": 4},
    ]
    (tmp_path / "a.rhai").write_text("40 + 2")
    assert script.run(path=tmp_path / "a.rhai") == 42


def test_what_it_prints(script):
    lines = []
    script.run("print(`one`); print([1, 2])", printed=lines.append)
    assert lines == ["one", "[1, 2]"]


def test_roots_limits_library_and_what_is_kept(script, tmp_path):
    (tmp_path / "tools.rhai").write_text("fn twice(x) { 2 * x }")
    (tmp_path / "a.json").write_text("[4]")
    path = str(tmp_path / "a.json")
    assert script.run("read_json(arg(`path`))[0]", args={"path": path}, roots={"read": [tmp_path], "write": []}) == 4
    with pytest.raises(ScriptError, match="may not read here"):
        script.run("read_json(arg(`path`))", args={"path": path}, roots={"read": []})
    assert script.run("import `tools` as tools; tools::twice(21)", library=tmp_path) == 42
    with pytest.raises(ScriptError, match="limits.seconds"):
        script.run("loop {}", limits={"seconds": 0.1})
    script.run("let n = 20; fn f(x) { x + 1 }", keep=True)
    assert script.run("f(n)", keep=True) == 21
    with pytest.raises(ScriptError, match="n"):
        script.run("n")


def test_an_error_says_where(script):
    with pytest.raises(ScriptError) as caught:
        script.run("let a = 1;\nlet b = nothing + a;")
    assert caught.value.line == 2 and caught.value.code == "script" and "nothing" in str(caught.value)
    with pytest.raises(InvalidArgument, match="either `source` or `path`"):
        script.run()


def test_functions_of_python(script):
    calls = []

    @script.function
    def area(points: List[list], scale: float, name: str = "area", deep: Optional[int] = None) -> float:
        """The area of a polygon."""
        calls.append((points, scale, name, deep))
        return len(points) * scale

    assert area([[1]], 2.0) == 2.0, "still a function of Python"
    assert script.run("viewer::area([[0, 1], [2, 3]], 2)") == 4.0
    assert script.run("viewer::area([], 2, `b`, 3.0)") == 0.0
    assert calls[1:] == [([[0, 1], [2, 3]], 2.0, "area", None), ([], 2.0, "b", 3)]
    (hosted,) = [each for each in scripts._functions.values() if each.function is area]
    assert hosted.declaration["doc"].startswith("area(points: List[list], scale: float, name: str, deep: Optional[int]) -> float")
    assert "The area of a polygon." in hosted.declaration["doc"]


def test_what_a_function_raises_is_a_sentence(script):
    @script.function
    def fails(kind: str):
        raise {"value": ValueError("no such\nslice"), "key": KeyError("size"), "quit": SystemExit(), "bare": RuntimeError()}[kind]

    for kind, sentence in {"value": "no such slice", "key": "there is no 'size'", "quit": "SystemExit", "bare": "RuntimeError"}.items():
        with pytest.raises(ScriptError, match=f"viewer::fails: {sentence}"):
            script.run(f"viewer::fails(`{kind}`)")
    assert script.run("let m = ``; try { viewer::fails(`value`) } catch (e) { m = e.message } m").endswith("no such slice")
    with pytest.raises(ScriptError, match="kind: expected a string, got 3"):
        script.run("viewer::fails(3)")


def test_volumes_and_labels_go_both_ways(script, model):
    array = np.zeros((2, 32, 32), np.uint8)
    seen = {}

    @script.function
    def stack() -> Volume:
        return Volume.from_array(array)

    @script.function
    def show(volume: Volume, labels: Optional[Labels]):
        seen["volume"], seen["labels"] = volume, labels
        return {"shape": volume.shape}

    told = script.run("let v = viewer::stack(); viewer::show(v, ()).shape")
    assert told == [2, 32, 32] and seen["labels"] is None
    np.testing.assert_array_equal(np.asarray(seen["volume"]), array)
    volume = script.run("open_volume(arg(`path`))", args={"path": str(DEMO)})
    assert volume.shape == (12, 256, 256)
    session = Session(volume, model)
    session.click(0, 131, 126)
    labels = session.labels()
    same, number = script.run("let l = arg(`labels`); [l, l.frames]", args={"labels": labels})
    assert number == 12
    np.testing.assert_array_equal(same, labels)
    with pytest.raises(ScriptError, match="volume: expected a volume, got 3"):
        script.run("viewer::show(3, ())")
    with pytest.raises(ScriptError, match="volume: expected a volume, got labels"):
        script.run("viewer::show(arg(`labels`), ())", args={"labels": labels})


def test_declarations_that_cannot_be(script):
    script.add(lambda: 1, "one")
    for function, name in [(lambda: 1, "one"), (lambda: 1, "let"), (lambda *a: 1, "many")]:
        before = len(scripts._functions)
        with pytest.raises(InvalidArgument):
            script.add(function, name)
        assert len(scripts._functions) == before


def test_functions_are_released_with_the_engine():
    before = len(scripts._functions)
    with Script() as script:
        script.add(lambda: 1, "one")
        assert len(scripts._functions) == before + 1
    gc.collect()
    assert len(scripts._functions) == before


def test_cancel_and_limits(script):
    with pytest.raises(Cancelled):
        script.run("for i in 0..1000 { progress(`step`, i, 1000) }", progress=lambda stage, done, total: done < 3)
    with pytest.raises(ScriptError, match="(?i)operations"):
        script.run("loop { }", limits={"operations": 1000})


def test_busy_from_a_function(script):
    script.add(lambda: script.run("1"), "again")
    with pytest.raises(SamOcta2Error, match="runs another script"):
        script.run("viewer::again()")

    def other():
        with Script() as second:
            return second.run("1 + 1")

    script.add(other, "other")
    assert script.run("viewer::other()") == 2
    assert issubclass(Busy, SamOcta2Error)
