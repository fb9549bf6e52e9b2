"""Has the package `hpack` encode sections, and prints them."""

import random

import hpack
from hpack.struct import HeaderTuple, NeverIndexedHeaderTuple

NAMES = ["accept", "cache-control", "content-type", "cookie", "etag", "host", "user-agent", "x-a", "x-long-name-of-a-field"]
VALUES = [b"", b"1", b"text/html", b"no-cache", b"gzip, deflate", bytes(range(32, 127)), b"x" * 300, "é".encode(), b"\xff\xfe\x80 \t"]


def request(chance):
    yield HeaderTuple(b":method", chance.choice([b"GET", b"POST", b"PATCH"]))
    yield HeaderTuple(b":scheme", chance.choice([b"http", b"https"]))
    yield HeaderTuple(b":path", chance.choice([b"/", b"/index.html", b"/a/b?c=%d" % chance.randrange(5)]))
    yield HeaderTuple(b":authority", chance.choice([b"example.com", b"a.example:8443"]))
    for _ in range(chance.randrange(12)):
        kind = chance.choice([HeaderTuple, HeaderTuple, HeaderTuple, NeverIndexedHeaderTuple])
        yield kind(chance.choice(NAMES).encode(), chance.choice(VALUES))


def main():
    chance = random.Random(7541)
    for number in range(12):
        print("connection")
        encoder = hpack.Encoder()
        for _ in range(20):
            if chance.random() < 0.1:
                size = chance.choice([0, 50, 200, 1000, 4096])
                encoder.header_table_size = size
                print("table", size)
            fields = list(request(chance))
            print("block", encoder.encode(fields, huffman=number % 2 == 0).hex())
            for field in fields:
                print("!" if not field.indexable else "+", f"{field[0].hex()}:{field[1].hex()}")


main()
