"""Measure and print."""

import sys

from benchmarks.peers.measure import measure_peers, show

if __name__ == "__main__":
    found = measure_peers()
    show(found)
    sys.exit(0 if all(peer.agrees for peer in found) else 1)
