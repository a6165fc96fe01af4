"""What machine this is, and what else it does while something is measured."""

import contextlib
import os
import pathlib
import resource
import time

STEAL_LIMIT = 0.01   # of all CPU time of the cores used
OTHERS_LIMIT = 0.2   # cores that other processes take


def _first(path, key):
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.split(":", 1)[1].strip()
    return "unknown"


def _sysfs(path):
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return "not there"


def describe(cpus):
    """A flat dict, for the JSON and the head of the table."""
    flags = set(_first("/proc/cpuinfo", "flags").split())
    wanted = ["avx2", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8"]
    return {
        "cpu": _first("/proc/cpuinfo", "model name"),
        "cpu_family": int(_first("/proc/cpuinfo", "cpu family")),
        "cpu_model": int(_first("/proc/cpuinfo", "model\t")),
        "cpus_used": sorted(cpus),
        "cpus_of_machine": os.cpu_count(),
        "isa": [flag for flag in wanted if flag in flags],
        "cache": _first("/proc/cpuinfo", "cache size"),
        "memory_kb": int(_first("/proc/meminfo", "MemTotal").split()[0]),
        "kernel": os.uname().release,
        "governor": _sysfs("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "transparent_hugepages": _sysfs("/sys/kernel/mm/transparent_hugepage/enabled"),
    }


def cpu_times(text, cpus):
    """(busy, steal, all) jiffies of `cpus` in the text of /proc/stat."""
    busy = steal = total = 0
    for line in text.splitlines():
        name, *fields = line.split()
        if not (name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cpus):
            continue
        user, nice, system, idle, iowait, irq, softirq, stolen = (int(field) for field in fields[:8])
        busy += user + nice + system + irq + softirq
        steal += stolen
        total += user + nice + system + idle + iowait + irq + softirq + stolen
    return busy, steal, total


def process_cpu(text):
    """Seconds of CPU in the text of /proc/PID/stat: of the process, and of its children that ended."""
    fields = text.rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _own_cpu(pids):
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(u.ru_utime + u.ru_stime for u in usage)
    for pid in pids:
        with contextlib.suppress(OSError):
            seconds += process_cpu(pathlib.Path(f"/proc/{pid}/stat").read_text())
    return seconds


class Sampler:
    """with Sampler(cpus, pids) as load: ...; then load.row(). `pids`: processes of ours that outlive the block."""

    def __init__(self, cpus, pids=()):
        self.cpus, self.pids = set(cpus), list(pids)

    def _now(self):
        return time.monotonic(), _own_cpu(self.pids), cpu_times(pathlib.Path("/proc/stat").read_text(), self.cpus)

    def __enter__(self):
        self.begin = self._now()
        return self

    def __exit__(self, *_):
        self.end = self._now()

    def row(self):
        wall = max(self.end[0] - self.begin[0], 1e-3)
        own = self.end[1] - self.begin[1]
        busy, steal, total = (b - a for a, b in zip(self.begin[2], self.end[2]))
        tick = os.sysconf("SC_CLK_TCK")
        others = max(0.0, (busy / tick - own) / wall)
        stolen = steal / max(total, 1)
        return {
            "seconds": round(wall, 2),
            "load_average": os.getloadavg()[0],
            "other_cores": round(others, 3),
            "steal": round(stolen, 4),
            "disturbed": others > OTHERS_LIMIT or stolen > STEAL_LIMIT,
        }


def warm(path):
    """Reads a file once, so that every side finds its model in the page cache."""
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(1 << 22)
        while file.readinto(buffer):
            pass
