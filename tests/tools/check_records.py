"""Reads what a training wrote with the programs that it was written for: openpyxl, TensorBoard, torch.

    python tests/tools/check_records.py OUTPUT_FOLDER [CHECKPOINT.pt ...]    (pip install openpyxl tensorboard; torch for checkpoints)
"""

import csv
import sys
from pathlib import Path


def spreadsheet(folder: Path) -> None:
    from openpyxl import load_workbook

    book = load_workbook(folder / "metrics.xlsx")
    assert book.sheetnames == ["epochs", "slices", "steps", "options"], book.sheetnames
    for sheet, table in (("slices", "metrics.csv"), ("steps", "steps.csv")):
        with open(folder / table, newline="") as file:
            rows = list(csv.reader(file))
        cells = list(book[sheet].values)
        assert len(cells) == len(rows), (sheet, len(cells), len(rows))
        assert list(cells[0]) == rows[0]
        for ours, theirs in zip(cells[1:], rows[1:]):
            for cell, text in zip(ours, theirs):
                assert cell == text or (cell is None and text == "") or abs(cell - float(text)) < 1e-12, (cell, text)
    print(f"metrics.xlsx: {book['epochs'].max_row - 1} epochs, {book['slices'].max_row - 1} slices")


def events(folder: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    with open(folder / "steps.csv", newline="") as file:
        steps = list(csv.DictReader(file))
    losses = accumulator.Scalars("train/loss")
    assert [event.step for event in losses] == [int(step["step"]) for step in steps]
    assert all(abs(event.value - float(step["loss"])) < 1e-4 for event, step in zip(losses, steps))
    print(f"TensorBoard: {len(losses)} steps, tags {', '.join(tags)}")


def checkpoint(path: str) -> None:
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    tensors = content.get("model", content)
    print(f"{path}: {len(tensors)} tensors, {sum(t.numel() for t in tensors.values())} numbers")


if __name__ == "__main__":
    spreadsheet(Path(sys.argv[1]))
    events(Path(sys.argv[1]))
    for path in sys.argv[2:]:
        checkpoint(path)
