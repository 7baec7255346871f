#include "base/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define CHILDREN_TEXT_MAX (1u << 20)
#define PATH_TEXT_MAX	  64

struct family {
	pid_t *pids;
	size_t count;
	size_t room;
};

static void family_release(struct family *family)
{
	free(family->pids);
}

static void add(struct family *family, pid_t pid)
{
	if (family->count == family->room) {
		family->room = family->room ? family->room * 2 : 64;
		family->pids = xrealloc(family->pids, family->room,
					sizeof(*family->pids));
	}
	family->pids[family->count++] = pid;
}

/* Of one thread. */
static void add_children(struct family *family, const char *file)
{
	cleanup_free char *text = NULL;
	const char *at;

	if (file_read_at(AT_FDCWD, file, CHILDREN_TEXT_MAX, &text, NULL, NULL) <
	    0)
		return;
	at = text;
	while (family->count <= PROC_TREE_MAX) {
		char *end;
		long pid = strtol(at, &end, 10);

		if (end == at)
			break;
		at = end;
		if (pid > 0)
			add(family, (pid_t)pid);
	}
}

static void add_below(struct family *family, pid_t parent)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	char path[PATH_TEXT_MAX];

	snprintf(path, sizeof(path), "/proc/%d/task", (int)parent);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		cleanup_free char *file = NULL;

		if (entry->d_name[0] == '.')
			continue;
		file = xasprintf("%s/%s/children", path, entry->d_name);
		add_children(family, file);
	}
}

size_t proc_children(pid_t parent, pid_t **ret_pids)
{
	struct family family = {0};

	add_below(&family, parent);
	*ret_pids = family.pids;
	return family.count;
}

static bool is_except(const pid_t *except, size_t count, pid_t pid)
{
	for (size_t i = 0; i < count; i++) {
		if (except[i] == pid)
			return true;
	}
	return false;
}

static int compare(const void *a, const void *b)
{
	pid_t left = *(const pid_t *)a;
	pid_t right = *(const pid_t *)b;

	return (left > right) - (left < right);
}

/* One that got another parent meanwhile may have been met twice. */
static void sort(struct family *family)
{
	size_t kept = 0;

	if (family->count > 1)
		qsort(family->pids, family->count, sizeof(*family->pids),
		      compare);
	for (size_t i = 0; i < family->count; i++) {
		if (kept == 0 || family->pids[kept - 1] != family->pids[i])
			family->pids[kept++] = family->pids[i];
	}
	family->count = kept;
}

int proc_tree(pid_t parent, const pid_t *except, size_t except_count,
	      pid_t **ret_pids, size_t *ret_count, struct error *err)
{
	CLEANUP(family_release) struct family family = {0};
	size_t kept = 0;

	add_below(&family, parent);
	for (size_t i = 0; i < family.count; i++) {
		if (!is_except(except, except_count, family.pids[i]))
			family.pids[kept++] = family.pids[i];
	}
	family.count = kept;
	for (size_t i = 0; i < family.count; i++) {
		if (family.count > PROC_TREE_MAX)
			return err_set(err, ERROR_CONFLICT,
				       "process %d has more than %d "
				       "descendants",
				       (int)parent, PROC_TREE_MAX);
		add_below(&family, family.pids[i]);
	}
	sort(&family);
	*ret_pids = steal_ptr(&family.pids);
	*ret_count = family.count;
	return 0;
}
