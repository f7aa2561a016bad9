"""The loop over closed bars in paper and live: journal first, then act; recovery, parity and replay."""
