#!/usr/bin/env bash
# torch 2.13.0 (torch.distributed, gloo): a group that could not be begun changes the name of the next one.
#
# Two processes meet in a store. The first one has tried before, alone, and its time ran out; its second try and the
# other's first one, in a fresh store, then wait for each other until time runs out again. torch names a group by the
# number of those that the process has begun, failed ones too, and keeps what the processes tell each other under that
# name. Beginning a group of one and ending it sets the number back, and the same two meet.
#
# Exit code 0 while this is so.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$work"
cat > meet.py <<'PYTHON'
import sys
from datetime import timedelta
import torch.distributed as dist

rank, path, before = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def begin(store, size, seconds):
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=seconds))


if before != "nothing":
    try:
        begin(dist.HashStore(), 2, 0.5)
    except RuntimeError as error:
        print("alone:", str(error).splitlines()[0])
if before == "a failure, then a group of one":
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    dist.destroy_process_group()
try:
    begin(dist.FileStore(path, 2), 2, 20)
    print("rank", rank, "met")
except RuntimeError as error:
    print("rank", rank, "did not meet:", str(error).splitlines()[0])
PYTHON
seen() {
    GLOO_SOCKET_IFNAME=lo "$work/venv/bin/python" meet.py 1 "$work/$1" nothing > "$work/second" 2>/dev/null &
    GLOO_SOCKET_IFNAME=lo "$work/venv/bin/python" meet.py 0 "$work/$1" "$2" 2>/dev/null
    wait; cat "$work/second"
}
for before in "nothing" "a failure" "a failure, then a group of one"; do
    echo "before: $before"; seen "${before// /_}" "$before" | tee "$work/out"
    if [ "$before" = "a failure" ]; then grep -q "rank 0 did not meet" "$work/out"; else grep -q "rank 0 met" "$work/out"; fi
done
