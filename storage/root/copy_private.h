/* Shared by storage/root/copy*.c. */
#pragma once

#include <stddef.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/str.h"
#include "storage/root/copy.h"

struct copy {
	const struct copy_request *request;
	struct copy_report report;
	struct str path; /* of the present entry, below target_fd */
	int target_fd;
	struct stat target_st;
	size_t depth;
	char *buffer; /* COPY_BUFFER_SIZE */
	void *links;  /* tsearch(3) tree of struct copy_link */
	size_t link_count;
};

#define COPY_BUFFER_SIZE (128u << 10)

/* copy_file.c: all return 0 or negative errno, without text. */
int copy_data(struct copy *copy, int in, int out, off_t size);
/* Extended attributes of a file or directory. */
int copy_xattrs(struct copy *copy, int in, int out);
/* Owner, xattrs (in -1: none), mode and times of an open file or directory. */
int copy_attributes(struct copy *copy, int in, int out, const struct stat *st);
/* The same of a link or FIFO, by an O_PATH descriptor. */
int copy_path_attributes(struct copy *copy, int fd, const struct stat *st);

/* copy_link.c */
/* 1 when the copy of st's inode could be linked to name, 0 when not. */
int copy_link_find(struct copy *copy, const struct stat *st, int dir_fd,
		   const char *name);
/* Remembers that the present entry, just made in dir_fd, is st's copy. */
void copy_link_add(struct copy *copy, const struct stat *st, int dir_fd,
		   const char *name);
void copy_links_release(struct copy *copy);
