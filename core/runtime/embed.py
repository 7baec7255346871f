#!/usr/bin/env python3
"""Turns a program into a C array: embed.py PROGRAM NAME OUTPUT."""

import sys

program, name, output = sys.argv[1:]
with open(program, "rb") as file:
    data = file.read()
with open(output, "w", encoding="ascii") as file:
    file.write(f"static const unsigned char {name}[{len(data)}] = {{\n")
    for start in range(0, len(data), 16):
        row = ",".join(str(byte) for byte in data[start : start + 16])
        file.write(f"{row},\n")
    file.write("};\n")
