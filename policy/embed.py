#!/usr/bin/env python3
"""embed.py INPUT OUTPUT SYMBOL: a file as C source, NUL-terminated."""

import sys

source, target, symbol = sys.argv[1:]
with open(source, "rb") as file:
    data = file.read()
with open(target, "w", encoding="ascii") as file:
    file.write(f"extern const char {symbol}[];\n")
    file.write(f"extern const unsigned long {symbol}_length;\n")
    file.write(f"const char {symbol}[] = {{\n")
    for start in range(0, len(data), 16):
        row = ",".join(str(byte) for byte in data[start : start + 16])
        file.write(f"\t{row},\n")
    file.write("\t0,\n};\n")
    file.write(f"const unsigned long {symbol}_length = {len(data)};\n")
