/* What the parts of the tree's checker share; nobody else includes it. */
#pragma once

#include <stdarg.h>
#include <sys/stat.h>

#include "storage/check/check_tree.h"
#include "storage/tar/tree_model.h"

#define MAP_LINES_MAX 340 /* the kernel's */

/* IDs that exist in this namespace: the first columns of uid_map or gid_map. */
struct id_ranges {
	struct {
		uint32_t first;
		uint32_t count;
	} ranges[MAP_LINES_MAX];
	size_t count;
};

struct checker {
	const struct check_tree *check;
	struct tree_model *model;
	struct id_ranges uids;
	struct id_ranges gids;
	char *buffer;
	/* Where the last file was; directory NULL: nowhere. */
	const struct model_node *directory;
	int directory_fd;
	/* Directories to be looked into. */
	struct model_node **pending;
	size_t pending_count;
	size_t pending_room;
};

/* name: below the link, which is a directory then; NULL: the link itself. */
void checker_report(struct checker *checker, const struct model_link *link,
		    const char *name, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void checker_push(struct checker *checker, struct model_node *directory);

/* check_attributes.c */
void checker_read_maps(struct checker *checker);
bool checker_has_type(const struct model_link *link, int directory_fd,
		      const struct stat *st);
/* directory_fd: holds the link; for the root the root itself. */
void checker_attributes(struct checker *checker, struct model_link *link,
			int directory_fd, const struct stat *st);
