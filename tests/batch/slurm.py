#!/usr/bin/env python3
"""A real Slurm in one box, without systemd: munge, a controller and two nodes. Everything lies in a folder of its own and ends with the context.

    with Slurm(folder) as slurm:
        slurm.run("sbatch", "--wrap", "hostname")
"""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client"}
CONF = """
ClusterName=box
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
MaxArraySize=10001
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=requeue_delay=1,batch_sched_delay=1
NodeName=box[0-1] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{node}-{last}] CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing():
    """What stands in the way: programs that are not there, or no right to start them."""
    lacking = [f"{name} (package {package})" for name, package in PROGRAMS.items() if not where(name)]
    if lacking:
        return "not installed: " + ", ".join(lacking)
    return None if os.geteuid() == 0 else "Slurm's daemons are started by root here"


def where(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def install():
    """Installs Debian's packages, where that is possible."""
    if missing() and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)
        packages = sorted(set(PROGRAMS.values()))
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], check=False, env=environment, **quiet)


def free_ports(count):
    """So many ports in a row that nobody listens on."""
    for first in range(16817, 26817, 10):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    raise SystemExit("no free ports")


class Slurm:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.processes = {}
        self.environment = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        munge = self.folder / "munge"
        for name in ("state", "munge"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        # munged refuses folders that others may write, up to the root
        os.chmod(self.folder, 0o755)
        os.chmod(munge, 0o755)
        (munge / "key").write_bytes(os.urandom(128))
        os.chmod(munge / "key", 0o600)
        owner = pwd.getpwnam("munge")
        for path in (munge, munge / "key"):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        self.spawn("munged", "runuser", "-u", "munge", "--", where("munged"), "--foreground", "--force", f"--socket={munge}/socket", f"--key-file={munge}/key",
                   f"--log-file={munge}/log", f"--pid-file={munge}/pid", f"--seed-file={munge}/seed")
        self.wait(lambda: (munge / "socket").exists(), "munged")
        port = free_ports(3)
        conf = CONF.format(host=socket.gethostname(), port=port, node=port + 1, last=port + 2, folder=self.folder)
        (self.folder / "slurm.conf").write_text(conf)
        self.spawn("slurmctld", where("slurmctld"), "-D")
        for node in ("box0", "box1"):
            self.spawn(node, where("slurmd"), "-D", "-N", node)
        self.wait(lambda: self.idle() == 2, "two idle nodes")

    def idle(self):
        lines = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T", check=False).split("\n")
        return sum(line.endswith(" idle") for line in lines)

    def spawn(self, name, *command):
        log = open(self.folder / f"{name}.out", "wb")
        # a session of its own, so that stopping reaches nobody else
        self.processes[name] = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)

    def wait(self, ready, what, seconds=60):
        end = time.monotonic() + seconds
        while not ready():
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            if dead or time.monotonic() > end:
                logs = "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in sorted(self.folder.glob("*.[ol][uo][tg]")))
                raise SystemExit(f"Slurm: no {what}; ended: {dead}\n{logs}")
            time.sleep(0.1)

    def run(self, *command, check=True):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if check and done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def stop(self):
        """Ends what was started here, and nothing else."""
        if "slurmctld" in self.processes:
            self.run("scancel", "--full", "-u", "root", check=False)
            time.sleep(0.5)
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes.values()):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


if __name__ == "__main__":
    import tempfile
    install()
    if missing():
        sys.exit(missing())
    with tempfile.TemporaryDirectory() as folder, Slurm(folder) as slurm:
        print(slurm.run("sinfo"))
        slurm.run("sbatch", "--wait", "--array=0-3", "-o", f"{folder}/%a.txt", "--wrap", "echo $SLURMD_NODENAME $SLURM_ARRAY_TASK_ID of $SLURM_ARRAY_TASK_COUNT")
        print("".join(sorted(path.read_text() for path in Path(folder).glob("[0-9].txt"))))
