/* The program moss-init, as built: a generated file (embed.py). */
#pragma once

#include <stddef.h>

extern const unsigned char moss_init_program[];
extern const size_t moss_init_program_size;
