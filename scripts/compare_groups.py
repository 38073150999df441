#!/usr/bin/env python3
"""Means of a measure by group, with confidence intervals, from the table of `host-demo batch merge`. Needs numpy.

    compare_groups.py measurements.csv --measure faz_area_mm2 --group group [--person subject]

A person counts once: both eyes (or several scans) of one are averaged first, since they are not independent. Intervals of means are Student's t,
those of differences Welch's; differences are to the first group in the order of the table. Cases that are not done or have no value are left out
and named. What the columns are and their units stands in measurements.json beside the table.
"""
import argparse
import csv
import json
import math
import sys
from pathlib import Path

import numpy as np


def t_quantile(freedom, level=0.95):
    """The t that `level` of Student's distribution lies within, by bisection of its integral."""
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)

    def within(t):
        # x = sqrt(freedom) tan(angle) turns the tail into a smooth end
        angle = np.linspace(0, math.atan(t / math.sqrt(freedom)), 4001)
        height = np.cos(angle) ** (freedom - 1)
        return 2 * constant * math.sqrt(freedom) * float(np.sum((height[1:] + height[:-1]) * np.diff(angle)) / 2)

    low, high = 0.0, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < level else (low, middle)
    return high


def mean_interval(values):
    """Mean, standard deviation and the 95 % interval of the mean."""
    values = np.asarray(values, float)
    mean, deviation = values.mean(), values.std(ddof=1) if len(values) > 1 else math.nan
    half = t_quantile(len(values) - 1) * deviation / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return mean, deviation, mean - half, mean + half


def welch(one, other):
    """Mean of `other` less mean of `one`, and its 95 % interval without equal variances."""
    one, other = np.asarray(one, float), np.asarray(other, float)
    difference = other.mean() - one.mean()
    if min(len(one), len(other)) < 2:
        return difference, math.nan, math.nan
    a, b = one.var(ddof=1) / len(one), other.var(ddof=1) / len(other)
    if a + b == 0:
        return difference, difference, difference
    freedom = (a + b) ** 2 / (a**2 / (len(one) - 1) + b**2 / (len(other) - 1))
    half = t_quantile(freedom) * math.sqrt(a + b)
    return difference, difference - half, difference + half


def read(path, measure, group, person):
    """-> {group: {person: values}}, what was left out and why."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [name for name in (measure, group, person) if name and rows and name not in rows[0]]
    if not rows or missing:
        sys.exit(f"{path}: no column {', '.join(missing)}" if missing else f"{path}: no cases")
    found, left_out, group_of = {}, [], {}
    for row in rows:
        if row["status"] != "done":
            left_out.append((row["case"], f"{row['status']}: {row['reason']}"))
        elif not row[group]:
            left_out.append((row["case"], f"no {group}"))
        elif not row[measure]:
            left_out.append((row["case"], f"no {measure}"))
        else:
            who = row[person] if person and row[person] else row["case"]
            if group_of.setdefault(who, row[group]) != row[group]:
                sys.exit(f"{path}: {who} is in two groups, {group_of[who]} and {row[group]}")
            found.setdefault(row[group], {}).setdefault(who, []).append(float(row[measure]))
    return found, left_out


def unit(table, measure):
    """Of the dictionary beside the table, if it is there."""
    try:
        return json.loads(Path(table).with_suffix(".json").read_text())[measure]["unit"]
    except (OSError, KeyError, ValueError):
        return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--measure", default="faz_area_mm2")
    parser.add_argument("--group", default="group")
    parser.add_argument("--person", help="column that says whose eye it is; without it every case is a person")
    options = parser.parse_args()
    found, left_out = read(options.table, options.measure, options.group, options.person)
    if not found:
        sys.exit(f"{options.table}: no case has {options.measure}")
    people = {name: [np.mean(values) for values in persons.values()] for name, persons in found.items()}
    print(f"{options.measure} {unit(options.table, options.measure)}".rstrip())
    width = max(len(name) for name in [*people, "group"])
    print(f"{'group':{width}}  people  scans    mean      SD    95 % CI")
    for name, values in people.items():
        mean, deviation, low, high = mean_interval(values)
        scans = sum(map(len, found[name].values()))
        print(f"{name:{width}}  {len(values):6d}  {scans:5d}  {mean:6.3f}  {deviation:6.3f}    {low:.3f} to {high:.3f}")
    first, *others = people
    for name in others:
        difference, low, high = welch(people[first], people[name])
        print(f"{name} - {first}: {difference:.3f} (95 % CI {low:.3f} to {high:.3f})")
    for case, why in left_out:
        print(f"left out: {case} ({why})")


if __name__ == "__main__":
    main()
