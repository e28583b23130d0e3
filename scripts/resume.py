"""Make a folder ready to go on after a run was killed: called by `make resume`.

A live run holds a lock that the kernel frees when its process ends, however it ends. So it is
known for certain whether anybody still works here, which Snakemake's own lock cannot tell.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tessera.alive import RUN, await_jobs, is_held

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("-d", "--directory", default=".")
folder = parser.parse_known_args()[0].directory
command = [Path(sys.executable).with_name("snakemake"), "--unlock", "--quiet", "all"]
started = Path.cwd()
os.chdir(folder)
if is_held(RUN):
    sys.exit("A run is at work in this folder: wait for it, or stop it with Ctrl-C, and try again.")
await_jobs(lambda: print("Waiting for jobs that the killed run left behind ...", flush=True))
sys.exit(subprocess.call([*command, *sys.argv[1:]], cwd=started))
