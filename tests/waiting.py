"""Waiting for what ends by itself, such as threads that were told to."""

import time


def settled(observe, wanted, seconds):
    """What `observe` returns as soon as it is as wanted; after so many seconds, as it is."""
    end = time.monotonic() + seconds
    while (now := observe()) != wanted and time.monotonic() < end:
        time.sleep(0.001)
    return now
