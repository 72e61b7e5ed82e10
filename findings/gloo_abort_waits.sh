#!/usr/bin/env bash
# torch 2.13.0 (torch.distributed, gloo): ProcessGroup.abort() returns at once, and what waits in the group goes on waiting.
#
# Guessed before: that, as with NCCL, a collective that waits for another process raises once the group is aborted from
# another thread. Seen: abort() returns within milliseconds and raises nothing; all_reduce() goes on waiting until the
# time-out that the group was begun with (here 15 s), and raises only then. What ends it at once is the end of the
# connections.
#
# Exit code 0 while this is so.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$work"
cat > wait.py <<'PYTHON'
import sys
import threading
import time
from datetime import timedelta

import torch
import torch.distributed as dist

TIMEOUT_S, ABORT_AFTER_S = 15, 2
rank, path = int(sys.argv[1]), sys.argv[2]
store = dist.FileStore(path, 2)
dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=TIMEOUT_S))
dist.all_reduce(torch.ones(1))
if rank == 1:  # is there, and takes no part in what follows
    sys.stdin.read()
    sys.exit()
told = {}


def abort():
    time.sleep(ABORT_AFTER_S)
    begin = time.monotonic()
    dist.group.WORLD.abort()
    told["abort_s"] = time.monotonic() - begin


thread = threading.Thread(target=abort)
thread.start()
begin = time.monotonic()
try:
    dist.all_reduce(torch.ones(1))
except RuntimeError as error:
    told["waited_s"] = time.monotonic() - begin
    said = str(error).splitlines()[0]
thread.join()
print("torch", torch.__version__)
print(f"abort() {ABORT_AFTER_S} s after all_reduce() began: returned after {told['abort_s']:.1f} s")
print(f"all_reduce() raised after {told['waited_s']:.0f} s, with a time-out of {TIMEOUT_S}: ...{said[-60:]}")
assert told["abort_s"] < 1
assert told["waited_s"] > TIMEOUT_S - 3
PYTHON
export GLOO_SOCKET_IFNAME=lo
mkfifo hold
"$work/venv/bin/python" wait.py 1 "$work/store" < hold &
exec 3> hold
"$work/venv/bin/python" wait.py 0 "$work/store"
exec 3>&-
wait || true
