/* Tar archives in memory, right and wrong ones, for the tests. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

struct tar_file {
	const char *path;
	char type; /* typeflag; 0: '0' */
	const char *data;
	size_t length; /* 0: strlen(data) */
	const char *link;
	unsigned int mode; /* 0: 0644 or 0755 */
	unsigned int uid, gid;
	unsigned int major, minor;
	long mtime;
	const char *pax; /* records without length: "path=x\nmtime=1\n" */
	unsigned long long size; /* written instead of the data's */
};

static inline void tar_build_octal(char *field, int digits,
				   unsigned long long value)
{
	for (int i = digits - 1; i >= 0; i--) {
		field[i] = (char)('0' + (value & 7));
		value >>= 3;
	}
}

static inline void tar_build_checksum(char *block)
{
	unsigned int sum = 0;

	memset(block + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)block[i];
	tar_build_octal(block + 148, 6, sum);
	block[154] = '\0';
}

static inline void tar_build_raw(struct str *tar, const struct tar_file *file,
				 const void *data, size_t length)
{
	static const char zeros[512];
	char block[512] = {0};
	const char *link = file->link ? file->link : "";
	char type = file->type ? file->type : '0';
	unsigned int mode = type == '5' ? 0755 : 0644;

	memcpy(block, file->path, strnlen(file->path, 100));
	tar_build_octal(block + 100, 7, file->mode ? file->mode : mode);
	tar_build_octal(block + 108, 7, file->uid);
	tar_build_octal(block + 116, 7, file->gid);
	tar_build_octal(block + 124, 11, file->size ? file->size : length);
	tar_build_octal(block + 136, 11, (unsigned long long)file->mtime);
	block[156] = type;
	memcpy(block + 157, link, strnlen(link, 100));
	memcpy(block + 257, "ustar\00000", 8);
	tar_build_octal(block + 329, 7, file->major);
	tar_build_octal(block + 337, 7, file->minor);
	tar_build_checksum(block);
	str_append_bytes(tar, block, sizeof(block));
	if (length > 0)
		str_append_bytes(tar, data, length);
	str_append_bytes(tar, zeros, (512 - length % 512) % 512);
}

/* One record, with its own length in front. */
static inline void tar_build_record(struct str *pax, const char *text,
				    size_t length)
{
	size_t total = length + 3;
	char number[24];

	while ((size_t)snprintf(number, sizeof(number), "%zu", total) + 2 +
		       length !=
	       total)
		total++;
	str_append(pax, number);
	str_append_char(pax, ' ');
	str_append_bytes(pax, text, length);
	str_append_char(pax, '\n');
}

static inline void tar_add(struct str *tar, const struct tar_file *file)
{
	size_t length = file->length ? file->length
			: file->data ? strlen(file->data)
				     : 0;

	if (file->pax) {
		const struct tar_file header = {.path = "pax", .type = 'x'};
		struct str pax = {0};
		const char *at = file->pax;

		while (*at) {
			size_t line = strcspn(at, "\n");

			tar_build_record(&pax, at, line);
			at += line + (at[line] == '\n');
		}
		tar_build_raw(tar, &header, pax.data, pax.length);
		str_release(&pax);
	}
	tar_build_raw(tar, file, file->data, length);
}

static inline void tar_end(struct str *tar)
{
	static const char zeros[1024];

	str_append_bytes(tar, zeros, sizeof(zeros));
}

/* Whole archives in one expression. */
static inline void tar_build(struct str *tar, const struct tar_file *files,
			     size_t count)
{
	for (size_t i = 0; i < count; i++)
		tar_add(tar, &files[i]);
	tar_end(tar);
}
