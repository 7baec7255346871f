#!/usr/bin/env python3
"""Turns the program moss-init into C: embed.py PROGRAM OUTPUT."""

import sys

program, output = sys.argv[1:]
with open(program, "rb") as file:
    data = file.read()
with open(output, "w", encoding="ascii") as file:
    file.write('#include "core/runtime/init/program.h"\n\n')
    file.write("const unsigned char moss_init_program[] = {\n")
    for start in range(0, len(data), 16):
        row = ",".join(str(byte) for byte in data[start : start + 16])
        file.write(f"{row},\n")
    file.write("};\n")
    file.write(f"const size_t moss_init_program_size = {len(data)};\n")
