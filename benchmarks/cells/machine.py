"""What a process took, and on what machine."""

from __future__ import annotations

from pathlib import Path


def peak_mb() -> float:
    """Return the largest memory of this process, in MB.

    Not `resource.getrusage`: what that tells of a process begins with the memory of its parent.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1.024e-3
    raise OSError("the kernel does not tell")


def processor() -> str:
    """Return the name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "a processor without a name"
