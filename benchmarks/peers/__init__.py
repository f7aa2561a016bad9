"""W1 in engines that pin an older pandas: each runs in its own process, in `.venv-peers` (`make peers`).

`python -m benchmarks.peers` prints the figures; `measure_peers` returns them. The scripts beside this file
run under the other interpreter and import nothing of ours.
"""
