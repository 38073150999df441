#!/usr/bin/env python3
"""How long a cohort takes on a cluster, and how long its tail is: shards as tasks that fail, hang, get lost and are preempted. A simulation; its
constants are options, and their defaults are assumptions.

    scheduler.py --cases 100000 --seconds 1900 --slots 256 --shards 2048
"""
import argparse
import heapq
import random


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = lambda name, kind, default, about: parser.add_argument(name, type=kind, default=default, help=f"{about} [{default}]")
    add("--cases", int, 100_000, "volumes")
    add("--seconds", float, 1900.0, "of work for a volume, on one slot")
    add("--spread", float, 0.3, "standard deviation of that, as a share")
    add("--slots", int, 256, "tasks at the same time")
    add("--shards", int, 2048, "tasks in all")
    add("--start", float, 10.0, "seconds from the queue to the first case: scheduler, library, model")
    add("--walltime", float, 24.0, "hours that a task may take; then it is queued again")
    add("--killed", float, 0.02, "tasks killed or preempted, per hour and slot")
    add("--node-loss", float, 0.0005, "nodes lost, per hour and node of 32 slots")
    add("--hang", float, 0.0005, "cases that hang until their limit")
    add("--limit", float, 4.0, "that limit, in times of a usual case")
    add("--seed", int, 1, "of the chance")
    return parser.parse_args()


def simulate(o):
    chance = random.Random(o.seed)
    work = [[] for _ in range(o.shards)]
    for case in range(o.cases):
        usual = max(0.1, chance.gauss(1.0, o.spread)) * o.seconds
        work[case % o.shards].append(o.limit * o.seconds if chance.random() < o.hang else usual)
    rate = o.killed / 3600 + o.node_loss / 3600
    waiting = list(range(o.shards - 1, -1, -1))
    running, now, lost, starts, ends = [], 0.0, 0.0, 0, []
    position = [0] * o.shards
    while waiting or running:
        while waiting and len(running) < o.slots:
            shard = waiting.pop()
            starts += 1
            stop = now + min(chance.expovariate(rate) if rate else float("inf"), o.walltime * 3600)
            clock, at = now + o.start, position[shard]
            while at < len(work[shard]) and clock + work[shard][at] <= stop:
                clock += work[shard][at]
                at += 1
            finished = at == len(work[shard])
            lost += o.start + (0.0 if finished else max(0.0, stop - clock))
            position[shard] = at
            heapq.heappush(running, (clock if finished else stop, shard, finished))
        now, shard, finished = heapq.heappop(running)
        if finished:
            ends.append(now)
        else:
            waiting.insert(0, shard)
    ideal = sum(map(sum, work)) / o.slots
    return {"hours": now / 3600, "ideal": ideal / 3600, "half": ends[len(ends) // 2] / 3600, "99 %": ends[int(len(ends) * 0.99)] / 3600, "starts": starts,
            "lost share": lost / (ideal * o.slots)}


def main():
    o = options()
    told = simulate(o)
    print(f"{o.cases} cases of {o.seconds:.0f} s, {o.shards} shards on {o.slots} slots: {told['hours']:.1f} h (without any loss {told['ideal']:.1f} h)")
    print(f"half of the shards after {told['half']:.1f} h, 99 % after {told['99 %']:.1f} h; {told['starts']} starts; {100 * told['lost share']:.2f} % of the work lost")


if __name__ == "__main__":
    main()
