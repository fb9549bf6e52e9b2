"""Carries packets between two network namespaces, late and out of order.

shim.py SEED NAMESPACE ADDRESS NAMESPACE ADDRESS: makes a TUN device in each namespace, with its
address, says "ready", and passes each packet on after a while of its own.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
CLONE_NEWNET = 0x40000000

LATEST = 0.015
"""How many seconds a packet is under way at most."""

TWICE = 0.01
"""How many of all packets arrive twice."""

WAITING_MAX = 10_000
"""How many packets are under way at most; what comes then is lost."""


def enter(namespace):
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    os.close(handle)


def device(namespace, address):
    enter(namespace)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"shim", IFF_TUN | IFF_NO_PI))
    for command in (["addr", "add", f"{address}/24", "dev", "shim"], ["link", "set", "shim", "up"]):
        subprocess.run(["ip", *command], check=True)
    return tun


def main(seed, *places):
    chance = random.Random(seed)
    first, second = device(*places[:2]), device(*places[2:])
    other = {first: second, second: first}
    waiting = []
    count = 0
    print("ready", flush=True)
    while True:
        patience = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for tun in select.select([first, second], [], [], patience)[0]:
            packet = os.read(tun, 65536)
            for _ in range(2 if chance.random() < TWICE else 1):
                count += 1
                due = time.monotonic() + chance.uniform(0, LATEST)
                if len(waiting) < WAITING_MAX:
                    heapq.heappush(waiting, (due, count, other[tun], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, tun, packet = heapq.heappop(waiting)
            try:
                os.write(tun, packet)
            except BlockingIOError:
                pass


main(*sys.argv[1:])
