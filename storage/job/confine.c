#include "storage/job/confine.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* The headers may be older than the kernel. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

#define ABI_REFER    2 /* before, no rename from one directory to another */
#define ABI_TRUNCATE 3

#define WRITING                                                          \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |     \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
	 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM |   \
	 LANDLOCK_ACCESS_FS_REFER)

void confine_writes(int dir_fd)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
			   LANDLOCK_CREATE_RULESET_VERSION);
	uint64_t writing = WRITING;
	struct landlock_ruleset_attr ruleset = {0};
	struct landlock_path_beneath_attr beneath = {.parent_fd = dir_fd};
	cleanup_fd int fd = -1;

	if (abi < ABI_REFER)
		return;
	if (abi >= ABI_TRUNCATE)
		writing |= LANDLOCK_ACCESS_FS_TRUNCATE;
	ruleset.handled_access_fs = writing | LANDLOCK_ACCESS_FS_EXECUTE;
	beneath.allowed_access = writing;
	fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset,
			  sizeof(ruleset), 0);
	if (fd < 0 || syscall(SYS_landlock_add_rule, fd,
			      LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
		return;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		syscall(SYS_landlock_restrict_self, fd, 0);
}
